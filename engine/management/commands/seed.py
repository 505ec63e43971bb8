"""Synthetic load by COPY: clinics in every state, practitioners, and appointments from years back to 60 days ahead.

All of it keeps the promises: nothing overlaps, every appointment has its allocation, its event (already sent) and its
version. The numbers given are totals. What is made follows from --seed, the day, and the number of the first new clinic:
clinics are seed-0001, seed-0002 and so on, and another run adds more.
"""

import json
import re
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from functools import lru_cache
from io import StringIO
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from engine import models, outbox
from engine.imports import assign, create_calendars
from engine.scheduling.hours import wall_interval
from engine.scheduling.intervals import DAY_S
from engine.scheduling.lifecycle import Appointment, Event, Status
from engine.smart_scheduling.zones import STATES

MOST_OF_ONE_CALENDAR = 20_000
"""Appointments: eight years of them."""
_DAYS_AHEAD = 60
_VISIT_S, _VISITS_A_DAY, _WORKDAYS = 1800, 16, 5
# Of the offered time that is taken: enough to be like a busy clinic, and something stays free on every day.
_FILLED = 0.6
_BATCH = 10_000
_SHOWN_CLINICS = 10
_FIRST_NAMES = "Alex Amara Chen Dana Elif Grace Ivan Jo Kofi Lena Mateo Noor Priya Ruth Sam"
_LAST_NAMES = "Abe Brown Cruz Diaz Evans Fischer Gupta Haddad Ito Jones Kim Lopez Novak Osei Park"
_SPECIALTIES = ("family medicine", "pediatrics", "dermatology", "cardiology", "psychiatry")

_APPOINTMENTS = (
    "engine_appointment (id, clinic_id, visit_type_id, calendar_id, calendars, status, starts, ends, modality, state, extended,"
    " patient_id, version, history, created_at)"
)
_ALLOCATIONS = "engine_allocation (appointment_id, calendar_id, unit, during)"
_EVENTS = "engine_outboxevent (calendar_id, version, id, type, appointment_id, at, data, sent_at)"


class _Practice(NamedTuple):
    """A clinic, made, with what its calendars share."""

    clinic: models.Clinic
    location: models.Location
    visit_type: models.VisitType


@dataclass(frozen=True)
class _Diary:
    """A calendar to be filled: it opens at the hour `opens` and takes `appointments`."""

    calendar: models.Calendar
    opens: int
    appointments: int


class Command(BaseCommand):
    help = "Adds synthetic clinics with calendars and appointments; the numbers are totals. 1e6 appointments take minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        for name, number in (("clinics", 1), ("calendars", 10), ("appointments", 1000), ("seed", 1)):
            parser.add_argument(f"--{name}", type=_natural, default=number)
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        clinics, calendars, appointments = options["clinics"], options["calendars"], options["appointments"]
        if not clinics or (appointments and not calendars):
            raise CommandError("Calendars need a clinic, and appointments a calendar.", returncode=2)
        if appointments > calendars * MOST_OF_ONE_CALENDAR:
            raise CommandError(f"A calendar holds at most {MOST_OF_ONE_CALENDAR} appointments; give more calendars.", returncode=2)
        began = time.monotonic()
        slugs = seed(clinics=clinics, calendars=calendars, appointments=appointments, number=options["seed"])
        seconds = round(time.monotonic() - began, 3)
        made = {"clinics": slugs[:_SHOWN_CLINICS], "calendars": calendars, "appointments": appointments, "seconds": seconds}
        text = f"{len(slugs)} clinics from {slugs[0]}, {calendars} calendars, {appointments} appointments in {seconds} s"
        self.stdout.write(json.dumps(made) if options["json"] else text)


