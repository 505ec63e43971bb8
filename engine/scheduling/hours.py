"""From rules in local time to open windows in real time. Every rule about zones and DST lives here.

The one principle: an instant is open when the clock on the wall reads a time within the hours of that local day.
So a wall time that DST skips has no instant, one that happens twice has two, and a day is as long as its zone makes it.
Measured against the zones of all states in tests/unit/test_hours.py.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from engine.scheduling.intervals import DAY_S, Interval, clip, merge, subtract

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock readings are counted from here
LONGEST_OPENING = DAY_S
"""An open exception may not be longer, in seconds: what is longer is hours. It bounds how far a window can reach."""
# A rule and an opening that touch, both beginning on one local day, reach two days on; the third is for 25-hour days.
_REACH = 3 * DAY_S
# Hours alone end on the day after that on which they begin, and no day is longer than this.
_LONGEST_DAY = 26 * 3600


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """A weekly rule: on `weekday` (Monday is 0) from `opens` to `closes` on the wall clock.

    `closes` at or before `opens` means the next day, so 00:00 to 00:00 is the whole day.
    """

    weekday: int
    opens: time
    closes: time
    valid_from: date | None = None
    valid_until: date | None = None

    def holds_on(self, day: date) -> bool:
        return (
            day.weekday() == self.weekday
            and (self.valid_from is None or self.valid_from <= day)
            and (self.valid_until is None or day <= self.valid_until)
        )


@dataclass(frozen=True, slots=True)
class OpeningException:
    """A single interval, in real time, that is open or closed whatever the weekly hours say. Closed beats open.

    An open one has places for `capacity` visits at a time and, if `visit_type` is given, for that visit type only.
    """

    during: Interval
    open: bool
    capacity: int = 1
    visit_type: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """When one calendar can be booked. `closed_days` are its public holidays: no weekly hours then, exceptions still count."""

    zone: str
    hours: tuple[OpeningHours, ...] = ()
    exceptions: tuple[OpeningException, ...] = ()
    closed_days: Container[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of real time in which visits can be booked, `capacity` at a time; for one visit type only, if it is given."""

    during: Interval
    capacity: int = 1
    visit_type: int | None = None


def windows(rules: Rules, within: Interval) -> list[Window]:
    """The open windows that overlap `within`, sorted, each in its full length.

    Full length, because a window's start anchors the starts of its slots: what is offered must not depend on the range
    a search asked for. For the same reason windows are joined within one local day's rules, never from day to day.
    """
    around = Interval(within.start - _REACH, within.end + _REACH)
    near = [e for e in rules.exceptions if e.during.overlaps(around)]
    closed = merge(e.during for e in near if not e.open)
    special = [e for e in near if e.open and (e.capacity != 1 or e.visit_type is not None)]
    # A group session takes its time out of the ordinary hours, or one person would be booked in two places.
    taken_out = merge([*closed, *(e.during for e in special)])
    extra: defaultdict[date, list[Interval]] = defaultdict(list)
    for exception in near:
        if exception.open and exception.capacity == 1 and exception.visit_type is None:
            extra[local_date(rules.zone, exception.during.start)].append(exception.during)
    begun = around if extra else Interval(within.start - _LONGEST_DAY, within.end)
    found = [
        Window(interval) for day in _days(rules.zone, begun) for interval in subtract(_ordinary(rules, day, extra[day]), taken_out)
    ]
    for exception in special:
        rest = subtract([exception.during], closed)
        found += [Window(interval, exception.capacity, exception.visit_type) for interval in rest]
    return sorted((w for w in found if w.during.overlaps(within)), key=lambda w: (w.during, w.visit_type or 0, w.capacity))


def _ordinary(rules: Rules, day: date, extra: list[Interval]) -> list[Interval]:
    """The weekly hours that begin on one local day, with `extra`, the openings that begin on it."""
    found = list(extra)
    if day not in rules.closed_days:
        for rule in rules.hours:
            if rule.holds_on(day):
                ends = day + timedelta(days=1) if rule.closes <= rule.opens else day
                found += wall_interval(rules.zone, datetime.combine(day, rule.opens), datetime.combine(ends, rule.closes))
    return merge(found)


def covers(found: Iterable[Window], during: Interval) -> bool:
    """Whether all of `during` is open: what a room or device must be while a visit is there."""
    return not subtract([during], merge(window.during for window in found))


def wall_interval(zone: str, start: datetime, end: datetime) -> list[Interval]:
    """The instants at which a clock in `zone` reads at least `start` and less than `end` (both without an offset)."""
    first, last = _wall_seconds(start), _wall_seconds(end)
    stretches = _stretches(zone, start.date() - timedelta(days=1), end.date() + timedelta(days=2))
    return merge(piece for offset, stretch in stretches for piece in clip([Interval(first - offset, last - offset)], stretch))


def local_day(zone: str, day: date) -> Interval:
    """The instants of one local day: 23, 24 or 25 hours long. Where a zone skipped the day, the interval is empty."""
    found = wall_interval(zone, datetime.combine(day, time()), datetime.combine(day + timedelta(days=1), time()))
    return Interval(found[0].start, found[-1].end) if found else Interval(0, 0)


def local_date(zone: str, instant: int) -> date:
    """The date on the wall in `zone` at `instant`."""
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).date()


def _days(zone: str, within: Interval) -> Iterator[date]:
    day, last = local_date(zone, within.start), local_date(zone, within.end)
    while day <= last:
        yield day
        day += timedelta(days=1)


def _wall_seconds(wall: datetime) -> int:
    return int((wall - _EPOCH).total_seconds())


@lru_cache(maxsize=4096)
def _stretches(zone: str, first: date, last: date) -> tuple[tuple[int, Interval], ...]:
    """The stretches of constant offset between two dates: (offset from UTC in seconds, instants).

    A step of a day sees every change: since 1970 no zone has changed its offset twice within six days (tzdata 2026).
    """
    tz = ZoneInfo(zone)
    start, end = _wall_seconds(datetime.combine(first, time())), _wall_seconds(datetime.combine(last, time()))
    days = pairwise(range(start, end + 1, DAY_S))
    changes = [_change(tz, before, after) for before, after in days if _offset(tz, before) != _offset(tz, after)]
    return tuple((_offset(tz, since), Interval(since, until)) for since, until in pairwise([start, *changes, end]))


def _change(tz: ZoneInfo, before: int, after: int) -> int:
    """The first instant after `before`, up to `after`, with another offset than `before`."""
    offset = _offset(tz, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(tz, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(tz: ZoneInfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, tz).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
