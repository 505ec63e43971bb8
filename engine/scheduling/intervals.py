"""The algebra of half-open intervals of whole seconds."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

DAY_S = 24 * 3600
"""A day of 24 hours, in seconds; the days of a zone may be longer or shorter."""


class Interval(NamedTuple):
    """From `start` up to, not including, `end`. Both are instants in seconds; an empty interval is never produced here."""

    start: int
    end: int

    def overlaps(self, other: "Interval") -> bool:
        return self.start < other.end and other.start < self.end


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same instants as sorted, disjoint intervals; touching ones are joined, empty ones dropped. Any order is accepted."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(end, merged[-1].end))
        else:
            merged.append(Interval(start, end))
    return merged


def subtract(base: Iterable[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """The instants of `base` that lie in none of `holes`. `base` and `holes` must be as `merge` leaves them."""
    holes = list(holes)
    return [piece for interval in base for piece in _pieces(interval, holes)]


def _pieces(interval: Interval, holes: list[Interval]) -> Iterator[Interval]:
    start = interval.start
    for hole in holes:
        if hole.end <= start:
            continue
        if hole.start >= interval.end:
            break
        if hole.start > start:
            yield Interval(start, hole.start)
        start = hole.end
    if start < interval.end:
        yield Interval(start, interval.end)


def clip(intervals: Iterable[Interval], within: Interval) -> list[Interval]:
    """The parts of `intervals` inside `within`, in the order given."""
    clipped = (Interval(max(i.start, within.start), min(i.end, within.end)) for i in intervals)
    return [interval for interval in clipped if interval.start < interval.end]
