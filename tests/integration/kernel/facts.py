"""A service that takes facts over, for tests: its handlers leave a row for each fact in a table of their own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from apps.kernel import inbox
from apps.kernel.events import Event
from apps.kernel.ids import new_id
from apps.kernel.inbox import Handlers
from apps.kernel.models import Cursor, ParkedEvent


class Broken(Exception):
    """What a handler raises for a fact that it cannot handle."""


class Taker:
    """Takes pages of the producer "records" over. Facts about a subject in `broken` cannot be handled."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.handlers: Handlers = {("records", "thing.done.v1"): self._handle}

    def _handle(self, event: Event) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO effects (event, subject) VALUES (%s, %s)", [event.id, event.subject])
        if event.subject in self.broken:
            raise Broken

    def take(self, *wires: Any) -> None:
        before = Cursor.objects.filter(producer="records").values_list("position", flat=True).first() or ""
        after = f"{int(before.partition(':')[0] or 0) + 1}:0"
        inbox.take("records", wires, self.handlers, before=before, after=after)

    def retry(self) -> int:
        """Tries what is parked as if its time had come."""
        ParkedEvent.objects.filter(next_try_at__isnull=False).update(next_try_at=datetime(2026, 1, 1, tzinfo=UTC))
        return inbox.retry(self.handlers)

    def effects(self) -> list[UUID]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT event FROM effects ORDER BY number")
            return [row[0] for row in cursor.fetchall()]


def fact(subject: str = "s", **changed: Any) -> dict[str, Any]:
    event = Event(new_id(), "/records", "thing.done.v1", subject, "harbor", datetime.now(UTC), {"thing": subject})
    return event.wire() | changed


def ids(*wires: dict[str, Any]) -> list[UUID]:
    return [UUID(wire["id"]) for wire in wires]


@pytest.fixture
def taker(transactional_db: None) -> Iterator[Taker]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE effects (number serial PRIMARY KEY, event uuid NOT NULL, subject text NOT NULL)")
    yield Taker()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE effects")
