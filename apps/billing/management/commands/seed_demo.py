"""Prices, fees and a profile for the demo clinic, so that its visits can be billed. No patients: those come by booking."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.billing.models import Policy, Price, Profile

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
# By the name of the visit type: cents, CPT code. What is not here costs what a follow-up costs, without a code.
_PRICES = {
    "Follow-up": (9_500, "99213"),
    "New patient visit": (18_000, "99203"),
    "Ultrasound": (26_000, "76700"),
    "Group class": (4_000, ""),
}
_PROFILE = {
    "line": "12 Harbor Street",
    "city": "New York",
    "state": "NY",
    "postal_code": "10004-1412",
    "phone": "(212) 555-0142",
    "contact": "Billing office",
    "npi": "1234567893",
    "tax_id": "00-0000000",
    "taxonomy": "207Q00000X",
    "submitter_id": "HARBORDEMO",
    "receiver_id": "CLEARDEMO",
    "receiver_name": "Demo clearing house",
}
_TIMEOUT_S = 10


class Command(BaseCommand):
    help = "Gives the demo clinic (slug from DEMO_CLINIC, or demo) a profile, prices and fees; what is there stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        slug = settings.ENV.demo_clinic or "demo"
        clinic = _clinic(slug)
        Profile.objects.get_or_create(clinic=slug, defaults={**_PROFILE, "name": clinic["name"], "zone": clinic["zone"]})
        Policy.objects.get_or_create(
            clinic=slug,
            valid_from=_SINCE,
            defaults={"currency": "USD", "late_cancel_fee": 2_500, "late_cancel_hours": 24, "no_show_fee": 5_000},
        )
        for visit_type in clinic["visit_types"]:
            amount, code = _PRICES.get(visit_type["name"], (_PRICES["Follow-up"][0], ""))
            Price.objects.get_or_create(
                clinic=slug,
                visit_type=UUID(visit_type["id"]),
                valid_from=_SINCE,
                defaults={"amount": amount, "currency": "USD", "description": visit_type["name"][:100], "code": code},
            )
        done = {"clinic": slug, "prices": len(clinic["visit_types"])}
        self.stdout.write(json.dumps(done) if options["json"] else f"{slug}: {done['prices']} prices")


def _clinic(slug: str) -> dict[str, Any]:
    try:
        answer = requests.get(f"{settings.ENV.engine_url}/api/engine/v1/clinics/{slug}", timeout=_TIMEOUT_S)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
    except requests.RequestException as failed:
        raise CommandError(f"The engine does not say what clinic {slug} offers: {type(failed).__name__}") from None
    return found
