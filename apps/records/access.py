"""The one door to patient data: the role's right, the part in the patient's care, and an entry in the audit log for either answer.

    asked(request, "note.read", patient_id)     may this person do this to this patient? Refusals are audited at once
    shown(…) / written(…)                       run what was asked, with its audit entry in the same transaction

A practitioner's patients are those with an appointment on the own calendar, or one whose glass the practitioner broke.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse

from apps.kernel import audit
from apps.kernel.api import as_json
from apps.kernel.callers import allowed
from apps.kernel.ids import as_id
from apps.kernel.once import once
from apps.kernel.problems import Forbidden, NotFound
from apps.kernel.tokens import Claims
from apps.records import queries
from apps.records.models import BreakGlass, Patient
from apps.records.permissions import PERMISSIONS

NOT_IN_CARE = "This patient has no appointment with you. In an emergency, break the glass: POST …/break-glass with a reason."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Something that may be done, and by whom. `family`: the patient's id first, then those merged into it."""

    request: HttpRequest
    claims: Claims
    action: str
    patient: Patient | None = None
    family: list[UUID] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def clinic(self) -> str:
        return self.claims.clinic

    def audit(self, object: str = "", *, patient: UUID | None = None, **details: Any) -> None:  # noqa: A002 - the log's word
        """Writes the entry that says it was done; by default it is about the patient itself."""
        about = patient or (self.patient.id if self.patient else None)
        audit.record(
            self.request,
            self.claims,
            self.action,
            object=object or (f"patient:{about}" if about else ""),
            patient=str(about or ""),
            details=self.details | details,
        )


@dataclass(frozen=True, kw_only=True)
class AskedPatient(Asked):
    """The same about one patient, who is there."""

    patient: Patient


def asked(request: HttpRequest, action: str) -> Asked:
    """Somebody whose role may do `action`. Raises Unauthenticated, SecondFactorRequired, Forbidden."""
    return Asked(request=request, claims=allowed(request, PERMISSIONS, action), action=action)


def asked_of(request: HttpRequest, action: str, patient_id: str) -> AskedPatient:
    """The same to that patient. Raises NotFound too, and Forbidden for a patient in nobody's care here."""
    claims = allowed(request, PERMISSIONS, action)
    try:
        patient = queries.patient(claims.clinic, patient_id)
        family = queries.family(patient)
        details = care(claims, family) if action != "break_glass.open" else {}
    except (NotFound, Forbidden) as refused:
        _denied(request, claims, action, patient_id=patient_id, code=refused.code)
        raise
    return AskedPatient(request=request, claims=claims, action=action, patient=patient, family=family, details=details)


def care(claims: Claims, family: list[UUID]) -> dict[str, Any]:
    """What the audit log should say of why a practitioner may see this patient; others need no reason. Raises Forbidden."""
    if claims.role != "practitioner" or queries.in_care_of(claims.calendar, claims.clinic, family):
        return {}
    glass = BreakGlass.objects.filter(clinic=claims.clinic, patient__in=family, actor=claims.subject, until__gt=Now()).first()
    if glass is None:
        raise Forbidden(NOT_IN_CARE)
    return {"break_glass": str(glass.id)}


def own(claims: Claims, patients: Iterable[UUID]) -> set[UUID]:
    """Those of these patients that the person may see at the moment: for a practitioner as `care` says, else all."""
    wanted = set(patients)
    if claims.role != "practitioner":
        return wanted
    members = queries.families(claims.clinic, wanted)
    broken = BreakGlass.objects.filter(clinic=claims.clinic, patient__in=members, actor=claims.subject, until__gt=Now())
    mine = queries.in_care_of(claims.calendar, claims.clinic, list(members)) | set(broken.values_list("patient", flat=True))
    return {members[one] for one in mine}


def shown(known: Asked, read: Callable[[], Any], *, object: str = "") -> HttpResponse:  # noqa: A002
    """What `read` answers, as JSON unless it is a response, audited in the same transaction."""
    with transaction.atomic():
        answer = read()
        known.audit(object)
    return answer if isinstance(answer, HttpResponse) else as_json(answer)


def written(known: Asked, write: Callable[[], tuple[str | Patient, Any]], *, status: int = 201) -> HttpResponse:
    """What `write` answers beside what it wrote, a patient or `note:<id>`; once for each Idempotency-Key."""

    def run() -> HttpResponse:
        wrote, answer = write()
        if isinstance(wrote, Patient):
            known.audit(patient=wrote.id)
        else:
            known.audit(wrote)
        return as_json(answer, status=status)

    return once(known.request, f"{known.clinic}:{known.claims.subject}", run)


def _denied(request: HttpRequest, claims: Claims, action: str, *, patient_id: str, code: str) -> None:
    # What was asked for may be any text; what is not an id says nothing and is not kept.
    known = str(as_id(patient_id) or "")
    about = f"patient:{known}" if known else ""
    audit.record(request, claims, action, object=about, patient=known, outcome="denied", details={"code": code})
