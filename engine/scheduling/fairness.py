"""Whom to offer first of those who are free at the same time. Earlier always comes before fairer."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Policy(StrEnum):
    """How equals are put in order; what is still equal then, by calendar.

    `longest_idle` deals out in turns (round-robin): who was given a visit longest ago comes first, who never was before all.
    `weighted` is `least_booked` in proportion: a calendar of weight 2 is as busy with four visits as one of weight 1 with two.
    """

    EARLIEST = "earliest"
    LEAST_BOOKED = "least_booked"
    LONGEST_IDLE = "longest_idle"
    WEIGHTED = "weighted"


class Candidate(NamedTuple):
    """A calendar that is free at `start`, with what the policies look at.

    `booked`: how many visits it has in the days around; `given`: the instant at which it was given its last one, None for never.
    """

    start: int
    calendar: int
    booked: int = 0
    given: int | None = None
    weight: int = 1


def arranged(candidates: Iterable[Candidate], policy: Policy) -> list[Candidate]:
    """In the order in which they are to be offered."""
    return sorted(candidates, key=lambda one: (one.start, burden(one, policy), one.calendar))


def burden(one: Candidate, policy: Policy) -> float:
    """What puts equals in order: who has less of it comes first."""
    match policy:
        case Policy.EARLIEST:
            return 0
        case Policy.LEAST_BOOKED:
            return one.booked
        case Policy.LONGEST_IDLE:
            return float("-inf") if one.given is None else one.given
        case Policy.WEIGHTED:
            # The visit that it would get counts, or two who have none would be equals whatever their weights.
            return (one.booked + 1) / one.weight if one.weight else float("inf")
