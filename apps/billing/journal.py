"""Writes postings into the ledger. The database refuses a posting that does not add up to zero, and any change to a row."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Sum

from apps.billing.ledger import Account, Entry, Posting, reversal
from apps.billing.models import LedgerEntry, LedgerTransaction


def post(posting: Posting, source: UUID, entries: Iterable[Entry], *, clinic: str, currency: str, at: datetime) -> None:
    """Books `entries` for `source`. Call it in the transaction of the fact; a second time for the same fact is an IntegrityError.

    A fact over nothing (an invoice of 0) books nothing.
    """
    _write(LedgerTransaction(clinic=clinic, posting=posting, source=source, currency=currency, at=at), tuple(entries))


def reverse(posting: Posting, source: UUID, *, of: Posting, at: datetime) -> None:
    """Takes back what was booked as `of` for the same source."""
    booked = LedgerTransaction.objects.filter(posting=of, source=source).first()
    if booked is None:
        return
    taken_back = reversal(
        Entry(Account(account), amount)
        for account, amount in LedgerEntry.objects.filter(transaction=booked).values_list("account", "amount")
    )
    again = LedgerTransaction(
        clinic=booked.clinic, posting=posting, source=source, currency=booked.currency, at=at, reverses=booked
    )
    _write(again, taken_back)


def balances(clinic: str) -> dict[str, dict[str, int]]:
    """Currency → account → balance in minor units, debits positive."""
    found: dict[str, dict[str, int]] = {}
    sums = LedgerEntry.objects.filter(transaction__clinic=clinic).values_list("transaction__currency", "account")
    for currency, account, amount in sums.annotate(Sum("amount")).order_by("transaction__currency", "account"):
        found.setdefault(currency, dict.fromkeys(map(str, Account), 0))[account] = int(amount)
    return found


def _write(transaction: LedgerTransaction, entries: tuple[Entry, ...]) -> None:
    if not entries:
        return
    transaction.save(force_insert=True)
    LedgerEntry.objects.bulk_create(
        LedgerEntry(transaction=transaction, account=account, amount=amount) for account, amount in entries
    )
