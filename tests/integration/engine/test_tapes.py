"""The recorded tapes are what the engine says: each is recorded again, and must be the one that lies in the repository.

When an event changes on purpose: delete the file, run this once (it writes a new one and fails), and read the difference.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from engine import bookings, models, openings
from tests.practice import DAY, Practice, tomorrow
from tests.reducer import FIELDS
from tests.tapes import FOLDER, TAPES, written
from tests.writes import DESK, WRITES, ZOE, Write, make_overdue, offer

Json = dict[str, Any]
Read = Callable[..., Json]
CALENDARS = ("doctor", "nurse", "room")
STAGES = ("arrived", "roomed", "started", "completed")
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Recorder:
    """Records what each calendar's screen hears and is answered."""

    def __init__(self, practice: Practice, desk: Client) -> None:
        self._practice, self._desk = practice, desk

    def tapes(self, about: str, acts: Iterable[Callable[[], object]], *, of: Iterable[str] = CALENDARS) -> list[Json]:
        before = {name: self._snapshot(name) for name in of}
        steps: dict[str, list[Json]] = {name: [] for name in of}
        for act in acts:
            act()
            for name in of:
                since = steps[name][-1]["expect"]["version"] if steps[name] else before[name]["version"]
                steps[name] += self._steps(name, since)
        return [
            self._plain({"about": f"{about}, seen by the {name}", "calendar": name, "snapshot": before[name], "steps": steps[name]})
            for name in of
        ]

    def _steps(self, name: str, since: int) -> list[Json]:
        """The events since then, each the only one: what is expected after it is a fresh snapshot."""
        events = self._get(name, "changes", since=since)["events"]
        assert len(events) <= 1
        fresh = self._snapshot(name)
        visits = sorted((*fresh["appointments"], *fresh["holds"]), key=lambda visit: str(visit["id"]))
        expect = {**{part: fresh[part] for part in ("version", "epoch")}, "current": True, "visits": visits, "open": fresh["open"]}
        answers = [{"to": "snapshot", "answer": fresh}]
        return [
            {"frame": event, **({"answers": answers} if event["event"].startswith("calendar.") else {}), "expect": expect}
            for event in events
        ]

    def _snapshot(self, name: str) -> Json:
        limits = (datetime.fromtimestamp(instant, UTC).isoformat() for instant in (tomorrow(), tomorrow() + DAY))
        answer = self._get(name, "snapshot", **dict(zip(("from", "to"), limits, strict=True)))
        visits = {kind: [_seen(visit) for visit in answer[kind]] for kind in ("appointments", "holds")}
        return {"calendar": name, "epoch": answer["epoch"], "version": answer["version"], **visits, "open": answer["open"]}

    def _get(self, name: str, what: str, **query: str | int) -> Json:
        calendar: models.Calendar = getattr(self._practice, name)
        response = self._desk.get(f"/api/engine/v1/calendars/{calendar.uid}/{what}", query)
        assert response.status_code == 200, response.content
        return dict(response.json())

    def _plain(self, tape: Json) -> Json:
        """With names for identifiers and with times that are the same in every run."""
        known = {str(getattr(self._practice, name).uid): name for name in CALENDARS}
        known |= {str(self._practice.visit.uid): "visit", str(self._practice.procedure.uid): "procedure"}
        instants = sorted(set(_instants(tape)))
        times = {text: _rfc3339(BEGIN + timedelta(hours=place)) for place, text in enumerate(instants)}
        ends: dict[tuple[str, str], str] = {}

        def plain(value: Any, key: str = "", whose: str = "") -> Any:
            if isinstance(value, dict):
                return {name: plain(item, name, value.get("id", "")) for name, item in value.items() if name != "at"}
            if isinstance(value, list):
                items = [plain(item) for item in value]
                return sorted(items) if key == "calendars" else items
            if key == "expires_at":
                # Whether two holds were made in one second is nobody's business.
                return ends.setdefault((whose, value), _rfc3339(BEGIN + timedelta(minutes=1 + len(ends))))
            if key in STAGES:
                return _rfc3339(BEGIN + timedelta(seconds=1 + STAGES.index(key)))
            if key == "epoch":
                return "e1"
            if isinstance(value, str) and UUID.fullmatch(value):
                return known.setdefault(value, f"appointment {len(known) - len(CALENDARS) - 1}")
            return times.get(value, value) if isinstance(value, str) else value

        return dict(plain(tape))


def _seen(visit: Json) -> Json:
    return {name: visit[name] for name in FIELDS if visit.get(name)}


def _instants(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("start", "end"):
                yield item
            elif not isinstance(item, str):
                yield from _instants(item)
    elif isinstance(value, list):
        for item in value:
            yield from _instants(item)


def _rfc3339(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def recorder(practice: Practice, desk: Client) -> Recorder:
    return Recorder(practice, desk)


def lie_there(name: str, tapes: list[Json]) -> None:
    path = FOLDER / f"{name}.json"
    there: list[Json] = json.loads(path.read_text()) if path.exists() else []
    abouts = {tape["about"] for tape in there}
    new = [tape for tape in tapes if tape["about"] not in abouts]
    if new:
        path.write_text(written([*there, *new]))
        pytest.fail(f"{len(new)} tapes were not in {path}; they are now")
    assert all(tape in there for tape in tapes)


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_every_write(practice: Practice, recorder: Recorder, write: Write) -> None:
    lie_there("writes", recorder.tapes(str(write), [write.prepare(practice)], of=write.changes))


def test_no_write_is_on_tape_that_is_none() -> None:
    assert {tape["about"] for tape in TAPES["writes"]} == {
        f"{write}, seen by the {name}" for write in WRITES for name in write.changes
    }


def test_a_day_at_the_practice(practice: Practice, recorder: Recorder) -> None:
    both = offer(practice, practice.doctor, practice.room)
    held, visit = [bookings.hold(both, seconds=300, actor=DESK).appointment], []
    make_overdue(held[0].id)

    def book() -> None:
        visit.append(bookings.book(both, patient=ZOE, state="", actor=DESK).appointment.id)

    def hold() -> None:
        held.append(bookings.hold(offer(practice, practice.doctor, hour=11), seconds=300, actor=DESK).appointment)

    def confirm() -> None:
        bookings.confirm(held[-1].id, patient=ZOE, state="", actor=DESK)

    elsewhere = offer(practice, practice.nurse, practice.room)
    acts = [
        lambda: bookings.expire(held[0].id),
        book,
        hold,
        lambda: bookings.reschedule(visit[0], elsewhere, by="clinic", actor=DESK),
        confirm,
        lambda: openings.set_hours(practice.room.id, [], actor=DESK),
        lambda: bookings.move(held[-1].id, "arrive", actor=DESK),
        lambda: bookings.cancel(held[-1].id, reason="", by="patient", actor=DESK),
        hold,
        lambda: bookings.release(held[-1].id, actor=DESK),
        lambda: bookings.cancel(visit[0], reason="", by="clinic", actor=DESK),
    ]

    lie_there("day", recorder.tapes("a day at the practice", acts))
