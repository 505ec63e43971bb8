"""Settings of the Appointments service."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr

from apps.kernel import logs
from apps.kernel.environment import ServiceEnvironment, database, databases, read


class EngineEnvironment(ServiceEnvironment):
    """What only the engine reads."""

    database_url_engine: SecretStr
    database_url_engine_replica: SecretStr = SecretStr("")
    """Standbys of it that answer reads (`replicas.py`), comma-separated: each one server, not a name that stands for several."""
    replica_lag_s: Annotated[float, Field(ge=0.5)] = 1.0
    """A replica that is further behind answers nothing."""
    service_key_file_engine: Path
    sealing_jwks_file: Path
    """Records' public keys, to which patient details are sealed (`envelopes.py`)."""
    holds_a_second: Annotated[int, Field(ge=0, le=1000)] = 10
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
_SESSION = {
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",
    # Prepared statements keep one plan. Left to choose, PostgreSQL plans the read under the lock anew each time: 0.3 ms.
    "plan_cache_mode": "force_generic_plan",
    # A plan that is kept must not be one for a table that was still small: everything asked here has an index.
    "enable_seqscan": "off",
    # Nor is a look at a few rows for three processes: with partitions the planner would rather read everybody's time so.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
DATABASES: dict[str, Any] = {"default": database(ENV.database_url_engine, connect_timeout=3, **_SESSION)}
for _number, _url in enumerate(databases(ENV.database_url_engine_replica), 1):
    _replica = database(_url, connect_timeout=1, default_transaction_read_only="on", **_SESSION)
    DATABASES[f"replica_{_number}"] = _replica | {"TEST": {"MIRROR": "default"}}
REPLICAS = tuple(DATABASES)[1:]
"""Aliases of the replicas; without any, nothing of `replicas.py` is in the way of anything."""
if REPLICAS:
    DATABASE_ROUTERS = ["engine.replicas.Router"]
    MIDDLEWARE.insert(1, "engine.replicas.Freshness")
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
