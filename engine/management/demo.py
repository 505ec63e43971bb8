"""What the demo clinic is: who works where and when, what can be booked, and who comes. Facts only."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from engine import models
from engine.rules import public_holidays
from engine.scheduling.hours import local_day, wall_interval
from engine.scheduling.intervals import Interval

NAME, ZONE, STATE = "Harbor Family Medicine", "America/New_York", "NY"
WEEKDAYS, EVERY_DAY = range(5), range(7)
STAFF = [
    {"name": "Dr. Maya Chen", "role": "practitioner"},
    {"name": "Dr. James Okafor", "role": "practitioner"},
    {"name": "Dr. Sofia Alvarez", "role": "practitioner"},
    {"name": "Dr. Elena Ruiz", "role": "practitioner"},
    {"name": "Priya Nair", "role": "front_desk"},
    {"name": "Thomas Reed", "role": "clinic_admin"},
]
PATIENTS = (
    *("Eleanor Park", "Marcus Bell", "Ingrid Solano", "Tariq Haddad", "Wendy Zhou", "Peter Lindqvist", "Rosa Marín"),
    *("Amara Nwosu", "Siobhan O'Leary", "Joaquín Ortega", "Grace Whitmore", "Ahmed Rahimi", "Bea Kowalski", "Nikhil Rao"),
)


class Place(NamedTuple):
    name: str
    state: str
    address: str
    city: str
    postal_code: str
    phone: str


class Bookable(NamedTuple):
    """A calendar of the demo and its hours: (weekdays, opens, closes) on the wall, closes 0 at midnight."""

    kind: str
    name: str
    hours: tuple[tuple[range, int, int], ...]
    states: str = ""
    holidays: str = ""
    specialty: str = ""
    place: int = 0


class Break(NamedTuple):
    """A time in which somebody is not there: so many days from today, from one hour to another; both 0 for all day."""

    name: str
    days: int
    opens: int
    closes: int
    note: str


PLACES = (
    Place(NAME, STATE, "12 Harbor Street", "New York", "10004", "(212) 555-0142"),
    Place(f"{NAME}, Jersey City", "NJ", "48 Exchange Place", "Jersey City", "07302", "(201) 555-0187"),
)
CALENDARS = (
    Bookable("practitioner", "Dr. Maya Chen", ((WEEKDAYS, 8, 12), (WEEKDAYS, 13, 17)), "NY NJ CT", "US-NY", "family medicine"),
    Bookable("practitioner", "Dr. James Okafor", ((WEEKDAYS, 10, 14), (WEEKDAYS, 15, 19)), "NY", "US-NY", "family medicine"),
    Bookable("practitioner", "Dr. Sofia Alvarez", ((EVERY_DAY, 7, 22),), "CA CT FL MA NJ NY PA TX", "", "internal medicine"),
    Bookable("practitioner", "Dr. Elena Ruiz", ((WEEKDAYS, 9, 12), (WEEKDAYS, 13, 18)), "NJ", "US-NJ", "internal medicine", 1),
    Bookable("room", "Exam room 1", ((EVERY_DAY, 0, 0),)),
    Bookable("room", "Exam room 2", ((EVERY_DAY, 0, 0),)),
    Bookable("device", "Ultrasound scanner", ((EVERY_DAY, 0, 0),)),
    # Without weekly hours: here, and only here, a group class is all that can be booked.
    Bookable("room", "Group class", ()),
)
# Exam rooms are where the first three are.
_DOCTORS, _HERE, _ROOMS, _DEVICE, _CLASSROOM = slice(0, 4), slice(0, 3), slice(4, 6), slice(6, 7), slice(7, 8)
BREAKS = (
    Break("Dr. Maya Chen", -3, 15, 17, "Training"),
    Break("Dr. Maya Chen", 2, 8, 9, "Team meeting"),
    Break("Dr. James Okafor", 2, 10, 11, "Team meeting"),
    Break("Dr. Elena Ruiz", 1, 16, 18, "School visit"),
    Break("Dr. James Okafor", 4, 0, 0, "Day off"),
)


def visit_types() -> Iterator[tuple[models.VisitType, list[slice]]]:
    """Each visit type with the calendars that offer it."""
    both, here = ["video", "in_person"], ["in_person"]
    yield models.VisitType(name="Follow-up", duration=15, modalities=both, needs=["practitioner"]), [_DOCTORS]
    new = models.VisitType(name="New patient visit", duration=30, after=5, modalities=here, needs=["practitioner", "room"])
    new.notice = 60
    yield new, [_HERE, _ROOMS]
    ultrasound = models.VisitType(
        name="Ultrasound", duration=30, step=30, modalities=here, needs=["practitioner", "room", "device"]
    )
    ultrasound.notice = 120
    yield ultrasound, [_HERE, _ROOMS, _DEVICE]
    yield models.VisitType(name="Group class", duration=60, step=60, modalities=here, needs=["room"]), [_CLASSROOM]


def patient(number: int, *, state: str = STATE) -> dict[str, str]:
    """What a patient of the demo said; the same each time, so that records knows who has come before."""
    name = PATIENTS[number]
    return {
        "name": name,
        "email": f"{name.split()[0].lower().replace('í', 'i')}@example.org",
        "phone": f"(212) 555-01{number:02}",
        "date_of_birth": f"{1948 + number * 17 % 54}-{1 + number % 12:02}-{10 + number}",
        "state": state,
        "language": "es" if name.startswith(("Rosa", "Joaquín")) else "en",
        "zone": ZONE,
    }


def open_on(bookable: Bookable, day: date, *, today: date) -> list[Interval]:
    """When somebody works on a day: the hours that no break of that day touches; none on a holiday."""
    if day in public_holidays(bookable.holidays):
        return []
    opened = [on_the_wall(day, opens, closes) for weekdays, opens, closes in bookable.hours if day.weekday() in weekdays]
    for one in BREAKS:
        if one.name == bookable.name and today + timedelta(days=one.days) == day:
            away = break_interval(one, today=today)
            opened = [during for during in opened if not during.overlaps(away)]
    return opened


def break_interval(one: Break, *, today: date) -> Interval:
    day = today + timedelta(days=one.days)
    return on_the_wall(day, one.opens, one.closes) if one.closes else local_day(ZONE, day)


def on_the_wall(day: date, opens: int, closes: int) -> Interval:
    """From one hour of a day of the clinic to another."""
    return wall_interval(ZONE, datetime.combine(day, time(opens)), datetime.combine(day, time(closes)))[0]
