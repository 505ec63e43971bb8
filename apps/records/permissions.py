"""Who may do what in records, and which of a patient's details they see. What is not here is denied."""

from collections.abc import Mapping
from typing import Any

from apps.kernel.callers import Permissions

_EVERYBODY = frozenset({"practitioner", "front_desk", "clinic_admin", "billing", "program"})
_CARE = frozenset({"practitioner"})
_ADMIN = frozenset({"clinic_admin"})
_RECEPTION = frozenset({"front_desk", "clinic_admin"})
_CLINIC = _CARE | _RECEPTION

PERMISSIONS: Permissions = {
    "patient.create": frozenset({"front_desk", "clinic_admin", "program"}),
    "patient.read": _EVERYBODY,
    "patient.search": _EVERYBODY,
    "patient.update": _CLINIC | {"program"},
    "patient.duplicates": _RECEPTION,
    "patient.merge": _ADMIN,
    "patient.export": _ADMIN,
    "patient.disclosures": _ADMIN,
    "appointment.patient": _CLINIC,
    "visit.read": _CLINIC,
    "note.read": _CARE,
    "note.write": _CARE,
    "consent.read": _CLINIC,
    "consent.write": _CLINIC,
    "document.read": _CARE,
    "document.write": _CARE,
    "break_glass.open": _CARE,
}
"""Action → roles. A practitioner's right is to patients of the own calendar only, see `access.py`."""

_WHO = frozenset({"name", "given", "family", "aliases", "birth_date"})
_REACHED = frozenset({"pronouns", "language", "state", "zone", "phones", "emails", "address"})
_ALL = _WHO | _REACHED | {"sex", "identifiers"}

FIELDS: Mapping[str, frozenset[str]] = {
    "practitioner": _ALL,
    "clinic_admin": _ALL,
    "front_desk": _WHO | _REACHED,
    "program": _WHO | _REACHED,
    "billing": _WHO | {"sex", "address", "state", "identifiers"},
}
"""Role → the details it sees, and may write when it may write at all: the least its work needs."""


def visible(details: Mapping[str, Any], *, role: str) -> dict[str, Any]:
    """Those of a patient's details that the role sees."""
    return {name: value for name, value in details.items() if name in FIELDS.get(role, frozenset())}
