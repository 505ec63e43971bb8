"""Days and times in time zones, without a page."""

import pytest

from tests.browser.stack import NewPage

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("zone", "day", "hours", "starts"),
    [
        ("America/New_York", "2026-11-26", 24, "2026-11-26T05:00:00.000Z"),
        ("America/New_York", "2026-03-08", 23, "2026-03-08T05:00:00.000Z"),
        ("America/New_York", "2026-11-01", 25, "2026-11-01T04:00:00.000Z"),
        ("Australia/Lord_Howe", "2026-04-05", 24.5, "2026-04-04T13:00:00.000Z"),
        ("America/Santiago", "2026-09-06", 23, "2026-09-06T04:00:00.000Z"),  # midnight does not exist
        ("Atlantic/Azores", "2026-10-25", 25, "2026-10-25T00:00:00.000Z"),  # midnight happens twice
        ("Pacific/Kiritimati", "2026-01-01", 24, "2025-12-31T10:00:00.000Z"),
    ],
)
def test_a_day_begins_and_ends_where_its_zone_says(new_page: NewPage, *, zone: str, day: str, hours: float, starts: str) -> None:
    start, end, inside = new_page("/").evaluate(
        """async ([day, zone]) => {
            const { startOfDay, addDays, dayOf } = await import("/static/time.js");
            const [start, end] = [startOfDay(day, zone), startOfDay(addDays(day, 1), zone)];
            return [start, end, [start - 1, start, end - 1, end].map((instant) => dayOf(instant, zone) === day)];
        }""",
        [day, zone],
    )
    assert (end - start) / HOUR == hours
    assert inside == [False, True, True, False]
    assert new_page("/").evaluate("(instant) => new Date(instant).toISOString()", start) == starts


def test_the_hour_that_happens_twice_is_named_apart(new_page: NewPage) -> None:
    times = new_page("/").evaluate(
        """async () => {
            const { clock } = await import("/static/time.js");
            return ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"]
                .map((text) => clock(Date.parse(text), "America/New_York"));
        }"""
    )
    assert [text.replace("\u00a0", " ") for text in times] == ["1:30 AM EDT", "1:30 AM EST", "1:30 AM"]


@pytest.mark.parametrize(
    ("day", "time", "instant"),
    [
        ("2026-11-26", "09:30", "2026-11-26T14:30:00.000Z"),
        ("2026-11-01", "01:30", "2026-11-01T05:30:00.000Z"),  # happens twice
        ("2026-11-01", "23:00", "2026-11-02T04:00:00.000Z"),
        ("2026-03-08", "02:30", "2026-03-08T07:30:00.000Z"),  # does not exist
    ],
)
def test_a_time_on_the_clock_is_an_instant_of_its_day(new_page: NewPage, *, day: str, time: str, instant: str) -> None:
    found = new_page("/").evaluate(
        """async ([day, time]) => {
            const { instantOf } = await import("/static/time.js");
            return new Date(instantOf(day, time, "America/New_York")).toISOString();
        }""",
        [day, time],
    )
    assert found == instant
