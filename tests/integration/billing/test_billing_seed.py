"""The demo's prices: made once, from what the engine says it offers."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

from apps.billing.models import Charge, Policy, Price, Profile
from tests.serving import serving

pytestmark = pytest.mark.django_db

OFFERED = {
    "slug": "demo",
    "name": "Harbor Family Medicine",
    "zone": "America/New_York",
    "visit_types": [{"id": str(uuid4()), "name": name} for name in ("Follow-up", "New patient visit", "Something new")],
}


class Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/api/engine/v1/clinics/demo"
        body = json.dumps(OFFERED if known else {}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Quiet."""


@pytest.fixture
def engine() -> Iterator[None]:
    with serving(Engine) as url:
        told = {"engine_url": url, "demo_clinic": "demo"}
        with override_settings(ENV=settings.ENV.model_copy(update=told)):
            yield


def test_the_demo_is_priced_once(engine: None) -> None:
    for _ in range(2):
        call_command("seed_demo", verbosity=0)

    prices = dict(Price.objects.values_list("description", "amount"))
    assert prices == {"Follow-up": 9_500, "New patient visit": 18_000, "Something new": 9_500}
    assert Profile.objects.get().zone == "America/New_York"
    assert Policy.objects.count() == 1
    assert not Charge.objects.exists()


def test_a_price_that_a_biller_set_stays(engine: None) -> None:
    call_command("seed_demo", verbosity=0)
    Price.objects.filter(description="Follow-up").update(amount=1)

    call_command("seed_demo", verbosity=0)

    assert Price.objects.get(description="Follow-up").amount == 1


def test_without_the_engine_it_says_so() -> None:
    with (
        override_settings(ENV=settings.ENV.model_copy(update={"engine_url": "http://127.0.0.1:9"})),
        pytest.raises(CommandError, match="does not say"),
    ):
        call_command("seed_demo")
