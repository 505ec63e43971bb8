"""Which starts are offered, and the reason of every refusal. Times are minutes of one day, so that rows read like a day book."""

from dataclasses import replace

import pytest

from engine.scheduling.hours import Window
from engine.scheduling.intervals import Interval
from engine.scheduling.slots import Refusal, Slot, Taken, VisitRules, check, free_unit, offered, shrunk, starts

MINUTE = 60
DAY = Interval(0, 24 * 60 * MINUTE)
VISIT = VisitRules(id=1, duration=30 * MINUTE, step=20 * MINUTE, horizon=DAY.end)
WHOLE = replace(VISIT, duration=None)


def at(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * MINUTE


def span(text: str) -> Interval:
    start, end = text.split("-")
    return Interval(at(start), at(end))


def clock(instant: int) -> str:
    return f"{instant // 3600:02}:{instant // MINUTE % 60:02}"


def window(text: str, capacity: int = 1, visit_type: int | None = None) -> Window:
    return Window(span(text), capacity, visit_type)


def seen(windows: list[Window], visit: VisitRules = VISIT, *, now: str = "00:00", within: str = "00:00-24:00") -> str:
    """The offered slots as text, with the number of places where it is not one."""
    slots = offered(windows, visit, now=at(now), within=span(within))
    return " ".join(f"{clock(s.start)}-{clock(s.end)}" + (f"x{s.capacity}" if s.capacity != 1 else "") for s in slots)


# --- which starts a window offers ---


@pytest.mark.parametrize(
    ("open_at", "slots"),
    [
        pytest.param("09:00-10:00", "09:00-09:30 09:20-09:50", id="from_its_start_in_steps_while_the_visit_fits"),
        pytest.param("09:00-10:10", "09:00-09:30 09:20-09:50 09:40-10:10", id="up_to_a_visit_that_ends_with_it"),
        pytest.param("09:00-10:09", "09:00-09:30 09:20-09:50", id="no_visit_that_ends_a_minute_after_it"),
        pytest.param("09:07-09:37", "09:07-09:37", id="its_own_start_is_the_anchor"),
        pytest.param("09:00-09:29", "", id="nothing_when_the_visit_is_longer"),
    ],
)
def test_a_window_offers(open_at: str, slots: str) -> None:
    assert seen([window(open_at)]) == slots


def test_a_session_for_a_visit_type_is_offered_to_that_one_only() -> None:
    session = window("09:00-09:30", 8, visit_type=1)

    assert seen([session]) == "09:00-09:30x8"
    assert seen([session], replace(VISIT, id=2)) == ""


def test_a_visit_without_duration_takes_the_whole_window() -> None:
    assert seen([window("09:00-10:10", 8, visit_type=1), window("13:00-13:05", 4)], WHOLE) == "09:00-10:10x8 13:00-13:05x4"


@pytest.mark.parametrize(
    ("within", "slots"),
    [
        pytest.param("09:00-09:20", "09:00-09:30", id="has_its_first_second"),
        pytest.param("09:20-09:21", "09:20-09:50", id="not_its_end"),
        pytest.param("09:01-09:20", "", id="and_lies_between_two_starts"),
        pytest.param("08:00-09:00", "", id="and_ends_where_the_window_starts"),
        pytest.param("09:21-24:00", "09:40-10:10", id="and_begins_in_the_middle_of_the_grid"),
    ],
)
def test_a_slot_is_found_by_a_range_that_its_start_is_in_when_the_range(within: str, slots: str) -> None:
    assert seen([window("09:00-10:10")], within=within) == slots


@pytest.mark.parametrize(
    ("now", "notice", "horizon", "slots"),
    [
        pytest.param("09:20", "00:00", "24:00", "09:20-09:50 09:40-10:10", id="a_start_at_this_second"),
        pytest.param("09:21", "00:00", "24:00", "09:40-10:10", id="no_start_in_the_past"),
        pytest.param("08:20", "01:00", "24:00", "09:20-09:50 09:40-10:10", id="a_start_when_the_notice_is_just_kept"),
        pytest.param("08:21", "01:00", "24:00", "09:40-10:10", id="no_start_within_the_notice"),
        pytest.param("00:00", "00:00", "09:20", "09:00-09:30 09:20-09:50", id="a_start_on_the_horizon"),
        pytest.param("00:00", "00:00", "09:19", "09:00-09:30", id="no_start_beyond_the_horizon"),
    ],
)
def test_now_bounds_what_is_offered(now: str, notice: str, horizon: str, slots: str) -> None:
    visit = replace(VISIT, notice=at(notice), horizon=at(horizon))

    assert seen([window("09:00-10:10")], visit, now=now) == slots


def test_each_start_is_offered_once_in_order_with_the_most_places() -> None:
    later, few, many = window("12:00-12:30"), window("09:00-09:30", 2), window("09:00-09:50", 5)

    assert seen([later, few, many]) == seen([many, few, later]) == "09:00-09:30x5 09:20-09:50x5 12:00-12:30"


def test_a_slot_blocks_its_time_and_the_buffers_around_it() -> None:
    visit = replace(VISIT, before=10 * MINUTE, after=5 * MINUTE)

    assert Slot(at("09:00"), at("09:30"), 1).blocked(visit) == span("08:50-09:35")


def test_starts_are_a_range_that_is_empty_for_another_visit_type() -> None:
    assert starts(window("09:00-10:10", visit_type=1), VISIT) == range(at("09:00"), at("09:41"), 20 * MINUTE)
    assert not starts(window("09:00-10:10", visit_type=2), VISIT)
    assert not starts(window("09:00-10:10", visit_type=2), WHOLE)


# --- why a start is refused ---

OPEN = [window("09:00-10:10"), window("14:00-15:00", 8, visit_type=2), window("15:00-15:40")]
REFUSED = {
    "a_second_ago": (VISIT, "09:01", "09:00", Refusal.PAST),
    "in_the_past_although_closed": (VISIT, "09:01", "08:00", Refusal.PAST),
    "in_the_past_although_within_the_notice_too": (replace(VISIT, notice=3600), "09:01", "09:00", Refusal.PAST),
    "a_second_before_the_notice_is_kept": (replace(VISIT, notice=3600), "08:01", "09:00", Refusal.NOTICE),
    "beyond_the_horizon": (replace(VISIT, horizon=3600), "07:59", "09:00", Refusal.HORIZON),
    "before_the_window": (VISIT, "00:00", "08:59", Refusal.CLOSED),
    "where_the_window_ends": (VISIT, "00:00", "10:10", Refusal.CLOSED),
    "too_late_for_the_visit_to_fit": (VISIT, "00:00", "09:41", Refusal.CLOSED),
    "between_two_starts": (VISIT, "00:00", "09:10", Refusal.GRID),
    "after_the_last_start_although_it_would_fit": (VISIT, "00:00", "15:10", Refusal.GRID),
    "in_a_session_of_another_visit_type": (VISIT, "00:00", "14:00", Refusal.CLOSED),
    "between_starts_of_a_session_of_another_visit_type": (VISIT, "00:00", "14:10", Refusal.CLOSED),
    "inside_the_window_of_a_visit_that_takes_it_whole": (WHOLE, "00:00", "09:10", Refusal.GRID),
    "in_its_last_minute": (WHOLE, "00:00", "10:09", Refusal.GRID),
    "at_its_end": (WHOLE, "00:00", "10:10", Refusal.CLOSED),
    "a_visit_that_takes_a_session_of_another_type_whole": (WHOLE, "00:00", "14:00", Refusal.CLOSED),
    "an_end_too_early": (VISIT, "00:00", "09:20-09:49", Refusal.DURATION),
    "an_end_too_late": (VISIT, "00:00", "09:20-09:51", Refusal.DURATION),
    "an_end_inside_the_whole_window": (WHOLE, "00:00", "09:00-09:30", Refusal.DURATION),
    "off_the_grid_although_the_end_is_wrong_too": (VISIT, "00:00", "09:10-09:11", Refusal.GRID),
}


@pytest.mark.parametrize(("visit", "now", "asked", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_the_reason(visit: VisitRules, now: str, asked: str, reason: Refusal) -> None:
    start, _, end = asked.partition("-")

    answer = check(OPEN, visit, now=at(now), start=at(start), end=at(end) if end else None)

    assert answer is reason


def test_every_reason_is_in_the_table() -> None:
    assert {row[-1] for row in REFUSED.values()} == set(Refusal)


def test_a_start_is_not_between_the_starts_of_a_window_that_it_does_not_fit_in() -> None:
    """At 09:40 only the session of another type is long enough: this visit type is simply not on."""
    windows = [window("09:00-10:00"), window("09:00-12:00", 8, visit_type=2)]

    assert check(windows, VISIT, now=0, start=at("09:40")) is Refusal.CLOSED


@pytest.mark.parametrize(
    ("visit", "now", "start", "end"),
    [
        pytest.param(VISIT, "09:00", "09:00", "09:30", id="at_this_second"),
        pytest.param(VISIT, "00:00", "09:40", None, id="that_ends_with_the_window"),
        pytest.param(replace(VISIT, notice=3600), "08:00", "09:00", None, id="when_the_notice_is_just_kept"),
        pytest.param(replace(VISIT, horizon=3600), "08:00", "09:00", None, id="on_the_horizon"),
        pytest.param(replace(WHOLE, id=2), "00:00", "14:00", "15:00", id="of_the_session_of_its_type"),
    ],
)
def test_a_start_is_accepted(visit: VisitRules, now: str, start: str, end: str | None) -> None:
    answer = check(OPEN, visit, now=at(now), start=at(start), end=at(end) if end else None)

    assert isinstance(answer, Slot)
    assert clock(answer.start) == start
    assert end is None or clock(answer.end) == end


# --- places ---


def taken(*rows: str) -> list[Taken]:
    return [Taken(int(unit), span(text)) for unit, text in (row.split() for row in rows)]


@pytest.mark.parametrize(
    ("rows", "capacity", "unit"),
    [
        pytest.param([], 1, 1, id="nothing_taken_gives_the_first"),
        pytest.param(["1 09:00-10:00"], 1, None, id="taken_refuses"),
        pytest.param(["1 08:00-09:00", "1 10:00-11:00"], 1, 1, id="neighbours_that_touch_are_no_obstacle"),
        pytest.param(["1 09:59-11:00"], 1, None, id="a_shared_minute_is"),
        pytest.param(["1 09:00-10:00"], 3, 2, id="the_next_place"),
        pytest.param(["1 09:00-10:00", "3 09:00-10:00"], 3, 2, id="the_place_of_a_cancelled_visit"),
        pytest.param(["1 09:00-10:00", "2 09:00-10:00"], 2, None, id="all_taken"),
        pytest.param(["2 09:00-10:00"], 1, None, id="a_visit_left_from_a_removed_session_counts"),
        pytest.param(["1 09:00-10:00", "5 09:00-10:00"], 2, None, id="a_visit_left_from_a_larger_session_counts"),
        pytest.param(["5 09:00-10:00"], 2, 1, id="and_leaves_the_other_places"),
    ],
)
def test_the_lowest_free_place_between_nine_and_ten(rows: list[str], capacity: int, unit: int | None) -> None:
    assert free_unit(taken(*rows), span("09:00-10:00"), capacity=capacity) == unit


# --- own buffers give way ---


@pytest.mark.parametrize(
    ("others", "left"),
    [
        pytest.param([], "08:50-10:20", id="where_nobody_is_they_stay"),
        pytest.param(["08:00-08:55"], "08:55-10:20", id="before"),
        pytest.param(["10:05-11:00"], "08:50-10:05", id="after"),
        pytest.param(["08:00-09:00", "10:00-11:00"], "09:00-10:00", id="on_both_sides_down_to_nothing"),
        pytest.param(["07:00-08:00", "11:00-12:00"], "08:50-10:20", id="not_to_who_is_further_away"),
    ],
)
def test_buffers_shrink_to_what_others_leave(others: list[str], left: str) -> None:
    taken = [Taken(1, span(other)) for other in others]

    assert shrunk(span("09:00-10:00"), span("08:50-10:20"), taken) == span(left)
