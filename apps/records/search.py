"""The blind index in the database: written with the patient, asked by exact terms. The terms are made in `blind.py`."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from apps.records.blind import Term
from apps.records.models import BlindIndex


def index(patient: UUID, *, clinic: str, terms: Collection[Term]) -> None:
    """The patient is found by these terms from now on, and by no others."""
    rows = [BlindIndex(clinic=clinic, kind=kind, term=term, patient=patient) for kind, term in terms]
    with transaction.atomic():
        BlindIndex.objects.filter(patient=patient, clinic=clinic).delete()
        BlindIndex.objects.bulk_create(rows, ignore_conflicts=True)


def find(clinic: str, *, terms: Collection[Term], limit: int, after: UUID | None = None) -> list[UUID]:
    """Up to `limit` patients that have all these terms, in order of their ids, beginning after `after`; none without terms.

    The caller opens what is found and compares: terms are cut short.
    """
    if not terms:
        return []
    having = [BlindIndex.objects.filter(clinic=clinic, kind=kind, term=term) for kind, term in terms]
    found, *others = having
    for other in others:
        found = found.filter(patient__in=other.values("patient"))
    if after is not None:
        found = found.filter(patient__gt=after)
    return list(found.order_by("patient").values_list("patient", flat=True)[:limit])
