"""The door: who may, what is refused, pages, repeated requests, another clinic's things, and what is written down about it."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.billing.api import api
from apps.billing.models import Charge, Invoice, Payment, Price
from apps.kernel.models import AuditEntry
from tests.integration.billing.practice import CLINIC, Desk, Practice, a_charge, issued, paid, price

pytestmark = pytest.mark.django_db

PRICE = {
    "visit_type": str(uuid4()),
    "amount": 9_500,
    "currency": "USD",
    "valid_from": "2026-01-01T00:00:00Z",
    "description": "Follow-up",
    "code": "99213",
}
POLICY = {"valid_from": "2026-01-01T00:00:00Z", "currency": "USD", "late_cancel_fee": 2_500, "no_show_fee": 5_000}
READS = ["/profile", "/prices", "/policies", "/charges", "/invoices", "/payments", "/balances", "/claims"]
EXPORT = {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("role", ["practitioner", "front_desk", "clinic_admin", "billing", "auditor", "program"])
def test_reading_is_for_those_it_concerns(practice: Practice, role: str, path: str) -> None:
    Desk().put("/profile", {"name": "Harbor", "zone": "America/New_York"})
    everything = {"clinic_admin", "billing"}
    allowed = everything | {"/invoices": {"front_desk", "auditor"}, "/claims": set()}.get(path, {"auditor"})

    answer = Desk(role).get(path)

    assert answer.status_code == (200 if role in allowed else 403)


@pytest.mark.parametrize("role", ["practitioner", "front_desk", "auditor", "program"])
def test_writing_is_for_billers(practice: Practice, role: str) -> None:
    invoice, charge = issued(), a_charge()
    before = (Invoice.objects.count(), Price.objects.count(), Payment.objects.count())
    desk = Desk(role)

    answers = [
        desk.put("/profile", {"name": "x", "zone": "UTC"}),
        desk.post("/prices", PRICE),
        desk.post("/policies", POLICY),
        desk.post("/invoices", {"patient": "p-1"}),
        desk.post(f"/charges/{charge.id}/waive"),
        desk.post(f"/charges/{charge.id}/price", {"amount": 1, "currency": "USD", "description": "x"}),
        desk.post(f"/invoices/{invoice.id}/void"),
        desk.post(f"/invoices/{invoice.id}/payments"),
        desk.post(f"/payments/{uuid4()}/cancel"),
        desk.post(f"/payments/{uuid4()}/refunds", {"amount": 1}),
    ]

    assert {answer.json()["code"] for answer in answers} == {"forbidden"}
    assert (Invoice.objects.count(), Price.objects.count(), Payment.objects.count()) == before


def test_the_front_desk_sees_how_an_invoice_stands_and_not_what_was_done(practice: Practice) -> None:
    invoice = issued()

    assert Desk().get(f"/invoices/{invoice.id}").json()["lines"][0]["code"] == "99213"
    seen = Desk("front_desk").get(f"/invoices/{invoice.id}").json()
    assert (seen["status"], seen["balance"]) == ("issued", 15_000)
    assert "lines" not in seen
    assert Desk("front_desk").get(f"/invoices/{invoice.id}.pdf").json()["code"] == "forbidden"


def test_without_a_token_nothing_is_answered() -> None:
    for path in READS:
        assert Client().get(f"/api/billing/v1{path}").json()["code"] == "unauthenticated"


def test_another_clinics_things_are_not_found(practice: Practice) -> None:
    payment = paid(practice)
    charge = Charge.objects.get()
    other = Desk(clinic="summit")

    paths = [f"/invoices/{payment.invoice_id}", f"/invoices/{payment.invoice_id}.pdf", f"/charges/{charge.id}"]
    paths += [f"/payments/{payment.id}"]
    writes = [f"/charges/{charge.id}/waive", f"/invoices/{payment.invoice_id}/issue", f"/invoices/{payment.invoice_id}/void"]
    writes += [f"/invoices/{payment.invoice_id}/payments", f"/payments/{payment.id}/cancel"]

    assert {other.get(path).json()["code"] for path in paths} == {"not_found"}
    assert {other.post(path).json()["code"] for path in writes} == {"not_found"}
    assert other.post(f"/payments/{payment.id}/refunds", {"amount": 1}).json()["code"] == "not_found"
    assert other.post("/invoices", {"patient": "p-1", "charges": [str(charge.id)]}).json()["code"] == "not_found"
    assert other.get("/payments", invoice=str(payment.invoice_id)).json()["code"] == "not_found"
    assert all(other.get(path).json()["items"] == [] for path in ("/invoices", "/charges", "/payments", "/prices", "/claims"))
    assert other.get("/balances").json() == {"balances": {}}


@pytest.mark.parametrize("identifier", ["x", "..%2f", "0", "9" * 400, "' OR 1=1 --"])
def test_what_is_no_identifier_is_not_found(practice: Practice, identifier: str) -> None:
    for path in ("/invoices/", "/charges/", "/payments/", "/refunds/"):
        assert Desk().get(path + identifier).status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": 95.0}, "amount"),
        ({"amount": "9500"}, "amount"),
        ({"amount": 10**11}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XAU"}, "currency"),
        ({"valid_from": "2026-01-01T00:00:00"}, "valid_from"),
        ({"visit_type": "follow-up"}, "visit_type"),
        ({"code": "992"}, "code"),
        ({"modifiers": ["9*5"]}, "modifiers.0"),
        ({"description": " "}, "description"),
        ({"description": "a\x00b"}, "description"),
        ({"telehealth_place": "11"}, "telehealth_place"),
        ({"clinic": "summit"}, "clinic"),
        ({"id": "1"}, "id"),
    ],
)
def test_a_price_that_is_not_right_is_refused(practice: Practice, change: dict[str, Any], param: str) -> None:
    answer = Desk().post("/prices", {**PRICE, **change})

    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "validation_failed", param)
    assert not Price.objects.exists()


def test_a_price_is_never_changed(practice: Practice) -> None:
    assert Desk().post("/prices", PRICE).status_code == 201
    assert Desk().post("/prices", {**PRICE, "amount": 1}).json()["code"] == "price_exists"
    assert Desk().post("/policies", POLICY).status_code == 201
    assert Desk().post("/policies", POLICY).json()["code"] == "price_exists"
    assert [item["amount"] for item in Desk().get("/prices").json()["items"]] == [9_500]


@pytest.mark.parametrize(
    "change", [{"npi": "1234567890"}, {"zone": "Mars"}, {"tax_id": "1"}, {"postal_code": "1000"}, {"receiver_id": "a*b~"}, {"x": 1}]
)
def test_a_profile_that_is_not_right_is_refused(practice: Practice, change: dict[str, Any]) -> None:
    answer = Desk().put("/profile", {"name": "Harbor", "zone": "UTC", **change})

    assert answer.json()["code"] == "validation_failed"
    assert Desk().get("/profile").status_code == 404


def test_a_biller_prices_a_charge_that_waited_and_waives_another(practice: Practice) -> None:
    waiting, other = a_charge(), a_charge()
    Charge.objects.filter(id=waiting.id).update(amount=None)
    assert [item["id"] for item in Desk().get("/charges", state="unpriced").json()["items"]] == [str(waiting.id)]

    given = {"amount": 7_000, "currency": "USD", "description": "Follow-up", "code": "99212"}
    priced = Desk().post(f"/charges/{waiting.id}/price", given).json()
    waived = Desk().post(f"/charges/{other.id}/waive").json()

    assert (priced["amount"], priced["state"], priced["place"]) == (7_000, "open", "11")
    assert waived["state"] == "waived"
    assert Desk().post(f"/charges/{other.id}/price", given).json()["code"] == "charge_not_billable"


def test_pages_have_everything_once(practice: Practice) -> None:
    wanted = {str(issued().id) for _ in range(5)}
    seen, cursor = [], ""
    while cursor is not None:
        page = Desk().get("/invoices", limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]

    assert len(seen) == 5
    assert set(seen) == wanted
    assert Desk().get("/invoices", cursor="x").json()["param"] == "cursor"
    assert Desk().get("/invoices", limit=501).json()["param"] == "limit"
    assert Desk().get("/invoices", statsu="paid").json()["param"] == "statsu"


def test_a_repeated_request_gets_the_first_answer(practice: Practice) -> None:
    a_charge()
    key = uuid4().hex

    first, again = (Desk().post("/invoices", {"patient": "p-1"}, key=key) for _ in range(2))
    other = Desk().post("/invoices", {"patient": "p-2"}, key=key)

    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert other.json()["code"] == "idempotency_mismatch"
    assert Invoice.objects.count() == 1


def test_who_saw_and_changed_what_is_written_down(practice: Practice) -> None:
    invoice = issued()
    last = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0

    Desk("front_desk").get(f"/invoices/{invoice.id}")
    Desk().get(f"/invoices/{invoice.id}.pdf")
    Desk().post(f"/invoices/{invoice.id}/void")

    entries = AuditEntry.objects.filter(id__gt=last).order_by("id").values_list("actor", "action", "object", "patient", "clinic")
    thing = (f"invoice:{invoice.id}", "p-1", CLINIC)
    assert list(entries) == [
        ("front_desk-1", "invoice.read", *thing),
        ("billing-1", "invoice.draw", *thing),
        ("billing-1", "invoice.void", *thing),
    ]


def test_a_refused_write_leaves_nothing(practice: Practice) -> None:
    invoice = issued()
    Desk().post(f"/invoices/{invoice.id}/void")
    last = AuditEntry.objects.count()

    assert Desk().post(f"/invoices/{invoice.id}/void").json()["code"] == "invoice_state"

    assert AuditEntry.objects.count() == last


def test_every_address_asks_who_is_there(practice: Practice) -> None:
    """Over the whole document: without a token each is refused, but for the webhook, which is signed."""
    price()
    paths = api.get_openapi_schema()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method in operations:
            address = re.sub(r"\{(\w+)\}", lambda found: {"table": "charges", "move": "issue"}.get(found[1], str(uuid4())), path)
            answer = getattr(Client(), method)(address, EXPORT if method == "get" and "exports" in path else None)
            refused = {"webhook_forged"} if "webhooks" in path else {"unauthenticated", "validation_failed"}
            assert answer.json()["code"] in refused, (method, path)
            asked += 1
    assert asked > 25
