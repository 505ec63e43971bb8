"""What records says on the wire, by role."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from apps.kernel.models import AuditEntry
from apps.records import appointments, charts, queries
from apps.records.encryption import Cipher
from apps.records.keys import keyring
from apps.records.models import BreakGlass, Consent, Document, NoteVersion, Patient, Visit
from apps.records.permissions import visible
from apps.records.shapes import Details


def rfc3339(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def patient(row: Patient, details: Details, *, role: str) -> dict[str, Any]:
    shown = visible(details.model_dump(mode="json"), role=role)
    return {"id": str(row.id), "version": row.version, "possible_duplicate": row.possible_duplicate, **shown}


def card(row: Patient, details: Details, *, role: str) -> dict[str, Any]:
    """Who it is, for a list."""
    shown = visible({"name": details.name, "birth_date": details.birth_date}, role=role)
    return {"id": str(row.id), **shown}


def visit(row: Visit) -> dict[str, Any]:
    return {
        "appointment": str(row.appointment),
        "calendar": str(row.calendar),
        "visit_type": str(row.visit_type),
        "start": rfc3339(row.start),
        "end": rfc3339(row.end),
        "status": row.status,
        "opened_at": rfc3339(row.opened_at),
        "closed_at": rfc3339(row.closed_at),
    }


def note(version: NoteVersion, text: str) -> dict[str, Any]:
    appointment = version.note.appointment
    return {
        "id": str(version.note_id),
        "version": version.number,
        "text": text,
        "signed": version.signed,
        "author": version.author,
        "at": rfc3339(version.at),
        "appointment": str(appointment) if appointment else None,
    }


def consent(row: Consent) -> dict[str, Any]:
    said = {"id": str(row.id), "purpose": row.purpose, "channel": row.channel, "granted": row.granted}
    return said | {"actor": row.actor, "at": rfc3339(row.at)}


def document(row: Document, cipher: Cipher) -> dict[str, Any]:
    return {"id": str(row.id), **charts.about(row, cipher), "size": row.size, "author": row.author, "at": rfc3339(row.at)}


def documents(rows: Sequence[Document], *, clinic: str) -> list[dict[str, Any]]:
    keys = keyring().of_many({row.patient for row in rows}, clinic=clinic)
    return [document(row, keys[row.patient]) for row in rows if row.patient in keys]


def glass(row: BreakGlass) -> dict[str, Any]:
    return {"id": str(row.id), "patient": str(row.patient), "until": rfc3339(row.until)}


def disclosure(entry: AuditEntry) -> dict[str, Any]:
    who = {"actor": entry.actor, "role": entry.role, "address": entry.address}
    return {"at": rfc3339(entry.at), **who, "action": entry.action, "object": entry.object, "outcome": entry.outcome}


def contact(row: Patient, details: Details, *, said: dict[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """How to reach a patient: what was `said` when booking comes first. `refused` are channels that are not wanted."""
    email = said.get("email") or next(iter(details.emails), None)
    phone = said.get("phone") or next(iter(details.phones), None)
    given = {"email": email, "sms": phone}
    return {
        "patient": str(row.id),
        "name": details.name,
        "email": email,
        "phone": phone,
        "language": said.get("language") or details.language or "en",
        "channels": [channel for channel, address in given.items() if address and channel not in refused],
        "zone": said.get("zone") or details.zone,
    }


def everything(row: Patient, family: Sequence[Any], clinic: str) -> dict[str, Any]:
    """All that is kept of a patient, for the patient: demographics, also of records merged into this one, and the whole chart."""
    known = queries.details_of_many(clinic, family)
    seen = queries.visits(clinic, family, limit=_ALL)
    keys = keyring().of_many(family, clinic=clinic)
    notes = queries.newest_notes(clinic, family, limit=_ALL, after="")
    return {
        "patients": [{"id": str(key), **details.model_dump(mode="json")} for key, (_, details) in known.items()],
        "visits": [visit(one) | {"given": appointments.given(one, keys[one.patient])} for one in seen if one.patient in keys],
        "notes": [note(version, text) for version, text in queries.versions(notes, newest=False)],
        "consents": [consent(one) for one in queries.consents(clinic, family)],
        "documents": documents(queries.documents(clinic, family, limit=_ALL, after=""), clinic=clinic),
    }


_ALL = 100_000
