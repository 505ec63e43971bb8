"""WRITES: invoices. Draft, then issued with the next number, then paid, void or written off.

Locks are taken in this order: charges, invoice, its payments, the series of numbers. Each function runs in its caller's
transaction.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from apps.billing import journal, ledger
from apps.billing.charges import policy_at
from apps.billing.errors import ChargeNotBillable, InvoiceState
from apps.billing.ledger import Posting
from apps.billing.models import Charge, Invoice, InvoiceLine, Payment
from apps.billing.rules import Reason
from apps.kernel import events
from apps.kernel.problems import NotFound, ValidationFailed

MOST_LINES = 200
PAYMENT_DAYS = 30
"""Unless the clinic's policy says otherwise."""
_NEXT = """
INSERT INTO billing_series AS s (clinic, name, last) VALUES (%s, %s, 1)
ON CONFLICT (clinic, name) DO UPDATE SET last = s.last + 1 RETURNING last
"""


def draft(patient: str, charge_ids: Sequence[UUID] | None, *, clinic: str) -> Invoice:
    """A draft over those charges of the patient, or over all that can be billed.

    Raises ChargeNotBillable, NotFound, ValidationFailed.
    """
    charges = Charge.objects.select_for_update().filter(clinic=clinic).order_by("id")
    if charge_ids is None:
        mine = charges.filter(patient=patient, invoice=None, waived_at=None, amount__isnull=False)
        found = list(mine[:MOST_LINES])
        # One currency an invoice: the oldest charge's first, the others stay for the next one.
        found = [charge for charge in found if charge.currency == found[0].currency]
    else:
        found = list(charges.filter(id__in=charge_ids))
        if len(found) != len(set(charge_ids)):
            raise NotFound("No such charge.")
    if not found:
        raise ValidationFailed("There is nothing to bill.", param="charges")
    for charge in found:
        _check(charge, patient, found[0].currency)
    total = sum(charge.amount or 0 for charge in found)
    invoice = Invoice.objects.create(
        clinic=clinic, patient=patient, currency=found[0].currency, total=total, created_at=datetime.now(UTC)
    )
    InvoiceLine.objects.bulk_create(_line(invoice, charge) for charge in found)
    Charge.objects.filter(id__in=[charge.id for charge in found]).update(invoice=invoice)
    return invoice


def issue(invoice_id: UUID, *, clinic: str) -> Invoice:
    """Gives a draft the clinic's next number and books it. Raises NotFound, InvoiceState."""
    invoice = locked(invoice_id, clinic, Invoice.Status.DRAFT)
    now = datetime.now(UTC)
    policy = policy_at(clinic, now)
    visits = InvoiceLine.objects.filter(invoice=invoice, reason=Reason.VISIT).aggregate(sum=Sum("amount"))["sum"] or 0
    invoice.status, invoice.issued_at = Invoice.Status.ISSUED, now
    invoice.due_at = now + timedelta(days=policy.payment_days if policy else PAYMENT_DAYS)
    invoice.number = next_number(clinic, "invoice")
    if not invoice.total:
        invoice.status, invoice.closed_at = Invoice.Status.PAID, now
    invoice.save()
    _post(invoice, Posting.INVOICE_ISSUED, ledger.issued(visits=visits, fees=invoice.total - visits), now)
    told = {"invoice": str(invoice.id), "patient": invoice.patient, "clinic": clinic}
    events.record(type="invoice.issued", clinic=clinic, subject=str(invoice.id), data=told)
    return invoice


