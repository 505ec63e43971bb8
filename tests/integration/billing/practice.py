"""A clinic's billing for tests, in a real PostgreSQL, with real HTTP servers in the places of Stripe and records."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import transaction
from django.test import Client

from apps.billing import charges, invoices, payments
from apps.billing.handlers import HANDLERS
from apps.billing.models import Charge, Invoice, Payment, Policy, Price
from apps.billing.providers import provider
from apps.kernel.events import Event
from apps.kernel.tokens import sign
from apps.local.stripe_server import Ledger, signature
from tests.integration.billing.records_server import Records

Done = TypeVar("Done")

CLINIC, VISIT_TYPE = "harbor", uuid4()
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
PERSON: dict[str, Any] = {
    "name": {"given": "Rosa", "family": "Marín"},
    "date_of_birth": "1984-05-06",
    "sex": "female",
    "address": {"line": "1 Main St", "city": "New York", "state": "NY", "postal_code": "10001"},
}


@dataclass(frozen=True)
class Practice:
    stripe: Ledger
    records: Records
    secret: str

    def webhook(self, event: Mapping[str, Any], *, at: int | None = None, secret: str = "") -> Any:
        """Stripe's request with an event."""
        body = json.dumps(event)
        header = signature(body, secret=secret or self.secret, at=int(time.time()) if at is None else at)
        return Client().post(
            "/api/billing/v1/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": header}
        )


class Desk:
    """Someone of a clinic at the API."""

    def __init__(self, role: str = "billing", *, clinic: str = CLINIC) -> None:
        token = sign(Path(os.environ["TOKEN_SIGNING_KEY_FILE"]), subject=f"{role}-1", clinic=clinic, role=role, seconds=300)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any) -> Any:
        return Client().get(f"/api/billing/v1{path}", query, headers=self._headers)

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        return self._send("post", path, body if body is not None else {}, {"Idempotency-Key": key or uuid4().hex})

    def put(self, path: str, body: Any) -> Any:
        return self._send("put", path, body, {})

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        send = getattr(Client(), method)
        return send(
            f"/api/billing/v1{path}", json.dumps(body), content_type="application/json", headers={**self._headers, **headers}
        )


def fact(
    kind: str,
    appointment: UUID,
    *,
    clinic: str = CLINIC,
    patient: str | None = None,
    by: str = "clinic",
    at: datetime | None = None,
    modality: str = "in_person",
    visit_type: UUID = VISIT_TYPE,
) -> Event:
    """An appointment.* fact of the engine."""
    times = {"start": START.isoformat().replace("+00:00", "Z"), "end": (START + timedelta(minutes=30)).isoformat()}
    data: dict[str, Any] = {
        "appointment": str(appointment),
        "clinic": clinic,
        "calendar": str(uuid4()),
        "calendars": [],
        "state": "NY",
    }
    data |= {"visit_type": str(visit_type), "patient": patient, "modality": modality, "status": kind, "by": by, **times}
    return Event(uuid4(), "/engine", f"appointment.{kind}.v1", str(appointment), clinic, at or START, data)


def record_fact(kind: str, **data: str | list[str]) -> Event:
    """A patient.* fact of records."""
    return Event(uuid4(), "/records", f"patient.{kind}.v1", "", CLINIC, START, {"clinic": CLINIC, **data})


def deliver(*facts: Event) -> None:
    """Hands facts to their handlers, as the inbox does."""
    for event in facts:
        HANDLERS[event.source.strip("/"), event.type](event)


def price(amount: int = 15_000, *, clinic: str = CLINIC, currency: str = "USD", code: str = "99213") -> Price:
    return Price.objects.create(
        clinic=clinic,
        visit_type=VISIT_TYPE,
        valid_from=LONG_AGO,
        amount=amount,
        currency=currency,
        description="Follow-up",
        code=code,
    )


def policy() -> Policy:
    return Policy.objects.create(
        clinic=CLINIC, valid_from=LONG_AGO, currency="USD", late_cancel_fee=2_500, late_cancel_hours=24, no_show_fee=5_000
    )


def a_charge(patient: str = "p-1", *, amount: int = 15_000, clinic: str = CLINIC, modality: str = "in_person") -> Charge:
    """A priced charge for a visit that took place."""
    appointment = uuid4()
    if not Price.objects.filter(clinic=clinic, visit_type=VISIT_TYPE).exists():
        price(amount, clinic=clinic)
    deliver(fact("completed", appointment, clinic=clinic, patient=patient, modality=modality))
    charge = Charge.objects.get(appointment=appointment)
    assert charges.price_at(clinic, VISIT_TYPE, START) is not None
    return charge


def issued(patient: str = "p-1", *, clinic: str = CLINIC) -> Invoice:
    """An issued invoice over one visit."""
    charge = a_charge(patient, clinic=clinic)
    drafted = _committed(lambda: invoices.draft(patient, [charge.id], clinic=clinic))
    return _committed(lambda: invoices.issue(drafted.id, clinic=clinic))


def paid(practice: Practice, *, amount_of: Invoice | None = None) -> Payment:
    """An invoice's payment, paid at the provider and settled here."""
    invoice = amount_of or issued()
    asked = _committed(lambda: payments.ask(invoice.id, clinic=invoice.clinic))
    opened = payments.submit(asked.id, provider())
    practice.stripe.pay(opened.reference)
    return payments.submit(asked.id, provider())


def run_all(work: list[Callable[[], None]]) -> None:
    """Each in a thread of its own, all at once."""
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def _committed(work: Callable[[], Done]) -> Done:
    with transaction.atomic(durable=True):
        return work()
