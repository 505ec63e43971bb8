"""Settings of the Appointments service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel import logs
from apps.kernel.environment import ServiceEnvironment, database, read


class EngineEnvironment(ServiceEnvironment):
    """What only the engine reads."""

    database_url_engine: SecretStr
    service_key_file_engine: Path
    sealing_jwks_file: Path
    """Records' public keys, to which patient details are sealed (`envelopes.py`)."""
    holds_a_second: int = 50
    """How many holds a second one clinic's public page may take before the waiting room opens; 0: it never does."""
    prepared_statements: bool = True
    """Off behind a pooler that gives a connection to another client after each transaction."""


ENV = read(EngineEnvironment)

SECRET_KEY = ENV.secret_key.get_secret_value()
DEBUG = False
ALLOWED_HOSTS = ENV.allowed_hosts.split(",")
SERVICE = "engine"
HANDLERS = "engine.handlers"
FEED_READERS = ("records", "billing", "notifications")
"""The services that take over the facts of this one."""
INSTALLED_APPS = [
    *("django.contrib.contenttypes", "django.contrib.postgres", "django.contrib.staticfiles", "ninja"),
    *("apps.kernel", "engine"),
]
MIDDLEWARE = ["apps.kernel.http.Door", "whitenoise.middleware.WhiteNoiseMiddleware"]
ROOT_URLCONF = "engine.urls"
WSGI_APPLICATION = "engine.wsgi.application"
APPEND_SLASH = False

# A booking waits at most this long for its calendar; then the answer is `calendar_busy`, which the client may repeat.
LOCK_TIMEOUT_MS = 2_000
DATABASES = {
    "default": database(
        ENV.database_url_engine,
        lock_timeout=f"{LOCK_TIMEOUT_MS}ms",
        statement_timeout="5s",
        idle_in_transaction_session_timeout="5s",
        # Prepared statements keep one plan. Left to choose, PostgreSQL plans the read under the lock anew each time: 0.3 ms.
        plan_cache_mode="force_generic_plan",
        # A plan that is kept must not be one for a table that was still small: everything asked here has an index.
        enable_seqscan="off",
        jit="off",
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 640 * 1024
"""A calendar file of 512 KiB as JSON."""
LONG_BODIES = "/imports"
"""Where that is allowed; all other addresses take 64 KiB."""
LOGGING = logs.config()

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent / "ui" / "templates"]}]
STATIC_URL = "/static/"
# No build step and no collecting: files are served from where they are written, and asked for again by ETag.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 0
WHITENOISE_ALLOW_ALL_ORIGINS = False
# TLS ends at the edge, so the origin of a page is not what Django sees of a request.
CSRF_TRUSTED_ORIGINS = [ENV.public_url]
CSRF_COOKIE_SECURE = ENV.public_url.startswith("https:")
STATICFILES_DIRS = [Path(__file__).parent / "ui" / "static"]
