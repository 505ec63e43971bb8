"""The HTTP API of records, /api/records/v1: who asks for what, one call inward, the answer. Patient data is in no address."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Query
from pydantic import ValidationError

from apps.kernel import auditor
from apps.kernel.api import PROBLEMS, Api, as_validation_failed
from apps.kernel.problems import Forbidden, NotFound, ValidationFailed
from apps.kernel.shapes import ProblemOut
from apps.records import access, answers, api_chart, merges, patients, queries, search, shapes
from apps.records.access import Asked, asked, asked_of, shown, written
from apps.records.emergencies import open_glass
from apps.records.keys import keyring
from apps.records.matching import search_terms
from apps.records.models import Patient
from apps.records.permissions import FIELDS

_VERSION = {"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": "The version that was read"}

api = Api(
    title="HealthFlow patient records",
    description="Patients, visits, notes, consents, documents. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="records",
)

api.add_router("", api_chart.router)
auditor.routes(api)


# --- patients -----------------------------------------------------------------------------------------------------------


@api.post("/patients", response={201: shapes.PatientOut, PROBLEMS: ProblemOut}, tags=["patients"])
def create_patient(request: HttpRequest, body: shapes.PatientIn) -> HttpResponse:
    """A new patient. `possible_duplicate` says that there may be the same one already."""
    known = asked(request, "patient.create")
    _only_visible(known, body)

    def write() -> tuple[Patient, Any]:
        row = patients.create(shapes.Details(**body.model_dump()), clinic=known.clinic)
        return row, answers.patient(row, body, role=known.claims.role)

    return written(known, write)


@api.post("/patients/search", response={200: shapes.CardsOut, PROBLEMS: ProblemOut}, tags=["patients"])
def search_patients(request: HttpRequest, body: shapes.SearchIn) -> HttpResponse:
    """Patients of the clinic by exact terms. One who is not the practitioner's own is an id and `"access": "break_glass"`."""
    known = asked(request, "patient.search")
    return shown(known, lambda: _found(known, body))


@api.get("/patients/{patient_id}", response={200: shapes.PatientOut, PROBLEMS: ProblemOut}, tags=["patients"])
def read_patient(request: HttpRequest, patient_id: str) -> HttpResponse:
    """What the caller's role sees of a patient; the survivor for one that was merged."""
    known = asked_of(request, "patient.read", patient_id)
    return shown(known, lambda: answers.patient(known.patient, queries.details(known.patient), role=known.claims.role))


@api.patch(
    "/patients/{patient_id}",
    response={200: shapes.PatientOut, PROBLEMS: ProblemOut},
    tags=["patients"],
    openapi_extra={"parameters": [_VERSION]},
)
def change_patient(request: HttpRequest, patient_id: str, body: shapes.PatientChange) -> HttpResponse:
    """Changes what is named. `If-Match` is the version that was read; 409 version_conflict when there is a newer one."""
    known = asked_of(request, "patient.update", patient_id)
    _only_visible(known, body)
    version = _version(request)

    def write() -> tuple[Patient, Any]:
        row, details = patients.change(known.patient, lambda details: _changed(details, body), version=version)
        return row, answers.patient(row, details, role=known.claims.role)

    return written(known, write, status=200)


@api.get("/patients/{patient_id}/export", response={200: shapes.ExportOut, PROBLEMS: ProblemOut}, tags=["patients"])
def export_patient(request: HttpRequest, patient_id: str) -> HttpResponse:
    """All that is kept of a patient, as the patient may ask for it (45 CFR 164.524)."""
    known = asked_of(request, "patient.export", patient_id)
    return shown(known, lambda: answers.everything(known.patient, known.family, known.clinic))


@api.get("/patients/{patient_id}/disclosures", response={200: shapes.DisclosuresOut, PROBLEMS: ProblemOut}, tags=["patients"])
def disclosures(request: HttpRequest, patient_id: str, query: Query[shapes.PageQuery]) -> HttpResponse:
    """Who looked at or changed what of this patient, newest first (45 CFR 164.528)."""
    known = asked_of(request, "patient.disclosures", patient_id)

    def read() -> Any:
        rows = queries.disclosures(known.clinic, known.family, limit=query.limit, after=query.cursor)
        following = str(rows[-1].id) if len(rows) == query.limit else None
        return {"items": [answers.disclosure(row) for row in rows], "next": following}

    return shown(known, read)


@api.post("/patients/{patient_id}/break-glass", response={201: shapes.GlassOut, PROBLEMS: ProblemOut}, tags=["patients"])
def break_glass(request: HttpRequest, patient_id: str, body: shapes.BreakGlassIn) -> HttpResponse:
    """Opens this one patient to a practitioner who has no part in the care, for up to 60 minutes. The auditor is told."""
    known = asked_of(request, "break_glass.open", patient_id)

    def write() -> tuple[str, Any]:
        glass = open_glass(known.patient, known.claims, reason=body.reason, minutes=body.minutes)
        return f"break_glass:{glass.id}", answers.glass(glass)

    return written(known, write)


# --- one person, two records --------------------------------------------------------------------------------------------


@api.get("/duplicates", response={200: shapes.CardsOut, PROBLEMS: ProblemOut}, tags=["duplicates"])
def suspects(request: HttpRequest, query: Query[shapes.PageQuery]) -> HttpResponse:
    """Patients who may be in the records twice."""
    known = asked(request, "patient.duplicates")

    def read() -> Any:
        rows = queries.suspects(known.clinic, limit=query.limit, after=query.cursor)
        opened = queries.details_of_many(known.clinic, [row.id for row in rows])
        items = [answers.card(*opened[row.id], role=known.claims.role) for row in rows if row.id in opened]
        return {"items": items, "next": str(rows[-1].id) if len(rows) == query.limit else None}

    return shown(known, read)


