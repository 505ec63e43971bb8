"""Facts in: a service pulls the others' feeds and handles each fact once, however often and in whatever order it comes.

The handler's work, the note that the fact was handled, and the cursor are one transaction, so a crash anywhere repeats nothing
and loses nothing. A fact that cannot be handled is parked, and what comes later about the same subject waits behind it; all
others go on. After the last try it stays parked until somebody looks (`parked`), and blocks nothing any more.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from prometheus_client import Counter, Gauge, Histogram
from redis import RedisError

from apps.kernel import events
from apps.kernel.events import Event
from apps.kernel.ids import as_id
from apps.kernel.models import Cursor, InboxEvent, ParkedEvent
from apps.kernel.redis import connect
from apps.kernel.services import ServiceDown, call

Handlers = Mapping[tuple[str, str], Callable[[Event], None]]
"""(producer, "appointment.booked.v1") → what to do: SQL only, no network, the same result if done twice."""

PAGE = 200
POLL_S = 1.0
ASKED_S = (2.0, 5.0)
"""How long a producer may take to be reached and to answer: one that hangs keeps the facts of the others waiting."""
AT_LEAST_S = 0.2
"""Between two questions to a producer: a busy day rings the bell far more often."""
KEPT = "30 days"
FUTURE = timedelta(minutes=5)
TRIES = 8
_BACK_OFF_S = (5, 1_800)
_TRIED_AT_ONCE = 50

HANDLED = Counter("inbox_events", "Facts of other services that were handled", ["producer", "type"])
PARKED = Gauge("inbox_parked", "Facts that could not be handled", ["again"])
LAG = Histogram("inbox_lag_seconds", "From a fact until it was handled here", buckets=(0.1, 0.25, 0.5, 1, 2, 5, 30, 300, 3600))

log = logging.getLogger(__name__)


def run(handlers: Handlers, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Takes over what the producers of `handlers` have, until `stop` is set; `beat` is called after each round."""
    producers = sorted({producer for producer, _ in handlers})
    redis = connect(settings.ENV.redis_url.get_secret_value(), timeout_s=2 * POLL_S, connections=2)
    lost: set[str] = set()
    while not stop.is_set():
        with suppress(RedisError), redis.pubsub() as bells:  # type: ignore[no-untyped-call]
            bells.subscribe(*map(events.bell, producers))
            while not stop.is_set():
                more = _round(handlers, producers, lost)
                beat()
                if not more and not stop.wait(AT_LEAST_S) and bells.get_message(timeout=POLL_S):
                    while bells.get_message():
                        pass
        # Without Redis the poll is all there is.
        if not stop.is_set():
            _round(handlers, producers, lost)
            beat()
            stop.wait(POLL_S)
    connection.close()


def _round(handlers: Handlers, producers: Sequence[str], lost: set[str]) -> bool:
    """One page of each producer, and parked facts that are due; whether there may be more."""
    more = False
    for producer in producers:
        try:
            more |= pull(producer, handlers)
            if producer in lost:
                log.info("producer_back", extra={"producer": producer})
            lost.discard(producer)
        except (ServiceDown, OperationalError, InterfaceError) as failed:
            if producer not in lost:
                log.warning("producer_lost", extra={"producer": producer, "error": type(failed).__name__})
            lost.add(producer)
            if isinstance(failed, DatabaseError):
                connection.close()
    with suppress(OperationalError, InterfaceError):
        retry(handlers)
    return more


def pull(producer: str, handlers: Handlers) -> bool:
    """Takes over one page of a producer's facts; whether it was a full one. Raises ServiceDown, DatabaseError."""
    position = Cursor.objects.filter(producer=producer).values_list("position", flat=True).first() or ""
    answer = call(producer, "GET", "/internal/v1/events", params={"after": position, "limit": PAGE}, timeout=ASKED_S)
    if answer.status_code == 410:
        # Its database was restored from before that position. What was handled already is in the inbox.
        log.error("history_lost", extra={"producer": producer, "position": position})
        Cursor.objects.filter(producer=producer).update(position="")
        return True
    if answer.status_code != 200:
        raise ServiceDown(f"{producer}: {answer.status_code}")
    page = answer.json()
    if page["events"]:
        take(producer, page["events"], handlers, before=position, after=page["position"])
    return len(page["events"]) >= PAGE


def take(producer: str, wires: Sequence[dict[str, Any]], handlers: Handlers, *, before: str, after: str) -> None:
    """Handles one page in one transaction and moves the cursor from `before` to `after`; nothing if it stands elsewhere."""
    with transaction.atomic(durable=True):
        cursor, _ = Cursor.objects.get_or_create(producer=producer)
        cursor = Cursor.objects.select_for_update().get(producer=producer)
        if cursor.position != before:
            return  # a second consumer was faster
        waiting = set(ParkedEvent.objects.filter(producer=producer, next_try_at__isnull=False).values_list("subject", flat=True))
        wires = [wire if isinstance(wire, dict) else {} for wire in wires]
        known = _known(wires)
        for wire in wires:
            uid = as_id(str(wire.get("id")))
            if uid in known:
                continue
            subject = str(wire.get("subject"))[:_SUBJECT]
            reason = "waits behind an earlier one" if subject in waiting else _handle(producer, wire, handlers)
            if reason and _park(producer, wire, reason):
                waiting.add(subject)
            known |= {uid} if uid else set()
        Cursor.objects.filter(producer=producer).update(position=after, at=datetime.now(UTC))


