"""The typed environment: read once, all faults reported together, secrets hidden from `repr`."""

import re
import sys
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Environment(BaseSettings):
    """What all projects read; a project subclasses it with what only it needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    secret_key: SecretStr
    redis_url: SecretStr
    public_url: str = "http://127.0.0.1:8000"
    allowed_hosts: str = "127.0.0.1,localhost"
    token_jwks_file: Path
    rate_limits: bool = True
    demo_clinic: str = ""


class ServiceEnvironment(Environment):
    """What the five services read, beside their own database and key."""

    service_jwks_file: Path
    """Public keys of all services, by which they know each other (`services.py`)."""
    engine_url: str = "http://127.0.0.1:8001"
    auth_url: str = "http://127.0.0.1:8002"
    records_url: str = "http://127.0.0.1:8003"
    billing_url: str = "http://127.0.0.1:8004"
    notifications_url: str = "http://127.0.0.1:8005"
    """Where each service answers the others, not through the edge."""
    audit_export_url: SecretStr = SecretStr("")
    """Where the audit log goes each day, to be kept unchanged: `file:///folder` or `s3://bucket/prefix?…`; empty for nowhere."""


Typed = TypeVar("Typed", bound=Environment)


def read(kind: type[Typed]) -> Typed:
    """The environment as `kind`. Ends the process with every fault in one message, never with a value."""
    try:
        return kind()
    except ValidationError as refused:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in refused.errors(include_input=False))
        sys.exit(f"The environment is not complete:\n{faults}\nOn one machine './manage.py up' sets all of it.")


def databases(urls: SecretStr) -> list[SecretStr]:
    """The addresses in a comma-separated list of them."""
    return [SecretStr(url) for url in re.split(r",(?=postgresql://)", urls.get_secret_value()) if url]


def database(url: SecretStr, *, connect_timeout: int = 3, **session: str) -> dict[str, Any]:
    """A Django DATABASES entry for `postgresql://user:password@host:port/name`; `session` are PostgreSQL settings.

    Connections are persistent (the HTTP server's threads live on) and READ COMMITTED, which the locks depend on. Of several hosts
    (`host:port,host:port`) it is the one that takes writes at the moment.
    """
    parts = urlsplit(url.get_secret_value())
    credentials, _, places = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts = [_host(place) for place in places.split(",")]
    several = {"target_session_attrs": "read-write"} if len(hosts) > 1 else {}
    settings = {"timezone": "UTC", "default_transaction_isolation": "read committed", **session}
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": ",".join(host for host, _ in hosts),
        "PORT": ",".join(port for _, port in hosts),
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(user),
        "PASSWORD": unquote(password),
        "CONN_MAX_AGE": None,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": {"options": options, "connect_timeout": connect_timeout, "tcp_user_timeout": 8000, **several},
    }


def _host(place: str) -> tuple[str, str]:
    """(host, port) of `host:port`; an IPv6 address stands in brackets."""
    host, _, port = place.rpartition(":") if re.search(r":\d*$", place) else (place, "", "")
    return host.strip("[]") or "127.0.0.1", port or "5432"
