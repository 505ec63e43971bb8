"""Patients: made, found again, changed. Each function runs in the caller's transaction."""

from collections.abc import Collection
from uuid import UUID

from django.db import connection

from apps.kernel import audit, events
from apps.kernel.ids import new_id
from apps.records import queries, search
from apps.records.blind import Term
from apps.records.encryption import Cipher
from apps.records.errors import VersionConflict
from apps.records.keys import keyring
from apps.records.matching import LIKELY, Likeness, contact_terms, index_terms, likeness, same_person, telling_terms
from apps.records.models import Patient
from apps.records.shapes import Details

_CANDIDATES = 50
"""Of one term: more would be no help to who must decide."""

_HAVING = """
SELECT DISTINCT found.patient FROM unnest(%s::text[], %s::bytea[]) AS asked (kind, term)
CROSS JOIN LATERAL (
    SELECT b.patient FROM records_blindindex b
    WHERE b.clinic = %s AND b.kind = asked.kind AND b.term = asked.term ORDER BY b.patient LIMIT %s) found
ORDER BY 1
"""


def create(details: Details, *, clinic: str) -> tuple[Patient, Cipher]:
    """A new patient, flagged when there may be the same one already. Raises Unavailable."""
    return _create(details, clinic=clinic, possible_duplicate=bool(candidates(details, clinic=clinic)))


def match_or_create(details: Details, *, clinic: str) -> tuple[Patient, Cipher, bool]:
    """The patient that these details are beyond doubt, or a new one; and whether it is new. Raises Unavailable."""
    near = candidates(details, clinic=clinic)
    opened = queries.details_of_many(clinic, near) if near else {}
    for row, known in opened.values():
        if same_person(details, known):
            return row, keyring().of(row.id, clinic=clinic), False
    return *_create(details, clinic=clinic, possible_duplicate=bool(opened)), True


def candidates(details: Details, *, clinic: str) -> list[UUID]:
    """Patients who share name and birth date, a telephone number or an e-mail address with these details, some 50 of each."""
    return _having(contact_terms(details, secret=keyring().newest(clinic)), clinic=clinic)


def duplicates(patient: Patient, details: Details) -> list[tuple[Patient, Details, Likeness]]:
    """Patients that may be this one, likeliest first. Raises Unavailable."""
    secret = keyring().newest(patient.clinic)
    # A misspelt name has the birth date in common, a changed number the name.
    ids = set(_having(telling_terms(details, secret=secret), clinic=patient.clinic)) - {patient.id}
    others = queries.details_of_many(patient.clinic, ids)
    scored = [(row, known, likeness(details, known)) for row, known in others.values()]
    return sorted((one for one in scored if one[2].score >= LIKELY), key=lambda one: -one[2].score)


def change(patient: Patient, details: Details, *, version: int) -> Patient:
    """The patient with these details, if it is still at `version`. Raises VersionConflict, NotFound, Unavailable."""
    locked = Patient.objects.select_for_update().get(id=patient.id)
    if locked.version != version or locked.merged_into:
        raise VersionConflict()
    return store(locked, details, cipher=keyring().of(locked.id, clinic=locked.clinic))


def store(locked: Patient, details: Details, *, cipher: Cipher) -> Patient:
    """Writes these details and the terms they are found by. Must hold the patient's row."""
    locked.details = _sealed(cipher, locked.id, details)
    locked.version += 1
    locked.save(update_fields=["details", "version"])
    _index(locked, details)
    return locked


def shred(name: str, *, clinic: str) -> int:
    """Destroys the keys of a patient and of all that were merged into it; how many. Raises NotFound."""
    patient = queries.patient(clinic, name)
    family = queries.family(patient)
    destroyed = sum(keyring().destroy(one, clinic=clinic) for one in family)
    for one in family:
        told = {"patient": str(one), "clinic": clinic}
        events.record(type="patient.shredded", clinic=clinic, subject=str(one), data=told)
        audit.record(None, "system", "patient.shred", clinic=clinic, object=f"patient:{one}", patient=str(one))
    return destroyed


def _create(details: Details, *, clinic: str, possible_duplicate: bool) -> tuple[Patient, Cipher]:
    key = new_id()
    cipher = keyring().make(key, clinic=clinic)
    patient = Patient(id=key, clinic=clinic, details=_sealed(cipher, key, details), possible_duplicate=possible_duplicate)
    patient.save(force_insert=True)
    _index(patient, details)
    return patient, cipher


def _index(patient: Patient, details: Details) -> None:
    secret = keyring().newest(patient.clinic)
    search.index(patient.id, clinic=patient.clinic, terms=index_terms(details, secret=secret))


def _having(terms: Collection[Term], *, clinic: str) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_HAVING, [[kind for kind, _ in terms], [term for _, term in terms], clinic, _CANDIDATES])
        return [row[0] for row in cursor.fetchall()]


def _sealed(cipher: Cipher, patient: UUID, details: Details) -> bytes:
    return cipher.seal_bytes(details.model_dump_json().encode(), table="patient", row=patient, column="details")
