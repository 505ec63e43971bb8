"""`./manage.py billing verify` finds each broken promise, and nothing in a clinic that was only used."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from apps.billing import invoices, payments
from apps.billing.models import Charge, Invoice, InvoiceLine, Payment, Refund
from apps.billing.providers import provider
from apps.billing.verification import CHECKS
from tests.integration.billing.practice import CLINIC, LONG_AGO, Practice, issued, paid

pytestmark = pytest.mark.django_db(transaction=True)


def verdict() -> dict[str, int]:
    """Each check and how many break it."""
    said = StringIO()
    try:
        call_command("verify", "--json", stdout=said)
        ok = True
    except SystemExit as ended:
        ok = ended.code == 0
    found = json.loads(said.getvalue())
    assert found["ok"] is ok
    return {check["name"]: check["violations"] for check in found["checks"]}


def work(practice: Practice) -> None:
    """A little of everything."""
    payment = paid(practice)
    with transaction.atomic():
        refund = payments.give_back(payment.id, clinic=CLINIC, amount=5_000)
    payments.submit_refund(refund.id, provider())
    void, lost = issued(), issued()
    with transaction.atomic():
        invoices.void(void.id, clinic=CLINIC)
        invoices.write_off(lost.id, clinic=CLINIC)
    issued()


def test_a_clinic_at_work_keeps_every_promise(practice: Practice) -> None:
    work(practice)

    assert set(verdict().values()) == {0}
    assert len(verdict()) == len(CHECKS)


def unguarded(sql: str) -> Callable[[], None]:
    """Somebody who may switch the guards off."""

    def do() -> None:
        guards("DISABLE TRIGGER USER")
        run(sql)
        guards("ENABLE TRIGGER USER")

    return do


def guards(change: str) -> None:
    for table in ("billing_ledgerentry", "billing_ledgertransaction"):
        run(f"ALTER TABLE {table} {change}")


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("ledger_balanced", unguarded("UPDATE billing_ledgerentry SET amount = amount + 1 WHERE account = 'cash' AND amount > 0")),
        ("ledger_balanced", unguarded("DELETE FROM billing_ledgerentry WHERE account = 'refunds'")),
        (
            "reversals_mirror",
            unguarded(
                "UPDATE billing_ledgerentry e SET amount = amount * 2 FROM billing_ledgertransaction t"
                " WHERE t.id = e.transaction_id AND t.posting = 'invoice_voided'"
            ),
        ),
        ("invoices_equal_lines", lambda: InvoiceLine.objects.update(amount=1)),
        ("invoices_booked", lambda: Invoice.objects.filter(status="issued").update(status="void")),
        ("payments_booked", lambda: Payment.objects.update(status="expired")),
        ("refunds_booked", lambda: Refund.objects.update(amount=1)),
        ("refunds_within_payments", lambda: Refund.objects.update(amount=20_000)),
        ("paid_means_paid", lambda: Invoice.objects.filter(status="issued").update(status="paid")),
        ("numbers_without_gaps", lambda: Invoice.objects.filter(number=2).update(number=9)),
        ("outcomes_known", lambda: Refund.objects.update(status="created", created_at=LONG_AGO)),
        ("guards_in_place", lambda: run("ALTER TABLE billing_ledgerentry DISABLE TRIGGER billing_ledger_entries_kept")),
    ],
)
def test_a_broken_promise_is_found(practice: Practice, check: str, spoil: Callable[[], object]) -> None:
    work(practice)
    try:
        spoil()

        assert verdict()[check] > 0
    finally:
        guards("ENABLE TRIGGER USER")


def test_every_charge_of_work_is_on_one_live_invoice_or_free(practice: Practice) -> None:
    work(practice)

    assert Charge.objects.filter(invoice=None).count() == 1
