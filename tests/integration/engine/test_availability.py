"""Free slots as everybody asks for them: at the engine's WSGI door, through its caches, while others write."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from operator import add
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from redis import Redis

from apps.kernel.limits import Limit
from apps.kernel.shapes import in_zone
from apps.kernel.tokens import SESSION_COOKIE
from engine import availability, bookings, clinics, models, openings, visit_types
from engine.days import Days, days, moment, redis_key
from engine.rows import Actor
from engine.scheduling.claims import unpacked
from engine.scheduling.intervals import DAY_S, Interval
from engine.shapes import SlotsQuery
from engine.stands import EPOCH
from engine.statements import Statement, read
from tests.day_caches import REDIS, Rows, rows
from tests.integration.engine.door import at_the_door, statements
from tests.practice import DAY, Practice, tomorrow
from tests.writes import DESK, NOON, ZOE, offer

Answer = tuple[str, dict[str, str], bytes]
HOUR = 3600


def ask(practice: Practice, *, words: str = "", **headers: str) -> Answer:
    """(status, headers, body) of a search for visits tomorrow, from an address of its own unless told otherwise."""
    start = tomorrow()
    query = f"visit_type={practice.visit.uid}&from={in_zone(start, 'UTC')}&to={in_zone(start + DAY, 'UTC')}&limit=500{words}"
    return at_the_door("GET", f"/clinics/{practice.slug}/slots?{query}", b"", **{"REMOTE_ADDR": practice.slug, **headers})


def starts(answer: Answer, calendar: models.Calendar) -> list[str]:
    assert answer[0] == "200 OK", answer
    return [item["start"] for item in json.loads(answer[2])["items"] if item["calendar"] == str(calendar.uid)]


def at(hour: int) -> str:
    return in_zone(tomorrow() + hour * HOUR, "UTC")


def at_another_time(monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], float]) -> None:
    """The clocks of process and database are others."""

    def later(statement: Statement) -> list[tuple[Any, ...]]:
        return [(int(clock(row[0])), *row[1:]) for row in read(statement)]

    monkeypatch.setattr("engine.availability.read", later)
    monkeypatch.setattr("engine.availability.clock", lambda: clock(time.time()))


def warm(practice: Practice) -> Answer:
    """The second who asks finds the answer, and fills in where the calendars stand."""
    Redis.from_url(REDIS).delete(EPOCH)  # another test's relay, another database
    ask(practice)
    return ask(practice)


# --- the answer that is kept --------------------------------------------------------------------------------------------


def test_an_answer_that_is_kept_is_the_same_and_takes_no_statement(practice: Practice) -> None:
    first = warm(practice)
    with statements() as sent:
        second = ask(practice)

    assert second == first
    assert len(starts(first, practice.doctor)) == 48
    assert not sent


def test_what_was_written_is_seen_by_the_next_who_asks(practice: Practice) -> None:
    ask(practice)
    held = bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK).appointment
    assert at(9) not in starts(ask(practice), practice.doctor)
    assert at(9) in starts(ask(practice), practice.nurse)

    bookings.release(held.id, actor=DESK)
    assert at(9) in starts(ask(practice), practice.doctor)

    openings.set_hours(practice.doctor.id, NOON, actor=DESK)
    assert at(9) not in starts(ask(practice), practice.doctor)


def test_a_write_leaves_the_days_of_other_calendars(practice: Practice) -> None:
    warm(practice)
    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    with statements() as sent:
        assert at(9) not in starts(ask(practice), practice.doctor)

    assert len(sent) == 1, sent
    assert f"[{practice.doctor.id}]" in sent[0]


def test_a_write_leaves_the_other_days(practice: Practice) -> None:
    first = warm(practice)
    start = tomorrow() + 5 * DAY + 9 * HOUR
    later = replace(offer(practice, practice.doctor), start=start, end=start + 1800)
    held = bookings.hold(later, seconds=300, actor=DESK).appointment
    with statements() as sent:
        second = ask(practice)

    assert not sent
    assert starts(second, practice.doctor) == starts(first, practice.doctor)
    assert json.loads(second[2])["as_of"][str(practice.doctor.uid)] == held.version


def test_who_chooses_a_calendar_need_not_know_the_others(practice: Practice) -> None:
    chosen = f"&calendar={practice.nurse.uid}"
    for _ in range(2):
        ask(practice, words=chosen)
    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    with statements() as sent:
        answer = ask(practice, words=chosen)

    assert not sent
    assert at(9) in starts(answer, practice.nurse)
    assert list(json.loads(answer[2])["as_of"]) == [str(practice.nurse.uid)]


def test_a_hold_that_runs_out_is_free_again_without_a_new_version(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    assert at(9) not in starts(ask(practice), practice.doctor)
    for later, free in ((298, False), (301, True)):
        at_another_time(monkeypatch, partial(add, later))
        assert (at(9) in starts(ask(practice), practice.doctor)) == free


def test_a_slot_that_has_become_too_close_is_not_offered(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    first = starts(ask(practice), practice.doctor)[0]
    at_another_time(monkeypatch, lambda _: tomorrow())
    assert starts(ask(practice), practice.doctor)[0] == first == at(0)
    at_another_time(monkeypatch, lambda _: tomorrow() + 1)
    assert starts(ask(practice), practice.doctor)[0] == at(0).replace("00:00Z", "30:00Z")


def test_after_a_restore_the_same_version_is_another(practice: Practice) -> None:
    booked = bookings.book(offer(practice, practice.doctor, hour=9), patient=ZOE, state="", actor=DESK).appointment
    assert at(9) not in starts(warm(practice), practice.doctor)

    # The database of before, in which the version was another write's, and the relay has found out.
    models.Appointment.objects.filter(id=booked.id).delete()
    models.Stream.objects.update(epoch=UUID(int=7))
    Redis.from_url(REDIS).set(EPOCH, str(UUID(int=7)))

    assert at(9) in starts(ask(practice), practice.doctor)


def test_a_calendar_that_is_closed_down_is_gone_at_once(practice: Practice) -> None:
    assert starts(ask(practice), practice.doctor)
    timeline = next(one for one in clinics.timelines(practice.slug) if one.id == str(practice.doctor.uid))
    clinics.change_timeline(practice.doctor.id, {"active": False}, seen=timeline.revision, actor=DESK)

    assert starts(ask(practice), practice.doctor) == []
    assert starts(ask(practice), practice.nurse)


# --- the door -----------------------------------------------------------------------------------------------------------


def test_who_shows_a_token_is_asked_who_they_are(practice: Practice, token: Callable[..., str]) -> None:
    first = ask(practice)

    assert ask(practice, HTTP_AUTHORIZATION=f"Bearer {token(practice.slug)}") == first
    assert ask(practice, HTTP_AUTHORIZATION="Bearer nonsense")[0].startswith("401")
    assert ask(practice, HTTP_COOKIE=f"{SESSION_COOKIE}=nonsense")[0].startswith("401")


def test_answers_that_are_kept_count_against_the_same_limit(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit("t" + uuid4().hex, 3, 3600)
    for door in ("engine.quick.PUBLIC_READ", "engine.api.PUBLIC_READ"):
        monkeypatch.setattr(door, limit)

    found = [ask(practice)[0] for _ in range(4)]

    assert found[:3] == ["200 OK"] * 3
    assert found[3].startswith("429")


def test_who_has_stood_in_line_too_long_is_refused_here_too(practice: Practice) -> None:
    ask(practice)

    assert ask(practice, HTTP_X_REQUEST_START=f"{time.time() - 5:.3f}")[0].startswith("503")
    assert ask(practice, HTTP_X_REQUEST_START=f"{time.time():.3f}")[0] == "200 OK"


def test_what_is_gone_is_not_found(practice: Practice) -> None:
    ask(practice)
    kind = next(one for one in visit_types.visit_types(practice.slug) if one.id == str(practice.visit.uid))
    visit_types.change(practice.visit.uid, {"active": False}, seen=kind.revision, actor=Actor("desk", practice.slug))

    status, headers, _ = ask(practice)
    assert (status, headers["Content-Type"]) == ("404 Not Found", "application/problem+json")


def test_a_question_that_is_not_good_is_never_remembered(practice: Practice) -> None:
    ask(practice)
    for _ in range(2):
        assert ask(practice, words="&calender=x")[0].startswith("422")
        assert ask(practice, words="&cursor=x")[0].startswith("422")


# --- while others write -------------------------------------------------------------------------------------------------


def test_days_that_are_read_while_somebody_writes_lie_under_their_own_version(practice: Practice) -> None:
    calendar, clinic, first = practice.doctor.id, practice.doctor.clinic_id, tomorrow() // DAY_S
    within = Interval(first * DAY_S, (first + 1) * DAY_S)
    written: dict[int, Rows] = {}
    redis, done = Redis.from_url(REDIS), threading.Event()
    epoch = moment([calendar]).epoch

    def reading(cache: Days) -> None:
        try:
            while not done.is_set():
                cache.memory.clear()
                cache.known(moment([calendar]), within, clinic=clinic)
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(reading, Days(REDIS)) for _ in range(2)]
        try:
            for hour in [*range(20)] * 2:
                held = bookings.hold(offer(practice, practice.doctor, hour=hour), seconds=300, actor=DESK).appointment
                # Nobody else writes: the rows are those of this version until the next.
                written[held.version] = rows(calendar, within)[1]
                bookings.release(held.id, actor=DESK)
                version, found = rows(calendar, within)
                written[version] = found
        finally:
            done.set()
        for reader in readers:
            reader.result()

    kept = {version: redis.get(redis_key((epoch, calendar, first, version), clinic=clinic)) for version in written}
    seen = {version: value for version, value in kept.items() if isinstance(value, bytes)}
    assert len(seen) > 5
    assert {version: set(unpacked(value, first)) for version, value in seen.items()} == {
        version: written[version] for version in seen
    }


class Diary:
    """A calendar that one writer writes to, so that what is free tomorrow is known at each version."""

    def __init__(self, practice: Practice, calendar: models.Calendar, every: list[str]) -> None:
        self.practice, self.calendar, self.every = practice, calendar, every
        self.free: dict[int, list[str]] = {}

    def write(self) -> None:
        random = Random(self.calendar.id)
        try:
            for _ in range(40):
                wanted, day = offer(self.practice, self.calendar, hour=random.randrange(24)), random.choice((0, 0, 3 * DAY))
                later = replace(wanted, start=wanted.start + day, end=wanted.end + day)
                held = bookings.hold(later, seconds=300, actor=DESK).appointment
                self.free[held.version] = [start for start in self.every if start != in_zone(later.start, "UTC")]
                self.free[bookings.release(held.id, actor=DESK).appointment.version] = self.every
        finally:
            connection.close()


def read_until(done: threading.Event, question: availability.Question, *, forgets: bool) -> set[bytes]:
    """All answers to a question, from a memory that forgets or not."""
    found = set()
    try:
        while not done.is_set():
            if forgets:
                availability.forget()
                days.memory.clear()
            found.add(availability.answer(question))
    finally:
        connection.close()
    return found


def test_answers_are_of_the_versions_that_they_name_whoever_writes_meanwhile(practice: Practice) -> None:
    every = starts(warm(practice), practice.doctor)
    diaries = {str(calendar.uid): Diary(practice, calendar, every) for calendar in (practice.doctor, practice.nurse)}
    within = {"from": in_zone(tomorrow(), "UTC"), "to": in_zone(tomorrow() + DAY, "UTC")}
    query = SlotsQuery.model_validate({"visit_type": str(practice.visit.uid), "limit": 500, **within})
    question, done = availability.Question(practice.slug, query), threading.Event()
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(read_until, done, question, forgets=forgets) for forgets in (True, False, False)]
        try:
            for writer in [pool.submit(diary.write) for diary in diaries.values()]:
                writer.result()
        finally:
            done.set()
        answers = {json.dumps(json.loads(body), sort_keys=True) for reader in readers for body in reader.result()}

    said = [
        (diaries[calendar].free[version], [item["start"] for item in answer["items"] if item["calendar"] == calendar])
        for answer in map(json.loads, answers)
        for calendar, version in answer["as_of"].items()
        if version in diaries[calendar].free
    ]
    assert len(said) > 40
    assert all(found == expected for expected, found in said)
