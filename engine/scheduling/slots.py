"""Which starts a window offers, and whether one given start is among them.

Search walks the range that `starts` gives; the check under the lock asks the same range `in`. So a slot that is shown
is a slot that is accepted, and the other way round.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from engine.scheduling.hours import Window
from engine.scheduling.intervals import Interval


@dataclass(frozen=True, slots=True)
class VisitRules:
    """What a visit type asks of the time it takes. All in seconds.

    `duration` None: a visit lasts as long as the window it is in (a published session with many places).
    """

    id: int
    duration: int | None
    step: int
    before: int = 0
    after: int = 0
    notice: int = 0
    horizon: int = 180 * 24 * 3600


class Slot(NamedTuple):
    """A bookable interval: what people see is `start` to `end`, what it blocks is longer by the buffers."""

    start: int
    end: int
    capacity: int

    def blocked(self, visit: VisitRules) -> Interval:
        return Interval(self.start - visit.before, self.end + visit.after)


class Taken(NamedTuple):
    """A live allocation on a calendar: the blocked interval, which of the places it has, and the appointment if that is known."""

    unit: int
    during: Interval
    by: UUID | None = None


class Refusal(StrEnum):
    """Why a start is not offered."""

    PAST = "starts in the past"
    NOTICE = "starts before the minimum notice has passed"
    HORIZON = "starts beyond the booking horizon"
    CLOSED = "is outside the opening hours"
    GRID = "is between the starts that are offered"
    DURATION = "does not end when this visit type ends"


def starts(window: Window, visit: VisitRules) -> range:
    """Every start the window offers to the visit type, as a range of instants."""
    if window.visit_type is not None and window.visit_type != visit.id:
        return range(0)
    if visit.duration is None:
        return range(window.during.start, window.during.start + 1)
    return range(window.during.start, window.during.end - visit.duration + 1, visit.step)


def offered(windows: Iterable[Window], visit: VisitRules, *, now: int, within: Interval) -> Iterator[Slot]:
    """The slots that start inside `within` and could be booked at `now`, were nothing taken; in order, each start once."""
    earliest, latest = max(within.start, now + visit.notice), min(within.end, now + visit.horizon + 1)
    found: dict[int, Slot] = {}
    for window in windows:
        grid = starts(window, visit)
        # The first start of the grid at or after `earliest`, without walking there.
        skipped = max(0, -((grid.start - earliest) // grid.step)) if grid else 0
        for start in grid[skipped:]:
            if start >= latest:
                break
            slot = Slot(start, window.during.end if visit.duration is None else start + visit.duration, window.capacity)
            if start not in found or slot.capacity > found[start].capacity:
                found[start] = slot
    return iter(sorted(found.values()))


def check(windows: Sequence[Window], visit: VisitRules, *, now: int, start: int, end: int | None = None) -> Slot | Refusal:
    """The slot that starts at `start`, or why there is none. `windows` must cover `start`; `end`, if given, must be right."""
    return untimely(visit, now=now, start=start) or fitting(windows, visit, start=start, end=end)


def untimely(visit: VisitRules, *, now: int, start: int) -> Refusal | None:
    """Why it is too early or too late to book this start."""
    if start < now:
        return Refusal.PAST
    if start < now + visit.notice:
        return Refusal.NOTICE
    return Refusal.HORIZON if start > now + visit.horizon else None


def fitting(windows: Sequence[Window], visit: VisitRules, *, start: int, end: int | None = None) -> Slot | Refusal:
    """What `check` answers whenever it is asked."""
    found = [
        Slot(start, window.during.end if visit.duration is None else start + visit.duration, window.capacity)
        for window in windows
        if start in starts(window, visit)
    ]
    if found:
        slot = max(found, key=lambda slot: slot.capacity)
        return slot if end is None or end == slot.end else Refusal.DURATION
    shortest = visit.duration or 1
    fits = any(starts(w, visit) and w.during.start <= start and start + shortest <= w.during.end for w in windows)
    return Refusal.GRID if fits else Refusal.CLOSED


def shrunk(visit: Interval, blocked: Interval, taken: Iterable[Taken]) -> Interval:
    """`blocked`, which is `visit` and what it wants before and after, less what others have there. Nobody may be in `visit`."""
    around = [t.during for t in taken]
    start = max([blocked.start, *(other.end for other in around if other.end <= visit.start)])
    return Interval(start, min([blocked.end, *(other.start for other in around if other.start >= visit.end)]))


def free_unit(taken: Iterable[Taken], blocked: Interval, *, capacity: int) -> int | None:
    """The lowest place that nothing takes during `blocked`; None when `capacity` places or more are taken.

    Places beyond `capacity` count too: when a session with many is removed or made smaller, its visits stay.
    """
    busy = {t.unit for t in taken if t.during.overlaps(blocked)}
    return next(unit for unit in range(1, capacity + 1) if unit not in busy) if len(busy) < capacity else None