def void(invoice_id: UUID, *, clinic: str) -> Invoice:
    """Takes an invoice back and lets its charges go, unless money came or may come. Raises NotFound, InvoiceState."""
    # Charges first, in their order, as whoever merges patients does.
    list(Charge.objects.select_for_update().filter(invoice=invoice_id, clinic=clinic).order_by("id").values_list("id"))
    invoice = locked(invoice_id, clinic, Invoice.Status.DRAFT, Invoice.Status.ISSUED)
    going = set(Payment.objects.filter(invoice=invoice).values_list("status", flat=True))
    if going - {Payment.Status.EXPIRED, Payment.Status.FAILED}:
        raise InvoiceState("It is paid in part, or a payment is under way.", current=invoice.status)
    now = datetime.now(UTC)
    journal.reverse(Posting.INVOICE_VOIDED, invoice.id, of=Posting.INVOICE_ISSUED, at=now)
    Charge.objects.filter(invoice=invoice).update(invoice=None)
    return _close(invoice, Invoice.Status.VOID, now)


def write_off(invoice_id: UUID, *, clinic: str) -> Invoice:
    """Gives up what is still owed. Raises NotFound, InvoiceState."""
    invoice = locked(invoice_id, clinic, Invoice.Status.ISSUED)
    if Payment.objects.filter(invoice=invoice, status__in=UNFINISHED).exists():
        raise InvoiceState("A payment is under way.", current=invoice.status)
    now = datetime.now(UTC)
    _post(invoice, Posting.INVOICE_WRITTEN_OFF, ledger.written_off(balance(invoice)), now)
    return _close(invoice, Invoice.Status.WRITTEN_OFF, now)


def settle(invoice: Invoice) -> None:
    """Marks an issued invoice as paid once nothing is owed; `invoice` is locked."""
    if invoice.status == Invoice.Status.ISSUED and balance(invoice) <= 0:
        _close(invoice, Invoice.Status.PAID, datetime.now(UTC))


def balance(invoice: Invoice) -> int:
    """What is owed: the total less what was paid. Below zero when more was paid than asked."""
    paid = Payment.objects.filter(invoice=invoice, status=Payment.Status.SUCCEEDED).aggregate(sum=Sum("amount"))["sum"] or 0
    return invoice.total - int(paid)


def mark_overdue() -> int:
    """Marks the issued invoices whose day has passed; how many."""
    now = datetime.now(UTC)
    late = Invoice.objects.filter(status=Invoice.Status.ISSUED, overdue_at=None, due_at__lt=now)
    return late.update(overdue_at=now)


def locked(invoice_id: UUID, clinic: str, *states: Invoice.Status) -> Invoice:
    """The invoice, locked, in one of `states`. Raises NotFound, InvoiceState."""
    invoice = Invoice.objects.select_for_update().filter(id=invoice_id, clinic=clinic).first()
    if invoice is None:
        raise NotFound("No such invoice.")
    if invoice.status not in states:
        raise InvoiceState(current=invoice.status)
    return invoice


def next_number(clinic: str, name: str) -> int:
    """The next number of a series. Others who want one wait until this transaction ends; a rollback gives it back."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [clinic, name])
        return int(cursor.fetchone()[0])


UNFINISHED = (Payment.Status.CREATED, Payment.Status.OPEN, Payment.Status.CANCELLING)


def _check(charge: Charge, patient: str, currency: str) -> None:
    if charge.patient != patient or charge.currency != currency:
        raise ChargeNotBillable("It is not of this patient and currency.", charge=charge.id)
    if charge.amount is None or charge.invoice_id is not None or charge.waived_at is not None:
        raise ChargeNotBillable("It has no price, or is billed or waived already.", charge=charge.id)


def _line(invoice: Invoice, charge: Charge) -> InvoiceLine:
    return InvoiceLine(
        invoice=invoice,
        charge=charge,
        reason=charge.reason,
        starts=charge.starts,
        description=charge.description,
        code="-".join([charge.code, *charge.modifiers]) if charge.code else "",
        amount=charge.amount or 0,
    )


def _post(invoice: Invoice, posting: Posting, entries: Sequence[ledger.Entry], at: datetime) -> None:
    journal.post(posting, invoice.id, entries, clinic=invoice.clinic, currency=invoice.currency, at=at)


def _close(invoice: Invoice, status: Invoice.Status, at: datetime) -> Invoice:
    invoice.status, invoice.closed_at = status, at
    invoice.save()
    return invoice
