"""What runs on a clock, by Celery. Tasks carry no arguments: what is due is a row."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.auth.settings")
django.setup()

from apps.auth import letters, sessions, throttle  # noqa: E402 - Django first
from apps.kernel.tasks import celery_app  # noqa: E402

app = celery_app({"auth.end_overdue": 10.0, "auth.send_letters": 2.0, "auth.forget_old": 3600.0})


@app.task(name="auth.end_overdue")
def end_overdue() -> int:
    """Ends sessions that nobody used, and tells Redis again of those that ended lately; how many ended."""
    return sessions.end_overdue()


@app.task(name="auth.send_letters")
def send_letters() -> int:
    return letters.send_due()


@app.task(name="auth.forget_old")
def forget_old() -> None:
    """Deletes what is kept for a time only."""
    sessions.forget()
    letters.forget()
    throttle.forget()
