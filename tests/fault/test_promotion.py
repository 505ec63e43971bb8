"""The primary is lost in the middle of bookings, and a standby takes its place."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from apps.local import servers
from apps.local.environment import ROOT
from tests.integration.local.machine import descendants
from tests.integration.realtime.live import Server, until
from tests.standby import serving, tell

API = "/api/engine/v1"
CLINIC = "seed-0001"
CLIENTS, BEFORE, AFTER = 4, 60, 20
Json = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A primary and two standbys with an empty clinic, all this test's own. The addresses are a superuser's."""

    primary: str
    standbys: tuple[str, str]
    variables: dict[str, str]
    pid: int

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", "engine", *arguments]
        environ = {**os.environ, **self.variables}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lose(self) -> None:
        """The machine of the primary is gone from one moment to the next."""
        for pid in (self.pid, *descendants(self.pid)):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For all tests of this file; the last one ends it."""
    tmp_path = tmp_path_factory.mktemp("cluster")
    with servers.running(tmp_path / "data", replicas=2) as variables:
        password = (tmp_path / "data/secrets/postgres-postgres").read_text()
        urls = [variables["DATABASE_URL_ENGINE"], *variables["DATABASE_URL_ENGINE_REPLICA"].split(",")]
        places = [url.partition("@")[2].partition("/")[0] for url in urls]
        primary, *standbys = (f"postgresql://postgres:{password}@{place}/engine" for place in places)
        mine, credentials = {**variables}, urls[0].partition("@")[0]
        mine["DATABASE_URL_ENGINE"] = f"{credentials}@{places[0]},{places[1]}/engine"
        mine["DATABASE_URL_ENGINE_REPLICA"] = urls[1]
        pid = int((tmp_path / "data/postgres/postmaster.pid").read_text().partition("\n")[0])
        made = Cluster(primary, (standbys[0], standbys[1]), mine, pid)
        made.manage("migrate", "--noinput")
        made.manage("seed", "--clinics", "1", "--calendars", "8", "--appointments", "0", "--seed", "1")
        tell(primary, "ALTER SYSTEM SET synchronous_standby_names = 'replica_1'")
        tell(primary, "SELECT pg_reload_conf()")
        until(lambda: tell(primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'") or None, what="it waits")
        yield made


class Patients:
    """They hold one slot after the other, repeat with the same key what got no clear answer, and note what they were promised."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(base_url=server.url + API, timeout=20, trust_env=False)
        self.slots = self._free()
        self.promised: list[str] = []
        self.unclear = 0
        self._faults: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._hold, args=(self.slots[n::CLIENTS],)) for n in range(CLIENTS)]

    def _free(self) -> list[Json]:
        visit_type = self._http.get(f"/clinics/{CLINIC}").json()["visit_types"][0]["id"]
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        query = {
            "visit_type": visit_type,
            "limit": "500",
            "from": first.isoformat(),
            "to": (first + timedelta(days=40)).isoformat(),
        }
        ends: dict[str, str] = {}
        free: list[Json] = []
        for slot in self._http.get(f"/clinics/{CLINIC}/slots", params=query).json()["items"]:
            if slot["start"] >= ends.get(slot["calendar"], ""):  # none is in another's way
                ends[slot["calendar"]] = slot["end"]
                free.append(slot)
        return free

    def ask(self, slot: Json, key: str) -> httpx.Response:
        return self._http.post("/holds", json={"slot": slot["slot"], "seconds": 900}, headers={"Idempotency-Key": key})

    def _hold(self, slots: list[Json]) -> None:
        for slot in slots:
            key = uuid4().hex
            while not self._stop.is_set():
                answer = self.ask(slot, key)
                if answer.status_code == 201:
                    self.promised.append(answer.json()["id"])
                    break
                if answer.status_code != 503:
                    self._faults.append(answer.text)
                    break
                self.unclear += 1

    def await_promises(self, count: int, *, what: str) -> None:
        until(lambda: len(self.promised) >= count or None, what=what)

    @contextmanager
    def at_it(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)
        assert self._faults == []


def test_a_wait_for_the_standby_that_was_cancelled_is_no_promise(cluster: Cluster, tmp_path: Path) -> None:
    with serving(tmp_path / "engine.log", **cluster.variables) as server:
        patients = Patients(server)
        slot, key = patients.slots[0], uuid4().hex
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(patients.ask(slot, key)))
        with _held_up(cluster):
            asking.start()
            waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: tell(cluster.primary, waiting) or None, what="a commit waits for the standby, and is told not to")
            asking.join(20)

        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "unavailable")]
        again = patients.ask(slot, key)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


def test_what_was_promised_outlives_the_primary(cluster: Cluster, tmp_path: Path) -> None:
    with serving(tmp_path / "engine.log", **cluster.variables) as server:
        patients = Patients(server)
        _cut_off(cluster, "replica_2")
        with patients.at_it():
            patients.await_promises(BEFORE, what="bookings are made")
            cluster.lose()
            for standby in cluster.standbys:
                tell(standby, "SELECT pg_promote()")
            patients.await_promises(len(patients.promised) + AFTER, what="bookings go on with the new primary")
        promised = set(patients.promised)

    synchronous, cut_off = (_kept(standby) for standby in cluster.standbys)
    assert promised - synchronous == set()
    # It got nothing after it was cut off: had it taken over instead, these would be lost.
    assert len(promised - cut_off) >= BEFORE
    assert patients.unclear > 0, "the primary was lost in the middle"
    assert json.loads(cluster.manage("verify", "--json"))["ok"]


def _cut_off(cluster: Cluster, name: str) -> None:
    """That standby gets nothing any more, and cannot come back; who is connected stays."""
    tell(cluster.primary, "ALTER ROLE replica NOLOGIN")
    tell(cluster.primary, f"SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = '{name}'")


@contextmanager
def _held_up(cluster: Cluster) -> Iterator[None]:
    """The synchronous standby receives nothing inside the block."""
    (pid,) = tell(cluster.standbys[0], "SELECT pid FROM pg_stat_wal_receiver")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _kept(address: str) -> set[str]:
    return {str(hold) for (hold,) in tell(address, "SELECT id FROM engine_appointment")}
