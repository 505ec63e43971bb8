"""Whom to offer first of those who are free at the same time."""

import pytest

from engine.scheduling.fairness import Candidate, Policy, arranged

NINE, TEN = 32_400, 36_000


def order(policy: Policy, *candidates: Candidate) -> list[int]:
    return [one.calendar for one in arranged(candidates, policy)]


@pytest.mark.parametrize("policy", Policy)
def test_earlier_comes_before_fairer(policy: Policy) -> None:
    busy_but_early = Candidate(NINE, 2, booked=40, given=NINE, weight=0)

    assert order(policy, Candidate(TEN, 1), busy_but_early) == [2, 1]


@pytest.mark.parametrize("policy", Policy)
def test_what_is_equal_is_ordered_by_calendar(policy: Policy) -> None:
    assert order(policy, Candidate(NINE, 3), Candidate(NINE, 1), Candidate(NINE, 2)) == [1, 2, 3]


def test_the_earliest_asks_for_nothing_else() -> None:
    assert order(Policy.EARLIEST, Candidate(NINE, 1, booked=9, given=NINE), Candidate(NINE, 2)) == [1, 2]


def test_the_least_booked_comes_first() -> None:
    assert order(Policy.LEAST_BOOKED, Candidate(NINE, 1, booked=3), Candidate(NINE, 2, booked=1), Candidate(NINE, 3)) == [3, 2, 1]


def test_the_longest_idle_comes_first_and_who_never_had_a_visit_before_all() -> None:
    assert order(Policy.LONGEST_IDLE, Candidate(NINE, 1, given=20), Candidate(NINE, 2, given=10), Candidate(NINE, 3)) == [3, 2, 1]


def test_the_longest_idle_gives_everybody_a_turn() -> None:
    given: dict[int, int | None] = {1: None, 2: None, 3: None}
    turns = []
    for now in range(9):
        first = arranged([Candidate(NINE, calendar, given=at) for calendar, at in given.items()], Policy.LONGEST_IDLE)[0]
        given[first.calendar] = now
        turns.append(first.calendar)

    assert turns == [1, 2, 3] * 3


def test_weights_are_shares() -> None:
    weights, booked = {1: 1, 2: 3}, {1: 0, 2: 0}
    for _ in range(40):
        some = [Candidate(NINE, calendar, booked=booked[calendar], weight=weight) for calendar, weight in weights.items()]
        booked[arranged(some, Policy.WEIGHTED)[0].calendar] += 1

    assert booked == {1: 10, 2: 30}


def test_without_weight_one_is_the_last_choice() -> None:
    assert order(Policy.WEIGHTED, Candidate(NINE, 1, weight=0), Candidate(NINE, 2, booked=99)) == [2, 1]
