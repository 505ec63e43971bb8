"""Calendar files (RFC 5545) as what a calendar is to know of them: when somebody is busy, or which hours they keep each week.

Of an event only its times are taken: titles, places and guests may name patients. A file is somebody else's, so all of it is
bounded: how much is read, how often a rule may repeat, how far ahead, and how long that may take.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as wall_time
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Event

from apps.kernel.problems import ValidationFailed
from engine.scheduling.hours import OpeningHours, local_day
from engine.scheduling.intervals import Interval

LARGEST = 512 * 1024
HORIZON_DAYS = 400
MOST_EVENTS = 5_000
MOST_TIMES = 5_000
MOST_HOURS = 200
PREFIX = "ics:"
"""How the source ids of busy times from files begin."""

_LONGEST_S = 366 * 24 * 3600
_PATIENCE_S = 4.0
_DAY = timedelta(days=1)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREE = frozenset({"FREE", "WORKINGELSEWHERE"})
_PARTS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "WKST"})
_OFTEN = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_WEEKLY_PARTS = frozenset({"FREQ", "INTERVAL", "UNTIL", "BYDAY", "WKST"})
_MOST_IN_A_LIST = 60
_TOO_MUCH = "This is too much for one file; export a shorter time."
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, OSError)
"""What the libraries raise at broken events."""


class Refusal(NamedTuple):
    """An event that was not taken over: its number in the file, from 1, and why."""

    event: int
    reason: str


class Busy(NamedTuple):
    """A time at which nothing can be booked. `source_id` is its identity on the calendar: the event, and which repetition of it."""

    source_id: str
    during: Interval


@dataclass(frozen=True, slots=True)
class BusyTimes:
    """What a file says of busy times from now on. `events` are the beginnings of the source ids of all events it speaks of."""

    busy: list[Busy] = field(default_factory=list)
    events: set[str] = field(default_factory=set)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Week:
    """What a file says of weekly hours."""

    hours: list[OpeningHours] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class _Refused(Exception):
    """This event cannot be taken over; the text is the reason, a word for programs."""


# --- busy times ---------------------------------------------------------------------------------------------------------


def busy_times(text: str, zone: str, now: int) -> BusyTimes:
    """The busy times that end after `now`, up to 400 days ahead; times without a zone are in `zone`. Raises ValidationFailed."""
    calendar, events = _read(text)
    found, until = BusyTimes(), time.monotonic() + _PATIENCE_S
    within = Interval(now, now + HORIZON_DAYS * 24 * 3600)
    series: defaultdict[str, list[tuple[int, Event]]] = defaultdict(list)
    for number, event in enumerate(events, start=1):
        series[str(event.get("UID") or f"#{event.get('DTSTART')}/{event.get('DTEND')}")].append((number, event))
    for uid, numbered in series.items():
        key = PREFIX + blake2b(uid.encode(), digest_size=12).hexdigest()
        try:
            found.busy.extend(list(_busy(key, calendar, [event for _, event in numbered], within=within, zone=zone)))
            found.events.add(key)  # only now: of an event that is not understood, what was known stays
        except _Refused as refused:
            found.refused.append(Refusal(numbered[0][0], str(refused)))
        if len(found.busy) > MOST_TIMES or time.monotonic() > until:
            raise ValidationFailed(_TOO_MUCH, param="ics")
    return found


def _busy(key: str, calendar: Calendar, events: list[Event], *, within: Interval, zone: str) -> Iterator[Busy]:
    try:
        for event in events:
            _check_zone(event)
        taken = list(_occurrences(calendar, events, within=within, zone=zone))
        times = [(start, _interval(event.start, event.end, zone)) for start, event in taken if _takes_time(event)]
    except _BROKEN as broken:
        raise _Refused("unreadable") from broken
    for start, during in times:
        if not 0 < during.end - during.start <= _LONGEST_S:
            raise _Refused("no_length" if during.end <= during.start else "too_long")
        if during.overlaps(within):
            yield Busy(f"{key}:{start}" if start else key, during)


def _occurrences(calendar: Calendar, events: list[Event], *, within: Interval, zone: str) -> Iterator[tuple[str, Event]]:
    """Each time an event takes place: which of its repetitions (nothing for an event that has none), and the event then."""
    if len(events) == 1 and not {"RRULE", "RDATE", "RECURRENCE-ID"} & set(events[0]):
        yield "", events[0]
        return
    for event in events:
        _check_rule(event)
    alone = Calendar()
    alone.subcomponents = [*calendar.timezones, *events]
    first, last = (datetime.fromtimestamp(instant, ZoneInfo(zone)) for instant in within)
    for event in recurring_ical_events.of(alone).between(first - _DAY, last):
        yield str(_instant(event["RECURRENCE-ID"].dt, zone)), event


def _check_rule(event: Event) -> None:
    """Lets through what repeats once a day at most, and finds its days soon: others would keep us for hours."""
    found = event.get("RRULE", [])
    for rule in found if isinstance(found, list) else [found]:
        frequency = str(rule.get("FREQ", [""])[0]).upper()
        if frequency not in _OFTEN or not {part.upper() for part in rule} <= _PARTS:
            raise _Refused("too_often")
        if frequency == "DAILY" and "BYMONTHDAY" in rule:
            raise _Refused("too_often")
        if any(step < 1 for step in rule.get("INTERVAL", [])) or any(len(values) > _MOST_IN_A_LIST for values in rule.values()):
            raise _Refused("too_often")
        if _instant(event.start, "UTC") < datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp():
            raise _Refused("too_old")


def _check_zone(event: Event) -> None:
    """A time in a zone that nobody knows is no time."""
    for name in ("DTSTART", "DTEND"):
        at = event.get(name)
        if at is not None and "TZID" in at.params and isinstance(at.dt, datetime) and at.dt.tzinfo is None:
            raise _Refused("unknown_zone")


def _takes_time(event: Event) -> bool:
    """Whether its owner is busy then: not in what was called off, and not in what only informs."""
    said = {name: str(event.get(name, "")).upper() for name in ("STATUS", "TRANSP", "X-MICROSOFT-CDO-BUSYSTATUS")}
    cancelled, informs = said["STATUS"] == "CANCELLED", said["TRANSP"] == "TRANSPARENT"
    return not cancelled and not informs and said["X-MICROSOFT-CDO-BUSYSTATUS"] not in _FREE


def _interval(start: date, end: date, zone: str) -> Interval:
    return Interval(_instant(start, zone), _instant(end, zone))


def _instant(at: date, zone: str) -> int:
    """A day begins when the calendar's zone says, and a time without a zone is that zone's."""
    if not isinstance(at, datetime):
        return local_day(zone, at).start
    return int((at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).timestamp())


# --- weekly hours -------------------------------------------------------------------------------------------------------


def weekly_hours(text: str, zone: str, today: date) -> Week:
    """The weekly events as opening hours of a calendar in `zone`. Raises ValidationFailed."""
    _, events = _read(text)
    week = Week()
    for number, event in enumerate(events, start=1):
        try:
            _check_zone(event)
            if _takes_time(event):
                week.hours.extend(list(_weekly(event, zone, today)))
            if "EXDATE" in event:
                week.refused.append(Refusal(number, "left_out_days"))
        except _Refused as refused:
            week.refused.append(Refusal(number, str(refused)))
        except _BROKEN:
            week.refused.append(Refusal(number, "unreadable"))
    if len(week.hours) > MOST_HOURS:
        raise ValidationFailed(_TOO_MUCH, param="ics")
    return week


def _weekly(event: Event, zone: str, today: date) -> Iterator[OpeningHours]:
    rule = event.get("RRULE")
    if not rule or isinstance(rule, list) or not {part.upper() for part in rule} <= _WEEKLY_PARTS:
        raise _Refused("not_weekly")
    if rule["FREQ"] != ["WEEKLY"] or rule.get("INTERVAL", [1]) != [1]:
        raise _Refused("not_weekly")
    start, end = _wall(event.start, zone), _wall(event.end, zone)
    if not timedelta() < end - start <= _DAY:
        raise _Refused("no_length" if end <= start else "too_long")
    if _minute(start) == _minute(end) and end - start < _DAY:
        raise _Refused("no_length")
    until = _last_day(rule["UNTIL"][0], zone, start.time()) if "UNTIL" in rule else None
    if until is not None and until < max(today, start.date()):
        return
    for day in rule.get("BYDAY", [_WEEKDAYS[start.weekday()]]):
        since = start.date() if start.date() > today else None
        yield OpeningHours(_WEEKDAYS.index(str(day)), _minute(start), _minute(end), since, until)


def _last_day(until: date, zone: str, start: wall_time) -> date:
    """The last day on which a rule may still begin at `start`; an end with a zone is an instant (mostly in UTC)."""
    if not isinstance(until, datetime):
        return until
    local = until.astimezone(ZoneInfo(zone)) if until.tzinfo else until
    return local.date() if local.time() >= start else local.date() - _DAY


def _wall(at: date, zone: str) -> datetime:
    """What the clock of the calendar's zone reads. A weekly time of another zone would wander with that zone's."""
    if not isinstance(at, datetime):
        return datetime.combine(at, wall_time())
    if at.tzinfo is None:
        return at
    half_a_year = timedelta(days=182)
    known = at.replace(tzinfo=ZoneInfo(zone))
    if any((at + later).utcoffset() != (known + later).utcoffset() for later in (timedelta(), half_a_year)):
        raise _Refused("other_zone")
    return at.replace(tzinfo=None)


def _minute(at: datetime) -> wall_time:
    return at.time().replace(second=0, microsecond=0)


# --- the file -----------------------------------------------------------------------------------------------------------


def _read(text: str) -> tuple[Calendar, list[Event]]:
    try:
        calendar = Calendar.from_ical(text)
    except _BROKEN as unreadable:
        raise ValidationFailed("This is not a calendar file.", param="ics") from unreadable
    if not isinstance(calendar, Calendar):
        raise ValidationFailed("This is not a calendar file.", param="ics")
    if not calendar.events:
        raise ValidationFailed("There is no event in this file.", param="ics")
    if len(calendar.events) > MOST_EVENTS:
        raise ValidationFailed(_TOO_MUCH, param="ics")
    return calendar, calendar.events
