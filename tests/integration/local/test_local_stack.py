"""The whole machine with real servers and a real edge: up, status, down, crashes, restarts."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.integration.local.machine import Copy, is_alive, manage, ready, started, status, told, until

NAMES = ["postgres", "valkey", "engine", "realtime-1", "realtime-2", "edge"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, Copy]]:
    """Two copies that were started at the same moment, below folders that only we may enter."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder in folders:
        folder.chmod(0o700)
    with started(folders[0] / "data") as one, started(folders[1] / "data") as two:
        yield ready(one), ready(two)


@pytest.fixture(scope="module")
def copy(copies: tuple[Copy, Copy]) -> Copy:
    return copies[0]


def variables(data: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data / "environment.json").read_text())
    return found


def test_two_copies_run_side_by_side_and_share_nothing(copies: tuple[Copy, Copy]) -> None:
    one, two = copies
    assert {entry.pid for entry in one.state.processes}.isdisjoint(entry.pid for entry in two.state.processes)
    for name in NAMES:
        assert one.port(name) != two.port(name)
    assert told(one.get("/")[1])["pid"] != told(two.get("/")[1])["pid"]
    assert variables(one.data)["SECRET_KEY"] != variables(two.data)["SECRET_KEY"]


def test_status_says_what_runs_and_where(copy: Copy) -> None:
    answer = manage("status", "--json", "--data", str(copy.data))
    found = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert found["url"] == f"http://127.0.0.1:{copy.port('edge')}"
    assert found["demo_clinic"] == "demo"
    assert [process["name"] for process in found["processes"]] == NAMES
    for process in found["processes"]:
        assert set(process) == {"name", "pid", "url", "healthy"}
        assert process["healthy"] is True
        assert is_alive(process["pid"])


def test_what_a_person_needs_is_printed_once_everything_answers(copy: Copy) -> None:
    said = copy.everything_said()
    for page in ("/calendar/", "/book/demo/", "/api/docs/"):
        assert f"http://127.0.0.1:{copy.port('edge')}{page}" in said
    assert "desk@demo.example (role front_desk)" in said
    assert "03:04:05 info    engine    listening" in said


def test_a_folder_only_root_may_enter_stays_so_and_postgres_still_runs_as_another(copy: Copy) -> None:
    assert stat.S_IMODE(copy.data.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.data.stat().st_mode) == 0o700
    owner = Path(f"/proc/{copy.pid('postgres')}").stat().st_uid
    assert owner != 0
    assert (owner == os.geteuid()) == (os.geteuid() != 0)


def test_secrets_can_be_read_by_their_owner_only(copy: Copy) -> None:
    for file in (copy.data / "environment.json", copy.data / "processes.json", *(copy.data / "secrets").iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert stat.S_IMODE((copy.data / "secrets").stat().st_mode) == 0o700


def test_no_secret_is_on_a_command_line(copy: Copy) -> None:
    secrets = [file.read_text() for file in (copy.data / "secrets").iterdir()]
    for pid in copy.everyone():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


def test_a_service_cannot_enter_the_database_of_another(copy: Copy) -> None:
    own = variables(copy.data)["DATABASE_URL_BILLING"]
    psycopg2.connect(own).close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(own, dbname="records")


def test_engine_can_exclude_overlaps_also_in_a_test_database(copy: Copy) -> None:
    own = psycopg2.connect(variables(copy.data)["DATABASE_URL_ENGINE"])
    own.autocommit = True
    with own.cursor() as cursor:
        cursor.execute("CREATE DATABASE test_engine")
        for name in ("engine", "test_engine"):
            other = psycopg2.connect(variables(copy.data)["DATABASE_URL_ENGINE"], dbname=name)
            with other.cursor() as inside:
                inside.execute("CREATE TEMP TABLE t (c int, d tstzrange, EXCLUDE USING gist (c WITH =, d WITH &&))")
            other.close()
        cursor.execute("DROP DATABASE test_engine")
    own.close()


def test_postgres_is_durable_and_logs_no_values(copy: Copy) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "listen_addresses": "127.0.0.1",
    }
    with psycopg2.connect(variables(copy.data)["DATABASE_URL_AUTH"]) as connection, connection.cursor() as cursor:
        for name, value in expected.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            assert cursor.fetchone() == (value,), name
        with pytest.raises(psycopg2.DataError):
            cursor.execute("SELECT 'Erika Mustermann'::date")
    connection.close()
    assert "Erika" not in (copy.data / "logs" / "postgres.log").read_text()


