"""A replica that is held back, frozen, killed: nobody is shown less than they know, and nobody waits for it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import ge
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from engine import models
from tests.integration.realtime.live import Server, of_this_test, until
from tests.practice import Practice, make_practice
from tests.standby import Standby, serving

API = "/api/engine/v1"
LAG_S = 1.0
Json = dict[str, Any]
StartEngine = Callable[[float], Server]


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    made = Standby(Path(os.environ["HEALTHFLOW_DATA"]), log=tmp_path_factory.mktemp("standby") / "log")
    made.start()
    yield made
    made.stop()


class Reader:
    """The public at the door of an engine that may read from a replica."""

    def __init__(self, server: Server, practice: Practice) -> None:
        self._server, self._practice = server, practice
        self.http = httpx.Client(base_url=server.url + API, timeout=10, trust_env=False)

    def slots(self) -> Json:
        query = {"visit_type": str(self._practice.visit.uid), "limit": "500"}
        answer = self.http.get(f"/clinics/{self._practice.slug}/slots", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def offers(self, slot: Json) -> bool:
        """Whether that slot is among those that are said to be free."""
        return any((one["start"], one["calendar"]) == (slot["start"], slot["calendar"]) for one in self.slots()["items"])

    def hold(self, slot: Json) -> str:
        """Takes the slot; what the answer says of its own freshness."""
        answer = self.http.post("/holds", json={"slot": slot["slot"]}, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 201, answer.text
        return answer.headers["Freshness"]

    def profile(self, **headers: str) -> Json:
        answer = self.http.get(f"/clinics/{self._practice.slug}", headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, how: str) -> float:
        return self._server.metric(f'replica_reads_total{{ended="{how}"}}')

    def from_replica(self) -> bool:
        """Asks once; whether the replica was it that answered."""
        before = self.ended("replica")
        self.profile()
        return self.ended("replica") > before

    def await_replica(self) -> None:
        until(self.from_replica, what="the replica answers")


@contextmanager
def reading(standby: Standby, practice: Practice, log: Path, *, lag_s: float) -> Iterator[Reader]:
    mine = of_this_test()
    replica = standby.of(mine["DATABASE_URL_ENGINE"])
    with serving(log, **mine, DATABASE_URL_ENGINE_REPLICA=replica, REPLICA_LAG_S=str(lag_s)) as server:
        reader = Reader(server, practice)
        reader.await_replica()
        yield reader


@pytest.fixture
def patient(standby: Standby, practice: Practice, tmp_path: Path) -> Iterator[Reader]:
    """To its engine a replica is good enough for a minute, so that only what the reader knows can keep it from answering."""
    with reading(standby, practice, tmp_path / "engine.log", lag_s=60) as reader:
        yield reader


@pytest.fixture
def strict(standby: Standby, practice: Practice, tmp_path: Path) -> Iterator[Reader]:
    with reading(standby, practice, tmp_path / "engine.log", lag_s=LAG_S) as reader:
        yield reader


def test_who_knows_more_than_the_replica_is_shown_no_less(
    patient: Reader, standby: Standby, practice: Practice, token: Callable[..., str]
) -> None:
    seen = patient.slots()
    slot = seen["items"][0]
    calendar = slot["calendar"]
    staff = {"Authorization": f"Bearer {token(practice.slug)}"}

    def snapshot(version: int) -> Json:
        answer = patient.http.get(f"/calendars/{calendar}/snapshot", params={"version": version}, headers=staff)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with standby.held_back():
        wrote = patient.hold(slot)
        late = make_practice("late")

        # whoever searches: the versions are the primary's
        assert not patient.offers(slot)
        # the one who wrote
        patient.profile(Freshness=wrote)
        # whoever was told of the version
        known = seen["as_of"][calendar] + 1
        assert snapshot(known)["version"] == known
        assert patient.ended("behind") == 3
        # whoever knows less: this is what the others would have been shown
        assert snapshot(known - 1)["version"] == known - 1
        # and what is too young to be there is found all the same
        assert patient.http.get(f"/clinics/{late.slug}").json()["name"] == "Late"
        assert patient.ended("not_found") == 1
        assert patient.ended("failed") == 0

    def caught_up() -> bool:
        before = patient.ended("replica")
        patient.profile(Freshness=wrote)
        return patient.ended("replica") > before

    until(caught_up, what="the replica has what was written, and says so")


def test_a_freshness_that_we_never_gave_is_refused(patient: Reader, practice: Practice) -> None:
    for nonsense in ("", "0", "0/0'", "x/y", "123456789/0", "0/0 "[:-1] + "\t0"):
        answer = patient.http.get(f"/clinics/{practice.slug}", headers={"Freshness": nonsense})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), nonsense
    assert patient.http.get(f"/clinics/{practice.slug}", headers={"Freshness": "FFFFFFFF/FFFFFFFF"}).status_code == 200


def test_a_replica_of_an_idle_primary_is_not_behind(strict: Reader) -> None:
    since = time.monotonic()
    until(lambda: strict.from_replica() and time.monotonic() > since + 3 * LAG_S, what="it answers long after the last write")


def test_one_that_is_held_back_is_left_out_and_comes_back(strict: Reader, standby: Standby) -> None:
    slot = strict.slots()["items"][0]
    with standby.held_back():
        strict.hold(slot)
        until(lambda: not strict.from_replica(), what="a reader who knows nothing is not misled for long")
        assert strict.ended("left_out") > 0
    strict.await_replica()
    assert not strict.offers(slot)


class Crowd:
    """Reads without a pause, all at once, until the block ends; every answer must be one."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._stop = reader, threading.Event()
        self.answered = [0] * 4
        self.faults: list[str] = []
        self._threads = [threading.Thread(target=self._read, args=(place,)) for place in range(len(self.answered))]

    def _read(self, place: int) -> None:
        while not self._stop.is_set():
            try:
                self._reader.profile()
            except (AssertionError, httpx.HTTPError) as fault:
                self.faults.append(str(fault) or type(fault).__name__)
            self.answered[place] += 1

    def await_answers(self) -> None:
        """Until each of them has had some more."""
        enough = [answered + 5 for answered in self.answered]
        until(lambda: all(map(ge, self.answered, enough)), what="everybody reads on")

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def test_nobody_waits_for_one_that_is_frozen(patient: Reader, standby: Standby) -> None:
    with Crowd(patient) as crowd:
        crowd.await_answers()
        with standby.frozen():
            crowd.await_answers()
            until(lambda: patient.ended("left_out") > 20, what="it is the primary that answers")
        before = patient.ended("replica")
        until(lambda: patient.ended("replica") > before, what="the replica answers again")
    assert patient.ended("failed") > 0, "reads were under way there, and were cut off"
    assert crowd.faults == []


def test_nobody_waits_for_one_that_is_killed(strict: Reader, standby: Standby) -> None:
    with Crowd(strict) as crowd:
        crowd.await_answers()
        standby.kill()
        crowd.await_answers()
        until(lambda: strict.ended("left_out") > 20, what="it is the primary that answers")
        standby.start()
        before = strict.ended("replica")
        until(lambda: strict.ended("replica") > before, what="the replica answers again")
    assert crowd.faults == []


def test_without_replicas_nothing_is_told(practice: Practice, http: Any) -> None:
    offer = practice.offers()[0]
    answer = http.post(f"{API}/holds", {"slot": offer.token()}, content_type="application/json")
    assert answer.status_code == 201
    assert "Freshness" not in answer.headers
    assert models.Appointment.objects.count() == 1
