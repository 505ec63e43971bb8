"""Django settings that all services share; a service's own module adds what only it needs."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from apps.kernel import logs
from apps.kernel.environment import Environment, database


def common(environment: Environment, *, name: str, url: SecretStr, apps: tuple[str, ...]) -> dict[str, Any]:
    """The settings of service `name`, whose package is `apps.<name>`, with its database at `url`."""
    package = f"apps.{name}"
    return {
        "ENV": environment,
        "SERVICE": name,
        "SECRET_KEY": environment.secret_key.get_secret_value(),
        "DEBUG": False,
        "ALLOWED_HOSTS": environment.allowed_hosts.split(","),
        "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.postgres", "ninja", "apps.kernel", *apps],
        "MIDDLEWARE": ["apps.kernel.http.Door"],
        "ROOT_URLCONF": f"{package}.urls",
        "WSGI_APPLICATION": f"{package}.wsgi.application",
        "APPEND_SLASH": False,
        "DATABASES": {
            "default": database(url, lock_timeout="2s", statement_timeout="10s", idle_in_transaction_session_timeout="10s")
        },
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "USE_I18N": False,
        "DATA_UPLOAD_MAX_MEMORY_SIZE": 64 * 1024,
        "LOGGING": logs.config(),
        # TLS ends at the edge, so the origin of a page is not what Django sees of a request.
        "CSRF_TRUSTED_ORIGINS": [environment.public_url],
        "CSRF_COOKIE_SECURE": environment.public_url.startswith("https:"),
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parents[1] / name / "templates"],
            }
        ],
    }
