"""Amounts are whole minor units (cents) beside an ISO 4217 currency; never floats."""

from decimal import Decimal

from moneyed import CURRENCIES, Money, get_currency
from moneyed.l10n import format_money

MOST = 10**10
"""A hundred million dollars: more than any visit costs, less than any column holds."""

# Stripe counts these two in hundredths, ISO 4217 in whole units: an amount would not mean the same on both sides.
_AMBIGUOUS = frozenset({"ISK", "UGX"})


def is_currency(code: str) -> bool:
    """Whether prices may be in it: money of a country, counted in whole units or in hundredths."""
    known = CURRENCIES.get(code)
    return known is not None and not code.startswith("X") and known.sub_unit in (1, 100) and code not in _AMBIGUOUS


def as_decimal(minor: int, currency: str) -> Decimal:
    """12345 USD is Decimal("123.45"), 12345 JPY is Decimal("12345")."""
    unit = get_currency(currency).sub_unit
    return Decimal(minor) / unit if unit == 1 else (Decimal(minor) / unit).quantize(Decimal("0.01"))


def as_text(minor: int, currency: str) -> str:
    """As people in the United States read it: $1,234.50, -$3.00, ¥500."""
    return str(format_money(Money(as_decimal(minor, currency), currency), locale="en_US"))
