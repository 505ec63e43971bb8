"""Settings for the type checker alone: the tables of all services in one place, where no process ever has them."""

from typing import Any

from engine.settings import *  # noqa: F403

SERVICE = "every"
INSTALLED_APPS = [
    *("django.contrib.contenttypes", "django.contrib.postgres", "django.contrib.staticfiles", "ninja", "apps.kernel", "engine"),
    *("django_otp", "django_otp.plugins.otp_totp", "django_otp.plugins.otp_static", "django_otp_webauthn", "oauth2_provider"),
    *("apps.auth.apps.AccountsConfig", "apps.records.apps.RecordsConfig"),
    *("apps.billing.apps.BillingConfig", "apps.notifications.apps.NotificationsConfig"),
    "loadtests.legacy",
]
AUTH_USER_MODEL = "accounts.Person"
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
ENV: Any = None  # type: ignore[no-redef] # each project has its own
