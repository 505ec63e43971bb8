"""An invoice's data, and the patient's as records knows it now, as a page to print."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from apps.billing import answers, invoice_pdf, queries
from apps.billing.errors import InvoiceState
from apps.billing.models import Invoice, Profile
from apps.billing.money import as_text
from apps.billing.people import person

_STAMPS = {Invoice.Status.PAID: "PAID", Invoice.Status.VOID: "VOID", Invoice.Status.WRITTEN_OFF: "CLOSED"}


def invoice(row: Invoice) -> bytes:
    """The PDF of an invoice that was issued; asks records. Raises InvoiceState, Unavailable."""
    if row.number is None or row.issued_at is None or row.due_at is None:
        raise InvoiceState("It has no number yet.", current=row.status)
    profile = Profile.objects.filter(clinic=row.clinic).first() or Profile(clinic=row.clinic, name=row.clinic, zone="UTC")
    zone, who = ZoneInfo(profile.zone), person(row.patient, clinic=row.clinic)
    paid = queries.paid([row]).get(row.id, 0)
    balance = answers.invoice(row, paid=paid)["balance"]
    lines = [
        invoice_pdf.Line(line.starts.astimezone(zone).date(), line.description, line.code, as_text(line.amount, row.currency))
        for line in queries.lines(row)
    ]
    return invoice_pdf.render(
        invoice_pdf.Invoice(
            number=answers.number(row) or "",
            issued=row.issued_at.astimezone(zone),
            due=row.due_at.astimezone(zone).date(),
            stamp=_STAMPS.get(Invoice.Status(row.status), ""),
            clinic=profile.name,
            clinic_lines=_clinic_lines(profile),
            patient=who.name or "Patient",
            patient_lines=_address(who.line, who.city, who.state, who.postal_code),
            reference=row.patient,
            lines=lines,
            total=as_text(row.total, row.currency),
            paid=as_text(paid, row.currency),
            balance=as_text(balance, row.currency),
            note=f"Questions about this invoice: {profile.phone or profile.email}" if profile.phone or profile.email else "",
        )
    )


def _clinic_lines(profile: Profile) -> Sequence[str]:
    reached = " · ".join(filter(None, (profile.phone, profile.email)))
    numbers = (f"Tax ID {profile.tax_id}" if profile.tax_id else "", f"NPI {profile.npi}" if profile.npi else "")
    address = _address(profile.line, profile.city, profile.state, profile.postal_code)
    return [*address, *filter(None, (reached, " · ".join(filter(None, numbers))))]


def _address(line: str, city: str, state: str, postal_code: str) -> Sequence[str]:
    town = ", ".join(filter(None, (city, f"{state} {postal_code}".strip())))
    return [text for text in (line, town) if text]
