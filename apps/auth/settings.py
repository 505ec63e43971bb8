"""Settings of the auth service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class AuthEnvironment(ServiceEnvironment):
    """What only auth reads."""

    database_url_auth: SecretStr
    service_key_file_auth: Path
    token_signing_key_file: Path
    """The private key (PEM) that access tokens are signed with."""


ENV = read(AuthEnvironment)

globals().update(common(ENV, name="auth", url=ENV.database_url_auth, apps=("apps.auth.apps.AccountsConfig",)))
HANDLERS = "apps.auth.handlers"
FEED_READERS = ("engine", "records", "billing", "notifications")
"""The services that take over the facts of this one."""
