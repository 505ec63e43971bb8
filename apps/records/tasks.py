"""What runs on a clock in records, by Celery."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.records.settings")
django.setup()

from apps.kernel.tasks import celery_app  # noqa: E402 - Django first

app = celery_app({})
