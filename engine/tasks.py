"""What runs on a clock, by Celery. Tasks carry no arguments: what is due is a row, and the clock is the database's."""

import logging
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django first

from apps.kernel import events, inbox, once  # noqa: E402
from apps.kernel.problems import Problem  # noqa: E402
from apps.kernel.tasks import celery_app  # noqa: E402
from engine import bookings, next_free  # noqa: E402

log = logging.getLogger(__name__)

SWEEP_S = 1.0
_SWEPT_AT_ONCE = 500
_KEPT_FOR_S = 0.8
IDEMPOTENCY_KEPT = "24 hours"
OUTBOX_KEPT = "30 days"


def forget() -> None:
    """Deletes what is kept for a time only: idempotency keys, and events that everybody has had for long."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM engine_idempotencykey WHERE at < now() - %s::interval", [IDEMPOTENCY_KEPT])
        passed = events.confirmed(3)
        if passed is not None:
            cursor.execute(
                "DELETE FROM engine_outboxevent WHERE at < now() - %s::interval AND sent_at IS NOT NULL"
                " AND (txid, calendar_id, version) <= (%s::text::xid8, %s, %s)",
                [OUTBOX_KEPT, str(passed[0]), *passed[1:]],
            )
    once.forget()
    inbox.forget()


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
