"""What is read. Every question names its clinic first, so that another clinic's things are simply not there."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from apps.kernel.ids import as_id
from apps.kernel.models import AuditEntry
from apps.kernel.problems import NotFound, ValidationFailed
from apps.records.encryption import Cipher
from apps.records.keys import keyring
from apps.records.matching import phone_term
from apps.records.models import ClinicKey, Consent, Document, Note, NoteVersion, Patient, Visit
from apps.records.shapes import Details

_BY_PHONE = """
SELECT DISTINCT coalesce(p.merged_into, p.id)::text FROM unnest(%s::text[], %s::bytea[]) AS asked (clinic, term)
JOIN records_blindindex b ON b.clinic = asked.clinic AND b.kind = 'phone' AND b.term = asked.term
JOIN records_patient p ON p.id = b.patient ORDER BY 1
"""


def patient(clinic: str, name: str | UUID) -> Patient:
    """The patient of that id; the one it was merged into, if it was. Raises NotFound."""
    known = name if isinstance(name, UUID) else as_id(name)
    found = Patient.objects.filter(clinic=clinic, id=known).first() if known else None
    if found is not None and found.merged_into:
        found = Patient.objects.filter(clinic=clinic, id=found.merged_into).first()
    if found is None:
        raise NotFound("No such patient.")
    return found


def family(found: Patient) -> list[UUID]:
    """The patient's id and those of all that were merged into it: what was written for any of them is its own."""
    return [found.id, *Patient.objects.filter(clinic=found.clinic, merged_into=found.id).values_list("id", flat=True)]


