"""What runs on a clock, by Celery. Tasks carry no arguments: what is due is a row, and the clock is the database's."""

import logging
import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402 - Django first
from django.db.backends.utils import CursorWrapper  # noqa: E402

from apps.kernel import events, inbox, once  # noqa: E402
from apps.kernel.problems import Problem  # noqa: E402
from apps.kernel.tasks import TICKS, celery_app  # noqa: E402
from engine import bookings, next_free  # noqa: E402
from engine.rows import SETTLED_S  # noqa: E402

log = logging.getLogger(__name__)

SWEEP_S = 1.0
_SWEPT_AT_ONCE = 500
_KEPT_FOR_S = 0.8
IDEMPOTENCY_KEPT = "24 hours"
OUTBOX_KEPT = "30 days"
_DELETED_AT_ONCE = 10_000

_OLD_KEYS = """
DELETE FROM engine_idempotencykey WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM engine_idempotencykey WHERE at < now() - %s::interval LIMIT %s))
"""
_OLD_EVENTS = """
DELETE FROM engine_outboxevent WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM engine_outboxevent WHERE at < now() - %s::interval AND sent_at IS NOT NULL
         AND (txid, calendar_id, version) <= (%s::text::xid8, %s, %s) LIMIT %s))
"""
# Whoever cancels one of these visits at this moment removes its allocations himself.
_SETTLED = """
DELETE FROM engine_allocation WHERE (appointment_id, calendar_id) IN (
  SELECT l.appointment_id, l.calendar_id FROM engine_calendar c
  JOIN engine_allocation l ON l.calendar_id = c.id AND l.during && tstzrange(NULL, now() - make_interval(secs => %s))
  WHERE c.id > %s AND c.id <= %s AND upper(l.during) < now() - make_interval(secs => %s)
  LIMIT %s FOR UPDATE OF l SKIP LOCKED)
"""


def forget() -> None:
    """Deletes what is kept for a time only: idempotency keys, and events that everybody has had for long."""
    with connection.cursor() as cursor:
        _delete(cursor, _OLD_KEYS, [IDEMPOTENCY_KEPT])
        passed = events.confirmed(3)
        if passed is not None:
            with transaction.atomic():  # or else a calendar's stream would have a hole meanwhile
                _delete(cursor, _OLD_EVENTS, [OUTBOX_KEPT, str(passed[0]), *passed[1:]])
    settle(int(time.time() // TICKS["forget"]))
    once.forget()
    inbox.forget()


def settle(tick: int) -> None:
    """Removes the allocations of visits that are history, on the next part of the calendars; all have their turn within a day."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM engine_calendar")
        (last,) = cursor.fetchone()
        turns = int(24 * 3600 // TICKS["forget"])
        turn = tick % turns
        _delete(cursor, _SETTLED, [SETTLED_S, last * turn // turns, last * (turn + 1) // turns, SETTLED_S])


def _delete(cursor: CursorWrapper, statement: str, asked: list[str | int]) -> None:
    # After a week in which nothing ran, too, each statement ends within its time.
    while True:
        cursor.execute(statement, [*asked, _DELETED_AT_ONCE])
        if cursor.rowcount < _DELETED_AT_ONCE:
            return


app = celery_app({"engine.expire_holds": SWEEP_S, "engine.link_patients": SWEEP_S, "engine.keep_next_free": SWEEP_S}, forget=forget)


@app.task(name="engine.expire_holds")
def expire_holds() -> int:
    """Ends the holds that have run out, each under its calendars' locks; answers how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM engine_appointment WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT %s", [_SWEPT_AT_ONCE]
        )
        overdue = [row[0] for row in cursor.fetchall()]
    ended = 0
    for hold in overdue:
        try:
            ended += bookings.expire(hold) is not None
        except Problem as refused:
            # Somebody is busy with that calendar; the next tick is a second away.
            log.info("hold_not_expired", extra={"hold": str(hold), "code": refused.code})
    return ended


@app.task(name="engine.link_patients")
def link_patients() -> int:
    """Writes down whose visits these are, each under its calendars' locks; answers how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT appointment_id, patient_id FROM engine_patientlink LIMIT %s", [_SWEPT_AT_ONCE])
        waiting = cursor.fetchall()
    written = 0
    for appointment, patient in waiting:
        try:
            written += not bookings.link(appointment, patient).replayed
        except Problem as refused:
            # Somebody is busy with that calendar; the next tick is a second away.
            log.info("patient_not_linked", extra={"appointment": str(appointment), "code": refused.code})
    return written


@app.task(name="engine.keep_next_free")
def keep_next_free() -> int:
    """Brings the index of the first available up to date, or nearer to it; answers how many rows were due."""
    return next_free.keep(seconds=_KEPT_FOR_S)