def seed(*, clinics: int, calendars: int, appointments: int, number: int) -> list[str]:
    """Adds that many of each, evenly spread; answers the slugs of the clinics. `number` makes it repeatable."""
    first, today = _next_clinic(), datetime.now(UTC).date()
    slugs, of_calendar = [], _shares(appointments, calendars)
    for index, size in enumerate(_shares(calendars, clinics)):
        slug = f"seed-{first + index:04d}"
        random = Random(f"{number} {slug}")  # noqa: S311 - the same load again, not a secret
        practice = _practice(slug, sorted(STATES)[(number + first + index) % len(STATES)], random)
        sizes = [next(of_calendar) for _ in range(size)]
        for batch in _batches(sizes):
            _fill(practice, batch, today, random)
        slugs.append(slug)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("ANALYZE engine_calendar, engine_openinghours, engine_appointment, engine_allocation, engine_outboxevent")
        cursor.execute("RESET statement_timeout")
    return slugs


def _shares(total: int, among: int) -> Iterator[int]:
    return (total * (n + 1) // among - total * n // among for n in range(among))


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Calendars of one transaction, as the numbers of their appointments."""
    batch: list[int] = []
    for size in sizes:
        if batch and (sum(batch) + size > _BATCH or len(batch) >= _BATCH // 10):
            yield batch
            batch = []
        batch.append(size)
    if batch:
        yield batch


def _next_clinic() -> int:
    slugs = models.Clinic.objects.filter(slug__startswith="seed-").values_list("slug", flat=True)
    numbers = [int(match[1]) for match in map(re.compile(r"seed-(\d+)").fullmatch, slugs) if match]
    return max(numbers, default=0) + 1


# --- clinics and calendars ----------------------------------------------------------------------------------------------


def _practice(slug: str, state: str, random: Random) -> _Practice:
    zone = STATES[state]
    name = f"{random.choice(_LAST_NAMES.split())} Clinic {state}"
    with transaction.atomic():
        clinic = models.Clinic.objects.create(slug=slug, name=name, zone=zone)
        location = models.Location.objects.create(clinic=clinic, uid=_id(0, random), name=name, zone=zone, state=state)
        visit_type = models.VisitType.objects.create(
            clinic=clinic,
            uid=_id(0, random),
            name="Visit",
            duration=_VISIT_S // 60,
            step=15,
            modalities=["in_person", "video"],
            needs=["practitioner"],
        )
    return _Practice(clinic, location, visit_type)


def _fill(practice: _Practice, sizes: Sequence[int], today: date, random: Random) -> None:
    """New calendars with all that is booked on them, in one transaction: nobody sees one half full, so no lock is needed."""
    diaries = [_Diary(_calendar(practice, random), random.choice((7, 8, 9)), size) for size in sizes]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        create_calendars(cursor, [diary.calendar for diary in diaries])
        models.OpeningHours.objects.bulk_create(rule for diary in diaries for rule in _hours(diary))
        assign({diary.calendar.id: practice.visit_type.id for diary in diaries}, among=[practice.visit_type.id])
        cursor.execute("SELECT date_trunc('second', clock_timestamp())")
        _copy(cursor, practice, diaries, today=today, now=cursor.fetchone()[0], random=random)
        keys, versions = [d.calendar.id for d in diaries], [d.calendar.version + d.appointments for d in diaries]
        cursor.execute(
            "UPDATE engine_calendar c SET version = now.version FROM unnest(%s, %s) AS now (id, version) WHERE c.id = now.id",
            [keys, versions],
        )
        cursor.execute("UPDATE engine_outboxevent SET sent_at = at WHERE calendar_id = ANY(%s) AND version = 1", [keys])


def _calendar(practice: _Practice, random: Random) -> models.Calendar:
    state = practice.location.state
    return models.Calendar(
        clinic=practice.clinic,
        uid=_id(0, random),
        location=practice.location,
        kind=models.Calendar.Kind.PRACTITIONER,
        name=f"Dr. {random.choice(_FIRST_NAMES.split())} {random.choice(_LAST_NAMES.split())}",
        zone=practice.location.zone,
        specialty=random.choice(_SPECIALTIES),
        states=sorted({state, *random.sample(list(STATES), random.randrange(4))}),
    )


def _hours(diary: _Diary) -> Iterator[models.OpeningHours]:
    """Four hours, an hour's break, four hours, on five days."""
    for weekday in range(_WORKDAYS):
        for opens in (diary.opens, diary.opens + 5):
            yield models.OpeningHours(calendar=diary.calendar, weekday=weekday, opens=wall_time(opens), closes=wall_time(opens + 4))


# --- appointments -------------------------------------------------------------------------------------------------------


def _copy(
    cursor: CursorWrapper, practice: _Practice, diaries: Sequence[_Diary], *, today: date, now: datetime, random: Random
) -> None:
    appointments, allocations, events = StringIO(), StringIO(), StringIO()
    for diary in diaries:
        for made in _appointments(practice, diary, today, random):
            start, end = _text(made.start), _text(made.end)
            created = _text(made.created_at)
            history = json.dumps([{"event": Event.BOOKED, "at": outbox.rfc3339(made.created_at), "by": "seed"}])
            data = outbox.appointment_data(made, visit_type=practice.visit_type.uid, calendars=[diary.calendar.uid])
            appointments.write(
                f"{made.id}\t{made.clinic}\t{made.visit_type}\t{made.calendar}\t{{{made.calendar}}}\t{made.status}\t{start}\t{end}\t"
                f"{made.modality}\t{made.state}\tf\t{made.patient_id}\t{made.version}\t{history}\t{created}\n"
            )
            allocations.write(f"{made.id}\t{made.calendar}\t1\t[{start},{end})\n")
            events.write(
                f"{made.calendar}\t{made.version}\t{_id(made.created_at, random)}\t{Event.BOOKED}\t{made.id}\t{now}\t"
                f"{json.dumps(data, separators=(',', ':'))}\t{now}\n"
            )
    for table, text in ((_APPOINTMENTS, appointments), (_ALLOCATIONS, allocations), (_EVENTS, events)):
        text.seek(0)
        cursor.copy_expert(f"COPY {table} FROM STDIN", text)


def _appointments(practice: _Practice, diary: _Diary, today: date, random: Random) -> Iterator[Appointment]:
    """The appointments of one calendar in the order they were booked, which is that of their versions."""
    calendar, midnight = diary.calendar, int(datetime.combine(today, wall_time(), UTC).timestamp())
    booked = sorted((min(midnight, start - random.randrange(30) * DAY_S), start) for start in _starts(diary, today, random))
    for version, (created, start) in enumerate(booked, calendar.version + 1):
        yield Appointment(
            id=_id(created, random),
            clinic=practice.clinic.id,
            visit_type=practice.visit_type.id,
            calendar=calendar.id,
            calendars=(calendar.id,),
            status=Status.BOOKED,
            start=start,
            end=start + _VISIT_S,
            modality=random.choice(("in_person", "video")),
            state=practice.location.state,
            expires_at=None,
            extended=False,
            patient_id=f"seed-{practice.clinic.id:x}-{random.randrange(diary.appointments // 3 + 1):x}",
            version=version,
            created_at=created,
        )


def _starts(diary: _Diary, today: date, random: Random) -> Iterator[int]:
    """Different starts that the calendar's hours offer, up to `_DAYS_AHEAD` and as far back as it takes."""
    workdays = max(_DAYS_AHEAD * 2 * _WORKDAYS // 7, round(diary.appointments / _VISITS_A_DAY / _FILLED) + 1)
    days = [day for day in (today + timedelta(_DAYS_AHEAD - n) for n in range(workdays * 7 // _WORKDAYS + 7)) if day.weekday() < 5]
    for chosen in random.sample(range(len(days) * _VISITS_A_DAY), diary.appointments):
        day, place = divmod(chosen, _VISITS_A_DAY)
        yield _offered(diary.calendar.zone, days[day], diary.opens)[place]


@lru_cache(maxsize=100_000)
def _offered(zone: str, day: date, opens: int) -> tuple[int, ...]:
    open_at = datetime.combine(day, wall_time(opens))
    hours = ((open_at + timedelta(hours=h), open_at + timedelta(hours=h + 4)) for h in (0, 5))
    return tuple(
        start for first, last in hours for i in wall_interval(zone, first, last) for start in range(i.start, i.end, _VISIT_S)
    )


def _text(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()


def _id(seconds: int, random: Random) -> UUID:
    """A UUIDv7 of that second, its random bits from `random`."""
    bits = random.getrandbits(74)
    return UUID(int=seconds * 1000 << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1))


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError("a whole number up to nine digits")
    return int(text)
