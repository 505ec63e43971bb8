"""Rows as the wire shows them."""

from datetime import UTC, datetime

from apps.billing.models import Charge, Claim, Invoice, InvoiceLine, Payment, Policy, Price, Profile, Refund
from apps.billing.shapes import Json, ProfileOut


def at(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def profile(row: Profile) -> Json:
    return {name: getattr(row, name) for name in ProfileOut.model_fields}


def price(row: Price) -> Json:
    same = {name: getattr(row, name) for name in ("amount", "currency", "description", "code", "modifiers", "telehealth_place")}
    return {"id": str(row.id), "visit_type": str(row.visit_type), "valid_from": at(row.valid_from), **same}


def policy(row: Policy) -> Json:
    same = {
        name: getattr(row, name) for name in ("currency", "late_cancel_fee", "late_cancel_hours", "no_show_fee", "payment_days")
    }
    return {"id": str(row.id), "valid_from": at(row.valid_from), **same}


def charge(row: Charge) -> Json:
    same = {
        name: getattr(row, name)
        for name in ("reason", "modality", "patient", "amount", "currency", "description", "code", "modifiers", "place")
    }
    ids = {"id": str(row.id), "appointment": str(row.appointment), "visit_type": str(row.visit_type)}
    invoice = str(row.invoice_id) if row.invoice_id else None
    return {**ids, "state": charge_state(row), "start": at(row.starts), "invoice": invoice, **same}


def charge_state(row: Charge) -> str:
    """`unpriced`, `open`, `billed` or `waived`."""
    if row.waived_at is not None:
        return "waived"
    if row.invoice_id is not None:
        return "billed"
    return "unpriced" if row.amount is None else "open"


def number(row: Invoice) -> str | None:
    """An invoice's number as people write it; None for a draft."""
    return f"{row.number:06d}" if row.number is not None else None


def invoice(row: Invoice, *, paid: int) -> Json:
    times = {name: at(when) if (when := getattr(row, name)) else None for name in ("issued_at", "due_at", "closed_at")}
    open_ = row.status in (Invoice.Status.ISSUED, Invoice.Status.DRAFT, Invoice.Status.PAID)
    return {
        "id": str(row.id),
        "number": number(row),
        "patient": row.patient,
        "status": row.status,
        "currency": row.currency,
        "total": row.total,
        "balance": row.total - paid if open_ else 0,
        "overdue": row.status == Invoice.Status.ISSUED and row.overdue_at is not None,
        "created_at": at(row.created_at),
        **times,
    }


def line(row: InvoiceLine) -> Json:
    same = {name: getattr(row, name) for name in ("reason", "description", "code", "amount")}
    return {"charge": str(row.charge_id), "start": at(row.starts), **same}


def payment(row: Payment, *, refunded: int) -> Json:
    same = {"amount": row.amount, "currency": row.currency, "status": row.status}
    return {
        "id": str(row.id),
        "invoice": str(row.invoice_id),
        **same,
        "url": row.url or None,
        "failure": row.failure or None,
        "refunded": refunded,
        "created_at": at(row.created_at),
        "settled_at": at(row.settled_at) if row.settled_at else None,
    }


def refund(row: Refund) -> Json:
    settled = at(row.settled_at) if row.settled_at else None
    same = {"amount": row.amount, "status": row.status, "failure": row.failure or None}
    return {"id": str(row.id), "payment": str(row.payment_id), **same, "created_at": at(row.created_at), "settled_at": settled}


def claim(row: Claim) -> Json:
    payer = {"id": row.payer_id, "name": row.payer_name, "filing": row.filing}
    doctor = {"npi": row.rendering_npi, "family": row.rendering_family, "given": row.rendering_given}
    return {
        "id": str(row.id),
        "number": row.number,
        "charge": str(row.charge_id),
        "payer": payer,
        "diagnoses": row.diagnoses,
        "rendering": doctor if row.rendering_npi else None,
        "created_at": at(row.created_at),
    }
