"""Celery as all services use it: ticks that find their work as due rows. Never a time in a message, never more than an id."""

import logging.config
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from apps.kernel import events, inbox, logs, once


def celery_app(schedule: dict[str, float]) -> Celery:
    """The Celery application of this service. `schedule`: task name → seconds between two ticks.

    A tick that was not taken within its period is void: a worker that was away does not work off a pile of old ones.
    """
    name = settings.SERVICE
    app = Celery(name, broker=settings.ENV.redis_url.get_secret_value(), set_as_current=True)
    ticks = {f"{name}.forget": 600.0, **schedule}
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
    app.task(name=f"{name}.forget")(_forget)
    return app


def _forget() -> None:
    """Deletes what is kept for a time only."""
    once.forget()
    inbox.forget()
    events.forget()


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    logging.config.dictConfig(logs.config())
