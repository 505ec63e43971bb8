"""The parts of `./manage.py up`, one at a time."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest

from apps.local import environment, servers
from apps.local.console import BoundedLog, readable
from apps.local.environment import SERVICES, SetupError, free_ports
from apps.local.probes import answers
from apps.local.processes import Process, Supervisor, guarded
from tests.integration.local.machine import manage, until

ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the servers are made once."""
    return tmp_path_factory.mktemp("servers")


def run(table: list[Process], *, logs: Path, variables: dict[str, str] | None = None) -> tuple[int, list[str], list[str]]:
    """Exit status, what the supervisor said, what the processes said; stops as soon as all are ready."""
    said: list[str] = []
    shown: list[str] = []

    async def supervise() -> int:
        supervisor = Supervisor(
            table,
            variables=variables or {},
            logs=logs,
            say=said.append,
            show=shown.append,
            changed=lambda _lives: None,
            ready=lambda _lines: supervisor.stop(),
        )
        return await supervisor.run()

    return asyncio.run(supervise()), said, shown


def python(name: str, *, code: str, project: str = "", after: tuple[str, ...] = ()) -> Process:
    return Process(name, project=project, command=(sys.executable, "-c", code), after=after, once=True)


def test_a_process_that_cannot_start_ends_the_start_with_its_last_lines(tmp_path: Path) -> None:
    table = [python("broken", code="print('reason'); raise SystemExit(3)"), python("next", code="print('no')", after=("broken",))]
    code, said, shown = run(table, logs=tmp_path)
    assert code == 1
    assert said == ["broken exited with code 3. Its last lines:\nreason"]
    assert not any("no" in line for line in shown)


def test_a_command_that_does_not_exist_is_a_failed_start(tmp_path: Path) -> None:
    code, said, _ = run([Process("absent", command=("/nonexistent",), once=True)], logs=tmp_path)
    assert code == 1
    assert said[0].startswith("absent exited with code 127.")


def test_processes_start_in_the_order_they_need_each_other(tmp_path: Path) -> None:
    table = [
        python("third", code="print('c')", after=("second",)),
        python("first", code="print('a')"),
        python("second", code="print('b')", after=("first",)),
    ]
    code, _, shown = run(table, logs=tmp_path)
    assert code == 0
    assert [line.split()[-1] for line in shown] == ["a", "b", "c"]


def test_every_line_is_kept_also_one_without_an_end(tmp_path: Path) -> None:
    code, _, shown = run([python("writer", code="print('x' * 200_000, end='')")], logs=tmp_path)
    assert code == 0
    assert (tmp_path / "writer.log").stat().st_size == 200_000
    assert len(shown) == 1


def test_json_lines_are_shown_readable() -> None:
    line = {"time": "2026-01-02T03:04:05.678+00:00", "level": "WARNING", "message": "slow", "ms": 12, "where": "a b"}
    assert readable("engine", json.dumps(line)) == '03:04:05 warning engine    slow ms=12 where="a b"'


@pytest.mark.parametrize("line", ["plain words", "{broken", "[1]", ""])
def test_other_lines_keep_their_words(line: str) -> None:
    assert readable("engine", line).split("engine")[1].strip() == line


@pytest.mark.parametrize("line", [f"{ESCAPE}[2J", json.dumps({"message": f"{ESCAPE}[2J"}), json.dumps({"x": f"{ESCAPE}[2J"})])
def test_no_escape_sequence_reaches_the_terminal(line: str) -> None:
    assert ESCAPE not in readable("engine", line)


def test_a_log_is_bounded_and_keeps_the_one_before(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "x.log", limit=10)
    for chunk in (b"12345", b"67890", b"abc", b"def"):
        log.write(chunk)
    log.close()
    assert (tmp_path / "x.log").read_bytes() == b"abcdef"
    assert (tmp_path / "x.log.1").read_bytes() == b"1234567890"


def test_keys_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    first = environment.keys(tmp_path)
    assert environment.keys(tmp_path) == first
    [key] = json.loads(Path(first["TOKEN_JWKS_FILE"]).read_text())["keys"]
    assert set(key) == {"kty", "crv", "alg", "use", "kid", "x"}
    token = jwt.encode({"sub": "x"}, Path(first["TOKEN_SIGNING_KEY_FILE"]).read_text(), algorithm="EdDSA")
    assert jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"]) == {"sub": "x"}


def test_what_a_service_owns_no_other_process_is_told(tmp_path: Path) -> None:
    told = environment.keys(tmp_path) | {f"DATABASE_URL_{name.upper()}": name for name in SERVICES}
    told["DATABASE_URL_ENGINE_REPLICA"] = "engine"
    owned = {
        project: {name for name in environment.own(told, project=project) if name in environment.OWNED} for project in SERVICES
    }

    for name in SERVICES:
        assert {f"DATABASE_URL_{name.upper()}", f"SERVICE_KEY_FILE_{name.upper()}"} <= owned[name]
    assert [name for name in SERVICES if "SEALING_KEY_FILE" in owned[name]] == ["records"]
    assert [name for name in SERVICES if "KMS_URL" in owned[name]] == ["records"]
    assert sum(len(names) for names in owned.values()) == sum(len(owners) for owners in environment.OWNED.values())
    for project in ("realtime", ""):
        assert environment.own(told, project=project).keys() == told.keys() - environment.OWNED.keys()


