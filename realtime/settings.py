"""Settings of the push process."""

from apps.kernel import logs
from apps.kernel.environment import Environment, read


class RealtimeEnvironment(Environment):
    """What only the push process reads."""

    heartbeat_s: int = 25
    """Must be below the idle limit of every proxy on the way. Clients are told."""
    most_sockets: int = 20_000
    """Sockets and long polls of one process, at about 27 KiB each; who comes then is sent away with a hint."""


ENV = read(RealtimeEnvironment)

SECRET_KEY = ENV.secret_key.get_secret_value()
DEBUG = False
ALLOWED_HOSTS = ENV.allowed_hosts.split(",")
INSTALLED_APPS: list[str] = []
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "realtime.urls"
ASGI_APPLICATION = "realtime.asgi.application"
DATABASES: dict[str, object] = {}
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LOGGING = logs.config()
# Pages that may open a socket. "*" is no answer here: with the session cookie any site could read a calendar.
ORIGINS = [ENV.public_url, *(host for host in ALLOWED_HOSTS if host != "*")]
