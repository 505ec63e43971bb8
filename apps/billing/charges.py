"""WRITES: what appointments cost. Facts may come late, twice and in any order; each function gives the same result then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.billing import rules
from apps.billing.errors import ChargeNotBillable
from apps.billing.models import AppointmentPatient, Attendance, Charge, Invoice, PatientMerge, Policy, Price
from apps.billing.rules import Reason
from apps.billing.shapes import ChargePriceIn
from apps.kernel.problems import NotFound

_FEE_TEXTS = {Reason.LATE_CANCEL: "Late cancellation", Reason.NO_SHOW: "Missed appointment"}


@dataclass(frozen=True, slots=True)
class Visit:
    """An appointment as the engine tells of it."""

    appointment: UUID
    clinic: str
    visit_type: UUID
    starts: datetime
    modality: str
    patient: str | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Visit":
        """From an event's data. Raises KeyError, ValueError."""
        return cls(
            UUID(data["appointment"]),
            str(data["clinic"]),
            UUID(data["visit_type"]),
            datetime.fromisoformat(data["start"]),
            str(data["modality"]),
            data["patient"],
        )


def completed(visit: Visit) -> None:
    """The visit took place: its price of that day, or a charge without one, which a biller prices later."""
    price = price_at(visit.clinic, visit.visit_type, visit.starts)
    if price is None:
        _charge(visit, Reason.VISIT, {})
        return
    service = rules.service(
        price.code, modifiers=tuple(price.modifiers), modality=visit.modality, telehealth_place=price.telehealth_place
    )
    what = {"amount": price.amount, "currency": price.currency, "description": price.description}
    _charge(visit, Reason.VISIT, {**what, "code": service.code, "modifiers": list(service.modifiers), "place": service.place})


def cancelled(visit: Visit, *, at: datetime, by: str) -> None:
    """Called off: a fee when the patient did it later than the clinic's policy allows."""
    policy = policy_at(visit.clinic, visit.starts)
    fee = rules.late_cancel_fee(_fees(policy), start=visit.starts, cancelled=at, by=by)
    if policy is not None and fee:
        _fee(visit, Reason.LATE_CANCEL, fee, policy.currency)


def missed(visit: Visit, *, at: datetime) -> None:
    """The patient did not come, as of `at`."""
    policy = policy_at(visit.clinic, visit.starts)
    if _is_news(visit.appointment, came=False, at=at) and policy is not None and policy.no_show_fee:
        _fee(visit, Reason.NO_SHOW, policy.no_show_fee, policy.currency)


def came(appointment: UUID, *, at: datetime) -> None:
    """The patient did come, or is expected again, as of `at`: nothing is owed for having missed the visit, unless it is billed."""
    if not _is_news(appointment, came=True, at=at):
        return
    fee = Charge.objects.filter(appointment=appointment, reason=Reason.NO_SHOW, invoice=None, waived_at=None)
    # What stands on an invoice that was voided must stay; waived, it is billed no more.
    fee.exclude(invoiceline=None).update(waived_at=datetime.now(UTC))
    fee.filter(invoiceline=None).delete()


def linked(appointment: UUID, patient: str) -> None:
    """Records found out whose the appointment is."""
    whose = merged_into(patient)
    AppointmentPatient.objects.update_or_create(appointment=appointment, defaults={"patient": whose})
    Charge.objects.filter(appointment=appointment, invoice=None).update(patient=whose)


def merged(patient: str, into: str) -> None:
    """Two patients are one: everything of the first is the second's, what comes later too."""
    whose = merged_into(into)
    if whose == patient:
        return
    PatientMerge.objects.update_or_create(merged=patient, defaults={"into": whose})
    PatientMerge.objects.filter(into=patient).update(into=whose)
    for model in (AppointmentPatient, Charge, Invoice):
        model._default_manager.filter(patient=patient).update(patient=whose)


def unmerged(patient: str, moved: list[str]) -> None:
    """They were two after all: who was merged into the first is its again, and what is linked from now on stays where it is."""
    PatientMerge.objects.filter(merged=patient).delete()
    PatientMerge.objects.filter(merged__in=moved).update(into=patient)


def merged_into(patient: str) -> str:
    """Who the patient is now."""
    return PatientMerge.objects.filter(merged=patient).values_list("into", flat=True).first() or patient


def price(charge_id: UUID, given: ChargePriceIn, *, clinic: str) -> Charge:
    """A biller prices a charge, or corrects it, before it is billed. Raises NotFound, ChargeNotBillable."""
    charge = _open(charge_id, clinic)
    service = rules.service(given.code, modifiers=tuple(given.modifiers), modality=charge.modality, telehealth_place="10")
    charge.amount, charge.currency, charge.description, charge.code = given.amount, given.currency, given.description, given.code
    charge.modifiers, charge.place = (list(service.modifiers), service.place) if given.code else ([], "")
    charge.save()
    return charge


def waive(charge_id: UUID, *, clinic: str) -> Charge:
    """The patient owes nothing for it. Raises NotFound, ChargeNotBillable."""
    charge = _open(charge_id, clinic)
    charge.waived_at = datetime.now(UTC)
    charge.save()
    return charge


def price_at(clinic: str, visit_type: UUID, at: datetime) -> Price | None:
    """The price that is valid at `at`."""
    return Price.objects.filter(clinic=clinic, visit_type=visit_type, valid_from__lte=at).order_by("-valid_from").first()


def policy_at(clinic: str, at: datetime) -> Policy | None:
    """The policy that is valid at `at`."""
    return Policy.objects.filter(clinic=clinic, valid_from__lte=at).order_by("-valid_from").first()


def _open(charge_id: UUID, clinic: str) -> Charge:
    charge = Charge.objects.select_for_update().filter(Q(id=charge_id), clinic=clinic).first()
    if charge is None:
        raise NotFound("No such charge.")
    if charge.invoice_id is not None or charge.waived_at is not None:
        raise ChargeNotBillable("It is billed or waived already.", charge=charge.id)
    return charge


def _is_news(appointment: UUID, *, came: bool, at: datetime) -> bool:
    known, new = Attendance.objects.select_for_update().get_or_create(appointment=appointment, defaults={"came": came, "as_of": at})
    if not new and at <= known.as_of:
        return False
    known.came, known.as_of = came, at
    known.save()
    return True


def _fees(policy: Policy | None) -> rules.Fees | None:
    if policy is None:
        return None
    return rules.Fees(policy.currency, policy.late_cancel_fee, timedelta(hours=policy.late_cancel_hours), policy.no_show_fee)


def _fee(visit: Visit, reason: Reason, amount: int, currency: str) -> None:
    _charge(visit, reason, {"amount": amount, "currency": currency, "description": _FEE_TEXTS[reason]})


def _charge(visit: Visit, reason: Reason, what: dict[str, Any]) -> None:
    known = AppointmentPatient.objects.filter(appointment=visit.appointment).values_list("patient", flat=True).first()
    patient = known or (merged_into(visit.patient) if visit.patient else None)
    charge = Charge(
        appointment=visit.appointment,
        reason=reason,
        clinic=visit.clinic,
        visit_type=visit.visit_type,
        starts=visit.starts,
        modality=visit.modality,
        patient=patient,
        created_at=datetime.now(UTC),
        **what,
    )
    # One statement: an appointment that is charged for this already keeps its charge.
    Charge.objects.bulk_create([charge], ignore_conflicts=True)
