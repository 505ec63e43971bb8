"""Every public write of the booking core, ready to be done: for the tests that must hold for all of them."""

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import time
from types import ModuleType
from uuid import UUID

from django.db import connection
from redis import Redis

from engine import availability, bookings, envelopes, models, openings, pictures
from engine.days import days
from engine.locks import gate, gate_keys
from engine.offers import Offer
from engine.rows import Actor, Patient
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment
from tests.practice import Practice, tomorrow

HOUR = 3600
DESK = Actor("desk", "harbor")
ZOE = Patient(sealed=envelopes.seal({"name": "Zoe Canary"}))
NOON = tuple(OpeningHours(weekday, time(12), time(16)) for weekday in range(7))

Act = Callable[[], object]
Prepare = Callable[[Practice, tuple[str, ...]], Act]


@dataclass(frozen=True)
class Write:
    """One write. `prepare` makes what it needs and answers the write itself; `changes` names the calendars it changes."""

    module: ModuleType
    function: str
    case: str
    changes: tuple[str, ...]
    prepare: Callable[[Practice], Act]

    def __str__(self) -> str:
        return f"{self.function}: {self.case}"


def offer(practice: Practice, *calendars: models.Calendar, hour: int = 9, visit_type: models.VisitType | None = None) -> Offer:
    """The offer of a visit (or, with more than one calendar, a procedure) at an hour of tomorrow, UTC."""
    kind = visit_type or (practice.visit if len(calendars) == 1 else practice.procedure)
    start = tomorrow() + hour * HOUR
    keys = tuple(calendar.id for calendar in calendars)
    return Offer(kind.clinic_id, kind.id, keys, start, start + (kind.duration or 0) * 60, "in_person")


def make_overdue(hold: UUID) -> None:
    """Lets the time of a hold run out: its row's, and its keys' in Redis, which end by themselves."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_appointment SET expires_at = date_trunc('second', clock_timestamp() - interval '1 s') WHERE id = %s"
            " RETURNING clinic_id, calendars, extract(epoch FROM starts)::bigint",
            [hold],
        )
        clinic, calendars, start = cursor.fetchone()
    gate.release(gate_keys(clinic, calendars, start), hold, committed=False)
    forget_days()


def forget_days() -> None:
    """Empties the caches of availability and of snapshots: after a change of rows that no write of ours would make."""
    availability.forget()
    pictures.forget()
    days.memory.clear()
    redis = Redis.from_url(os.environ["REDIS_URL"])
    for pattern in ("day:*", "stand:*"):
        for key in redis.scan_iter(pattern):
            redis.delete(key)


def public_functions(module: ModuleType) -> set[str]:
    """The names of the functions that a module offers to others."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return {name for name, function in functions if function.__module__ == module.__name__ and not name.startswith("_")}


# --- what each write needs ----------------------------------------------------------------------------------------------


def _held(practice: Practice, calendars: tuple[str, ...]) -> Appointment:
    return bookings.hold(_offer(practice, calendars), seconds=300, actor=DESK).appointment


def _booked(practice: Practice, calendars: tuple[str, ...]) -> UUID:
    return bookings.book(_offer(practice, calendars), patient=ZOE, state="", actor=DESK).appointment.id


def _after(practice: Practice, calendars: tuple[str, ...], *moves: str) -> UUID:
    visit = _booked(practice, calendars)
    for move in moves:
        bookings.move(visit, move, actor=DESK)
    return visit


def _offer(practice: Practice, calendars: tuple[str, ...], *, hour: int = 9) -> Offer:
    return offer(practice, *(getattr(practice, name) for name in calendars), hour=hour)


def _hold(practice: Practice, calendars: tuple[str, ...]) -> Act:
    return lambda: bookings.hold(_offer(practice, calendars), seconds=300, actor=DESK)


def _book(practice: Practice, calendars: tuple[str, ...]) -> Act:
    return lambda: bookings.book(_offer(practice, calendars), patient=ZOE, state="", actor=DESK)


def _book_named(practice: Practice, calendars: tuple[str, ...]) -> Act:
    named = replace(_offer(practice, calendars), custom=True)
    return lambda: bookings.book(replace(named, end=named.end + 300), patient=ZOE, state="", actor=DESK)


def _book_over(practice: Practice, calendars: tuple[str, ...]) -> Act:
    for name in calendars:
        openings.set_hours(getattr(practice, name).id, NOON, actor=DESK)
    wanted = replace(_offer(practice, calendars), override="Walked in")
    return lambda: bookings.book(wanted, patient=ZOE, state="", actor=DESK)


def _confirm(practice: Practice, calendars: tuple[str, ...]) -> Act:
    held = _held(practice, calendars)
    return lambda: bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)


def _extend(practice: Practice, calendars: tuple[str, ...]) -> Act:
    held = _held(practice, calendars)
    return lambda: bookings.extend(held.id, seconds=60, actor=DESK)


def _release(practice: Practice, calendars: tuple[str, ...]) -> Act:
    held = _held(practice, calendars)
    return lambda: bookings.release(held.id, actor=DESK)


def _expire(practice: Practice, calendars: tuple[str, ...]) -> Act:
    held = _held(practice, calendars)
    make_overdue(held.id)
    return lambda: bookings.expire(held.id)


