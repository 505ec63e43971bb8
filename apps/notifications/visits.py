"""Visits as the engine's events tell of them. An event carries the whole state, so the newest wins and order does not matter."""

import base64
from datetime import datetime
from functools import cache
from hashlib import blake2b
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.kernel.events import Event
from apps.kernel.sealing import seal, unseal
from apps.notifications.models import Visit

_TAKE = """
INSERT INTO notifications_visit AS v
(id, clinic, calendar, status, starts, ends, modality, changed_at, zone, link, unplanned)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '', %s, true)
ON CONFLICT (id) DO UPDATE SET
  calendar = excluded.calendar, status = excluded.status, starts = excluded.starts, ends = excluded.ends,
  modality = excluded.modality, changed_at = excluded.changed_at, link = coalesce(excluded.link, v.link), unplanned = true
WHERE v.changed_at < excluded.changed_at
RETURNING id
"""


def take(event: Event) -> Visit | None:
    """Stores what the event says; the visit as it is now, None when something newer was known. Raises KeyError, ValueError."""
    data = event.data
    link = _sealed(UUID(data["appointment"]), data.get("manage_url"))
    visit = Visit(
        id=UUID(data["appointment"]),
        clinic=event.clinic,
        calendar=str(data["calendar"]),
        status=str(data["status"]),
        starts=datetime.fromisoformat(data["start"]),
        ends=datetime.fromisoformat(data["end"]),
        modality=str(data["modality"]),
        changed_at=event.time,
        link=link,
    )
    columns = (visit.id, visit.clinic, visit.calendar, visit.status, visit.starts, visit.ends, visit.modality, visit.changed_at)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [*columns, link])
        return visit if cursor.fetchone() else None


def link_of(visit: Visit) -> str:
    """The address of the patient's own page; empty when the engine gave none."""
    return unseal(bytes(visit.link), key=_key(), row=visit.id.bytes).decode() if visit.link else ""


def sequence_of(visit: Visit) -> int:
    """The revision of the visit's calendar entry: seconds from the appointment's first moment to its last change."""
    born_ms = visit.id.int >> 80  # a UUIDv7 begins with it
    return max(0, int(visit.changed_at.timestamp()) - born_ms // 1000)


def _sealed(visit: UUID, url: str | None) -> bytes | None:
    return seal(url.encode(), key=_key(), row=visit.bytes) if url else None


@cache
def _key() -> str:
    return base64.b64encode(blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"manage-link").digest()).decode()
