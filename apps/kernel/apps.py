"""The kernel as a Django app: every service installs it, so that the same tables of facts stand in every database."""

from django.apps import AppConfig


class KernelConfig(AppConfig):
    name = "apps.kernel"
    label = "kernel"
    default_auto_field = "django.db.models.BigAutoField"