def test_a_process_gets_what_its_project_may_have(tmp_path: Path) -> None:
    code = "import os; print(sorted(name for name in ('SEALING_KEY_FILE', 'KMS_URL', 'SEALING_JWKS_FILE') if name in os.environ))"
    variables = {"SEALING_KEY_FILE": "x", "KMS_URL": "x", "SEALING_JWKS_FILE": "x"}
    table = [python(project, code=code, project=project) for project in ("engine", "records")]

    _, _, shown = run(table, logs=tmp_path, variables=variables)

    engine, records = sorted(shown)
    assert engine.endswith("['SEALING_JWKS_FILE']")
    assert records.endswith("['KMS_URL', 'SEALING_JWKS_FILE', 'SEALING_KEY_FILE']")


def test_ports_are_free_different_and_below_the_ephemeral_ones() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_servers_that_are_given_are_not_started(tmp_path: Path) -> None:
    given = {f"DATABASE_URL_{name.upper()}": f"postgresql://{name}@db.example/{name}" for name in SERVICES}
    found = servers.servers(tmp_path, given={**given, "REDIS_URL": "redis://cache.example"})
    assert found.processes == ()
    assert found.variables == {**given, "REDIS_URL": "redis://cache.example"}


def test_given_databases_leave_only_valkey_to_start(tmp_path: Path) -> None:
    given = {f"DATABASE_URL_{name.upper()}": f"postgresql://{name}@db.example/{name}" for name in SERVICES}
    assert [process.name for process in servers.servers(tmp_path, given=given).processes] == ["valkey"]


def test_some_databases_given_and_others_not_is_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="Set DATABASE_URL_RECORDS, DATABASE_URL_BILLING, DATABASE_URL_NOTIFICATIONS too"):
        servers.servers(tmp_path, given={"DATABASE_URL_ENGINE": "x", "DATABASE_URL_AUTH": "x"})


def test_servers_run_for_as_long_as_a_block_and_end_with_it(data: Path) -> None:
    with servers.running(data) as first:
        psycopg2.connect(first["DATABASE_URL_ENGINE"]).close()
        assert answers(first["REDIS_URL"])
        assert not answers(first["REDIS_URL"].replace("://:", "://:x"))
    assert not answers(first["REDIS_URL"])
    assert not answers(first["DATABASE_URL_ENGINE"])
    # given the lock file of a killed server, whose number now belongs to somebody else
    lock = data / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{data}/postgres\n")
    with servers.running(data) as second:
        psycopg2.connect(second["DATABASE_URL_ENGINE"]).close()
        assert second["SECRET_KEY"] == first["SECRET_KEY"]


def test_a_replica_goes_on_where_it_stopped_and_is_made_anew_when_it_cannot(data: Path) -> None:
    standby = data / "replica-1"

    def made() -> int:
        """Which copy it is, once it is seen to follow."""
        with servers.running(data, replicas=1) as variables, closing(psycopg2.connect(variables["DATABASE_URL_ENGINE"])) as primary:
            primary.autocommit = True
            with primary.cursor() as cursor:
                cursor.execute("SELECT pg_current_wal_flush_lsn()")
                (position,) = cursor.fetchone() or ("",)
            follower = psycopg2.connect(variables["DATABASE_URL_ENGINE_REPLICA"])
            with closing(follower), follower.cursor() as cursor:
                follower.autocommit = True
                until(lambda: _has(cursor, position), what="the replica has it")
            return (standby / "PG_VERSION").stat().st_ctime_ns

    first = made()
    assert made() == first
    (standby / "standby.signal").unlink()  # as in one that was promoted
    assert made() != first


def _has(cursor: Any, position: str) -> bool:
    cursor.execute("SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])
    return bool(cursor.fetchone()[0])


def test_databases_that_are_given_have_their_replicas_elsewhere(tmp_path: Path) -> None:
    given = {f"DATABASE_URL_{name.upper()}": f"postgresql://{name}@db.example/{name}" for name in SERVICES}
    with pytest.raises(SetupError, match="DATABASE_URL_ENGINE_REPLICA"):
        servers.servers(tmp_path, given=given, replicas=1)


def test_postgres_finds_its_own_programs_below_a_folder_that_only_we_may_enter(tmp_path: Path) -> None:
    # PostgreSQL looks with access(2), which as a rule ignores capabilities of anybody but root.
    tmp_path.chmod(0o700)
    program = tmp_path / "program"
    program.touch(mode=0o700)
    postgres = servers.servers(tmp_path / "data", given={}).processes[0]
    look = (sys.executable, "-c", "import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))", str(program))
    assert subprocess.run(guarded(replace(postgres, command=look)), check=False).returncode == 0


def test_a_block_that_fails_still_stops_its_servers(data: Path) -> None:
    seen: list[str] = []

    def fail() -> None:
        with servers.running(data) as variables:
            seen.append(variables["REDIS_URL"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not answers(seen[0])


def test_an_unknown_command_says_what_there_is() -> None:
    answer = manage("upp")
    assert answer.returncode == 2
    assert "usage: ./manage.py <command>" in answer.stderr


def test_help_is_not_an_error() -> None:
    answer = manage("--help")
    assert answer.returncode == 0
    assert "<project> <django command>" in answer.stdout
