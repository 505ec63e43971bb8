"""Settings of the auth service."""

from pathlib import Path

from apps.kernel import logs
from apps.kernel.environment import Environment, read


class AuthEnvironment(Environment):
    """What only auth reads: the private key that it signs access tokens with (PEM)."""

    token_signing_key_file: Path


ENV = read(AuthEnvironment)

SECRET_KEY = ENV.secret_key.get_secret_value()
INSTALLED_APPS = ["apps.auth.apps.AccountsConfig"]
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = logs.config("WARNING")
