"""What runs on a clock in billing, by Celery."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.billing.settings")
django.setup()

from apps.kernel.tasks import celery_app  # noqa: E402 - Django first

app = celery_app({})