@api.get("/patients/{patient_id}/duplicates", response={200: shapes.CardsOut, PROBLEMS: ProblemOut}, tags=["duplicates"])
def duplicates(request: HttpRequest, patient_id: str) -> HttpResponse:
    """Who else may be this patient, likeliest first, with the reasons."""
    known = asked_of(request, "patient.duplicates", patient_id)

    def read() -> Any:
        near = patients.duplicates(known.patient, queries.details(known.patient))
        for other, *_ in near:
            known.audit(patient=other.id)
        items = [
            answers.card(other, details, role=known.claims.role) | {"score": like.score, "reasons": like.reasons}
            for other, details, like in near
        ]
        return {"items": items, "next": None}

    return shown(known, read)


@api.post("/patients/{patient_id}/merge", response={200: shapes.MergeOut, PROBLEMS: ProblemOut}, tags=["duplicates"])
def merge_patients(request: HttpRequest, patient_id: str, body: shapes.MergeIn) -> HttpResponse:
    """`source` is this patient from now on; nothing of either is lost. The answer's `merge` undoes it."""
    known = asked_of(request, "patient.merge", patient_id)

    def write() -> tuple[str, Any]:
        kept = merges.merge(body.source, into=known.patient, actor=known.claims.subject)
        known.audit(f"merge:{kept.id}", patient=kept.source)
        return f"merge:{kept.id}", {"merge": str(kept.id), "patient": str(kept.target), "source": str(kept.source)}

    return written(known, write, status=200)


@api.post(
    "/patients/{patient_id}/merges/{merge_id}/undo", response={200: shapes.MergeOut, PROBLEMS: ProblemOut}, tags=["duplicates"]
)
def undo_merge(request: HttpRequest, patient_id: str, merge_id: str, body: shapes.Nothing | None = None) -> HttpResponse:
    """The merged patient is one of its own again; a later merge must be undone first."""
    known = asked_of(request, "patient.merge", patient_id)

    def write() -> tuple[str, Any]:
        undone = merges.undo(known.patient, merge_id)
        known.audit(f"merge:{undone.id}", patient=undone.source, undone=True)
        return f"merge:{undone.id}", {"merge": str(undone.id), "patient": str(undone.target), "source": str(undone.source)}

    return written(known, write, status=200)


# --- appointments -------------------------------------------------------------------------------------------------------


@api.get("/appointments/{appointment_id}/patient", response={200: shapes.CardOut, PROBLEMS: ProblemOut}, tags=["appointments"])
def appointment_patient(request: HttpRequest, appointment_id: str) -> HttpResponse:
    """Who has this appointment."""
    known = asked(request, "appointment.patient")
    visit = queries.visit(known.clinic, appointment_id)
    if visit.patient is None:
        raise NotFound("Nobody knows yet whose appointment this is.")
    whose = asked_of(request, "appointment.patient", str(visit.patient))
    return shown(whose, lambda: answers.card(whose.patient, queries.details(whose.patient), role=whose.claims.role))


@api.post("/appointments/patients", response={200: shapes.CardsOut, PROBLEMS: ProblemOut}, tags=["appointments"])
def appointments_patients(request: HttpRequest, body: shapes.AppointmentsIn) -> HttpResponse:
    """Who has these appointments, each with its `appointment`; what the caller may not see, or nobody knows yet, is left out."""
    known = asked(request, "appointment.patient")
    return shown(known, lambda: {"items": _cards(known, body.appointments), "next": None})


def _found(known: Asked, body: shapes.SearchIn) -> dict[str, Any]:
    after = queries.place(body.cursor)
    secret = keyring().newest(known.clinic)
    alternatives = [
        search.find(known.clinic, terms=terms, limit=body.limit, after=after) for terms in search_terms(body, secret=secret)
    ]
    ids = sorted({one for found in alternatives for one in found})[: body.limit]
    opened = queries.details_of_many(known.clinic, ids)
    mine = access.own(known.claims, ids)
    items = [
        answers.card(*opened[key], role=known.claims.role) if key in mine else {"id": str(key), "access": "break_glass"}
        for key in ids
        if key in opened
    ]
    for key in opened:
        known.audit(patient=key)
    return {"items": items, "next": str(ids[-1]) if len(ids) == body.limit else None}


def _cards(known: Asked, appointments: list[str]) -> list[dict[str, Any]]:
    whose = queries.patients_of_appointments(known.clinic, appointments)
    opened = queries.details_of_many(known.clinic, access.own(known.claims, whose.values()))
    for key in opened:
        known.audit(patient=key)
    cards = {key: answers.card(row, details, role=known.claims.role) for key, (row, details) in opened.items()}
    return [{"appointment": str(one), **cards[key]} for one, key in whose.items() if key in cards]


def _only_visible(known: Asked, body: shapes.Details) -> None:
    """A role writes what it sees, nothing else. Raises Forbidden."""
    if hidden := body.model_fields_set - FIELDS[known.claims.role]:
        raise Forbidden("Your role does not write this.", param=min(hidden))


def _changed(details: shapes.Details, body: shapes.PatientChange) -> shapes.Details:
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if "name" in given and not given.keys() & {"given", "family"}:
        given |= {"given": "", "family": ""}  # the parts of the old name
    try:
        return shapes.Details.model_validate(details.model_copy(update=given).model_dump())
    except ValidationError as refused:
        raise as_validation_failed([dict(error) for error in refused.errors()]) from None


def _version(request: HttpRequest) -> int:
    text = request.headers.get("If-Match", "").strip('"')
    if not (text.isdigit() and len(text) < 9):
        raise ValidationFailed("The version that was read, please.", param="If-Match")
    return int(text)
