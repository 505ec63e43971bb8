"""Settings of the billing service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class BillingEnvironment(ServiceEnvironment):
    """What only billing reads."""

    database_url_billing: SecretStr
    service_key_file_billing: Path


ENV = read(BillingEnvironment)

globals().update(common(ENV, name="billing", url=ENV.database_url_billing, apps=("apps.billing.apps.BillingConfig",)))
HANDLERS = "apps.billing.handlers"
FEED_READERS = ("notifications",)
"""The services that take over the facts of this one."""
