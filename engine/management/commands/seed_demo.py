"""The demo clinic: something can be booked on every day of the week, right now included.

Made once; run again, it only adds the group classes of the weeks to come.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction

from engine import bookings, envelopes, models, queries
from engine.errors import SlotTaken
from engine.imports import Window, assign, create_calendars, publish
from engine.locks import gate
from engine.management import demo, demo_visits
from engine.rows import Actor, Patient
from engine.scheduling.hours import local_date
from engine.scheduling.intervals import DAY_S, Interval

_CLASS_WEEKS, _CLASS_PLACES, _CLASS_DAYS = 8, 8, {1: 18, 5: 10}
"""Weekdays with a group class (Monday is 0) and the hour it begins."""
_BOOKED_AT_THE_DESK = {"Ultrasound": 2, "Group class": 7}
"""Visit types, and within how many days."""


class Command(BaseCommand):
    help = "Makes the demo clinic (slug from DEMO_CLINIC, or demo) unless it is there, and its group classes to come."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        slug = settings.ENV.demo_clinic or "demo"
        now = int(datetime.now(UTC).timestamp())
        new = not models.Clinic.objects.filter(slug=slug).exists()
        if new:
            _make_clinic(slug, now=now)
        _publish_classes(slug, now)
        for name, days in _BOOKED_AT_THE_DESK.items() if new else ():
            _book(name, Interval(now, now + days * DAY_S), slug=slug)
        text = "\n".join([f"clinic {slug}", *(f"{login['role']:<14}{login['name']}" for login in demo.STAFF)])
        self.stdout.write(json.dumps({"clinic": slug, "logins": demo.STAFF}) if options["json"] else text)


def _make_clinic(slug: str, *, now: int) -> None:
    """The clinic, all that can be booked, and what was and is booked."""
    with transaction.atomic(), connection.cursor() as cursor:
        clinic = models.Clinic.objects.create(slug=slug, name=demo.NAME, zone=demo.ZONE)
        places = [models.Location.objects.create(clinic=clinic, zone=demo.ZONE, **place._asdict()) for place in demo.PLACES]
        calendars = [_as_calendar(bookable, places[bookable.place]) for bookable in demo.CALENDARS]
        create_calendars(cursor, calendars)
        models.OpeningHours.objects.bulk_create(
            rule for calendar, bookable in zip(calendars, demo.CALENDARS, strict=True) for rule in _hours(calendar, bookable)
        )
        by_name = {calendar.name: calendar for calendar in calendars}
        models.OpeningException.objects.bulk_create(_breaks(by_name, now=now))
        types = {made.name: _make_visit_type(clinic, made, calendars, among) for made, among in demo.visit_types()}
        demo_visits.write(cursor, demo_visits.Clinic(clinic.id, by_name, types), now=now)


def _as_calendar(bookable: demo.Bookable, location: models.Location) -> models.Calendar:
    practitioner = bookable.kind == models.Calendar.Kind.PRACTITIONER
    return models.Calendar(
        clinic_id=location.clinic_id,
        location=location,
        kind=bookable.kind,
        name=bookable.name,
        zone=demo.ZONE,
        specialty=bookable.specialty,
        states=bookable.states.split(),
        holidays=bookable.holidays,
        join_url=f"https://video.example.org/{bookable.name[4:].lower().replace(' ', '-')}" if practitioner else "",
    )


def _hours(calendar: models.Calendar, bookable: demo.Bookable) -> Iterator[models.OpeningHours]:
    for weekdays, opens, closes in bookable.hours:
        for weekday in weekdays:
            yield models.OpeningHours(calendar=calendar, weekday=weekday, opens=time(opens), closes=time(closes))


def _breaks(calendars: dict[str, models.Calendar], *, now: int) -> Iterator[models.OpeningException]:
    for one in demo.BREAKS:
        start, end = (datetime.fromtimestamp(at, UTC) for at in demo.break_interval(one, today=local_date(demo.ZONE, now)))
        yield models.OpeningException(calendar=calendars[one.name], starts=start, ends=end, open=False, note=one.note)


def _make_visit_type(
    clinic: models.Clinic, visit_type: models.VisitType, calendars: list[models.Calendar], among: list[slice]
) -> models.VisitType:
    visit_type.clinic = clinic
    visit_type.change_notice = 120
    visit_type.save()
    assign({calendar.id: visit_type.id for part in among for calendar in calendars[part]}, among=[visit_type.id])
    return visit_type


def _publish_classes(slug: str, now: int) -> None:
    visit_type = models.VisitType.objects.get(clinic__slug=slug, name="Group class")
    today = local_date(demo.ZONE, now)
    days = [day for day in (today + timedelta(days=n) for n in range(_CLASS_WEEKS * 7)) if day.weekday() in _CLASS_DAYS]
    classes = []
    for day in days:
        begins = _CLASS_DAYS[day.weekday()]
        classes.append(Window(f"class {day}", demo.on_the_wall(day, begins, begins + 1), _CLASS_PLACES, visit_type.id))
    publish(visit_type.calendars.get().id, classes)
    gate.ring()


def _book(name: str, within: Interval, *, slug: str) -> None:
    """One appointment that can be had, booked as the front desk would."""
    rules = queries.visit_type_by_uid(models.VisitType.objects.get(clinic__slug=slug, name=name).uid)
    found = queries.slots(rules, within, state=demo.STATE, limit=500).offers
    for offer in found[len(found) // 2 :][:1]:
        patient = Patient(sealed=envelopes.seal(demo.patient(0)))
        with suppress(SlotTaken):
            bookings.book(offer, patient=patient, state=demo.STATE, actor=Actor("demo", clinic=slug))
