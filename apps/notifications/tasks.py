"""What runs on a clock in notifications, by Celery. Tasks carry nothing: what is due is a row."""

import os
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.notifications.settings")
django.setup()

from apps.kernel.services import ServiceDown  # noqa: E402 - Django first
from apps.kernel.tasks import celery_app  # noqa: E402
from apps.notifications import delivery, messages  # noqa: E402
from apps.notifications.settings import ENV  # noqa: E402

app = celery_app(
    {
        "notifications.plan": 1.0,
        "notifications.send_emails": 1.0,
        "notifications.send_sms": 1.0,
        "notifications.measure": 15.0,
    }
)


@app.task(name="notifications.plan")
def plan() -> int:
    """Plans the reminders of visits that have changed."""
    try:
        return messages.plan_reminders(now=datetime.now(UTC))
    except ServiceDown:
        return 0  # the engine is away; what is not planned stays marked


@app.task(name="notifications.send_emails")
def send_emails() -> int:
    return delivery.deliver("email", limit=ENV.emails_per_second)


@app.task(name="notifications.send_sms")
def send_sms() -> int:
    return delivery.deliver("sms", limit=ENV.sms_per_second)


@app.task(name="notifications.measure")
def measure() -> None:
    delivery.measure()
