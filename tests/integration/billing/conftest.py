"""The fixtures of this folder."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings
from pydantic import SecretStr

from apps.billing.providers import provider
from apps.local import stripe_server
from apps.local.stripe_server import Ledger
from tests.integration.billing import records_server
from tests.integration.billing.practice import PERSON, Practice
from tests.integration.billing.records_server import Records
from tests.serving import serving


@pytest.fixture
def practice(db: None) -> Iterator[Practice]:
    """Stripe and records over HTTP, and this service told where they are."""
    stripe, records, secret = Ledger(), Records(patients={"p-1": PERSON}), "whsec_test"
    with serving(stripe_server.handler(stripe)) as stripe_url, serving(records_server.handler(records)) as records_url:
        told = {
            "stripe_api_key": SecretStr(stripe.key),
            "stripe_api_base": stripe_url,
            "stripe_webhook_secret": SecretStr(secret),
            "records_url": records_url,
            "rate_limits": False,
        }
        provider.cache_clear()
        with override_settings(ENV=settings.ENV.model_copy(update=told)):
            yield Practice(stripe, records, secret)
        provider.cache_clear()