def _cancel(practice: Practice, calendars: tuple[str, ...]) -> Act:
    visit = _booked(practice, calendars)
    return lambda: bookings.cancel(visit, reason="", by="clinic", actor=DESK)


def _link(practice: Practice, calendars: tuple[str, ...]) -> Act:
    visit = _booked(practice, calendars)
    return lambda: bookings.link(visit, "zoe")


def _link_cancelled(practice: Practice, calendars: tuple[str, ...]) -> Act:
    visit = _booked(practice, calendars)
    bookings.cancel(visit, reason="", by="clinic", actor=DESK)
    return lambda: bookings.link(visit, "zoe")


def _move(name: str, *before: str) -> Prepare:
    def prepare(practice: Practice, calendars: tuple[str, ...]) -> Act:
        visit = _after(practice, calendars, *before)
        return lambda: bookings.move(visit, name, actor=DESK)

    return prepare


def _revert(*before: str) -> Prepare:
    def prepare(practice: Practice, calendars: tuple[str, ...]) -> Act:
        visit = _after(practice, calendars, *before)
        return lambda: bookings.revert(visit, actor=DESK)

    return prepare


def _reschedule(practice: Practice, old: tuple[str, ...], new: tuple[str, ...], *, hour: int) -> Act:
    visit = _booked(practice, old)
    return lambda: bookings.reschedule(visit, _offer(practice, new, hour=hour), by="clinic", actor=DESK)


def _resize(practice: Practice) -> Act:
    visit = _booked(practice, ("doctor",))
    longer = replace(_offer(practice, ("doctor",)), custom=True)
    wanted = replace(longer, end=longer.end + 900)
    return lambda: bookings.reschedule(visit, wanted, by="clinic", actor=DESK)


def _exception(*, open_: bool) -> OpeningException:
    return OpeningException(Interval(tomorrow() + 8 * HOUR, tomorrow() + 11 * HOUR), open_)


def _set_hours(practice: Practice) -> Act:
    _booked(practice, ("doctor",))
    return lambda: openings.set_hours(practice.doctor.id, NOON, actor=DESK)


def _add(*, open_: bool) -> Callable[[Practice], Act]:
    def prepare(practice: Practice) -> Act:
        openings.set_hours(practice.doctor.id, NOON, actor=DESK)
        return lambda: openings.add_exception(practice.doctor.id, _exception(open_=open_), actor=DESK)

    return prepare


def _remove_exception(practice: Practice) -> Act:
    added = openings.add_exception(practice.doctor.id, _exception(open_=False), actor=DESK)
    return lambda: openings.remove_exception(practice.doctor.id, added.uid, actor=DESK)


# --- the table ------------------------------------------------------------------------------------------------------------


def _bookings() -> Iterator[Write]:
    rows: list[tuple[str, str, Prepare]] = [
        ("hold", "", _hold),
        ("book", "", _book),
        ("book", "as long as staff say, ", _book_named),
        ("book", "over closed hours, ", _book_over),
        ("confirm", "", _confirm),
        ("extend", "", _extend),
        ("release", "", _release),
        ("expire", "", _expire),
        ("cancel", "", _cancel),
        ("link", "", _link),
        ("link", "after the cancellation, ", _link_cancelled),
        ("move", "arrive, ", _move("arrive")),
        ("move", "start, ", _move("start", "arrive")),
        ("move", "complete, ", _move("complete", "arrive", "start")),
        ("move", "no-show, ", _move("no-show")),
        ("move", "late arrival, ", _move("arrive", "no-show")),
        ("move", "room, ", _move("room", "arrive")),
        ("revert", "arrived, ", _revert("arrive")),
        ("revert", "roomed, ", _revert("arrive", "room")),
        ("revert", "started, ", _revert("arrive", "room", "start")),
        ("revert", "no-show, ", _revert("no-show")),
    ]
    for function, case, prepare in rows:
        for calendars in (("doctor",), ("doctor", "room")):
            yield Write(bookings, function, case + " and ".join(calendars), calendars, _with(prepare, calendars))


def _with(prepare: Prepare, calendars: tuple[str, ...]) -> Callable[[Practice], Act]:
    return lambda practice: prepare(practice, calendars)


def _moved(case: str, old: tuple[str, ...], new: tuple[str, ...], *, hour: int) -> Write:
    changed = tuple(sorted({*old, *new}))
    return Write(bookings, "reschedule", case, changed, lambda practice: _reschedule(practice, old, new, hour=hour))


WRITES = (
    *_bookings(),
    _moved("to another hour", ("doctor",), ("doctor",), hour=10),
    _moved("to another calendar", ("doctor",), ("nurse",), hour=9),
    _moved("to another practitioner in the same room", ("doctor", "room"), ("nurse", "room"), hour=9),
    Write(bookings, "reschedule", "to last longer", ("doctor",), _resize),
    Write(openings, "set_hours", "over a booked visit", ("doctor",), _set_hours),
    Write(openings, "add_exception", "open", ("doctor",), _add(open_=True)),
    Write(openings, "add_exception", "closed", ("doctor",), _add(open_=False)),
    Write(openings, "remove_exception", "that had closed", ("doctor",), _remove_exception),
)
