"""What the rules of local time mean in real time. The expected instants carry their offset: no zone database made them."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise

import pytest

from engine.scheduling.hours import OpeningException, OpeningHours, Rules, Window, covers, local_date, local_day, windows
from engine.scheduling.intervals import Interval

HOUR, DAY = 3600, 24 * 3600
MONDAY, TUESDAY, SUNDAY = 0, 1, 6

# The states with their zones; a state with two or more has clinics in each.
ZONES_OF = """
AL America/Chicago | AK America/Anchorage America/Juneau America/Sitka America/Metlakatla America/Yakutat America/Nome America/Adak
AZ America/Phoenix America/Denver | AR America/Chicago | CA America/Los_Angeles | CO America/Denver | CT America/New_York
DE America/New_York | DC America/New_York | FL America/New_York America/Chicago | GA America/New_York | HI Pacific/Honolulu
ID America/Boise America/Los_Angeles | IL America/Chicago
IN America/Indiana/Indianapolis America/Indiana/Marengo America/Indiana/Petersburg America/Indiana/Vevay America/Indiana/Vincennes
   America/Indiana/Winamac America/Indiana/Knox America/Indiana/Tell_City America/Chicago
IA America/Chicago | KS America/Chicago America/Denver
KY America/New_York America/Kentucky/Louisville America/Kentucky/Monticello America/Chicago
LA America/Chicago | ME America/New_York
MD America/New_York | MA America/New_York | MI America/Detroit America/Menominee | MN America/Chicago | MS America/Chicago
MO America/Chicago | MT America/Denver | NE America/Chicago America/Denver | NV America/Los_Angeles America/Denver
NH America/New_York | NJ America/New_York | NM America/Denver | NY America/New_York | NC America/New_York
ND America/Chicago America/Denver America/North_Dakota/Beulah America/North_Dakota/Center America/North_Dakota/New_Salem
OH America/New_York | OK America/Chicago | OR America/Los_Angeles America/Boise | PA America/New_York | RI America/New_York
SC America/New_York | SD America/Chicago America/Denver | TN America/Chicago America/New_York | TX America/Chicago America/Denver
UT America/Denver | VT America/New_York | VA America/New_York | WA America/Los_Angeles | WV America/New_York | WI America/Chicago
WY America/Denver | AS Pacific/Pago_Pago | GU Pacific/Guam | MP Pacific/Saipan | PR America/Puerto_Rico | VI America/St_Thomas
"""
ROWS = ZONES_OF.strip().replace("\n   ", " ").replace("\n", "|").split("|")
STATES = {code: zones for code, *zones in (row.split() for row in ROWS)}

# Hours from UTC in winter. Arizona keeps winter time all year, the Navajo Nation in it does not.
WITH_DST = {
    -5: "New_York Detroit Indiana/Indianapolis Indiana/Marengo Indiana/Petersburg Indiana/Vevay Indiana/Vincennes Indiana/Winamac"
    " Kentucky/Louisville Kentucky/Monticello",
    -6: "Chicago Menominee Indiana/Knox Indiana/Tell_City North_Dakota/Beulah North_Dakota/Center North_Dakota/New_Salem",
    -7: "Denver Boise",
    -8: "Los_Angeles",
    -9: "Anchorage Juneau Sitka Metlakatla Yakutat Nome",
    -10: "Adak",
}
WINTER = {f"America/{name}": hours for hours, names in WITH_DST.items() for name in names.split()}
ALL_YEAR = {
    "America/Phoenix": -7,
    "America/Puerto_Rico": -4,
    "America/St_Thomas": -4,
    "Pacific/Guam": 10,
    "Pacific/Honolulu": -10,
    "Pacific/Pago_Pago": -11,
    "Pacific/Saipan": 10,
}
SPRING, AUTUMN = (date(2026, 3, 8), date(2027, 3, 14)), (date(2026, 11, 1), date(2027, 11, 7))
DAYS = tuple(date(2026, 1, 1) + timedelta(days=n) for n in range(2 * 365))


def at(text: str) -> int:
    """The instant of a time that carries its offset; without one, UTC."""
    instant = datetime.fromisoformat(text)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


def span(text: str) -> Interval:
    """`2026-06-01T09:00/17:00`, or two full times: an interval."""
    start, end = text.split("/")
    return Interval(at(start), at(end if "T" in end else start[:11] + end))


def weekly(hours: str, *days: int) -> tuple[OpeningHours, ...]:
    opens, closes = (time.fromisoformat(text) for text in hours.split("-"))
    return tuple(OpeningHours(day, opens, closes) for day in days)


def found(rules: Rules, within: str = "2026-05-31T00:00/2026-06-04T00:00") -> list[Window]:
    return windows(rules, span(within))


def ordinary(*spans: str) -> list[Window]:
    return [Window(span(text)) for text in spans]


@cache
def days_of(zone: str) -> tuple[Interval, ...]:
    return tuple(local_day(zone, day) for day in DAYS)


def midnight(zone: str, day: date) -> int:
    """When a day begins in a zone of the United States, by the law (15 U.S.C. 260a) instead of a zone database."""
    changes = zip(SPRING, AUTUMN, strict=True)
    summer = zone in WINTER and any(spring < day <= autumn for spring, autumn in changes)
    offset = WINTER[zone] + summer if zone in WINTER else ALL_YEAR[zone]
    return at(day.isoformat()) - offset * HOUR


# --- states and zones ---


def test_the_table_has_the_50_states_dc_and_the_5_inhabited_territories() -> None:
    assert len(STATES) == 50 + 1 + 5
    assert {zone for zones in STATES.values() for zone in zones} == {*WINTER, *ALL_YEAR}


@pytest.mark.parametrize("state", STATES)
def test_every_day_of_two_years_begins_and_ends_at_the_midnights_of_the_law(state: str) -> None:
    for zone in STATES[state]:
        midnights = pairwise([*DAYS, DAYS[-1] + timedelta(days=1)])

        assert days_of(zone) == tuple(Interval(midnight(zone, day), midnight(zone, following)) for day, following in midnights)


@pytest.mark.parametrize("state", STATES)
def test_every_day_of_two_years_has_24_hours_but_the_days_of_change(state: str) -> None:
    for zone in STATES[state]:
        odd = {day: (d.end - d.start) // HOUR for day, d in zip(DAYS, days_of(zone), strict=True) if d.end - d.start != DAY}

        assert odd == (dict.fromkeys(SPRING, 23) | dict.fromkeys(AUTUMN, 25) if zone in WINTER else {})


@pytest.mark.parametrize(
    ("zone", "odd"),
    [
        pytest.param("Australia/Lord_Howe", {"04-05": 24.5, "10-04": 23.5}, id="lord_howe_changes_by_half_an_hour"),
        pytest.param("Antarctica/Troll", {"03-29": 22, "10-25": 26}, id="troll_changes_by_two_hours"),
        pytest.param("Atlantic/Azores", {"03-29": 23, "10-25": 25}, id="the_azores_change_at_midnight"),
        pytest.param("Asia/Beirut", {"03-29": 23, "10-24": 25}, id="beirut_repeats_the_last_hour_of_the_day"),
        pytest.param("Africa/Cairo", {"04-24": 23, "10-29": 25}, id="cairo_repeats_the_last_hour_of_the_day"),
        pytest.param("America/St_Johns", {"03-08": 23, "11-01": 25}, id="newfoundland_is_half_an_hour_off"),
        pytest.param("Pacific/Chatham", {"04-05": 25, "09-27": 23}, id="chatham_is_three_quarters_off_and_east_of_12"),
        pytest.param("Asia/Kathmandu", {}, id="kathmandu_is_three_quarters_off"),
        pytest.param("Pacific/Kiritimati", {}, id="kiritimati_is_14_hours_east"),
        pytest.param("Etc/GMT+12", {}, id="the_westernmost_zone"),
    ],
)
def test_the_days_of_a_year_follow_each_other_without_hole_or_overlap(zone: str, odd: dict[str, float]) -> None:
    days = {day: interval for day, interval in zip(DAYS, days_of(zone), strict=True) if day.year == 2026}

    assert all(day.end == following.start for day, following in pairwise(days.values()))
    assert {f"{day:%m-%d}": (d.end - d.start) / HOUR for day, d in days.items() if d.end - d.start != DAY} == odd


def test_a_day_that_a_zone_skipped_is_empty_and_its_neighbours_touch() -> None:
    before, skipped, after = (local_day("Pacific/Apia", date(2011, 12, 29) + timedelta(days=n)) for n in range(3))

    assert skipped.start == skipped.end
    assert before == span("2011-12-29T00:00-10:00/2011-12-31T00:00+14:00")
    assert after == span("2011-12-31T00:00+14:00/2012-01-01T00:00+14:00")


def test_a_day_to_which_the_clock_came_back_after_midnight_reaches_to_its_second_end() -> None:
    """Newfoundland changed at a minute past midnight until 2011; no zone does in 2026 to 2029."""
    assert local_day("America/St_Johns", date(2010, 11, 6)) == span("2010-11-06T00:00-02:30/2010-11-07T00:00-03:30")


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("Pacific/Kiritimati", "2026-06-01T10:00", date(2026, 6, 2)),
        ("Pacific/Kiritimati", "2026-06-01T09:59:59", date(2026, 6, 1)),
        ("Pacific/Pago_Pago", "2026-06-01T10:59:59", date(2026, 5, 31)),
        ("Asia/Kathmandu", "2026-06-01T18:15", date(2026, 6, 2)),
        ("Pacific/Apia", "2011-12-30T10:00", date(2011, 12, 31)),
    ],
)
def test_the_local_date_is_the_one_on_the_wall(zone: str, instant: str, day: date) -> None:
    assert local_date(zone, at(instant)) == day


# --- daylight saving time ---

NEW_YORK, SPRING_DAY, AUTUMN_DAY = "America/New_York", "2026-03-08", "2026-11-01"
DST = {
    # New York, 8 March 2026: 02:00 becomes 03:00
    "23_hours/the_whole_day": (NEW_YORK, SPRING_DAY, "00:00-00:00", ["2026-03-08T00:00-05:00/2026-03-09T00:00-04:00"]),
    "23_hours/office_hours_are_8_hours": (NEW_YORK, SPRING_DAY, "09:00-17:00", ["2026-03-08T09:00-04:00/17:00-04:00"]),
    "23_hours/over_the_skipped_hour_lose_it": (NEW_YORK, SPRING_DAY, "01:30-03:30", ["2026-03-08T01:30-05:00/03:30-04:00"]),
    "23_hours/start_in_it_begin_at_its_end": (NEW_YORK, SPRING_DAY, "02:30-10:00", ["2026-03-08T03:00-04:00/10:00-04:00"]),
    "23_hours/start_with_it_begin_at_its_end": (NEW_YORK, SPRING_DAY, "02:00-10:00", ["2026-03-08T03:00-04:00/10:00-04:00"]),
    "23_hours/end_in_it_end_at_its_start": (NEW_YORK, SPRING_DAY, "01:00-02:30", ["2026-03-08T01:00-05:00/02:00-05:00"]),
    "23_hours/end_with_it_end_at_its_start": (NEW_YORK, SPRING_DAY, "01:00-03:00", ["2026-03-08T01:00-05:00/02:00-05:00"]),
    "23_hours/inside_it_have_no_window": (NEW_YORK, SPRING_DAY, "02:10-02:50", []),
    "23_hours/exactly_it_have_no_window": (NEW_YORK, SPRING_DAY, "02:00-03:00", []),
    "23_hours/night_into_it_is_an_hour_short": (
        NEW_YORK,
        "2026-03-07",
        "22:00-06:00",
        ["2026-03-07T22:00-05:00/2026-03-08T06:00-04:00"],
    ),
    "23_hours/night_out_of_it_is_whole": (NEW_YORK, SPRING_DAY, "22:00-06:00", ["2026-03-08T22:00-04:00/2026-03-09T06:00-04:00"]),
    "23_hours/night_that_ends_in_it": (NEW_YORK, "2026-03-07", "22:00-02:30", ["2026-03-07T22:00-05:00/2026-03-08T02:00-05:00"]),
    "23_hours/a_day_from_inside_it": (NEW_YORK, SPRING_DAY, "02:30-02:30", ["2026-03-08T03:00-04:00/2026-03-09T02:30-04:00"]),
    "23_hours/a_day_into_it": (NEW_YORK, "2026-03-07", "02:30-02:30", ["2026-03-07T02:30-05:00/2026-03-08T02:00-05:00"]),
    # New York, 1 November 2026: 02:00 becomes 01:00
    "25_hours/the_whole_day": (NEW_YORK, AUTUMN_DAY, "00:00-00:00", ["2026-11-01T00:00-04:00/2026-11-02T00:00-05:00"]),
    "25_hours/office_hours_are_8_hours": (NEW_YORK, AUTUMN_DAY, "09:00-17:00", ["2026-11-01T09:00-05:00/17:00-05:00"]),
    "25_hours/over_the_repeated_hour_gain_it": (NEW_YORK, AUTUMN_DAY, "00:30-02:30", ["2026-11-01T00:30-04:00/02:30-05:00"]),
    "25_hours/exactly_it_are_2_hours": (NEW_YORK, AUTUMN_DAY, "01:00-02:00", ["2026-11-01T01:00-04:00/02:00-05:00"]),
    "25_hours/start_in_it_start_twice": (
        NEW_YORK,
        AUTUMN_DAY,
        "01:30-09:00",
        ["2026-11-01T01:30-04:00/01:00-05:00", "2026-11-01T01:30-05:00/09:00-05:00"],
    ),
    "25_hours/end_in_it_end_twice": (
        NEW_YORK,
        AUTUMN_DAY,
        "00:00-01:30",
        ["2026-11-01T00:00-04:00/01:30-04:00", "2026-11-01T01:00-05:00/01:30-05:00"],
    ),
    "25_hours/inside_it_are_open_twice": (
        NEW_YORK,
        AUTUMN_DAY,
        "01:15-01:45",
        ["2026-11-01T01:15-04:00/01:45-04:00", "2026-11-01T01:15-05:00/01:45-05:00"],
    ),
    "25_hours/start_when_it_is_over": (NEW_YORK, AUTUMN_DAY, "02:00-09:00", ["2026-11-01T02:00-05:00/09:00-05:00"]),
    "25_hours/night_into_it_is_an_hour_long": (
        NEW_YORK,
        "2026-10-31",
        "22:00-06:00",
        ["2026-10-31T22:00-04:00/2026-11-01T06:00-05:00"],
    ),
    "25_hours/night_out_of_it_is_whole": (NEW_YORK, AUTUMN_DAY, "22:00-06:00", ["2026-11-01T22:00-05:00/2026-11-02T06:00-05:00"]),
    "25_hours/night_that_ends_in_it_ends_twice": (
        NEW_YORK,
        "2026-10-31",
        "22:00-01:30",
        ["2026-10-31T22:00-04:00/2026-11-01T01:30-04:00", "2026-11-01T01:00-05:00/01:30-05:00"],
    ),
    # Lord Howe moves by 30 minutes, at 02:00
    "half_an_hour/skipped": ("Australia/Lord_Howe", "2026-10-04", "02:15-09:00", ["2026-10-04T02:30+11:00/09:00+11:00"]),
    "half_an_hour/inside_the_skipped": ("Australia/Lord_Howe", "2026-10-04", "02:05-02:25", []),
    "half_an_hour/repeated": (
        "Australia/Lord_Howe",
        "2026-04-05",
        "01:45-09:00",
        ["2026-04-05T01:45+11:00/02:00+11:00", "2026-04-05T01:45+10:30/09:00+10:30"],
    ),
    # changes at midnight
    "midnight/the_day_begins_at_one": (
        "Atlantic/Azores",
        "2026-03-29",
        "00:00-00:00",
        ["2026-03-29T01:00+00:00/2026-03-30T00:00+00:00"],
    ),
    "midnight/night_into_a_day_that_begins_at_one": (
        "Asia/Beirut",
        "2026-03-28",
        "22:00-06:00",
        ["2026-03-28T22:00+02:00/2026-03-29T06:00+03:00"],
    ),
    "midnight/inside_the_skipped_first_hour": ("Africa/Cairo", "2026-04-24", "00:00-01:00", []),
    "midnight/the_first_hour_twice": (
        "Atlantic/Azores",
        "2026-10-25",
        "00:30-08:00",
        ["2026-10-25T00:30+00:00/01:00+00:00", "2026-10-25T00:30-01:00/08:00-01:00"],
    ),
    "midnight/the_last_hour_twice": ("Asia/Beirut", "2026-10-24", "23:00-00:00", ["2026-10-24T23:00+03:00/2026-10-25T00:00+02:00"]),
    "midnight/end_in_the_last_hour_end_twice": (
        "Asia/Beirut",
        "2026-10-24",
        "20:00-23:30",
        ["2026-10-24T20:00+03:00/23:30+03:00", "2026-10-24T23:00+02:00/23:30+02:00"],
    ),
    "midnight/night_over_the_repeated_last_hour": (
        "Africa/Cairo",
        "2026-10-29",
        "22:00-06:00",
        ["2026-10-29T22:00+03:00/2026-10-30T06:00+02:00"],
    ),
    # far from Greenwich
    "offset/of_three_quarters": ("Asia/Kathmandu", "2026-06-01", "09:00-17:00", ["2026-06-01T09:00+05:45/17:00+05:45"]),
    "offset/of_14_hours": ("Pacific/Kiritimati", "2026-06-01", "00:00-00:00", ["2026-06-01T00:00+14:00/2026-06-02T00:00+14:00"]),
    "offset/of_minus_11_hours": (
        "Pacific/Pago_Pago",
        "2026-06-01",
        "00:00-00:00",
        ["2026-06-01T00:00-11:00/2026-06-02T00:00-11:00"],
    ),
    "offset/evening_in_the_west": ("Pacific/Pago_Pago", "2026-06-01", "18:00-23:30", ["2026-06-01T18:00-11:00/23:30-11:00"]),
    "offset/morning_in_the_east": ("Pacific/Kiritimati", "2026-06-01", "00:30-09:00", ["2026-06-01T00:30+14:00/09:00+14:00"]),
    # Apia went from the 29th to the 31st of December 2011
    "skipped_day/has_no_window": ("Pacific/Apia", "2011-12-30", "09:00-17:00", []),
    "skipped_day/night_into_it_ends_with_the_day_before": (
        "Pacific/Apia",
        "2011-12-29",
        "22:00-06:00",
        ["2011-12-29T22:00-10:00/2011-12-30T00:00-10:00"],
    ),
    "skipped_day/night_out_of_it_begins_with_the_day_after": (
        "Pacific/Apia",
        "2011-12-30",
        "22:00-06:00",
        ["2011-12-31T00:00+14:00/06:00+14:00"],
    ),
}


@pytest.mark.parametrize(("zone", "day", "hours", "open_at"), DST.values(), ids=DST.keys())
def test_open_means_that_the_wall_clock_reads_a_time_within_the_hours(zone: str, day: str, hours: str, open_at: list[str]) -> None:
    rules = Rules(zone, weekly(hours, date.fromisoformat(day).weekday()))
    around = Interval(at(day) - DAY, at(day) + 3 * DAY)

    assert windows(rules, around) == ordinary(*open_at)


# --- exceptions, holidays, validity (Monday is the 1st of June 2026) ---


def closed(text: str) -> OpeningException:
    return OpeningException(span(text), open=False)


def extra(text: str) -> OpeningException:
    return OpeningException(span(text), open=True)


def session(text: str, capacity: int = 8, visit_type: int | None = None) -> OpeningException:
    return OpeningException(span(text), open=True, capacity=capacity, visit_type=visit_type)


EXCEPTIONS = {
    "a_closure_splits_the_hours": ([closed("2026-06-01T12:00/13:00")], ["2026-06-01T09:00/12:00", "2026-06-01T13:00/17:00"]),
    "a_closure_over_the_start_moves_it": ([closed("2026-06-01T08:00/10:00")], ["2026-06-01T10:00/17:00"]),
    "a_closure_that_touches_takes_nothing": (
        [closed("2026-06-01T17:00/18:00"), closed("2026-06-01T08:00/09:00")],
        ["2026-06-01T09:00/17:00"],
    ),
    "a_closure_of_a_year_takes_all": ([closed("2026-01-01T00:00/2027-01-01T00:00")], []),
    "an_opening_that_touches_is_joined": ([extra("2026-06-01T17:00/19:00")], ["2026-06-01T09:00/19:00"]),
    "an_opening_before_the_hours_moves_the_start": ([extra("2026-06-01T08:00/10:00")], ["2026-06-01T08:00/17:00"]),
    "an_opening_apart_is_a_window": ([extra("2026-06-01T19:00/20:00")], ["2026-06-01T09:00/17:00", "2026-06-01T19:00/20:00"]),
    "an_opening_on_a_free_day": ([extra("2026-06-02T09:00/10:00")], ["2026-06-01T09:00/17:00", "2026-06-02T09:00/10:00"]),
    "an_opening_from_the_day_before_is_not_joined": (
        [extra("2026-05-31T20:00/2026-06-01T09:00")],
        ["2026-05-31T20:00/2026-06-01T09:00", "2026-06-01T09:00/17:00"],
    ),
    "closed_beats_an_extra_opening": (
        [extra("2026-06-01T17:00/19:00"), closed("2026-06-01T16:00/18:00")],
        ["2026-06-01T09:00/16:00", "2026-06-01T18:00/19:00"],
    ),
    "closed_beats_open_in_any_order": (
        [closed("2026-06-01T16:00/18:00"), extra("2026-06-01T17:00/19:00")],
        ["2026-06-01T09:00/16:00", "2026-06-01T18:00/19:00"],
    ),
}


@pytest.mark.parametrize(("exceptions", "open_at"), EXCEPTIONS.values(), ids=EXCEPTIONS.keys())
def test_exceptions_change_the_weekly_hours(exceptions: list[OpeningException], open_at: list[str]) -> None:
    rules = Rules("UTC", weekly("09:00-17:00", MONDAY), tuple(exceptions))

    assert found(rules) == ordinary(*open_at)


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(session("2026-06-01T10:00/12:00", 8), id="with_many_places"),
        pytest.param(session("2026-06-01T10:00/12:00", 1, 5), id="for_one_visit_type"),
        pytest.param(session("2026-06-01T10:00/12:00", 8, 5), id="with_many_places_for_one_visit_type"),
    ],
)
def test_a_session_takes_its_time_out_of_the_weekly_hours_and_of_extra_openings(group: OpeningException) -> None:
    own = Window(group.during, group.capacity, group.visit_type)
    hours = Rules("UTC", weekly("09:00-17:00", MONDAY), (group,))
    openings = Rules("UTC", (), (extra("2026-06-01T09:00/17:00"), group))

    expected = sorted([*ordinary("2026-06-01T09:00/10:00", "2026-06-01T12:00/17:00"), own], key=lambda w: w.during)

    assert found(hours) == expected
    assert found(openings) == expected


def test_a_closure_cuts_a_session() -> None:
    rules = Rules("UTC", (), (session("2026-06-01T10:00/12:00", 8, 5), closed("2026-06-01T11:00/11:30")))

    assert found(rules) == [Window(span("2026-06-01T10:00/11:00"), 8, 5), Window(span("2026-06-01T11:30/12:00"), 8, 5)]


def test_a_holiday_takes_the_hours_that_begin_on_it_and_leaves_exceptions_and_the_night_before() -> None:
    rules = Rules(
        "UTC",
        (*weekly("09:00-17:00", MONDAY, TUESDAY), *weekly("22:00-06:00", SUNDAY)),
        (extra("2026-06-01T10:00/11:00"), session("2026-06-01T14:00/15:00")),
        closed_days=frozenset({date(2026, 6, 1)}),
    )

    assert found(rules) == [
        *ordinary("2026-05-31T22:00/2026-06-01T06:00", "2026-06-01T10:00/11:00"),
        Window(span("2026-06-01T14:00/15:00"), 8),
        *ordinary("2026-06-02T09:00/17:00"),
    ]


def test_a_holiday_is_the_local_day() -> None:
    auckland = "Pacific/Auckland"
    rules = Rules(auckland, weekly("09:00-17:00", MONDAY, TUESDAY), closed_days=frozenset({date(2026, 6, 1)}))

    assert found(rules) == ordinary("2026-06-02T09:00+12:00/17:00+12:00")


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "holds"),
    [
        pytest.param(None, None, True, id="without_bounds_always"),
        pytest.param(date(2026, 6, 1), None, True, id="on_its_first_day"),
        pytest.param(date(2026, 6, 2), None, False, id="not_before_its_first_day"),
        pytest.param(None, date(2026, 6, 1), True, id="on_its_last_day"),
        pytest.param(None, date(2026, 5, 31), False, id="not_after_its_last_day"),
        pytest.param(date(2026, 6, 1), date(2026, 6, 1), True, id="on_its_only_day"),
    ],
)
def test_a_rule_holds_from_its_first_to_its_last_day(valid_from: date | None, valid_until: date | None, holds: bool) -> None:
    rules = Rules("UTC", (OpeningHours(MONDAY, time(22), time(6), valid_from, valid_until),))

    assert found(rules) == (ordinary("2026-06-01T22:00/2026-06-02T06:00") if holds else [])


# --- what a search sees ---


def test_rules_of_one_day_that_touch_or_overlap_are_one_window() -> None:
    rules = Rules("UTC", (*weekly("13:00-17:00", MONDAY), *weekly("09:00-12:00", MONDAY), *weekly("11:00-13:00", MONDAY)))

    assert found(rules) == ordinary("2026-06-01T09:00/17:00")


def test_days_that_touch_at_midnight_are_two_windows() -> None:
    rules = Rules("UTC", weekly("00:00-00:00", MONDAY, TUESDAY))

    assert found(rules) == ordinary("2026-06-01T00:00/2026-06-02T00:00", "2026-06-02T00:00/2026-06-03T00:00")


@pytest.mark.parametrize(
    ("within", "is_found"),
    [
        pytest.param("2026-06-01T08:00/09:00", False, id="ends_where_it_starts"),
        pytest.param("2026-06-01T08:00/09:00:01", True, id="has_its_first_second"),
        pytest.param("2026-06-01T16:59:59/17:00", True, id="has_its_last_second"),
        pytest.param("2026-06-01T17:00/18:00", False, id="starts_where_it_ends"),
    ],
)
def test_a_window_is_found_in_its_full_length_by_a_range_that_shares_a_second_with_it(within: str, is_found: bool) -> None:
    rules = Rules("UTC", weekly("09:00-17:00", MONDAY))

    assert found(rules, within) == (ordinary("2026-06-01T09:00/17:00") if is_found else [])


def test_the_longest_window_there_can_be_is_found_whole_from_its_last_second() -> None:
    """A day of 25 hours, joined to an opening at its first minute and to one of 24 hours at its last: 49 hours."""
    first, last = extra("2026-11-01T00:00-04:00/00:01-04:00"), extra("2026-11-01T23:59:59-05:00/2026-11-02T23:59:59-05:00")
    rules = Rules(NEW_YORK, weekly("00:01-00:00", SUNDAY), (first, last))

    whole = ordinary("2026-11-01T00:00-04:00/2026-11-02T23:59:59-05:00")

    assert found(rules, "2026-11-02T23:59:58-05:00/23:59:59-05:00") == whole
    assert found(rules, "2026-11-01T00:00-04:00/00:00:01-04:00") == whole


def test_a_closure_at_the_far_end_of_a_window_is_seen_from_its_start() -> None:
    rules = Rules("UTC", weekly("00:00-00:00", MONDAY), (closed("2026-06-01T23:59/2026-06-02T00:00"),))

    assert found(rules, "2026-06-01T00:00/00:00:01") == ordinary("2026-06-01T00:00/23:59")


@pytest.mark.parametrize(
    ("during", "is_covered"),
    [
        pytest.param("2026-06-01T09:00/12:00", True, id="exactly_one_window"),
        pytest.param("2026-06-01T11:00/14:00", True, id="over_two_windows_that_touch"),
        pytest.param("2026-06-01T08:59:59/10:00", False, id="not_a_second_before_it_opens"),
        pytest.param("2026-06-01T16:00/17:00:01", False, id="not_a_second_after_it_closes"),
        pytest.param("2026-06-01T15:00/17:00", False, id="not_over_a_gap"),
    ],
)
def test_time_is_covered_when_all_of_it_is_open(during: str, is_covered: bool) -> None:
    open_at = ordinary("2026-06-01T16:00/17:00", "2026-06-01T12:00/15:30", "2026-06-01T09:00/12:00")

    assert covers(open_at, span(during)) is is_covered