_UNREADABLE = "cannot be read"
_SUBJECT = 80


def _known(wires: Sequence[dict[str, Any]]) -> set[UUID]:
    ids = [uid for wire in wires if (uid := as_id(str(wire.get("id"))))]
    seen = InboxEvent.objects.filter(id__in=ids).values_list("id", flat=True)
    parked = ParkedEvent.objects.filter(uid__in=ids).values_list("uid", flat=True)
    return {*seen, *parked}


def _handle(producer: str, wire: dict[str, Any], handlers: Handlers) -> str:
    """Handles one fact; empty when that is done or the fact is none of ours, else why not."""
    try:
        event = Event.parse(wire)
    except (KeyError, TypeError, ValueError):
        return _UNREADABLE
    handler = handlers.get((producer, event.type))
    if handler is None:
        name, _, version = event.type.rpartition(".")
        others = any(type_.rpartition(".")[0] == name for from_, type_ in handlers if from_ == producer)
        return f"version {version} is not known" if others else ""
    now = datetime.now(UTC)
    if event.time > now + FUTURE:
        return "is from the future"
    try:
        with transaction.atomic():
            handler(event)
            InboxEvent.objects.create(id=event.id)
    except (OperationalError, InterfaceError):
        raise  # not the fact's fault
    except Exception as failed:
        log.warning("event_refused", exc_info=failed, extra={"event": str(event.id), "type": event.type, "producer": producer})
        return type(failed).__name__
    HANDLED.labels(producer, event.type).inc()
    LAG.observe(max(0.0, (now - event.time).total_seconds()))
    return ""


def _park(producer: str, wire: dict[str, Any], reason: str) -> bool:
    """Keeps a fact that was not handled; whether it is tried again by itself."""
    hopeless = reason == _UNREADABLE or reason.endswith("is not known")
    uid = as_id(str(wire.get("id")))
    if uid is None:
        log.error("event_without_id", extra={"producer": producer})
        return False
    due = None if hopeless else _due(wire, attempts=1, reason=reason)
    ParkedEvent.objects.get_or_create(
        uid=uid,
        defaults={
            "producer": producer,
            "subject": str(wire.get("subject"))[:_SUBJECT],
            "event": wire,
            "reason": reason[:200],
            "attempts": 1,
            "next_try_at": due,
        },
    )
    if due is None:
        log.error("event_parked", extra={"event": str(uid), "producer": producer, "reason": reason})
    return due is not None


def _due(wire: dict[str, Any], *, attempts: int, reason: str) -> datetime:
    first, longest = _BACK_OFF_S
    now = datetime.now(UTC)
    if reason == "is from the future":
        # Never later than the others: a clock that is years ahead must not hold up its subject for years.
        return min(datetime.fromisoformat(wire["time"]), now + timedelta(seconds=longest))
    return now + timedelta(seconds=min(first * 4 ** (attempts - 1), longest))


_DUE = """
SELECT id FROM kernel_parkedevent p WHERE next_try_at <= clock_timestamp() AND NOT EXISTS (
    SELECT FROM kernel_parkedevent q
    WHERE q.producer = p.producer AND q.subject = p.subject AND q.id < p.id AND q.next_try_at IS NOT NULL)
ORDER BY id LIMIT %s
"""


def retry(handlers: Handlers) -> int:
    """Tries parked facts that are due, each subject's oldest first; how many were handled."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [_TRIED_AT_ONCE])
        due = [row[0] for row in cursor.fetchall()]
    handled = sum(_retry_one(key, handlers) for key in due)
    for again in (True, False):
        PARKED.labels(str(again).lower()).set(ParkedEvent.objects.filter(next_try_at__isnull=not again).count())
    return handled


def _retry_one(key: int, handlers: Handlers) -> bool:
    with transaction.atomic(durable=True):
        parked = ParkedEvent.objects.select_for_update(skip_locked=True).filter(id=key).first()
        if parked is None:
            return False
        reason = _handle(parked.producer, parked.event, handlers)
        if not reason:
            parked.delete()
            return True
        attempts = parked.attempts + 1
        over = attempts >= TRIES
        due = None if over else _due(parked.event, attempts=attempts, reason=reason)
        ParkedEvent.objects.filter(id=key).update(attempts=attempts, reason=reason[:200], next_try_at=due)
        if over:
            log.error("event_parked", extra={"event": str(parked.uid), "producer": parked.producer, "reason": reason})
        return False


def again(uid: str | None = None) -> int:
    """Makes parked facts due now, one or all of them; how many."""
    chosen = ParkedEvent.objects.all() if uid is None else ParkedEvent.objects.filter(uid=uid)
    return chosen.update(next_try_at=datetime.now(UTC), attempts=0)


def forget() -> int:
    """Deletes notes of facts handled long ago: their producer does not keep them either."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM kernel_inboxevent WHERE at < now() - %s::interval", [KEPT])
        return int(cursor.rowcount)
