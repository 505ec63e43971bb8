"""What holds for any rules, in any zone, around the days on which its clocks change. Every model here is a slow, obvious one."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.scheduling.hours import LONGEST_OPENING, OpeningException, OpeningHours, Rules, Window, windows
from engine.scheduling.intervals import Interval, clip, merge, subtract
from engine.scheduling.slots import Slot, Taken, VisitRules, check, free_unit, offered

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
GRAIN = 5 * MINUTE
"""All random times are multiples of it, and so are the changes of the clocks below: to look at each is to look at all."""

CHANGES = {
    "America/New_York": "2026-03-08 2026-11-01",
    "Atlantic/Azores": "2026-03-29 2026-10-25",
    "America/Phoenix": "2026-03-08",
    "Africa/Cairo": "2026-04-24 2026-10-29",
    "Antarctica/Troll": "2026-03-29 2026-10-25",
    "Asia/Beirut": "2026-03-29 2026-10-24",
    "Asia/Kathmandu": "2026-06-01",
    "Australia/Lord_Howe": "2026-04-05 2026-10-04",
    "Pacific/Apia": "2011-12-30",
    "Pacific/Kiritimati": "2026-06-01",
}
PLACES = [(zone, date.fromisoformat(day)) for zone, days in CHANGES.items() for day in days.split()]

quick = settings(derandomize=True, deadline=None, max_examples=150)
thorough = settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def noon(day: date) -> int:
    """Noon in Greenwich: what happens on `day`, in any zone, happens within two days of it."""
    return int(datetime.combine(day, time(12), UTC).timestamp())


def instants(day: date, reach: int) -> st.SearchStrategy[int]:
    return st.integers(-reach // GRAIN, reach // GRAIN).map(lambda n: noon(day) + n * GRAIN)


def lengths(longest: int) -> st.SearchStrategy[int]:
    return st.integers(1, longest // GRAIN).map(lambda n: n * GRAIN)


def ranges(day: date, reach: int, longest: int) -> st.SearchStrategy[Interval]:
    return st.builds(lambda start, length: Interval(start, start + length), instants(day, reach), lengths(longest))


wall_times = st.builds(time, st.sampled_from([0, 1, 1, 2, 23]) | st.integers(0, 23), st.integers(0, 11).map(lambda n: n * 5))
visits = st.builds(
    VisitRules,
    id=st.just(1),
    duration=st.none() | lengths(HOUR) | lengths(4 * HOUR),
    step=lengths(HOUR),
    notice=st.sampled_from([0, 0, HOUR]),
    horizon=st.sampled_from([2 * DAY, 180 * DAY]),
)


@st.composite
def rules_around(draw: st.DrawFn, zone: str, day: date) -> Rules:
    near = st.integers(-1, 1).map(lambda n: day + timedelta(days=n))
    often_none = st.integers(0, 3).flatmap(lambda n: st.none() if n else near)
    hours = st.builds(
        OpeningHours,
        weekday=(near | st.just(day)).map(date.weekday),
        opens=wall_times,
        closes=wall_times,
        valid_from=often_none,
        valid_until=often_none,
    )
    closures = st.builds(OpeningException, ranges(day, 2 * DAY, 6 * HOUR) | ranges(day, 9 * DAY, 6 * DAY), open=st.just(False))
    openings = st.builds(
        OpeningException,
        ranges(day, 36 * HOUR, 4 * HOUR) | ranges(day, 3 * DAY, LONGEST_OPENING),
        open=st.just(True),
        capacity=st.sampled_from([1, 5]),
        visit_type=st.sampled_from([None, None, 1, 2]),
    )
    return Rules(
        zone,
        tuple(draw(st.lists(hours, min_size=2, max_size=6))),
        tuple(draw(st.lists(openings, min_size=1, max_size=4)) + draw(st.lists(closures, max_size=2))),
        draw(st.frozensets(near, max_size=1)),
    )


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Rules, date]:
    """Random rules near a day on which the clocks of their zone change."""
    zone, day = draw(st.sampled_from(PLACES))
    return draw(rules_around(zone, day)), day


# --- opening hours ---


def has_weekly_hours(rules: Rules, wall: datetime) -> bool:
    """The one principle of hours.py, word for word."""
    for day in (wall.date(), wall.date() - timedelta(days=1)):
        for rule in rules.hours:
            closing_day = day if rule.opens < rule.closes else day + timedelta(days=1)
            valid = (rule.valid_from or day) <= day <= (rule.valid_until or day) and day not in rules.closed_days
            reads_open = datetime.combine(day, rule.opens) <= wall < datetime.combine(closing_day, rule.closes)
            if rule.weekday == day.weekday() and valid and reads_open:
                return True
    return False


def kinds_open_at(rules: Rules, instant: int) -> set[tuple[int, int | None]]:
    """(capacity, visit type) of the windows that must be open at one instant."""
    now = [e for e in rules.exceptions if e.during.start <= instant < e.during.end]
    if any(not e.open for e in now):
        return set()
    sessions = {(e.capacity, e.visit_type) for e in now} - {(1, None)}
    wall = datetime.fromtimestamp(instant, ZoneInfo(rules.zone)).replace(tzinfo=None)
    return sessions or ({(1, None)} if now or has_weekly_hours(rules, wall) else set())


@thorough
@given(calendars())
def test_a_calendar_is_open_exactly_when_the_wall_clock_and_the_exceptions_say_so(calendar: tuple[Rules, date]) -> None:
    rules, day = calendar
    within = Interval(noon(day) - 36 * HOUR, noon(day) + 36 * HOUR)

    found = windows(rules, within)

    for instant in range(within.start, within.end, GRAIN):
        open_now = {(w.capacity, w.visit_type) for w in found if w.during.start <= instant < w.during.end}
        assert open_now == kinds_open_at(rules, instant), datetime.fromtimestamp(instant, ZoneInfo(rules.zone))


@thorough
@given(calendars(), st.data())
def test_what_is_found_and_offered_does_not_depend_on_the_searched_range(calendar: tuple[Rules, date], data: st.DataObject) -> None:
    rules, day = calendar
    visit, now = data.draw(visits), noon(day) - data.draw(lengths(4 * DAY)) + DAY
    one, other = (data.draw(ranges(day, 36 * HOUR, 36 * HOUR)) for _ in range(2))

    in_one, in_other = windows(rules, one), windows(rules, other)
    slots_of_one = list(offered(in_one, visit, now=now, within=one))
    slots_of_other = list(offered(in_other, visit, now=now, within=other))

    assert [w for w in in_one if w.during.overlaps(other)] == [w for w in in_other if w.during.overlaps(one)]
    assert starting_in(other, slots_of_one) == starting_in(one, slots_of_other)


def starting_in(within: Interval, slots: Iterable[Slot]) -> list[Slot]:
    return [slot for slot in slots if within.start <= slot.start < within.end]


# --- slots ---


@thorough
@given(calendars(), st.data())
def test_what_is_offered_is_what_is_accepted(calendar: tuple[Rules, date], data: st.DataObject) -> None:
    """Searched in one call, asked one by one: with windows of each start alone, as the write under the lock has them."""
    rules, day = calendar
    visit, now = data.draw(visits), noon(day) - data.draw(lengths(2 * DAY)) + 12 * HOUR
    within = Interval(noon(day) - data.draw(lengths(20 * HOUR)), noon(day) + data.draw(lengths(12 * HOUR)))

    slots = list(offered(windows(rules, within), visit, now=now, within=within))
    at_a_second = data.draw(st.sets(st.integers(within.start, within.end - 1), max_size=5))
    beside = {slot.start + second for slot in slots for second in (-1, 0, 1) if within.start <= slot.start + second < within.end}
    asked = sorted({*range(within.start, within.end, GRAIN), *beside, *at_a_second})
    answers = [check(windows(rules, Interval(start, start + 1)), visit, now=now, start=start) for start in asked]

    assert [answer for answer in answers if isinstance(answer, Slot)] == slots


@thorough
@given(calendars(), visits, st.data())
def test_a_slot_lies_in_one_window_of_its_kind_and_within_now_and_horizon(
    calendar: tuple[Rules, date], visit: VisitRules, data: st.DataObject
) -> None:
    rules, day = calendar
    now, within = noon(day) - data.draw(lengths(3 * DAY)) + DAY, data.draw(ranges(day, 36 * HOUR, 3 * DAY))
    found = windows(rules, within)

    slots = list(offered(found, visit, now=now, within=within))

    assert all(earlier.start < later.start for earlier, later in pairwise(slots))
    for slot in slots:
        assert max(within.start, now + visit.notice) <= slot.start < within.end
        assert slot.start <= now + visit.horizon
        assert any(holds(window, slot, visit) for window in found)


def holds(window: Window, slot: Slot, visit: VisitRules) -> bool:
    inside = window.during.start <= slot.start < slot.end <= window.during.end
    right_length = (
        Interval(slot.start, slot.end) == window.during if visit.duration is None else slot.end - slot.start == visit.duration
    )
    return inside and right_length and slot.capacity == window.capacity and window.visit_type in {None, visit.id}


# --- places ---

small = st.builds(lambda start, length: Interval(start, start + length), st.integers(0, 20), st.integers(1, 8))


@quick
@given(st.lists(st.builds(Taken, st.integers(1, 5), small)), small, st.integers(1, 4))
@example([Taken(2, Interval(0, 4))], Interval(2, 6), 1)
def test_a_place_is_the_lowest_free_one_and_never_makes_more_visits_than_places(
    taken: list[Taken], blocked: Interval, capacity: int
) -> None:
    seconds = set(range(*blocked))
    busy = {t.unit for t in taken if seconds & set(range(*t.during))}

    unit = free_unit(taken, blocked, capacity=capacity)

    if unit is None:
        assert len(busy) >= capacity
    else:
        assert next(u for u in range(1, capacity + 1) if u not in busy) == unit
        assert all(len({t.unit for t in taken if second in range(*t.during)} | {unit}) <= capacity for second in seconds)


# --- intervals, against sets of whole numbers ---

spans = st.lists(st.builds(Interval, st.integers(0, 30), st.integers(0, 30)), max_size=8)
"""Any order, overlapping, touching, empty, even reversed."""


def points(intervals: Iterable[Interval]) -> set[int]:
    return {point for start, end in intervals for point in range(start, end)}


@quick
@given(spans)
def test_merge_keeps_the_points_and_leaves_gaps(intervals: list[Interval]) -> None:
    merged = merge(intervals)

    assert points(merged) == points(intervals)
    assert all(interval.start < interval.end for interval in merged)
    assert all(earlier.end < later.start for earlier, later in pairwise(merged))
    assert merge(merged) == merge(reversed(merged)) == merged


@quick
@given(spans, spans)
def test_subtract_is_the_difference_of_the_points(base: list[Interval], holes: list[Interval]) -> None:
    rest = subtract(merge(base), merge(holes))

    assert points(rest) == points(base) - points(holes)
    assert merge(rest) == rest


@quick
@given(spans, small)
def test_clip_is_the_intersection_of_the_points(intervals: list[Interval], within: Interval) -> None:
    merged = merge(intervals)

    clipped = clip(merged, within)

    assert points(clipped) == points(merged) & points([within])
    assert merge(clipped) == clipped


@quick
@given(small, small)
def test_intervals_overlap_when_they_share_a_point(one: Interval, other: Interval) -> None:
    assert one.overlaps(other) is bool(points([one]) & points([other]))
