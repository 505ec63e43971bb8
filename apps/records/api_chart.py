"""The addresses of a patient's chart: visits, notes, consents, documents."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from ninja import Query, Router

from apps.kernel.api import PROBLEMS
from apps.kernel.shapes import ProblemOut
from apps.records import answers, charts, queries, shapes
from apps.records.access import asked_of, shown, written
from apps.records.keys import keyring

router = Router()


@router.get("/patients/{patient_id}/visits", response={200: shapes.VisitsOut, PROBLEMS: ProblemOut}, tags=["chart"])
def visits(request: HttpRequest, patient_id: str, query: Query[shapes.PageQuery]) -> HttpResponse:
    """A patient's appointments, newest first; a visit is one with `opened_at`."""
    known = asked_of(request, "visit.read", patient_id)

    def read() -> Any:
        rows = queries.visits(known.clinic, known.family, limit=query.limit, after=query.cursor)
        following = str(rows[-1].appointment) if len(rows) == query.limit else None
        return {"items": [answers.visit(row) for row in rows], "next": following}

    return shown(known, read)


@router.get("/patients/{patient_id}/notes", response={200: shapes.NotesOut, PROBLEMS: ProblemOut}, tags=["chart"])
def notes(request: HttpRequest, patient_id: str, query: Query[shapes.PageQuery]) -> HttpResponse:
    """A patient's notes in their newest version, newest note first."""
    known = asked_of(request, "note.read", patient_id)

    def read() -> Any:
        rows = queries.newest_notes(known.clinic, known.family, limit=query.limit, after=query.cursor)
        items = [answers.note(version, text) for version, text in reversed(queries.versions(rows, newest=True))]
        return {"items": items, "next": str(rows[-1].id) if len(rows) == query.limit else None}

    return shown(known, read)


@router.post("/patients/{patient_id}/notes", response={201: shapes.NoteOut, PROBLEMS: ProblemOut}, tags=["chart"])
def write_note(request: HttpRequest, patient_id: str, body: shapes.NoteIn) -> HttpResponse:
    """A new note."""
    known = asked_of(request, "note.write", patient_id)

    def write() -> tuple[str, Any]:
        note = charts.write_note(known.patient, known.family, body, author=known.claims.subject)
        return f"note:{note.id}", answers.note(*queries.versions([note], newest=True)[0])

    return written(known, write)


@router.get("/patients/{patient_id}/notes/{note_id}", response={200: shapes.NotesOut, PROBLEMS: ProblemOut}, tags=["chart"])
def note_history(request: HttpRequest, patient_id: str, note_id: str) -> HttpResponse:
    """All versions of a note, oldest first."""
    known = asked_of(request, "note.read", patient_id)
    note = queries.note(known.clinic, known.family, note_id)

    def read() -> Any:
        return {"items": [answers.note(*one) for one in queries.versions([note], newest=False)], "next": None}

    return shown(known, read, object=f"note:{note.id}")


@router.post("/patients/{patient_id}/notes/{note_id}/amend", response={201: shapes.NoteOut, PROBLEMS: ProblemOut}, tags=["chart"])
def amend_note(request: HttpRequest, patient_id: str, note_id: str, body: shapes.AmendIn) -> HttpResponse:
    """The next version of a note; 409 version_conflict when somebody else wrote it meanwhile."""
    known = asked_of(request, "note.write", patient_id)
    note = queries.note(known.clinic, known.family, note_id)

    def write() -> tuple[str, Any]:
        amended = charts.amend_note(note, body, author=known.claims.subject)
        return f"note:{note.id}", answers.note(*queries.versions([amended], newest=True)[0])

    return written(known, write)


@router.get("/patients/{patient_id}/consents", response={200: shapes.ConsentsOut, PROBLEMS: ProblemOut}, tags=["chart"])
def consents(request: HttpRequest, patient_id: str) -> HttpResponse:
    """All that was said of consent, oldest first: the newest word on a purpose and channel counts."""
    known = asked_of(request, "consent.read", patient_id)
    rows = queries.consents
    return shown(known, lambda: {"items": [answers.consent(row) for row in rows(known.clinic, known.family)], "next": None})


@router.post("/patients/{patient_id}/consents", response={201: shapes.ConsentOut, PROBLEMS: ProblemOut}, tags=["chart"])
def say_consent(request: HttpRequest, patient_id: str, body: shapes.ConsentIn) -> HttpResponse:
    """Consent given or taken back."""
    known = asked_of(request, "consent.write", patient_id)

    def write() -> tuple[str, Any]:
        consent = charts.say_consent(known.patient, body, actor=known.claims.subject)
        return f"consent:{consent.id}", answers.consent(consent)

    return written(known, write)


@router.get("/patients/{patient_id}/documents", response={200: shapes.DocumentsOut, PROBLEMS: ProblemOut}, tags=["chart"])
def documents(request: HttpRequest, patient_id: str, query: Query[shapes.PageQuery]) -> HttpResponse:
    """A patient's files, newest first, without their content."""
    known = asked_of(request, "document.read", patient_id)

    def read() -> Any:
        rows = queries.documents(known.clinic, known.family, limit=query.limit, after=query.cursor)
        following = str(rows[-1].id) if len(rows) == query.limit else None
        return {"items": answers.documents(rows, clinic=known.clinic), "next": following}

    return shown(known, read)


@router.post("/patients/{patient_id}/documents", response={201: shapes.DocumentOut, PROBLEMS: ProblemOut}, tags=["chart"])
def keep_document(request: HttpRequest, patient_id: str, body: shapes.DocumentIn) -> HttpResponse:
    """A file: PDF, PNG, JPEG or plain text, 5 MiB at most, and what it says it is."""
    known = asked_of(request, "document.write", patient_id)

    def write() -> tuple[str, Any]:
        document = charts.keep_document(known.patient, body, author=known.claims.subject)
        keys = keyring().of(document.patient, clinic=known.clinic)
        return f"document:{document.id}", answers.document(document, keys)

    return written(known, write)


@router.get("/patients/{patient_id}/documents/{document_id}", tags=["chart"])
def read_document(request: HttpRequest, patient_id: str, document_id: str) -> HttpResponse:
    """The file itself, to be saved and not to be shown by the browser."""
    known = asked_of(request, "document.read", patient_id)
    document = queries.document(known.clinic, known.family, document_id)

    def read() -> HttpResponse:
        cipher = keyring().of(document.patient, clinic=known.clinic)
        return _as_file(charts.content(document, cipher), **charts.about(document, cipher))

    return shown(known, read, object=f"document:{document.id}")


def _as_file(content: bytes, *, name: str, type: str) -> HttpResponse:  # noqa: A002 - as it is stored
    # Whatever it is, no browser runs it as ours: it is saved, not guessed at, and alone if it is opened all the same.
    response = HttpResponse(content, content_type=type)
    response["Content-Disposition"] = content_disposition_header(True, name.replace("/", "_").replace("\\", "_"))
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
