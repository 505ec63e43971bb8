"""The demo clinic: something can be booked on every day of the week, right now included.

Made once; run again, it only adds the group classes of the weeks to come.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction

from engine import bookings, envelopes, models, queries
from engine.errors import SlotTaken
from engine.imports import Window, assign, create_calendars, publish
from engine.locks import gate
from engine.rows import Actor, Patient
from engine.rules import visit_type_rules
from engine.scheduling.hours import local_date, wall_interval
from engine.scheduling.intervals import Interval

_NAME, _ZONE, _STATE = "Harbor Family Medicine", "America/New_York", "NY"
_WEEKDAYS, _EVERY_DAY = range(5), range(7)
_CLASS_WEEKS, _CLASS_PLACES, _CLASS_DAYS = 8, 8, {1: 18, 5: 10}
"""Weekdays with a group class (Monday is 0) and the hour it begins."""
_STAFF = [
    {"name": "Dr. Maya Chen", "role": "practitioner"},
    {"name": "Dr. James Okafor", "role": "practitioner"},
    {"name": "Dr. Sofia Alvarez", "role": "practitioner"},
    {"name": "Priya Nair", "role": "front_desk"},
    {"name": "Thomas Reed", "role": "clinic_admin"},
]
PATIENTS = ("Eleanor Park", "Marcus Bell", "Ingrid Solano", "Tariq Haddad", "Wendy Zhou", "Peter Lindqvist", "Rosa Marín")
_HORIZON_S = 2 * queries.DAY_S


class _Bookable(NamedTuple):
    """A calendar of the demo and its hours: (weekdays, opens, closes) on the wall, closes 0 at midnight."""

    kind: str
    name: str
    hours: tuple[tuple[range, int, int], ...]
    states: str = ""
    holidays: str = ""
    specialty: str = ""


_CALENDARS = (
    _Bookable("practitioner", "Dr. Maya Chen", ((_WEEKDAYS, 8, 12), (_WEEKDAYS, 13, 17)), "NY NJ CT", "US-NY", "family medicine"),
    _Bookable("practitioner", "Dr. James Okafor", ((_WEEKDAYS, 10, 14), (_WEEKDAYS, 15, 19)), "NY", "US-NY", "family medicine"),
    _Bookable("practitioner", "Dr. Sofia Alvarez", ((_EVERY_DAY, 7, 22),), "CA CT FL MA NJ NY PA TX", "", "internal medicine"),
    _Bookable("room", "Exam room 1", ((_EVERY_DAY, 0, 0),)),
    _Bookable("room", "Exam room 2", ((_EVERY_DAY, 0, 0),)),
    _Bookable("device", "Ultrasound scanner", ((_EVERY_DAY, 0, 0),)),
    # Without weekly hours: here, and only here, a group class is all that can be booked.
    _Bookable("room", "Group class", ()),
)
_DOCTORS, _ROOMS, _DEVICE, _CLASSROOM = slice(0, 3), slice(3, 5), slice(5, 6), slice(6, 7)
_BOTH, _HERE = ["in_person", "video"], ["in_person"]


def _visit_types() -> Iterator[tuple[models.VisitType, list[slice], int]]:
    """Each visit type with the calendars that offer it and how many demo appointments it has."""
    follow_up = models.VisitType(name="Follow-up", duration=15, modalities=_BOTH[::-1], needs=["practitioner"])
    yield follow_up, [_DOCTORS], 3
    new = models.VisitType(name="New patient visit", duration=30, after=5, modalities=_HERE, needs=["practitioner", "room"])
    new.notice = 60
    yield new, [_DOCTORS, _ROOMS], 2
    ultrasound = models.VisitType(
        name="Ultrasound", duration=30, step=30, modalities=_HERE, needs=["practitioner", "room", "device"]
    )
    ultrasound.notice = 120
    yield ultrasound, [_DOCTORS, _ROOMS, _DEVICE], 1
    yield models.VisitType(name="Group class", duration=60, step=60, modalities=_HERE, needs=["room"]), [_CLASSROOM], 1


class Command(BaseCommand):
    help = "Makes the demo clinic (slug from DEMO_CLINIC, or demo) unless it is there, and its group classes to come."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        slug = settings.ENV.demo_clinic or "demo"
        now = int(datetime.now(UTC).timestamp())
        new = not models.Clinic.objects.filter(slug=slug).exists()
        wanted = _make_clinic(slug) if new else {}
        _publish_classes(slug, now)
        for visit_type, number in wanted.items():
            _book(visit_type, number, slug=slug, now=now)
        text = "\n".join([f"clinic {slug}", *(f"{login['role']:<14}{login['name']}" for login in _STAFF)])
        self.stdout.write(json.dumps({"clinic": slug, "logins": _STAFF}) if options["json"] else text)


def _make_clinic(slug: str) -> dict[int, int]:
    """The clinic and all that can be booked; answers how many appointments each visit type should get."""
    with transaction.atomic(), connection.cursor() as cursor:
        clinic = models.Clinic.objects.create(slug=slug, name=_NAME, zone=_ZONE)
        location = models.Location.objects.create(
            clinic=clinic,
            name=_NAME,
            zone=_ZONE,
            state=_STATE,
            address="12 Harbor Street",
            city="New York",
            postal_code="10004",
            phone="(212) 555-0142",
        )
        calendars = [_as_calendar(bookable, location) for bookable in _CALENDARS]
        create_calendars(cursor, calendars)
        models.OpeningHours.objects.bulk_create(
            rule for calendar, bookable in zip(calendars, _CALENDARS, strict=True) for rule in _hours(calendar, bookable)
        )
        return {_make_visit_type(clinic, made, calendars, among): number for made, among, number in _visit_types()}


def _as_calendar(bookable: _Bookable, location: models.Location) -> models.Calendar:
    return models.Calendar(
        clinic_id=location.clinic_id,
        location=location,
        kind=bookable.kind,
        name=bookable.name,
        zone=_ZONE,
        specialty=bookable.specialty,
        states=bookable.states.split(),
        holidays=bookable.holidays,
    )


def _hours(calendar: models.Calendar, bookable: _Bookable) -> Iterator[models.OpeningHours]:
    for weekdays, opens, closes in bookable.hours:
        for weekday in weekdays:
            yield models.OpeningHours(calendar=calendar, weekday=weekday, opens=time(opens), closes=time(closes))


def _make_visit_type(
    clinic: models.Clinic, visit_type: models.VisitType, calendars: list[models.Calendar], among: list[slice]
) -> int:
    visit_type.clinic = clinic
    visit_type.change_notice = 120
    visit_type.save()
    assign({calendar.id: visit_type.id for part in among for calendar in calendars[part]}, among=[visit_type.id])
    return visit_type.id


def _publish_classes(slug: str, now: int) -> None:
    visit_type = models.VisitType.objects.get(clinic__slug=slug, name="Group class")
    today = local_date(_ZONE, now)
    days = (today + timedelta(days=n) for n in range(_CLASS_WEEKS * 7))
    classes = [Window(f"class {day}", _hour(day), _CLASS_PLACES, visit_type.id) for day in days if day.weekday() in _CLASS_DAYS]
    publish(visit_type.calendars.get().id, classes)
    gate.ring()


def _hour(day: date) -> Interval:
    begins = datetime.combine(day, time(_CLASS_DAYS[day.weekday()]))
    return wall_interval(_ZONE, begins, begins + timedelta(hours=1))[0]


def _patient(number: int) -> dict[str, str]:
    """What a patient of the demo said; the same each time, so that records knows who has come before."""
    name = PATIENTS[number]
    return {
        "name": name,
        "email": f"{name.split()[0].lower()}@example.org",
        "phone": f"(212) 555-01{number:02}",
        "date_of_birth": f"{1958 + 7 * number}-0{1 + number}-1{number}",
        "state": _STATE,
        "language": "es" if name.startswith("Rosa") else "en",
        "zone": _ZONE,
    }


def _book(visit_type: int, number: int, *, slug: str, now: int) -> None:
    """Appointments spread over today and tomorrow, booked as the front desk would."""
    rules = visit_type_rules(visit_type, models.VisitType.objects.values_list("revision", flat=True).get(id=visit_type))
    for n in range(number):
        # Searched anew each time: what was just booked is not free any more.
        found = queries.slots(rules, Interval(now, now + _HORIZON_S), state=_STATE, limit=500).offers
        for offer in found[len(found) * n // number :][:1]:
            patient = Patient(sealed=envelopes.seal(_patient((visit_type + n) % len(PATIENTS))))
            with suppress(SlotTaken):
                bookings.book(offer, patient=patient, state=_STATE, actor=Actor("demo", clinic=slug))
