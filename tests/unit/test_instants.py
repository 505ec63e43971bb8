"""Instants as text."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from apps.kernel.shapes import in_zone, parse_instant


@given(st.integers(min_value=0, max_value=7_258_118_399))
@example(0)
@example(951_782_400)  # a leap day
@example(7_258_118_399)
def test_an_instant_in_utc_is_told_to_the_second_and_read_as_it_was_told(instant: int) -> None:
    told = in_zone(instant, "UTC")

    assert told == datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert in_zone(instant, "Etc/UTC") == told.replace("Z", "+00:00")
    if instant >= 946_684_800:
        assert parse_instant(told) == instant
