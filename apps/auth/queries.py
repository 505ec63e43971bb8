"""What is read: one's own sessions and clinics, and the members of a clinic."""

from uuid import UUID

from django.db.models import QuerySet

from apps.auth import sessions
from apps.auth.models import Membership, Session


def open_sessions(person: UUID) -> QuerySet[Session]:
    """A person's living sessions in which both factors were shown, the one used last first."""
    return sessions.living().filter(person_id=person, second_factor_at__isnull=False).order_by("-last_seen_at")


def memberships(person: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(person_id=person).select_related("clinic").order_by("clinic__name")


def members(clinic: str, *, after: UUID | None, limit: int) -> list[Membership]:
    """A page of a clinic's memberships, with their people."""
    found = Membership.objects.filter(clinic_id=clinic).select_related("person").order_by("id")
    return list((found.filter(id__gt=after) if after else found)[:limit])


def member(key: UUID | None, *, clinic: str) -> Membership | None:
    return Membership.objects.filter(id=key, clinic_id=clinic).select_related("person").first() if key else None
