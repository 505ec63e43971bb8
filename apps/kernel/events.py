"""Facts out: the outbox is the log, other services pull it, Redis only rings the bell.

A fact is written in the transaction that makes it. Readers ask for what comes after a position; the position they ask with
says what they have, and no row goes before every reader has it. Losing Redis loses no fact, nor does a reader that was away.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from redis import Redis, RedisError

from apps.kernel.api import as_json
from apps.kernel.http import as_response
from apps.kernel.models import OutboxEvent
from apps.kernel.problems import Problem, ValidationFailed, VersionGone
from apps.kernel.redis import connect
from apps.kernel.services import calling_service

PREFIX = "healthflow."
LONGEST_PAGE = 500
KEPT = "7 days"
"""How long a fact stays at least, also when every reader has it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact as it travels: CloudEvents 1.0, with the clinic beside it. `type` is without prefix: `appointment.booked.v1`.

    `data` has ids and times, never patient data.
    """

    id: UUID
    source: str
    type: str
    subject: str
    clinic: str
    time: datetime
    data: dict[str, Any]

    def wire(self) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": str(self.id),
            "source": self.source,
            "type": PREFIX + self.type,
            "subject": self.subject,
            "clinic": self.clinic,
            "time": self.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "datacontenttype": "application/json",
            "data": self.data,
        }

    @classmethod
    def parse(cls, wire: dict[str, Any]) -> Self:
        """Unknown members are ignored: the producer may be newer. Raises KeyError, TypeError, ValueError."""
        if wire["specversion"] != "1.0" or not isinstance(wire["data"], dict):
            raise ValueError("not a CloudEvent 1.0 with an object for data")
        time = datetime.fromisoformat(wire["time"])
        if time.tzinfo is None:
            raise ValueError("a time without an offset")
        return cls(
            id=UUID(str(wire["id"])),
            source=str(wire["source"]),
            type=str(wire["type"]).removeprefix(PREFIX),
            subject=str(wire["subject"]),
            clinic=str(wire["clinic"]),
            time=time,
            data=wire["data"],
        )


class Placed(NamedTuple):
    """An event and the position after it."""

    position: str
    event: Event


Read = Callable[[str, int, str], Sequence[Placed]]
"""(position, limit, the reader's name) → what comes after the position, in order. Raises VersionGone, ValidationFailed."""


def record(*, type: str, clinic: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002 - CloudEvents' own word
    """Leaves a fact of version 1 in the outbox and rings the bell after the commit. Call it in the fact's transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("a fact is recorded in the transaction that makes it")
    OutboxEvent.objects.create(type=f"{type}.v1", clinic=clinic, subject=subject, data=data)
    transaction.on_commit(partial(ring, bell(settings.SERVICE)))


def bell(service: str) -> str:
    """The Redis channel that is rung when a service has new facts."""
    return f"{service}:bell"


def ring(channel: str) -> None:
    """Wakes who waits; who does not hear it asks within a second or two."""
    with suppress(RedisError):
        _redis().publish(channel, "")


@cache
def _redis() -> "Redis":
    return connect(settings.ENV.redis_url.get_secret_value(), timeout_s=0.1)


# Identities are given before the commit, so their order is not the order of commits: a reader that pages by them alone loses
# what was committed late (522 of 1,200 in a trial). A transaction below every one that still runs is complete.
_AFTER = """
SELECT txid::text, id, uid, type, subject, clinic, at, data FROM kernel_outboxevent
WHERE (txid, id) > (%s::text::xid8, %s) AND txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY txid, id LIMIT %s
"""


def read(position: str, limit: int, reader: str) -> list[Placed]:
    """The outbox of this service after `position`. Raises VersionGone, ValidationFailed."""
    txid, key = numbers(position, 2)
    with connection.cursor() as cursor:
        require_known(cursor, txid)
        cursor.execute(_AFTER, [str(txid), key, limit])
        rows = cursor.fetchall()
    return [
        Placed(f"{txid}:{key}", Event(uid, f"/{settings.SERVICE}", type_, subject, clinic, at, _parsed(data)))
        for txid, key, uid, type_, subject, clinic, at, data in rows
    ]


def require_known(cursor: Any, txid: int) -> None:
    """Raises VersionGone for a transaction that this database has not seen: it was restored from before it."""
    cursor.execute("SELECT %s::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot())", [str(txid)])
    if cursor.fetchone()[0]:
        raise VersionGone()


def numbers(position: str, count: int) -> list[int]:
    """The numbers that make a position; zeros for the beginning. Raises ValidationFailed."""
    parts = position.split(":") if position else ["0"] * count
    # 19 digits and more may not fit into the database's numbers, and there are digits that are not ASCII.
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise ValidationFailed("This is not a position we gave.", param="after")
    return [int(part) for part in parts]


def urls(read: Read = read) -> list[URLPattern]:
    """`/internal/v1/events`: a service's facts, for the readers that its settings name."""
    return [path("internal/v1/events", _feed, {"read": read})]


def _feed(request: HttpRequest, *, read: Read) -> HttpResponse:
    """?after=<position>&limit= → {"events": […], "position"}; the position goes into the next request."""
    try:
        reader = calling_service(request, *settings.FEED_READERS)
        after = request.GET.get("after", "")
        limit = min(_number(request, "limit", LONGEST_PAGE), LONGEST_PAGE)
        placed = read(after, limit, reader)
        _confirm(reader, after)
    except Problem as refused:
        return as_response(request, refused)
    position = placed[-1].position if placed else after
    return as_json({"events": [one.event.wire() for one in placed], "position": position})


def _number(request: HttpRequest, name: str, usual: int) -> int:
    text = request.GET.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**6):
        raise ValidationFailed("A positive number, please.", param=name)
    return int(text)


def _confirm(reader: str, position: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO kernel_reader (name, position, at) VALUES (%s, %s, now())"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position, at = excluded.at"
            " WHERE kernel_reader.position <> excluded.position",
            [reader, position],
        )


def confirmed(count: int) -> list[int] | None:
    """The position, as its `count` numbers, that every reader has passed; None while one has never asked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, position FROM kernel_reader WHERE name = ANY(%s)", [list(settings.FEED_READERS)])
        positions = dict(cursor.fetchall())
    if set(positions) != set(settings.FEED_READERS):
        return None
    return min((numbers(position, count) for position in positions.values()), default=None)


def forget() -> int:
    """Deletes facts that every reader has and that are older than `KEPT`; how many."""
    passed = confirmed(2)
    if settings.FEED_READERS and passed is None:
        return 0
    txid, key = passed or [2**63 - 1, 0]
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM kernel_outboxevent WHERE at < now() - %s::interval AND (txid, id) <= (%s::text::xid8, %s)",
            [KEPT, str(txid), key],
        )
        return int(cursor.rowcount)


def _parsed(data: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data) if isinstance(data, str) else data
    return found
