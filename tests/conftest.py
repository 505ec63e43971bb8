"""What all tests share. The servers are real ones, started by `./manage.py test`, which sets the environment for us."""

import os

import pytest

REQUIRED = ("DATABASE_URL_ENGINE", "REDIS_URL", "TOKEN_JWKS_FILE")


def pytest_configure() -> None:
    missing = [name for name in REQUIRED if name not in os.environ]
    if missing:
        pytest.exit(f"{', '.join(missing)} not set: run the tests with ./manage.py test [pytest arguments]", returncode=2)
