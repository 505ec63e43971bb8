"""What takes a day's time, packed and unpacked."""

from engine.scheduling.claims import Claim, joined, packed, packed_days, unpacked
from engine.scheduling.intervals import DAY_S

DAY = 20_000
MIDNIGHT = DAY * DAY_S
HOUR = 3600


def claim(first: int, last: int, *, unit: int = 1, expires: int = 0) -> Claim:
    """From one hour to another, counted from the day's midnight."""
    return Claim(unit, MIDNIGHT + first * HOUR, MIDNIGHT + last * HOUR, expires)


def test_a_day_is_fourteen_bytes_a_claim() -> None:
    assert packed([], DAY) == b""
    value = packed([claim(9, 10, unit=2, expires=MIDNIGHT + 300)], DAY)
    assert value == bytes.fromhex("0200 907e0000 a08c0000") + (MIDNIGHT + 300).to_bytes(4, "little")


def test_what_was_packed_comes_back() -> None:
    claims = [claim(9, 10), claim(9, 10, unit=1000), claim(10, 11, expires=2**32 - 1), claim(-30, 50)]

    assert sorted(unpacked(packed(claims, DAY), DAY)) == sorted(claims)


def test_a_day_has_what_reaches_into_it_and_not_what_touches_it() -> None:
    before, into, out_of, after = claim(-1, 0), claim(-1, 1), claim(23, 25), claim(24, 25)

    assert unpacked(packed([before, into, out_of, after], DAY), DAY) == [into, out_of]


def test_many_days_at_once_are_each_what_it_is_alone() -> None:
    claims = [claim(-30, 50), claim(-1, 0), claim(0, 24), claim(23, 25), claim(24, 25), claim(100, 101), claim(-100, 200)]

    assert packed_days(claims, DAY - 1, DAY + 2) == {day: packed(claims, day) for day in range(DAY - 1, DAY + 3)}


def test_the_order_of_the_rows_does_not_matter() -> None:
    claims = [claim(9, 10), claim(8, 9), claim(9, 10, unit=2)]

    assert packed(claims, DAY) == packed(reversed(claims), DAY)


def test_days_are_joined_with_each_claim_once() -> None:
    over_midnight, next_day, from_before = claim(23, 25), claim(33, 34), claim(-2, 1)
    claims = [next_day, over_midnight, from_before]

    assert joined([packed(claims, DAY), packed(claims, DAY + 1), b""], DAY) == (from_before, over_midnight, next_day)
    assert joined([packed(claims, DAY + 1)], DAY + 1) == (over_midnight, next_day)
