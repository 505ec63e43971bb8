"""READS. Everything is asked for by its clinic: what belongs to another one is not there."""

from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet, Sum

from apps.billing.models import Charge, Claim, Invoice, InvoiceLine, Payment, Policy, Price, Refund
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound, ValidationFailed

Row = TypeVar("Row", bound=Model)


def one(rows: QuerySet[Row], key: str, *, clinic: str) -> Row:
    """The clinic's row by its id as it came. Raises NotFound."""
    found = rows.filter(id=as_id(key), clinic=clinic).first()
    if found is None:
        raise NotFound()
    return found


def page(rows: QuerySet[Row], *, clinic: str, limit: int, cursor: str | None) -> tuple[list[Row], str | None]:
    """One page of the clinic's rows, oldest first, and the cursor of the next one. Raises ValidationFailed."""
    after = as_id(cursor) if cursor else UUID(int=0)
    if after is None:
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    found = list(rows.filter(clinic=clinic, id__gt=after).order_by("id")[: limit + 1])
    return found[:limit], str(found[limit - 1].pk) if len(found) > limit else None


def charges(*, patient: str, state: str) -> QuerySet[Charge]:
    found = Charge.objects.filter(patient=patient) if patient else Charge.objects.all()
    states: dict[str, dict[str, Any]] = {
        "": {},
        "waived": {"waived_at__isnull": False},
        "billed": {"invoice__isnull": False},
        "unpriced": {"amount": None, "waived_at": None},
        "open": {"amount__isnull": False, "waived_at": None, "invoice": None},
    }
    return found.filter(**states[state])


def invoices(*, patient: str, status: str, overdue: bool | None) -> QuerySet[Invoice]:
    found = Invoice.objects.filter(patient=patient) if patient else Invoice.objects.all()
    if status:
        found = found.filter(status=status)
    if overdue is None:
        return found
    late = found.filter(status=Invoice.Status.ISSUED, overdue_at__isnull=False)
    return late if overdue else found.exclude(id__in=late.values("id"))


def lines(invoice: Invoice) -> list[InvoiceLine]:
    return list(InvoiceLine.objects.filter(invoice=invoice).order_by("starts", "charge_id"))


def paid(invoices: Iterable[Invoice]) -> dict[UUID, int]:
    """Invoice → what came in for it; one that is not in it got nothing."""
    sums = Payment.objects.filter(invoice__in=list(invoices), status=Payment.Status.SUCCEEDED).values_list("invoice")
    return dict(sums.annotate(Sum("amount")))


def refunded(payments: Iterable[Payment]) -> dict[UUID, int]:
    """Payment → what went back of it."""
    sums = Refund.objects.filter(payment__in=list(payments), status=Refund.Status.SUCCEEDED).values_list("payment")
    return dict(sums.annotate(Sum("amount")))


def payments(invoice: str, *, clinic: str) -> QuerySet[Payment]:
    """All payments, or those of one invoice. Raises NotFound."""
    if not invoice:
        return Payment.objects.all()
    return Payment.objects.filter(invoice=one(Invoice.objects.all(), invoice, clinic=clinic))


PRICES, POLICIES, CLAIMS = Price.objects.all(), Policy.objects.all(), Claim.objects.select_related("charge")
