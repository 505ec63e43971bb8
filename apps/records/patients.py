"""Patients: made, found again, changed. Each function runs in the caller's transaction."""

from collections.abc import Callable, Collection
from uuid import UUID

from django.db import connection

from apps.kernel import audit, events
from apps.kernel.ids import new_id
from apps.kernel.problems import VersionConflict
from apps.records import queries, search
from apps.records.blind import Term
from apps.records.encryption import Cipher
from apps.records.keys import keyring
from apps.records.matching import LIKELY, Likeness, in_common, index_terms, likeness, same_person, telling
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

# A new patient has no terms to take away, and bookings come by the thousand: one statement for `search.index`'s four.
_FIRST_TERMS = """
INSERT INTO records_blindindex (clinic, kind, term, patient)
SELECT %s, asked.kind, asked.term, %s::uuid FROM unnest(%s::text[], %s::bytea[]) AS asked (kind, term)
"""


def create(details: Details, *, clinic: str) -> Patient:
    """A new patient, flagged when there may be the same one already. Raises Unavailable."""
    terms = index_terms(details, secret=keyring().newest(clinic))
    return _create(details, terms, clinic=clinic, doubtful=bool(_having(in_common(terms), clinic=clinic)))[0]


def match_or_create(details: Details, *, clinic: str) -> tuple[Patient, Cipher, bool]:
    """The patient that these details are beyond doubt, or a new one; and whether it is new. Raises Unavailable."""
    terms = index_terms(details, secret=keyring().newest(clinic))
    near = _having(in_common(terms), clinic=clinic)
    for row, known in queries.details_of_many(clinic, near).values() if near else ():
        if same_person(details, known):
            return row, keyring().of(row.id, clinic=clinic), False
    return *_create(details, terms, clinic=clinic, doubtful=bool(near)), True


def duplicates(patient: Patient, details: Details) -> list[tuple[Patient, Details, Likeness]]:
    """Patients that may be this one, likeliest first. Raises Unavailable."""
    # A misspelt name has the birth date in common, a changed number the name.
    terms = telling(index_terms(details, secret=keyring().newest(patient.clinic)))
    ids = set(_having(terms, clinic=patient.clinic)) - {patient.id}
    others = queries.details_of_many(patient.clinic, ids)
    scored = [(row, known, likeness(details, known)) for row, known in others.values()]
    return sorted((one for one in scored if one[2].score >= LIKELY), key=lambda one: -one[2].score)


def change(patient: Patient, changed: Callable[[Details], Details], *, version: int) -> tuple[Patient, Details]:
    """The patient with what `changed` makes of the details, if it is still at `version`.

    Raises VersionConflict, NotFound, Unavailable, and what `changed` raises.
    """
    locked = Patient.objects.select_for_update().get(id=patient.id)
    if locked.version != version or locked.merged_into:
        raise VersionConflict()
    cipher = keyring().of(locked.id, clinic=locked.clinic)
    details = changed(queries.unsealed(locked, cipher))
    return store(locked, details, cipher=cipher), details


def store(locked: Patient, details: Details, *, cipher: Cipher) -> Patient:
    """Writes these details and the terms they are found by. Must hold the patient's row."""
    locked.details = _sealed(cipher, locked.id, details)
    locked.version += 1
    locked.save(update_fields=["details", "version"])
    findable(locked, details)
    return locked


def findable(patient: Patient, details: Details) -> None:
    """The patient is found by these details from now on, and by no others."""
    terms = index_terms(details, secret=keyring().newest(patient.clinic))
    search.index(patient.id, clinic=patient.clinic, terms=terms)


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


def _create(details: Details, terms: Collection[Term], *, clinic: str, doubtful: bool) -> tuple[Patient, Cipher]:
    key = new_id()
    cipher = keyring().make(key, clinic=clinic)
    patient = Patient(id=key, clinic=clinic, details=_sealed(cipher, key, details), possible_duplicate=doubtful)
    patient.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_TERMS, [clinic, str(key), [kind for kind, _ in terms], [term for _, term in terms]])
    return patient, cipher


def _having(terms: Collection[Term], *, clinic: str) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_HAVING, [[kind for kind, _ in terms], [term for _, term in terms], clinic, _CANDIDATES])
        return [row[0] for row in cursor.fetchall()]


def _sealed(cipher: Cipher, patient: UUID, details: Details) -> bytes:
    return cipher.seal_bytes(details.model_dump_json().encode(), table="patient", row=patient, column="details")
