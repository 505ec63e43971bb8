"""What runs on a clock, by Celery. Tasks carry no arguments: what is due is a row, and the clock is the database's."""

import logging
import logging.config
import os
from typing import Any

import django
from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings")
django.setup()

from django.conf import settings  # noqa: E402 - Django first
from django.db import connection  # noqa: E402

from apps.kernel import events, inbox, logs  # noqa: E402
from apps.kernel.problems import Problem  # noqa: E402
from engine import bookings  # noqa: E402

log = logging.getLogger(__name__)

SWEEP_S = 1.0
_SWEPT_AT_ONCE = 500
IDEMPOTENCY_KEPT = "24 hours"
OUTBOX_KEPT = "30 days"

app = Celery("engine", broker=settings.ENV.redis_url.get_secret_value(), set_as_current=True)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_default_queue="engine",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 600, "socket_timeout": 10},
    # A message not taken within its period is void: a worker that was away does not work off a pile of old ticks.
    beat_schedule={
        "expire-holds": {"task": "engine.expire_holds", "schedule": SWEEP_S, "options": {"expires": SWEEP_S}},
        "link-patients": {"task": "engine.link_patients", "schedule": SWEEP_S, "options": {"expires": SWEEP_S}},
        "forget": {"task": "engine.forget", "schedule": 600.0, "options": {"expires": 600}},
    },
)


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    logging.config.dictConfig(logs.config())


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


@app.task(name="engine.forget")
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
    inbox.forget()
