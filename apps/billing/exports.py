"""Tables for a spreadsheet: RFC 4180, safe to open, ids instead of names unless names were asked for by who may see them."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from django.db.models import Model, QuerySet

from apps.billing import answers, queries
from apps.billing.errors import ExportTooLarge
from apps.billing.models import Charge, Invoice, LedgerEntry, Payment, Refund
from apps.billing.money import as_decimal
from apps.billing.people import person

MOST_ROWS = 10_000
MOST_NAMES = 200
"""Each is a question to records."""
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Row = TypeVar("Row", bound=Model)
Cell = str | int | Decimal | None
Rows = Iterable[Sequence[Cell]]


def as_csv(header: Sequence[str], rows: Rows) -> str:
    """The file. Text that a spreadsheet would run as a formula gets an apostrophe before it; numbers stay numbers."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return file.getvalue()


def charges(clinic: str, since: datetime, until: datetime) -> str:
    found = _limited(Charge.objects.filter(clinic=clinic, starts__gte=since, starts__lt=until).order_by("starts", "id"))
    rows = [
        (
            str(c.id),
            str(c.appointment),
            c.reason,
            answers.charge_state(c),
            answers.at(c.starts),
            c.patient,
            c.description,
            c.code,
            "-".join(c.modifiers),
            c.place,
            _amount(c.amount, c.currency),
            c.currency,
            str(c.invoice_id or ""),
        )
        for c in found
    ]
    header = ("charge", "appointment", "reason", "state", "start", "patient", "description", "code", "modifiers", "place", "amount")
    return as_csv((*header, "currency", "invoice"), rows)


def invoices(clinic: str, since: datetime, until: datetime, *, names: bool) -> str:
    """By the day they were issued. With `names` records is asked for each patient. Raises ExportTooLarge, Unavailable."""
    found = _limited(Invoice.objects.filter(clinic=clinic, issued_at__gte=since, issued_at__lt=until).order_by("number"))
    paid = queries.paid(found)
    patients = {invoice.patient for invoice in found} if names else set()
    if len(patients) > MOST_NAMES:
        raise ExportTooLarge(f"At most {MOST_NAMES} names are given at once.")
    known = {patient: person(patient, clinic=clinic).name for patient in sorted(patients)}
    rows = []
    for invoice in found:
        shown = answers.invoice(invoice, paid=paid.get(invoice.id, 0))
        name = (known[invoice.patient],) if names else ()
        money = [_amount(amount, invoice.currency) for amount in (invoice.total, paid.get(invoice.id, 0), shown["balance"])]
        rows.append(
            (shown["number"], invoice.patient, *name, invoice.status, shown["issued_at"], shown["due_at"], *money, invoice.currency)
        )
    header = (
        "number",
        "patient",
        *(("name",) if names else ()),
        "status",
        "issued_at",
        "due_at",
        "total",
        "paid",
        "balance",
        "currency",
    )
    return as_csv(header, rows)


def payments(clinic: str, since: datetime, until: datetime) -> str:
    """Money that came, and money that went back (below zero)."""
    within = {"clinic": clinic, "settled_at__gte": since, "settled_at__lt": until}
    came = _limited(Payment.objects.filter(status="succeeded", **within).order_by("settled_at", "id"))
    went = _limited(Refund.objects.filter(status="succeeded", **within).select_related("payment").order_by("settled_at", "id"))
    rows: list[Sequence[Cell]] = [
        ("payment", str(p.id), str(p.invoice_id), _at(p.settled_at), _amount(p.amount, p.currency), p.currency) for p in came
    ]
    rows += [
        (
            "refund",
            str(r.id),
            str(r.payment.invoice_id),
            _at(r.settled_at),
            _amount(-r.amount, r.payment.currency),
            r.payment.currency,
        )
        for r in went
    ]
    return as_csv(("kind", "id", "invoice", "settled_at", "amount", "currency"), sorted(rows, key=lambda row: str(row[3])))


def ledger(clinic: str, since: datetime, until: datetime) -> str:
    """Every entry: debits above zero, credits below."""
    entries = LedgerEntry.objects.filter(transaction__clinic=clinic, transaction__at__gte=since, transaction__at__lt=until)
    found = _limited(entries.select_related("transaction").order_by("transaction__at", "id"))
    rows = [
        (
            str(e.transaction_id),
            answers.at(e.transaction.at),
            e.transaction.posting,
            str(e.transaction.source),
            e.account,
            _amount(e.amount, e.transaction.currency),
            e.transaction.currency,
        )
        for e in found
    ]
    return as_csv(("transaction", "at", "posting", "source", "account", "amount", "currency"), rows)


TABLES: dict[str, Callable[[str, datetime, datetime], str]] = {"charges": charges, "payments": payments, "ledger": ledger}


def _limited(rows: QuerySet[Row]) -> list[Row]:
    found = list(rows[: MOST_ROWS + 1])
    if len(found) > MOST_ROWS:
        raise ExportTooLarge(f"At most {MOST_ROWS} rows are given at once.")
    return found


def _amount(minor: int | None, currency: str) -> Decimal | None:
    return as_decimal(minor, currency) if minor is not None else None


def _at(instant: datetime | None) -> str:
    return answers.at(instant) if instant else ""


def _safe(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
