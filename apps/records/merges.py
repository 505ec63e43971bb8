"""Two records of one person become one, and nothing is lost: the merged patient keeps its row and all that was written for it.

What was written for any of a family (`queries.family`) is read as the survivor's. The survivor's details take in what only the
other had. A merge can be undone, the newest first.
"""

from uuid import UUID

from django.db.models.functions import Now

from apps.kernel import events
from apps.kernel.ids import as_id, new_id
from apps.kernel.problems import NotFound, ValidationFailed, VersionConflict
from apps.records import patients, queries, search
from apps.records.keys import keyring
from apps.records.models import Merge, Patient
from apps.records.shapes import Details


def merge(source: str, *, into: Patient, actor: str) -> Merge:
    """The patient `source` is `into` from now on. Raises NotFound, ValidationFailed, VersionConflict, Unavailable."""
    known = as_id(source)
    if known is None:
        raise NotFound("No such patient.")
    if known == into.id:
        raise ValidationFailed("This is the same patient.", param="source")
    rows = _locked(into.clinic, known, into.id)
    if known not in rows:
        raise NotFound("No such patient.")
    if any(row.merged_into for row in rows.values()):
        raise VersionConflict("One of them was merged meanwhile.")
    kept = _take_in(rows[known], into=rows[into.id], actor=actor)
    told = {"from": str(known), "into": str(into.id), "clinic": into.clinic}
    events.record(type="patient.merged", clinic=into.clinic, subject=str(into.id), data=told)
    return kept


def undo(patient: Patient, name: str) -> Merge:
    """The merged patient is one of its own again, and so are its appointments.

    The survivor gets its old details back, if they were not changed since.

    Raises NotFound, and VersionConflict when a later merge must be undone first.
    """
    known = as_id(name)
    found = Merge.objects.filter(clinic=patient.clinic, id=known, target=patient.id, undone_at=None).first() if known else None
    if found is None:
        raise NotFound("No such merge.")
    rows = _locked(patient.clinic, patient.id, *found.moved)
    survivor = rows[found.target]
    if survivor.merged_into or any(rows[moved].merged_into != found.target for moved in found.moved):
        raise VersionConflict("A later merge must be undone first.")
    if not Merge.objects.filter(id=found.id, undone_at=None).update(undone_at=Now()):
        raise NotFound("No such merge.")
    Patient.objects.filter(id__in=found.moved).exclude(id=found.source).update(merged_into=found.source)
    Patient.objects.filter(id=found.source).update(merged_into=None, possible_duplicate=True)
    if survivor.version == found.version:
        cipher = keyring().of(survivor.id, clinic=survivor.clinic)
        before = cipher.unseal_bytes(found.before, table="merge", row=found.id, column="before")
        patients.store(survivor, Details.model_validate_json(before), cipher=cipher)
    patients.findable(rows[found.source], queries.details(rows[found.source]))
    # Before the links: whoever follows merges must take them for the patient that they name.
    apart = {"from": str(found.source), "into": str(found.target), "moved": [str(one) for one in found.moved]}
    events.record(
        type="patient.unmerged", clinic=patient.clinic, subject=str(found.source), data={**apart, "clinic": patient.clinic}
    )
    for appointment in queries.appointments_of(patient.clinic, found.moved):
        linked = {"appointment": str(appointment), "patient": str(found.source), "clinic": patient.clinic}
        events.record(type="patient.linked", clinic=patient.clinic, subject=str(found.source), data=linked)
    return found


def united(mine: Details, other: Details) -> Details:
    """The survivor's details with what only the other had; another name is kept as an alias."""
    single = ("given", "family") if not (mine.given or mine.family) and mine.name == other.name else ()
    empty = {
        name for name in ("birth_date", "pronouns", "language", "state", "zone", "address", *single) if not getattr(mine, name)
    }
    taken = {name: getattr(other, name) for name in empty}
    if mine.sex == "unknown":
        taken["sex"] = other.sex
    names = [*mine.aliases, other.name, *other.aliases]
    return mine.model_copy(
        update=taken
        | {
            "aliases": tuple(name for name in dict.fromkeys(names) if name != mine.name),
            "phones": tuple(dict.fromkeys((*mine.phones, *other.phones))),
            "emails": tuple(dict.fromkeys((*mine.emails, *other.emails))),
            "identifiers": tuple(dict.fromkeys((*mine.identifiers, *other.identifiers))),
        }
    )


def _locked(clinic: str, *ids: UUID) -> dict[UUID, Patient]:
    # In order of their ids: A into B and B into A at the same time wait for each other once, not for ever.
    rows = Patient.objects.select_for_update().filter(clinic=clinic, id__in=ids).order_by("id")
    return {row.id: row for row in rows}


def _take_in(source: Patient, *, into: Patient, actor: str) -> Merge:
    cipher, key = keyring().of(into.id, clinic=into.clinic), new_id()
    mine = queries.unsealed(into, cipher)
    moved = queries.family(source)
    Patient.objects.filter(id__in=moved).update(merged_into=into.id)
    into.possible_duplicate = False
    into.save(update_fields=["possible_duplicate"])
    survivor = patients.store(into, united(mine, queries.details(source)), cipher=cipher)
    search.index(source.id, clinic=source.clinic, terms=())
    kept = Merge(
        id=key,
        clinic=into.clinic,
        source=source.id,
        target=into.id,
        moved=moved,
        before=cipher.seal_bytes(mine.model_dump_json().encode(), table="merge", row=key, column="before"),
        version=survivor.version,
        actor=actor,
    )
    kept.save(force_insert=True)
    return kept
