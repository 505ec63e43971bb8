"""Celery as all services use it: ticks that find their work as due rows. Never a time in a message, never more than an id."""

import logging.config
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from apps.kernel import chain, events, inbox, keeping, logs, once

TICKS = {"forget": 600.0, "seal_audit": 5.0, "export_audit": 3600.0}
"""What every service does on a clock: task → seconds between two ticks."""

log = logging.getLogger(__name__)


def forget() -> None:
    """Deletes what is kept for a time only."""
    once.forget()
    inbox.forget()
    events.forget()


def seal_audit() -> None:
    """Takes what was committed to the audit log into its chain."""
    chain.seal()


def export_audit() -> None:
    """Keeps the whole days of the audit log that are not kept yet; every hour, so that a missed day is made up for."""
    if url := settings.ENV.audit_export_url.get_secret_value():
        for day in keeping.export_missed(keeping.store(url)):
            log.info("audit_exported", extra={"day": day.isoformat()})


def celery_app(schedule: dict[str, float], *, forget: Callable[[], None] = forget) -> Celery:
    """The Celery application of this service. `schedule`: task name → seconds between two ticks. `forget` deletes what is kept
    for a time only.

    A tick that was not taken within its period is void: a worker that was away does not work off a pile of old ones.
    """
    name = settings.SERVICE
    app = Celery(name, broker=settings.ENV.redis_url.get_secret_value(), set_as_current=True)
    ticks = {**{f"{name}.{task}": seconds for task, seconds in TICKS.items()}, **schedule}
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        task_default_queue=name,
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 600, "socket_timeout": 10},
        beat_schedule={
            task: {"task": task, "schedule": seconds, "options": {"expires": seconds}} for task, seconds in ticks.items()
        },
    )
    for task, work in {"forget": forget, "seal_audit": seal_audit, "export_audit": export_audit}.items():
        app.task(name=f"{name}.{task}")(work)
    return app


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    logging.config.dictConfig(logs.config())
