"""What was and what is booked at the demo clinic when it is made: a week that is over, today, and the days to come.

Written at once, like a load (`seed`), with the versions, events and histories that the bookings would have left, so that the
other services take them over and every promise holds. What follows from the clock is as of now.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from engine import envelopes, models, outbox, rows
from engine.management import demo
from engine.rows import Actor, Patient
from engine.scheduling.hours import local_date
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment, Event, Status

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 24 * 3600
_BY = {"book": Actor("demo"), "visit": Actor("priya.nair@demo.example")}
# Visits a working day: (that are over, today, tomorrow, later). Whoever looks for a time finds one with Dr. Alvarez.
_BUSY = {
    "Dr. Maya Chen": (2, 3, 3, 2),
    "Dr. James Okafor": (1, 2, 2, 1),
    "Dr. Sofia Alvarez": (1, 1, 1, 0),
    "Dr. Elena Ruiz": (1, 2, 2, 1),
}
_DAYS_BACK, _DAYS_AHEAD = 7, 6
_NEAREST_S, _QUARTER_S = 45 * _MINUTE_S, 15 * _MINUTE_S


@dataclass(frozen=True)
class Clinic:
    """The clinic, made; calendars by name, visit types by name."""

    id: int
    calendars: dict[str, models.Calendar]
    visit_types: dict[str, models.VisitType]


class _Fact(NamedTuple):
    """What became of a visit at one moment: the appointment as it was then."""

    at: int
    event: Event
    appointment: Appointment


@dataclass
class _Visit:
    """A visit with its history, oldest first."""

    patient: Patient
    facts: list[_Fact]
    history: list[dict[str, Any]]
    blocked: Interval


def write(cursor: CursorWrapper, clinic: Clinic, *, now: int) -> None:
    """Books all of it, in the transaction that makes the clinic: nobody sees it before."""
    visits = list(_visits(clinic, now=now, random=Random(7)))  # noqa: S311 - the same week each time
    versions = {calendar.id: calendar.version for calendar in clinic.calendars.values()}
    uids = {calendar.id: calendar.uid for calendar in clinic.calendars.values()}
    told: list[tuple[int, int, str, UUID, int, str]] = []
    last: dict[UUID, int] = {}
    kinds = {visit_type.id: visit_type.uid for visit_type in clinic.visit_types.values()}
    for fact in sorted((fact for visit in visits for fact in visit.facts), key=lambda fact: fact.at):
        a = fact.appointment
        data = json.dumps(outbox.appointment_data(a, visit_type=kinds[a.visit_type], calendars=[uids[c] for c in a.calendars]))
        for calendar in a.calendars:
            versions[calendar] += 1
            told.append((calendar, versions[calendar], fact.event.value, a.id, fact.at, data))
        last[a.id] = versions[a.calendar]
    for visit in visits:
        made = replace(visit.facts[-1].appointment, version=last[visit.facts[-1].appointment.id])
        _execute(cursor, *rows.insert(made, visit.patient, {}))
        stages, history = json.dumps(made.stages), json.dumps(visit.history)
        _execute(cursor, "UPDATE engine_appointment SET stages = %s, history = %s WHERE id = %s", (stages, history, made.id))
        if made.status != Status.CANCELLED:
            _execute(cursor, *rows.allocate(made, visit.blocked, dict.fromkeys(made.calendars, 1)))
    cursor.executemany(
        "INSERT INTO engine_outboxevent (calendar_id, version, type, appointment_id, at, data, sent_at)"
        " VALUES (%s, %s, %s, %s, to_timestamp(%s), %s, clock_timestamp())",
        told,
    )
    grown = [(version, key) for key, version in versions.items()]
    cursor.executemany("UPDATE engine_calendar SET version = %s WHERE id = %s", grown)


def _execute(cursor: CursorWrapper, sql: str, params: Sequence[Any]) -> None:
    cursor.execute(sql, list(params))


# --- who comes when -----------------------------------------------------------------------------------------------------


def _visits(clinic: Clinic, *, now: int, random: Random) -> Iterator[_Visit]:
    today, taken = local_date(demo.ZONE, now), defaultdict[int, list[Interval]](list)
    bookables = {bookable.name: bookable for bookable in demo.CALENDARS}
    number = 0
    for offset in range(-_DAYS_BACK, _DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        for name, busy in _BUSY.items():
            count = busy[min(max(offset, -1), 2) + 1]
            for start in _starts(bookables[name], day, count, today=today, now=now, random=random):
                visit = _visit(clinic, bookables[name], start, number=number, taken=taken, now=now, random=random)
                if visit is not None:
                    number += 1
                    yield visit


def _starts(bookable: demo.Bookable, day: date, count: int, *, today: date, now: int, random: Random) -> list[int]:
    """So many starts that are not too near to each other; today those around now."""
    opened = demo.open_on(bookable, day, today=today)
    offered = [start for during in opened for start in range(during.start, during.end - _NEAREST_S, _QUARTER_S)]
    random.shuffle(offered)
    if day == today:
        around = now - random.randrange(-2, 3) * _QUARTER_S
        offered.sort(key=lambda start: abs(start - around))
    chosen: list[int] = []
    for start in offered:
        if len(chosen) < count and all(abs(start - other) >= _NEAREST_S for other in chosen):
            chosen.append(start)
    return sorted(chosen)


def _visit(
    clinic: Clinic,
    bookable: demo.Bookable,
    start: int,
    *,
    number: int,
    taken: dict[int, list[Interval]],
    now: int,
    random: Random,
) -> _Visit | None:
    """A visit, in a room that is free if it needs one; None when there is none."""
    in_room = bookable.place == 0 and number % 4 == 1
    kind = clinic.visit_types["New patient visit" if in_room else "Follow-up"]
    end = start + (kind.duration or 0) * _MINUTE_S
    blocked = Interval(start - kind.before * _MINUTE_S, end + kind.after * _MINUTE_S)
    calendars = [clinic.calendars[bookable.name].id]
    if in_room:
        rooms = [clinic.calendars[f"Exam room {1 + (number // 4 + n) % 2}"].id for n in range(2)]
        free = [room for room in rooms if not any(other.overlaps(blocked) for other in taken[room])]
        calendars += free[:1]
    if (in_room and len(calendars) == 1) or any(other.overlaps(blocked) for other in taken[calendars[0]]):
        return None
    for calendar in calendars:
        taken[calendar].append(blocked)
    created = min(start, now) - random.randrange(1, 10) * _DAY_S - random.randrange(8) * _HOUR_S
    booked = Appointment(
        id=_id(created, random),
        clinic=clinic.id,
        visit_type=kind.id,
        calendar=calendars[0],
        calendars=tuple(sorted(calendars)),
        status=Status.BOOKED,
        start=start,
        end=end,
        modality="in_person" if in_room or number % 3 else "video",
        state=demo.PLACES[bookable.place].state,
        expires_at=None,
        extended=False,
        patient_id=None,
        version=0,
        created_at=created,
    )
    who = demo.patient(number % len(demo.PATIENTS), state=booked.state)
    visit = _Visit(Patient(sealed=envelopes.seal(who)), [_Fact(created, Event.BOOKED, booked)], [], blocked)
    visit.history.append(rows.entry(Event.BOOKED, created, _BY["book"]))
    _live(visit, number=number, now=now)
    if visit.facts[-1].event == Event.CANCELLED:
        for calendar in calendars:
            taken[calendar].remove(blocked)
    return visit


def _live(visit: _Visit, *, number: int, now: int) -> None:
    """What became of it by now: most came, a few did not, a few called it off the day before."""
    booked = visit.facts[0].appointment
    if booked.end <= now and number % 11 == 5:
        called_off = replace(booked, status=Status.CANCELLED)
        _tell(visit, Event.CANCELLED, called_off, at=booked.start - _DAY_S // 2, by="clinic", reason="")
    elif booked.end <= now and number % 13 == 7:
        _tell(visit, Event.NO_SHOW, replace(booked, status=Status.NO_SHOW), at=booked.end)
    else:
        _come(visit, late=number % 5, now=now)


def _come(visit: _Visit, *, late: int, now: int) -> None:
    booked = visit.facts[0].appointment
    steps = {
        "arrived": (booked.start - (9 - 2 * late) * _MINUTE_S, Status.ARRIVED, Event.ARRIVED),
        "roomed": (booked.start + late * _MINUTE_S, Status.ARRIVED, Event.ROOMED),
        "started": (booked.start + (2 + 2 * late) * _MINUTE_S, Status.IN_PROGRESS, Event.STARTED),
        "completed": (booked.end + late * _MINUTE_S, Status.COMPLETED, Event.COMPLETED),
    }
    done = {name: step for name, step in steps.items() if step[0] <= now and (name != "roomed" or booked.modality == "in_person")}
    if not done:
        return
    stages = {name: at for name, (at, _, _) in done.items()}
    for at, _, event in list(done.values())[:-1]:
        visit.history.append(rows.entry(event, at, _BY["visit"]))
    at, status, event = done[list(done)[-1]]
    _tell(visit, event, replace(booked, status=status, stages=stages), at=at)


def _tell(visit: _Visit, event: Event, became: Appointment, *, at: int, **note: str) -> None:
    visit.facts.append(_Fact(at, event, became))
    visit.history.append(rows.entry(event, at, _BY["visit"]) | note)


def _id(seconds: int, random: Random) -> UUID:
    """A UUIDv7 of that second."""
    bits = random.getrandbits(74)
    return UUID(int=seconds * 1000 << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1))
