"""WRITES: money in and out. Each is a row first; then the provider is told, outside any transaction; then the outcome is written.

Whatever crashes in between, the row is found again by `unfinished` and told again with the same idempotency key. The provider's
events (webhooks.py) come before, after or without our answer: `settle` and `settle_refund` give the same result in any order.
"""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum

from apps.billing import invoices, journal, ledger
from apps.billing.errors import InvoiceState, RefundTooLarge
from apps.billing.ledger import Posting
from apps.billing.models import Invoice, Payment, Refund
from apps.billing.providers import Checkout, Declined, Provider, Returned, Unreachable
from apps.kernel import events
from apps.kernel.problems import NotFound

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(seconds=30)
ASKED_AFTER = timedelta(minutes=10)
"""Between two questions for the outcome of a page that is open: an event tells it first, unless it was lost."""
KEY_KEPT = timedelta(hours=20)
"""The provider keeps an idempotency key for a day. An older row is not told again: it could happen twice."""
GONE_AFTER = timedelta(hours=48)
"""By then a page that was opened without our knowing has closed by itself. If it was paid, an event still says so."""
_AT_ONCE = 50


def ask(invoice_id: UUID, *, clinic: str) -> Payment:
    """A payment over what is owed; the one that is under way if there is one. Raises NotFound, InvoiceState."""
    invoice = invoices.locked(invoice_id, clinic, Invoice.Status.ISSUED)
    open_one = Payment.objects.filter(invoice=invoice, status__in=invoices.UNFINISHED).first()
    if open_one is not None:
        return open_one
    owed = invoices.balance(invoice)
    return Payment.objects.create(
        clinic=clinic, invoice=invoice, amount=owed, currency=invoice.currency, created_at=datetime.now(UTC)
    )


def cancel(payment_id: UUID, *, clinic: str) -> Payment:
    """Closes the page of an open payment. Raises NotFound, InvoiceState."""
    payment = Payment.objects.select_for_update().filter(id=payment_id, clinic=clinic).first()
    if payment is None:
        raise NotFound("No such payment.")
    if payment.status not in (Payment.Status.OPEN, Payment.Status.CANCELLING):
        raise InvoiceState("This payment is not open.", current=payment.status)
    payment.status, payment.tried_at = Payment.Status.CANCELLING, None
    payment.save()
    return payment


def give_back(payment_id: UUID, *, clinic: str, amount: int) -> Refund:
    """A refund of a part of a payment, or of all. Raises NotFound, InvoiceState, RefundTooLarge."""
    payment = Payment.objects.select_for_update().filter(id=payment_id, clinic=clinic).first()
    if payment is None:
        raise NotFound("No such payment.")
    if payment.status != Payment.Status.SUCCEEDED:
        raise InvoiceState("Nothing was paid yet.", current=payment.status)
    left = payment.amount - given_back(payment)
    if amount > left:
        raise RefundTooLarge(refundable=left)
    return Refund.objects.create(clinic=clinic, payment=payment, amount=amount, created_at=datetime.now(UTC))


def given_back(payment: Payment) -> int:
    """What was refunded, or may be: only a refund that failed does not count."""
    refunds = Refund.objects.filter(payment=payment).exclude(status=Refund.Status.FAILED)
    return int(refunds.aggregate(sum=Sum("amount"))["sum"] or 0)


def submit(payment_id: UUID, provider: Provider) -> Payment:
    """Tells the provider what a payment still needs, or asks how it stands; the payment as it is then. Not in a transaction."""
    payment = Payment.objects.select_related("invoice").get(id=payment_id)
    if payment.status not in invoices.UNFINISHED:
        return payment
    Payment.objects.filter(id=payment_id).update(tried_at=datetime.now(UTC))
    try:
        return settle(payment_id, _told(payment, provider))
    except Unreachable as failed:
        log.warning("provider_unreachable", extra={"payment": str(payment_id), "error": str(failed)})
    except Declined as refused:
        log.error("provider_declined", extra={"payment": str(payment_id), "error": str(refused)})
        Payment.objects.filter(id=payment_id, status=Payment.Status.CREATED).update(
            status=Payment.Status.FAILED, failure=str(refused)[:100]
        )
    return Payment.objects.get(id=payment_id)


def submit_refund(refund_id: UUID, provider: Provider) -> Refund:
    """The same for a refund."""
    refund = Refund.objects.select_related("payment").get(id=refund_id)
    if refund.status not in (Refund.Status.CREATED, Refund.Status.PENDING):
        return refund
    Refund.objects.filter(id=refund_id).update(tried_at=datetime.now(UTC))
    try:
        if refund.reference:
            told = provider.refund(refund.reference)
        else:
            told = provider.give_back(refund.id, transaction=refund.payment.transaction, amount=refund.amount)
        return settle_refund(refund_id, told)
    except Unreachable as failed:
        log.warning("provider_unreachable", extra={"refund": str(refund_id), "error": str(failed)})
    except Declined as refused:
        log.error("provider_declined", extra={"refund": str(refund_id), "error": str(refused)})
        Refund.objects.filter(id=refund_id, status=Refund.Status.CREATED).update(
            status=Refund.Status.FAILED, failure=str(refused)[:100]
        )
    return Refund.objects.get(id=refund_id)


