"""What is free: computed from the rows when somebody asks, so that it is always right when nobody else is there."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from loadtests.legacy.models import Appointment, Practitioner

STEP = timedelta(minutes=15)


def is_free(practitioner: Practitioner, start: datetime, end: datetime) -> bool:
    taken = practitioner.appointments.filter(status=Appointment.Status.BOOKED, start__lt=end, end__gt=start)
    return not taken.exists() and not practitioner.time_off.filter(start__lt=end, end__gt=start).exists()


def free_slots(practitioner: Practitioner, day: date, length: timedelta) -> Iterator[datetime]:
    """The starts, a quarter of an hour apart, at which a visit of that length fits into the day."""
    zone = ZoneInfo(practitioner.practice.zone)
    midnight, next_midnight = (datetime.combine(d, datetime.min.time(), zone) for d in (day, day + timedelta(days=1)))
    appointments = practitioner.appointments.filter(status=Appointment.Status.BOOKED, start__lt=next_midnight, end__gt=midnight)
    time_off = practitioner.time_off.filter(start__lt=next_midnight, end__gt=midnight)
    busy = [(a.start, a.end) for a in appointments] + [(off.start, off.end) for off in time_off]
    for hours in practitioner.working_hours.filter(weekday=day.weekday()):
        start = datetime.combine(day, hours.opens, zone)
        closes = datetime.combine(day, hours.closes, zone)
        while start + length <= closes:
            if all(end <= start or start + length <= begin for begin, end in busy):
                yield start
            start += STEP
