"""The reads."""

from uuid import UUID

from apps.notifications.models import Message


def messages(*, clinic: str, appointment: UUID | None, state: str | None, limit: int, after: UUID | None) -> list[Message]:
    """Messages of this clinic, oldest first, after the id `after`."""
    found = Message.objects.filter(clinic=clinic)
    if appointment is not None:
        found = found.filter(appointment=appointment)
    if state is not None:
        found = found.filter(state=state)
    if after is not None:
        found = found.filter(id__gt=after)
    return list(found.order_by("id")[:limit])
