"""What runs on a clock, by Celery."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.billing.settings")
django.setup()

from apps.billing import invoices, payments  # noqa: E402 - Django first
from apps.billing.providers import provider  # noqa: E402
from apps.kernel.tasks import celery_app  # noqa: E402

app = celery_app({"billing.unfinished": 15.0, "billing.overdue": 300.0})


@app.task(name="billing.unfinished")
def unfinished() -> int:
    """Payments and refunds whose outcome is not known yet."""
    return payments.unfinished(provider())


@app.task(name="billing.overdue")
def overdue() -> int:
    """Invoices whose day has passed."""
    return invoices.mark_overdue()
