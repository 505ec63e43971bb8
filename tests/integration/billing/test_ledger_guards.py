"""The ledger's promises are the database's own: whoever writes, whatever is wrong with the code above."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.billing import journal, ledger
from apps.billing.ledger import Account, Entry, Posting
from apps.billing.models import LedgerEntry, LedgerTransaction
from apps.billing.verification import verify
from tests.integration.billing.practice import CLINIC, START, Practice, issued

pytestmark = pytest.mark.django_db(transaction=True)


def post(entries: list[Entry]) -> None:
    with transaction.atomic(durable=True):
        journal.post(Posting.PAYMENT_RECEIVED, uuid4(), entries, clinic=CLINIC, currency="USD", at=START)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(Account), st.integers(-1000, 1000).filter(bool)), min_size=1, max_size=6))
def test_only_what_adds_up_to_zero_is_kept(practice: Practice, lines: list[tuple[Account, int]]) -> None:
    before = LedgerTransaction.objects.count()
    entries = [Entry(account, amount) for account, amount in lines]

    if sum(entry.amount for entry in entries) == 0:
        post(entries)
        assert LedgerTransaction.objects.count() == before + 1
    else:
        with pytest.raises(DatabaseError, match="add up to"):
            post(entries)
        assert LedgerTransaction.objects.count() == before
    assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == 0


def test_a_transaction_without_entries_is_refused(practice: Practice) -> None:
    with pytest.raises(DatabaseError, match="0 entries"):
        LedgerTransaction.objects.create(clinic=CLINIC, posting="payment_received", source=uuid4(), currency="USD", at=START)


@pytest.mark.parametrize(
    "change",
    [
        lambda: LedgerEntry.objects.update(amount=1),
        lambda: LedgerEntry.objects.all().delete(),
        lambda: LedgerTransaction.objects.update(currency="EUR"),
        lambda: run("DELETE FROM billing_ledgertransaction"),
        lambda: run("UPDATE billing_ledgerentry SET account = 'cash'"),
    ],
)
def test_what_is_booked_is_never_changed(practice: Practice, change: Callable[[], object]) -> None:
    issued()

    with pytest.raises(DatabaseError, match="append-only"):
        change()

    assert all(not found.violations for found in verify())


def test_nothing_is_added_to_what_is_booked(practice: Practice) -> None:
    issued()
    booked = LedgerTransaction.objects.get()

    with pytest.raises(DatabaseError, match="closed"), transaction.atomic():
        LedgerEntry.objects.create(transaction=booked, account="cash", amount=5)


def test_nothing_is_booked_twice(practice: Practice) -> None:
    source = uuid4()

    def book() -> None:
        with transaction.atomic():
            journal.post(Posting.PAYMENT_RECEIVED, source, ledger.received(5), clinic=CLINIC, currency="USD", at=START)

    book()
    with pytest.raises(DatabaseError, match="ledger_posting_once"):
        book()


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
