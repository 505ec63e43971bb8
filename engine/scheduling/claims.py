"""What takes a calendar's time on one day, in few bytes: the value that the caches of availability keep."""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import NamedTuple

from engine.scheduling.intervals import DAY_S

_CLAIM = Struct("<HiiI")


class Claim(NamedTuple):
    """A place that is taken from `start` up to `end`; a hold only until `expires`, 0 for as long as the version stands."""

    unit: int
    start: int
    end: int
    expires: int


def packed(claims: Iterable[Claim], day: int) -> bytes:
    """Those claims that take time on a day (UTC, counted from 1970), 14 bytes each, the times relative to its midnight."""
    first, last = day * DAY_S, (day + 1) * DAY_S
    there = sorted(claim for claim in claims if claim.start < last and claim.end > first)
    return b"".join(_CLAIM.pack(unit, start - first, end - first, expires) for unit, start, end, expires in there)


def packed_days(claims: Iterable[Claim], first: int, last: int) -> dict[int, bytes]:
    """The same for each day from `first` to `last`; each claim is looked at for its own days only."""
    there: dict[int, list[Claim]] = {day: [] for day in range(first, last + 1)}
    for claim in claims:
        for day in range(max(first, claim.start // DAY_S), min(last, (claim.end - 1) // DAY_S) + 1):
            there[day].append(claim)
    return {day: packed(found, day) for day, found in there.items()}


def unpacked(value: bytes, day: int) -> list[Claim]:
    first = day * DAY_S
    return [Claim(unit, first + start, first + end, expires) for unit, start, end, expires in _CLAIM.iter_unpack(value)]


def joined(values: Sequence[bytes], first: int) -> tuple[Claim, ...]:
    """The claims of successive days from `first` on, each once, by start."""
    found = [
        claim
        for day, value in enumerate(values, first)
        if value
        for claim in unpacked(value, day)
        if day == first or claim.start >= day * DAY_S
    ]
    return ordered(found)


def ordered(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    return tuple(sorted(claims, key=lambda claim: (claim.start, claim.unit)))
