"""Telehealth codes, and who owes a fee."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.billing.rules import Fees, late_cancel_fee, service
from apps.billing.shapes import is_npi

START = datetime(2026, 11, 20, 15, tzinfo=UTC)
FEES = Fees("USD", 2_500, timedelta(hours=24), 5_000)


@pytest.mark.parametrize(
    ("modality", "modifiers", "place"),
    [("in_person", ("25",), "11"), ("video", ("25", "95"), "02"), ("phone", ("25", "93"), "02"), ("something", ("25",), "11")],
)
def test_telehealth_takes_a_modifier_and_another_place(modality: str, modifiers: tuple[str, ...], place: str) -> None:
    found = service("99213", modifiers=("25",), modality=modality, telehealth_place="02")

    assert (found.modifiers, found.place) == (modifiers, place)


def test_a_modifier_that_is_there_is_not_added_twice() -> None:
    assert service("99213", modifiers=("95",), modality="video", telehealth_place="10").modifiers == ("95",)


def test_notice_is_kept_to_the_second() -> None:
    just = START - FEES.notice

    assert late_cancel_fee(FEES, start=START, cancelled=just, by="patient") == 0
    assert late_cancel_fee(FEES, start=START, cancelled=just + timedelta(seconds=1), by="patient") == 2_500
    assert late_cancel_fee(None, start=START, cancelled=START, by="patient") == 0


@pytest.mark.parametrize(("npi", "good"), [("1234567893", True), ("1234567890", False), ("3234567893", False), ("", False)])
def test_a_provider_identifier_has_its_check_digit(npi: str, good: bool) -> None:
    assert is_npi(npi) is good
