"""Calendar files (RFC 5545, 5546) that a mail program takes over, moves and removes: the same UID, a SEQUENCE that rises."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText

from apps.notifications.texts import one_line

_PRODUCT = "-//HealthFlow//Notifications//EN"


@dataclass(frozen=True)
class Visit:
    """A visit as a calendar shows it. Instants in seconds; `summary` is on lock screens and in shared calendars: nothing of it
    may be private. `organizer` and `attendee` are mail addresses.
    """

    uid: str
    sequence: int
    start: int
    end: int
    zone: str
    summary: str
    location: str
    url: str
    organizer: str
    clinic: str
    attendee: str


def invite(visit: Visit, *, method: Literal["REQUEST", "CANCEL"], now: int) -> bytes:
    """The file that puts a visit into a calendar, moves it there (a higher `sequence`), or takes it out again."""
    event = Event()
    event.add("uid", visit.uid)
    event.add("sequence", visit.sequence)
    event.add("dtstamp", datetime.fromtimestamp(now, UTC))
    event.add("dtstart", _local(visit.start, visit.zone))
    event.add("dtend", _local(visit.end, visit.zone))
    event.add("summary", one_line(visit.summary))
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event.add("organizer", _address(visit.organizer, name=visit.clinic))
    event.add("attendee", _address(visit.attendee, name=""))
    for name, value in (("location", one_line(visit.location)), ("url", visit.url if method == "REQUEST" else "")):
        if value:
            event.add(name, value)
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    calendar.add_missing_timezones()
    file: bytes = calendar.to_ical()
    return file


def _local(instant: int, zone: str) -> datetime:
    return datetime.fromtimestamp(instant, ZoneInfo(zone))


def _address(email: str, *, name: str) -> vCalAddress:
    address = vCalAddress(f"mailto:{one_line(email)}")
    if name:
        # A quoted parameter cannot hold a quote (RFC 6868 is not widely read).
        address.params["CN"] = vText(one_line(name).replace('"', "'"))
    else:
        address.params["PARTSTAT"] = vText("ACCEPTED")
        address.params["RSVP"] = vText("FALSE")
    return address
