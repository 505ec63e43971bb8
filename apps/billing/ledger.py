"""What each fact books, by double entry: a debit is positive, a credit negative, and every posting adds up to zero. Pure.

Receivable is what patients owe, cash what the payment provider took for us. Revenue and fees are income (credits); refunds and
write-offs take from it (debits). Nothing is ever changed: a correction is a reversal.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Account(StrEnum):
    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    FEES = "fees"
    """Income from late cancellations and missed appointments."""
    CASH = "cash"
    REFUNDS = "refunds"
    WRITE_OFF = "write_off"


class Posting(StrEnum):
    """Why something was booked. With the id of its source it is unique: nothing is booked twice."""

    INVOICE_ISSUED = "invoice_issued"
    INVOICE_VOIDED = "invoice_voided"
    INVOICE_WRITTEN_OFF = "invoice_written_off"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_REFUNDED = "payment_refunded"
    REFUND_FAILED = "refund_failed"


class Entry(NamedTuple):
    """One line of a posting, in minor units; never zero."""

    account: Account
    amount: int


def issued(*, visits: int, fees: int) -> tuple[Entry, ...]:
    """An invoice over `visits` and `fees`: the patient owes their sum."""
    return _entries((Account.RECEIVABLE, visits + fees), (Account.REVENUE, -visits), (Account.FEES, -fees))


def received(amount: int) -> tuple[Entry, ...]:
    return _entries((Account.CASH, amount), (Account.RECEIVABLE, -amount))


def refunded(amount: int) -> tuple[Entry, ...]:
    """Money given back. The invoice stays paid: what is given back is not owed again."""
    return _entries((Account.REFUNDS, amount), (Account.CASH, -amount))


def written_off(amount: int) -> tuple[Entry, ...]:
    return _entries((Account.WRITE_OFF, amount), (Account.RECEIVABLE, -amount))


def reversal(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """What takes a posting back."""
    return tuple(Entry(account, -amount) for account, amount in entries)


def balances(entries: Iterable[Entry]) -> dict[Account, int]:
    """The sum of each account; of all of them it is zero."""
    sums = dict.fromkeys(Account, 0)
    for account, amount in entries:
        sums[account] += amount
    return sums


def _entries(*lines: tuple[Account, int]) -> tuple[Entry, ...]:
    return tuple(Entry(account, amount) for account, amount in lines if amount)
