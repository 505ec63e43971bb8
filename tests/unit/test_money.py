"""Amounts: whole minor units, and how they are read."""

from decimal import Decimal

import pytest

from apps.billing.money import as_decimal, as_text, is_currency


@pytest.mark.parametrize(
    ("minor", "currency", "decimal", "text"),
    [
        (123_450, "USD", Decimal("1234.50"), "$1,234.50"),
        (-300, "USD", Decimal("-3.00"), "-$3.00"),
        (5, "EUR", Decimal("0.05"), "€0.05"),
        (500, "JPY", Decimal("500"), "¥500"),
        (0, "USD", Decimal("0.00"), "$0.00"),
    ],
)
def test_an_amount_is_read_in_its_currency(minor: int, currency: str, decimal: Decimal, text: str) -> None:
    assert (as_decimal(minor, currency), as_text(minor, currency)) == (decimal, text)
    assert str(as_decimal(minor, currency)) == str(decimal)


@pytest.mark.parametrize("code", ["USD", "EUR", "JPY", "MXN"])
def test_money_of_countries_is_taken(code: str) -> None:
    assert is_currency(code)


@pytest.mark.parametrize("code", ["", "usd", "XXX", "XAU", "BHD", "ISK", "$", "USDT"])
def test_what_two_sides_would_count_differently_is_not(code: str) -> None:
    assert not is_currency(code)
