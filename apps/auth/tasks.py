"""What runs on a clock in auth, by Celery."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.auth.settings")
django.setup()

from apps.kernel.tasks import celery_app  # noqa: E402 - Django first

app = celery_app({})
