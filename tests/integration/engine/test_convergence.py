"""A screen that took a snapshot and then every event shows what a fresh snapshot shows: for every write there is."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from engine import bookings, models, openings
from tests.practice import DAY, Practice, tomorrow
from tests.reducer import Screen, follow, load
from tests.writes import DESK, WRITES, ZOE, Write, make_overdue, offer, public_functions

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(desk: Client) -> Read:
    """read(calendar, "snapshot" or "changes", **query) -> the answer."""

    def get(calendar: models.Calendar, what: str, **query: str | int) -> dict[str, Any]:
        response = desk.get(f"/api/engine/v1/calendars/{calendar.uid}/{what}", query)
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = response.json()
        return answer

    return get


def rfc3339(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()


def snapshot(read: Read, calendar: models.Calendar, *, start: int | None = None, end: int | None = None) -> dict[str, Any]:
    first, last = start or tomorrow(), end or tomorrow() + DAY
    return read(calendar, "snapshot", **{"from": rfc3339(first), "to": rfc3339(last)})


def followed(read: Read, screen: Screen, calendar: models.Calendar, *, limit: int = 500) -> Screen:
    events = read(calendar, "changes", since=screen.version, limit=limit)["events"]
    return follow(screen, events, fresh_open=lambda: snapshot(read, calendar)["open"])


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_a_snapshot_and_the_events_after_it_make_a_fresh_snapshot(practice: Practice, read: Read, write: Write) -> None:
    calendars = {"doctor": practice.doctor, "nurse": practice.nurse, "room": practice.room}
    act = write.prepare(practice)
    before = {name: load(snapshot(read, calendar)) for name, calendar in calendars.items()}

    act()

    for name, calendar in calendars.items():
        after = load(snapshot(read, calendar))
        assert followed(read, before[name], calendar) == after
        assert after.version == before[name].version + (name in write.changes)
        assert (after == before[name]) == (name not in write.changes)


def test_every_public_write_is_in_the_table() -> None:
    for module in (bookings, openings):
        assert {write.function for write in WRITES if write.module is module} == public_functions(module)


def test_a_hold_in_a_snapshot_says_all_that_its_event_says(practice: Practice, read: Read) -> None:
    bookings.hold(offer(practice, practice.doctor, practice.room), seconds=300, actor=DESK)

    (event,) = read(practice.room, "changes", since=0)["events"]
    (held,) = snapshot(read, practice.room)["holds"]

    assert {name: held.get(name) for name in event["data"]} == event["data"]


def test_a_visit_that_leaves_the_day_on_show_leaves_the_screen(practice: Practice, read: Read) -> None:
    visit = bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK).appointment
    today, other_day = (
        load(snapshot(read, practice.doctor, start=tomorrow() + d * DAY, end=tomorrow() + (d + 1) * DAY)) for d in (0, 1)
    )

    bookings.reschedule(visit.id, offer(practice, practice.doctor, hour=24 + 9), by="clinic", actor=DESK)

    events = read(practice.doctor, "changes", since=1)["events"]
    moved = follow(other_day, events, fresh_open=list)
    assert moved == load(snapshot(read, practice.doctor, start=tomorrow() + DAY, end=tomorrow() + 2 * DAY))
    # The event carries the visit to the screen of the day it left; its times say that it is not of that day any more.
    (seen,) = follow(today, events, fresh_open=list).visits.values()
    assert seen["start"] >= datetime.fromtimestamp(tomorrow() + DAY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_long_history_on_two_calendars_is_followed_event_by_event(practice: Practice, read: Read) -> None:
    empty = {c: load(snapshot(read, c)) for c in (practice.doctor, practice.room, practice.nurse)}
    both = offer(practice, practice.doctor, practice.room)
    held = bookings.hold(both, seconds=300, actor=DESK).appointment
    make_overdue(held.id)
    visit = bookings.book(both, patient=ZOE, state="", actor=DESK).appointment
    bookings.reschedule(visit.id, offer(practice, practice.nurse, practice.room, hour=9), by="clinic", actor=DESK)
    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    openings.set_hours(practice.room.id, [], actor=DESK)
    bookings.cancel(visit.id, reason="", by="clinic", actor=DESK)

    for calendar, screen in empty.items():
        assert followed(read, screen, calendar) == load(snapshot(read, calendar))
        half = followed(read, screen, calendar, limit=2)
        assert followed(read, half, calendar) == load(snapshot(read, calendar))


def test_the_writers_own_answer_says_what_its_event_says(practice: Practice, read: Read, desk: Client) -> None:
    body = {"slot": offer(practice, practice.doctor, practice.room).token(), "patient": {"name": "Zoe Canary"}}
    answer = desk.post("/api/engine/v1/appointments", body, content_type="application/json").json()

    (event,) = read(practice.doctor, "changes", since=0)["events"]

    assert event["version"] == answer["version"] == 1
    assert {name: answer[name] for name in event["data"]} | {"calendars": sorted(answer["calendars"])} == event["data"] | {
        "calendars": sorted(event["data"]["calendars"])
    }
    cancelled = desk.post(
        f"/api/engine/v1/appointments/{answer['id']}/cancel", {"by": "clinic"}, content_type="application/json"
    ).json()
    (event,) = read(practice.doctor, "changes", since=1)["events"]
    assert (event["version"], event["data"]["status"]) == (cancelled["version"], cancelled["status"]) == (2, "cancelled")
