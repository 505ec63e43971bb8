"""For other services only, /internal/v1: what they need to know of a patient for one purpose, each time it is needed.

The edge never routes here. Each answer is an entry in the audit log, in the name of the service.
"""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.kernel import audit
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.problems import NotFound
from apps.kernel.services import calling_service
from apps.kernel.shapes import ProblemOut
from apps.records import answers, appointments, queries, shapes
from apps.records.keys import keyring
from apps.records.models import Patient, Visit

api = Api(title="HealthFlow patient records, for services", description="Not for people.", namespace="records-internal")


@api.get("/appointments/{appointment_id}/contact", response={200: shapes.ContactOut, PROBLEMS: ProblemOut})
def appointment_contact(request: HttpRequest, appointment_id: str) -> HttpResponse:
    """How to reach who has this appointment; 404 as long as nobody knows."""
    service = calling_service(request, "notifications")
    with transaction.atomic():
        visit = queries.visit_of_any_clinic(appointment_id)
        if visit.patient is None:
            raise NotFound("Nobody knows yet whose appointment this is.")
        return as_json(_contact(request, service, queries.patient(visit.clinic, visit.patient), visit))


@api.get("/patients/{patient_id}/contact", response={200: shapes.ContactOut, PROBLEMS: ProblemOut})
def patient_contact(request: HttpRequest, patient_id: str, query: Query[shapes.ClinicQuery]) -> HttpResponse:
    """How to reach this patient of that clinic."""
    service = calling_service(request, "notifications")
    with transaction.atomic():
        return as_json(_contact(request, service, queries.patient(query.clinic, patient_id)))


@api.get("/patients/{patient_id}/billing", response={200: shapes.BillingOut, PROBLEMS: ProblemOut})
def patient_billing(request: HttpRequest, patient_id: str, query: Query[shapes.ClinicQuery]) -> HttpResponse:
    """What a claim says of the insured person, a patient of that clinic."""
    service = calling_service(request, "billing")
    with transaction.atomic():
        patient = queries.patient(query.clinic, patient_id)
        details = queries.details(patient)
        given, family = details.parts()
        _audit(request, service, "patient.billing", patient)
    return as_json(
        {
            "name": {"given": given, "family": family},
            "date_of_birth": details.birth_date,
            "sex": details.sex,
            "address": (details.address or shapes.Address()).model_dump(),
            "identifiers": [one.model_dump() for one in details.identifiers],
        }
    )


@api.post("/contacts/find", response={200: shapes.PatientsOut, PROBLEMS: ProblemOut})
def find_contacts(request: HttpRequest, body: shapes.PhoneIn) -> HttpResponse:
    """Whose telephone number this is, in all clinics: somebody wrote STOP."""
    service = calling_service(request, "notifications")
    with transaction.atomic():
        found = queries.patients_with(body.phone)
        audit.record(request, service, "patient.find", details={"found": len(found)})
    return as_json({"patients": found})


def _contact(request: HttpRequest, service: str, patient: Patient, visit: Visit | None = None) -> dict[str, Any]:
    details = queries.details(patient)
    said: dict[str, Any] = {}
    if visit is not None and visit.patient is not None:
        said = appointments.given(visit, keyring().of(visit.patient, clinic=visit.clinic))
    _audit(request, service, "patient.contact", patient)
    family = queries.family(patient)
    return answers.contact(patient, details, said=said, refused=queries.refused_channels(patient.clinic, family))


def _audit(request: HttpRequest, service: str, action: str, patient: Patient) -> None:
    audit.record(request, service, action, clinic=patient.clinic, object=f"patient:{patient.id}", patient=str(patient.id))