def survivors(clinic: str, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Who these patients are now, by id."""
    rows = Patient.objects.filter(clinic=clinic, id__in=list(ids))
    return {row.id: row.merged_into or row.id for row in rows.only("id", "merged_into")}


def families(clinic: str, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """All members of the families of these survivors: id → survivor."""
    wanted = list(ids)
    rows = Patient.objects.filter(Q(id__in=wanted) | Q(merged_into__in=wanted), clinic=clinic)
    return {row.id: row.merged_into or row.id for row in rows.only("id", "merged_into")}


def unsealed(found: Patient, cipher: Cipher) -> Details:
    text = cipher.unseal_bytes(found.details, table="patient", row=found.id, column="details")
    return Details.model_validate_json(text)


def details(found: Patient) -> Details:
    """The patient's demographics. Raises NotFound when the key was destroyed, Unavailable."""
    return unsealed(found, keyring().of(found.id, clinic=found.clinic))


def details_of_many(clinic: str, ids: Iterable[UUID]) -> dict[UUID, tuple[Patient, Details]]:
    """Those of these patients that are there and can be read, by id."""
    wanted = list(ids)
    keys = keyring().of_many(wanted, clinic=clinic)
    rows = Patient.objects.filter(clinic=clinic, id__in=keys)
    return {row.id: (row, unsealed(row, keys[row.id])) for row in rows}


def visit(clinic: str, appointment: str) -> Visit:
    """What is known of an appointment. Raises NotFound."""
    known = as_id(appointment)
    found = Visit.objects.filter(clinic=clinic, appointment=known).first() if known else None
    if found is None:
        raise NotFound("No such appointment.")
    return found


def patients_of_appointments(clinic: str, appointments: Iterable[str]) -> dict[UUID, UUID]:
    """Whose these appointments are, as far as it is known: appointment → patient."""
    known = [one for name in appointments if (one := as_id(name))]
    rows = Visit.objects.filter(clinic=clinic, appointment__in=known, patient__isnull=False)
    found = {row.appointment: row.patient for row in rows.only("appointment", "patient") if row.patient}
    now = survivors(clinic, found.values())
    return {appointment: now[patient] for appointment, patient in found.items() if patient in now}


def appointments_of(clinic: str, patients: Sequence[UUID]) -> list[UUID]:
    rows = Visit.objects.filter(clinic=clinic, patient__in=patients).order_by("appointment")
    return list(rows.values_list("appointment", flat=True))


def in_care_of(calendar: str, clinic: str, patients: Sequence[UUID]) -> set[UUID]:
    """Those of these patients who have, or had, an appointment on that calendar that was not cancelled."""
    mine = as_id(calendar)
    if mine is None:
        return set()
    booked = Visit.objects.filter(clinic=clinic, patient__in=patients, calendars__contains=[mine]).exclude(status="cancelled")
    return {one for one in booked.values_list("patient", flat=True) if one}


def visits(clinic: str, patients: Sequence[UUID], *, limit: int, after: str = "") -> list[Visit]:
    """Appointments of a patient's family, newest first; `after` is the last one's id."""
    found = Visit.objects.filter(clinic=clinic, patient__in=patients)
    known = place(after)
    last = found.filter(appointment=known).first() if known else None
    if last is not None:
        found = found.filter(Q(start__lt=last.start) | Q(start=last.start, appointment__lt=last.appointment))
    return list(found.order_by("-start", "-appointment")[:limit])


def newest_notes(clinic: str, patients: Sequence[UUID], *, limit: int, after: str) -> list[Note]:
    return list(_after(Note.objects.filter(clinic=clinic, patient__in=patients), after).order_by("-id")[:limit])


def note(clinic: str, patients: Sequence[UUID], name: str) -> Note:
    """A note of this patient. Raises NotFound."""
    known = as_id(name)
    found = Note.objects.filter(clinic=clinic, patient__in=patients, id=known).first() if known else None
    if found is None:
        raise NotFound("No such note.")
    return found


def versions(notes: Sequence[Note], *, newest: bool) -> list[tuple[NoteVersion, str]]:
    """Versions of these notes with their text: the newest of each or all, in order."""
    found = NoteVersion.objects.filter(note__in=notes).select_related("note").order_by("note", "number")
    keys = keyring().of_many({one.patient for one in notes}, clinic=notes[0].clinic) if notes else {}
    return [
        (one, keys[one.note.patient].unseal_bytes(one.text, table="note", row=one.id, column="text").decode())
        for one in found
        if (not newest or one.number == one.note.version) and one.note.patient in keys
    ]


def consents(clinic: str, patients: Sequence[UUID]) -> list[Consent]:
    """All that was said of consent, oldest first."""
    return list(Consent.objects.filter(clinic=clinic, patient__in=patients).order_by("id"))


def refused_channels(clinic: str, patients: Sequence[UUID]) -> set[str]:
    """By what the patient does not want to be written to any more. Who gave an address when booking wants to hear of it."""
    said = {one.channel: one.granted for one in consents(clinic, patients) if one.purpose == "messages"}
    return {channel for channel, granted in said.items() if not granted}


def documents(clinic: str, patients: Sequence[UUID], *, limit: int, after: str) -> list[Document]:
    found = _after(Document.objects.filter(clinic=clinic, patient__in=patients).defer("content"), after)
    return list(found.order_by("-id")[:limit])


def document(clinic: str, patients: Sequence[UUID], name: str) -> Document:
    """A document of this patient with its content, sealed. Raises NotFound."""
    known = as_id(name)
    found = Document.objects.filter(clinic=clinic, patient__in=patients, id=known).first() if known else None
    if found is None:
        raise NotFound("No such document.")
    return found


def disclosures(clinic: str, patients: Sequence[UUID], *, limit: int, after: str) -> list[AuditEntry]:
    """Who read or changed what of a patient, newest first."""
    if after and not (after.isdigit() and len(after) < 19):
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    found = AuditEntry.objects.filter(clinic=clinic, patient__in=[str(one) for one in patients])
    return list((found.filter(id__lt=int(after)) if after else found).order_by("-id")[:limit])


def suspects(clinic: str, *, limit: int, after: str) -> list[Patient]:
    """Patients who may be in the records twice, newest first."""
    found = Patient.objects.filter(clinic=clinic, possible_duplicate=True, merged_into=None)
    return list(_after(found, after).order_by("-id")[:limit])


def visit_of_any_clinic(name: str) -> Visit:
    """For other services, which serve all clinics: never for a person. Raises NotFound."""
    known = as_id(name)
    found = Visit.objects.filter(appointment=known).first() if known else None
    if found is None:
        raise NotFound("No such appointment.")
    return found


def patients_with(phone: str) -> list[str]:
    """Patients of any clinic who have this number."""
    clinics = list(ClinicKey.objects.order_by("clinic").values_list("clinic", flat=True).distinct())
    found = {clinic: phone_term(phone, secret=keyring().newest(clinic)) for clinic in clinics}
    terms = {clinic: term for clinic, term in found.items() if term}
    with connection.cursor() as cursor:
        cursor.execute(_BY_PHONE, [list(terms), list(terms.values())])
        return [row[0] for row in cursor.fetchall()]


def place(cursor: str) -> UUID | None:
    """Where a page begins: after that id. Raises ValidationFailed."""
    if not cursor:
        return None
    known = as_id(cursor)
    if known is None:
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return known


def _after(found: Any, cursor: str) -> Any:
    last = place(cursor)
    return found.filter(id__lt=last) if last else found
