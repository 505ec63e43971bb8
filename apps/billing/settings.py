"""Settings of the billing service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class BillingEnvironment(ServiceEnvironment):
    """What only billing reads."""

    database_url_billing: SecretStr
    service_key_file_billing: Path
    stripe_api_key: SecretStr = SecretStr("")
    stripe_api_base: str = ""
    """Where Stripe answers; empty for Stripe itself."""
    stripe_webhook_secret: SecretStr = SecretStr("")
    """What its webhooks are signed with; without it all of them are refused."""


ENV = read(BillingEnvironment)

globals().update(common(ENV, name="billing", url=ENV.database_url_billing, apps=("apps.billing.apps.BillingConfig",)))
HANDLERS = "apps.billing.handlers"
FEED_READERS = ("notifications",)
"""The services that take over the facts of this one."""
