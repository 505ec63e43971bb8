"""When a slot is: what a publisher means by its offsets, and the move of old recordings to today."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.scheduling.hours import LONGEST_OPENING
from engine.scheduling.intervals import Interval
from engine.smart_scheduling.facts import Published, Refused


def real_time(slot: Published, zone: str) -> tuple[Interval, bool]:
    """When a slot of a place in `zone` is, and whether that is not the instant as written. Raises Refused.

    A publisher that always writes its zone's standard offset means the clock on the wall: Rite Aid's stores in New Jersey
    open at 08:00-05:00 in March, when New Jersey is at -04:00, and PrepMod's sites at 09:00-08:00 in September. So where
    daylight saving time is in force and the offset is the zone's standard one, the wall clock counts. Any other offset,
    also one that is not the place's, is what RFC 3339 says it is.
    """
    tz = ZoneInfo(zone)
    during = Interval(_real(slot.start, tz), _real(slot.end, tz))
    _check_length(during)
    return during, during != Interval(int(slot.start.timestamp()), int(slot.end.timestamp()))


def _real(written: datetime, tz: ZoneInfo) -> int:
    wall = written.replace(tzinfo=tz)
    saving, offset = wall.dst() or timedelta(), wall.utcoffset() or timedelta()
    # In the hour that happens twice the standard offset is right, once.
    if saving and written.utcoffset() == offset - saving != written.astimezone(tz).utcoffset():
        return int(wall.timestamp())
    return int(written.timestamp())


def weeks_until(earliest: date, since: date) -> int:
    """How many whole weeks `earliest` must move to fall into the week that begins on `since`; negative into the past."""
    return -((earliest - since).days // 7)


def shifted(during: Interval, zone: str, weeks: int) -> Interval:
    """`during` moved by whole weeks on the wall clock: 09:00 stays 09:00 across a change of the clocks. Raises Refused."""
    tz = ZoneInfo(zone)
    walls = (datetime.fromtimestamp(instant, tz) for instant in during)
    moved = Interval(*(int((wall + timedelta(weeks=weeks)).replace(fold=wall.fold).timestamp()) for wall in walls))
    _check_length(moved)
    return moved


def _check_length(during: Interval) -> None:
    if during.end <= during.start:
        raise Refused("end is not after start")
    if during.end - during.start > LONGEST_OPENING:
        raise Refused("is longer than 24 hours")
