"""Examples of the interval algebra; that it holds for any intervals is shown in tests/property/test_scheduling.py."""

import pytest

from engine.scheduling.intervals import Interval, clip, merge, subtract


@pytest.mark.parametrize(
    ("other", "overlaps"),
    [
        pytest.param(Interval(0, 10), False, id="ends_where_the_other_starts"),
        pytest.param(Interval(0, 11), True, id="shares_its_first_second"),
        pytest.param(Interval(12, 15), True, id="lies_inside"),
        pytest.param(Interval(10, 20), True, id="is_equal"),
        pytest.param(Interval(0, 30), True, id="lies_around"),
        pytest.param(Interval(19, 30), True, id="shares_its_last_second"),
        pytest.param(Interval(20, 30), False, id="starts_where_the_other_ends"),
    ],
)
def test_overlap_means_a_shared_second_whichever_side_asks(other: Interval, overlaps: bool) -> None:
    interval = Interval(10, 20)

    assert interval.overlaps(other) is overlaps
    assert other.overlaps(interval) is overlaps


@pytest.mark.parametrize(
    ("intervals", "merged"),
    [
        pytest.param([], [], id="nothing_is_nothing"),
        pytest.param([Interval(5, 5), Interval(9, 3)], [], id="empty_and_reversed_ones_are_dropped"),
        pytest.param([Interval(6, 9), Interval(0, 3)], [Interval(0, 3), Interval(6, 9)], id="order_does_not_matter"),
        pytest.param([Interval(0, 3), Interval(3, 6)], [Interval(0, 6)], id="touching_ones_are_joined"),
        pytest.param([Interval(0, 3), Interval(4, 6)], [Interval(0, 3), Interval(4, 6)], id="a_gap_of_one_second_stays"),
        pytest.param([Interval(0, 9), Interval(2, 4)], [Interval(0, 9)], id="an_inner_one_does_not_shorten_the_outer"),
    ],
)
def test_merge(intervals: list[Interval], merged: list[Interval]) -> None:
    assert merge(intervals) == merged


@pytest.mark.parametrize(
    ("holes", "rest"),
    [
        pytest.param([], [Interval(10, 20)], id="no_hole_leaves_all"),
        pytest.param([Interval(0, 10), Interval(20, 30)], [Interval(10, 20)], id="holes_that_touch_take_nothing"),
        pytest.param([Interval(0, 12)], [Interval(12, 20)], id="a_hole_over_the_start"),
        pytest.param([Interval(18, 30)], [Interval(10, 18)], id="a_hole_over_the_end"),
        pytest.param(
            [Interval(12, 14), Interval(16, 18)], [Interval(10, 12), Interval(14, 16), Interval(18, 20)], id="holes_inside"
        ),
        pytest.param([Interval(10, 20)], [], id="a_hole_of_the_same_size_takes_all"),
    ],
)
def test_subtract(holes: list[Interval], rest: list[Interval]) -> None:
    assert subtract([Interval(10, 20)], holes) == rest


def test_clip_keeps_the_parts_inside_in_the_order_given() -> None:
    intervals = [Interval(18, 30), Interval(0, 12), Interval(20, 25), Interval(0, 10)]

    assert clip(intervals, Interval(10, 20)) == [Interval(18, 20), Interval(10, 12)]
