"""When a reminder is due: so long before the visit, but not in quiet hours. Pure; instants and leads are in seconds."""

from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

# Sending is paced: what is due just before the quiet hours could end up in them.
_EARLIER_S = 15 * 60


class Quiet(NamedTuple):
    """Hours on the wall clock in which nobody is reminded, over midnight if `begins` is after `ends`; none if they are equal.

    At most 16 of 24, so that there is always a time before and after them.
    """

    begins: time
    ends: time


NEVER_QUIET = Quiet(time(), time())


def reminder_at(start: int, *, lead: int, now: int, quiet: Quiet, zone: str) -> int | None:
    """When to remind of a visit that begins at `start`, known since `now`; None for not at all.

    In quiet hours the reminder waits for their end when that leaves half of the lead, else it comes before them; when it is too
    late for that, their end must do. Nobody is reminded who booked later than the reminder would have come.
    """
    due = start - lead
    if due < now:
        return None
    around = quiet_around(due, quiet, zone)
    if around is None:
        return due
    begins, ends = around
    before = begins - _EARLIER_S
    if ends <= start - lead // 2:
        return ends
    if before >= now:
        return before
    return ends if ends < start else None


def quiet_around(instant: int, quiet: Quiet, zone: str) -> tuple[int, int] | None:
    """The quiet hours that `instant` lies in, as instants; None outside."""
    today = datetime.fromtimestamp(instant, ZoneInfo(zone)).date()
    for day in (today - timedelta(days=1), today):
        begins = _instant(day, quiet.begins, zone)
        ends = _instant(day if quiet.begins <= quiet.ends else day + timedelta(days=1), quiet.ends, zone)
        if begins <= instant < ends:
            return begins, ends
    return None


def _instant(day: date, clock: time, zone: str) -> int:
    # An hour that happens twice counts from the first; one that does not exist is as far after midnight as it says.
    return int(datetime.combine(day, clock, ZoneInfo(zone)).timestamp())