def test_a_second_up_on_the_same_data_is_refused(copy: Copy) -> None:
    answer = manage("up", "--data", str(copy.data), "--port", "0")
    assert answer.returncode == 1
    assert f"Already running here (process {copy.supervisor.pid})" in answer.stderr


def test_a_port_in_use_is_named(copy: Copy, tmp_path: Path) -> None:
    answer = manage("up", "--data", str(tmp_path / "data"), "--port", str(copy.port("edge")))
    assert answer.returncode == 1
    assert f"Port {copy.port('edge')} cannot be used" in answer.stderr


def test_a_crashed_process_is_restarted_and_said_so(copy: Copy) -> None:
    before = copy.pid("engine")
    with pytest.raises(ConnectionError):
        copy.get("/crash", process="engine")
    until(lambda: copy.pid("engine") != before, what="engine has another pid")
    until(lambda: f"engine exited with code 1; restarted (pid {copy.pid('engine')})" in copy.everything_said(), what="said so")
    assert copy.get("/")[0].status == 200  # the edge's tries bridge the start
    assert status(copy)["processes"][2]["healthy"]


def test_children_of_a_killed_process_go_with_it(copy: Copy) -> None:
    before = copy.pid("engine")
    child = told(copy.get("/spawn", process="engine")[1])["child"]
    os.kill(before, signal.SIGKILL)
    until(lambda: not is_alive(child), what="the child of the killed process is gone")
    until(lambda: copy.pid("engine") != before, what="engine has another pid")
    # It is said after the new one has its pid.
    until(lambda: "engine was ended by SIGKILL; restarted" in copy.everything_said(), what="the end is told")


def test_a_killed_database_comes_back_with_what_was_committed(copy: Copy) -> None:
    address = variables(copy.data)["DATABASE_URL_NOTIFICATIONS"]
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
    connection.close()
    before = copy.pid("postgres")
    os.kill(before, signal.SIGKILL)
    until(lambda: copy.pid("postgres") != before, what="postgres has another pid")
    until(lambda: status(copy)["processes"][0]["healthy"], what="postgres answers")
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT one FROM kept")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_nothing_survives_a_killed_supervisor_and_the_next_start_finds_its_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data) as first:
        everyone = ready(first).everyone()
        before = variables(data)
        with psycopg2.connect(before["DATABASE_URL_ENGINE"]) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.close()
        os.kill(first.supervisor.pid, signal.SIGKILL)
        first.supervisor.wait()
    with started(data) as second:
        ready(second)
        assert len(everyone) > len(NAMES)
        until(lambda: not any(map(is_alive, everyone)), what="everyone of the killed supervisor is gone")
        after = variables(data)
        assert before["SECRET_KEY"] == after["SECRET_KEY"]
        with psycopg2.connect(after["DATABASE_URL_ENGINE"]) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT one FROM kept")
            assert cursor.fetchone() == (1,)
        connection.close()


def test_down_stops_everything(copies: tuple[Copy, Copy]) -> None:
    copy = copies[1]
    everyone = copy.everyone()
    answer = manage("down", "--data", str(copy.data))
    assert (answer.returncode, answer.stdout) == (0, "Stopped.\n")
    assert copy.supervisor.wait(5) == 0
    assert not [pid for pid in everyone if is_alive(pid)]
    nothing = manage("status", "--json", "--data", str(copy.data))
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout) == {"url": None, "demo_clinic": None, "processes": []}
    again = manage("down", "--data", str(copy.data))
    assert (again.returncode, again.stdout) == (0, "Nothing runs here.\n")
