"""When reminders are due: quiet hours, zones, and the two days a year that are not 24 hours long."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.notifications.timing import NEVER_QUIET, Quiet, quiet_around, reminder_at

NEW_YORK, KOLKATA, PHOENIX = "America/New_York", "Asia/Kolkata", "America/Phoenix"
NIGHT = Quiet(time(21), time(8))
LONG_AGO = 1_700_000_000
H = 3600


def at(text: str, zone: str = NEW_YORK, *, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


@pytest.mark.parametrize(
    ("visit", "hours", "expected"),
    [
        ("2026-11-26T14:00", 2, "2026-11-26T12:00"),  # by day: as asked
        ("2026-11-26T14:00", 48, "2026-11-24T14:00"),
        ("2026-11-26T10:00", 2, "2026-11-26T08:00"),  # the quiet hours end, and are over
        ("2026-11-26T09:00", 2, "2026-11-26T08:00"),  # their end leaves half of the lead
        ("2026-11-26T08:30", 2, "2026-11-25T20:45"),  # it does not: the evening before
        ("2026-11-26T08:00", 2, "2026-11-25T20:45"),
        ("2026-11-26T05:00", 48, "2026-11-24T08:00"),
        ("2026-11-26T23:00", 2, "2026-11-26T20:45"),  # they begin as it is due
        # 2 November 2026, New York: the clock goes back at 2:00, the night of the 31st has an hour more.
        ("2026-11-02T14:00", 48, "2026-10-31T15:00"),  # 48 hours are not two days
        ("2026-11-01T08:30", 2, "2026-10-31T20:45"),
        ("2026-11-01T03:30", 48, "2026-10-30T08:00"),
        # 14 March 2027: it goes forward, 2:00 to 3:00 does not exist.
        ("2027-03-14T14:00", 48, "2027-03-12T13:00"),
        ("2027-03-14T09:00", 2, "2027-03-14T08:00"),
        ("2027-03-14T09:00", 12, "2027-03-13T20:00"),
    ],
)
def test_a_reminder_comes_when_people_are_awake(visit: str, hours: int, expected: str) -> None:
    due = reminder_at(at(visit), lead=hours * H, now=LONG_AGO, quiet=NIGHT, zone=NEW_YORK)

    assert due == at(expected)


@pytest.mark.parametrize(
    ("begins", "ends", "inside", "outside"),
    [
        # The end that does not exist (2:30 on the spring day) is as far after midnight as it says: 3:30 by the new clock.
        (time(0), time(2, 30), "2027-03-14T03:29", "2027-03-14T03:30"),
        (time(13), time(15), "2026-11-26T13:00", "2026-11-26T15:00"),  # a nap, not a night
        (time(13), time(15), "2026-11-26T14:59", "2026-11-26T12:59"),
        (time(21), time(8), "2026-11-01T07:59", "2026-11-01T08:00"),  # the night of 25 hours
        (time(21), time(8), "2027-03-14T07:59", "2027-03-14T08:00"),  # the night of 23 hours
    ],
)
def test_quiet_hours_are_on_the_wall(begins: time, ends: time, inside: str, outside: str) -> None:
    assert quiet_around(at(inside), Quiet(begins, ends), NEW_YORK)
    assert not quiet_around(at(outside), Quiet(begins, ends), NEW_YORK)


def test_the_hour_that_happens_twice_is_quiet_both_times() -> None:
    first, second = at("2026-11-01T01:30"), at("2026-11-01T01:30", fold=1)

    assert second - first == H
    assert quiet_around(first, NIGHT, NEW_YORK) == quiet_around(second, NIGHT, NEW_YORK)


def test_it_is_the_patients_night_that_counts() -> None:
    visit = at("2026-11-26T14:00")

    assert reminder_at(visit, lead=2 * H, now=LONG_AGO, quiet=NIGHT, zone=NEW_YORK) == visit - 2 * H
    assert reminder_at(visit, lead=2 * H, now=LONG_AGO, quiet=NIGHT, zone=KOLKATA) == at("2026-11-26T20:45", KOLKATA)


def test_who_books_later_than_the_reminder_gets_none() -> None:
    visit = at("2026-11-26T14:00")

    assert reminder_at(visit, lead=2 * H, now=visit - 2 * H + 1, quiet=NIGHT, zone=PHOENIX) is None
    assert reminder_at(visit, lead=2 * H, now=visit - 2 * H, quiet=NEVER_QUIET, zone=PHOENIX) == visit - 2 * H


def test_booked_at_night_for_the_morning_the_end_of_the_night_must_do() -> None:
    visit, booked = at("2026-11-26T08:30"), at("2026-11-25T22:00")

    assert reminder_at(visit, lead=2 * H, now=booked, quiet=NIGHT, zone=NEW_YORK) == at("2026-11-26T08:00")
    assert reminder_at(at("2026-11-26T07:30"), lead=2 * H, now=booked, quiet=NIGHT, zone=NEW_YORK) is None


@given(
    start=st.integers(min_value=1_790_000_000, max_value=1_900_000_000),
    lead=st.integers(min_value=300, max_value=7 * 86_400),
    early=st.integers(min_value=0, max_value=10 * 86_400),
    begins=st.integers(min_value=0, max_value=1439),
    minutes=st.integers(min_value=0, max_value=16 * 60),
    zone=st.sampled_from([NEW_YORK, KOLKATA, PHOENIX, "Australia/Lord_Howe", "America/St_Johns", "UTC"]),
)
def test_whatever_the_hours_a_reminder_is_before_the_visit_and_not_in_them(
    start: int, lead: int, early: int, begins: int, minutes: int, zone: str
) -> None:
    quiet, now = Quiet(clock(begins), clock(begins + minutes)), start - early

    due = reminder_at(start, lead=lead, now=now, quiet=quiet, zone=zone)

    if due is not None:
        assert now <= due < start
        assert not quiet_around(due, quiet, zone)


def clock(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)