def settle(payment_id: UUID, told: Checkout) -> Payment:
    """Writes how a payment stands. Money that came is booked once, whatever was known before. Raises Payment.DoesNotExist."""
    with transaction.atomic():
        invoice_id = Payment.objects.values_list("invoice_id", flat=True).get(id=payment_id)
        invoice = Invoice.objects.select_for_update().get(id=invoice_id)
        payment = Payment.objects.select_for_update().get(id=payment_id)
        if payment.status == Payment.Status.SUCCEEDED:
            return payment
        payment.reference = payment.reference or told.reference
        if told.status == "paid":
            _received(payment, told)
            payment.save()
            invoices.settle(invoice)
            return payment
        if told.status == "expired":
            payment.status, payment.url = Payment.Status.EXPIRED, ""
        elif payment.status == Payment.Status.CREATED:
            payment.status, payment.url = Payment.Status.OPEN, told.url
        payment.save()
        return payment


def settle_refund(refund_id: UUID, told: Returned) -> Refund:
    """Writes how a refund stands; money that went is booked once, and taken back if the provider says it did not go."""
    with transaction.atomic():
        refund = Refund.objects.select_for_update().select_related("payment").get(id=refund_id)
        refund.reference = refund.reference or told.reference
        now, before = datetime.now(UTC), refund.status
        if before == Refund.Status.FAILED or before == told.status:
            refund.save()
            return refund
        if told.status == "pending" and before == Refund.Status.SUCCEEDED:
            return refund  # an old event
        refund.status = Refund.Status(told.status)
        if told.status == "succeeded":
            refund.settled_at = now
            _sent_back(refund, now)
        refund.save()
        if told.status == "failed" and before == Refund.Status.SUCCEEDED:
            journal.reverse(Posting.REFUND_FAILED, refund.id, of=Posting.PAYMENT_REFUNDED, at=now)
        return refund


def found(transaction_id: str, told: Returned, *, amount: int) -> Refund:
    """A refund that began at the provider. Raises Payment.DoesNotExist: then its payment is not known, or not yet."""
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(transaction=transaction_id)
        refund, _ = Refund.objects.get_or_create(
            reference=told.reference,
            defaults={"clinic": payment.clinic, "payment": payment, "amount": amount, "created_at": datetime.now(UTC)},
        )
        return settle_refund(refund.id, told)


def unfinished(provider: Provider) -> int:
    """Goes on with what a crash, a time-out or a lost event left behind; how many rows."""
    now = datetime.now(UTC)
    due = Q(tried_at=None, created_at__lt=now - AGAIN_AFTER) | Q(tried_at__lt=now - AGAIN_AFTER)
    young = Q(created_at__gt=now - KEY_KEPT)
    slow = Q(tried_at__lt=now - ASKED_AFTER)
    told_again = Payment.objects.filter(Q(status="created") & due & young | Q(status="cancelling") & due | Q(status="open") & slow)
    asked = list(told_again.order_by("tried_at").values_list("id", flat=True)[:_AT_ONCE])
    for payment_id in asked:
        submit(payment_id, provider)
    again = Refund.objects.filter(Q(status="created") & due & young | Q(status="pending") & slow)
    lost = Payment.objects.filter(status=Payment.Status.CREATED, created_at__lt=now - GONE_AFTER)
    lost.update(status=Payment.Status.EXPIRED, failure="outcome_unknown")
    returning = list(again.order_by("tried_at").values_list("id", flat=True)[:_AT_ONCE])
    for refund_id in returning:
        submit_refund(refund_id, provider)
    return len(asked) + len(returning)


def _told(payment: Payment, provider: Provider) -> Checkout:
    if payment.status == Payment.Status.CANCELLING:
        return provider.close_checkout(payment.reference)
    if payment.status == Payment.Status.OPEN:
        return provider.checkout(payment.reference)
    return provider.open_checkout(
        payment.id,
        amount=payment.amount,
        currency=payment.currency,
        label=f"Invoice {payment.invoice.number:06d}",
        back=settings.ENV.public_url,
    )


def _received(payment: Payment, told: Checkout) -> None:
    now = datetime.now(UTC)
    payment.status, payment.transaction, payment.url, payment.settled_at = Payment.Status.SUCCEEDED, told.transaction, "", now
    journal.post(
        Posting.PAYMENT_RECEIVED,
        payment.id,
        ledger.received(payment.amount),
        clinic=payment.clinic,
        currency=payment.currency,
        at=now,
    )
    _tell("payment.received", payment, {})


def _sent_back(refund: Refund, at: datetime) -> None:
    payment, entries = refund.payment, ledger.refunded(refund.amount)
    journal.post(Posting.PAYMENT_REFUNDED, refund.id, entries, clinic=refund.clinic, currency=payment.currency, at=at)
    _tell("payment.refunded", payment, {"refund": str(refund.id)})


def _tell(kind: str, payment: Payment, more: dict[str, str]) -> None:
    patient = Invoice.objects.values_list("patient", flat=True).get(id=payment.invoice_id)
    data = {"payment": str(payment.id), "invoice": str(payment.invoice_id), "patient": patient, "clinic": payment.clinic, **more}
    events.record(type=kind, clinic=payment.clinic, subject=str(payment.id), data=data)
