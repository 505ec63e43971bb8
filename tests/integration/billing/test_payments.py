"""Money through the provider: told once whatever crashes, booked once whatever is told, in any order."""

import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client

from apps.billing import invoices, journal, payments
from apps.billing.errors import InvoiceState, RefundTooLarge
from apps.billing.models import Invoice, Payment, Refund, WebhookEvent
from apps.billing.providers import provider
from apps.kernel.models import OutboxEvent
from tests.integration.billing.practice import CLINIC, Desk, Practice, issued, paid, run_all

pytestmark = pytest.mark.django_db


def test_a_patient_pays_by_a_link(practice: Practice) -> None:
    invoice = issued()

    opened = Desk().post(f"/invoices/{invoice.id}/payments").json()
    assert (opened["status"], opened["amount"]) == ("open", 15_000)
    practice.stripe.pay(opened["url"].rpartition("/")[2])
    told = practice.webhook(practice.stripe.events[-1])

    assert told.json() == {"outcome": "taken"}
    assert Desk().get(f"/payments/{opened['id']}").json()["status"] == "succeeded"
    assert Desk().get(f"/invoices/{invoice.id}").json()["status"] == "paid"
    assert cash() == (15_000, 0)
    assert OutboxEvent.objects.filter(type="payment.received.v1").count() == 1


def test_stripe_is_told_nothing_of_the_patient(practice: Practice) -> None:
    Desk().post(f"/invoices/{issued().id}/payments")

    assert "p-1" not in str(practice.stripe.sessions)
    assert "Rosa" not in str(practice.stripe.sessions)


@pytest.mark.parametrize("fault", [0, 500, 429, 503])
def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key(practice: Practice, fault: int) -> None:
    practice.stripe.faults.append(fault)
    invoice = issued()

    lost = Desk().post(f"/invoices/{invoice.id}/payments").json()
    assert (lost["status"], lost["url"]) == ("created", None)
    make_old(Payment)
    assert payments.unfinished(provider()) == 1

    assert Desk().get(f"/payments/{lost['id']}").json()["status"] == "open"
    assert len(practice.stripe.sessions) == 1
    assert len({key for _, _, key in practice.stripe.requests}) == 1


def test_a_crash_before_the_provider_was_told_is_found_by_the_tick(practice: Practice) -> None:
    invoice = issued()
    with transaction.atomic():
        asked = payments.ask(invoice.id, clinic=CLINIC)
    assert payments.unfinished(provider()) == 0  # the request may still be at it
    make_old(Payment)

    assert payments.unfinished(provider()) == 1

    assert Payment.objects.get(id=asked.id).status == "open"


def test_a_payment_whose_event_was_lost_is_asked_about(practice: Practice) -> None:
    opened = Desk().post(f"/invoices/{issued().id}/payments").json()
    practice.stripe.pay(opened["url"].rpartition("/")[2])
    make_old(Payment)

    payments.unfinished(provider())

    assert Payment.objects.get().status == "succeeded"


def test_a_row_older_than_the_providers_memory_is_not_told_again(practice: Practice) -> None:
    invoice = issued()
    with transaction.atomic():
        payments.ask(invoice.id, clinic=CLINIC)
    Payment.objects.update(created_at=datetime.now(UTC) - timedelta(hours=21))

    assert payments.unfinished(provider()) == 0
    assert practice.stripe.requests == []


def test_a_payment_nobody_heard_of_gives_way_to_another_and_still_counts_if_it_was_paid(practice: Practice) -> None:
    practice.stripe.faults.append(0)
    invoice = issued()
    Desk().post(f"/invoices/{invoice.id}/payments")
    Payment.objects.update(created_at=datetime.now(UTC) - timedelta(hours=49))

    payments.unfinished(provider())

    assert Payment.objects.get().status == "expired"
    practice.stripe.pay(next(iter(practice.stripe.sessions)))
    assert practice.webhook(practice.stripe.events[-1]).json() == {"outcome": "taken"}
    assert cash() == (15_000, 0)


def test_a_definite_no_ends_the_payment(practice: Practice) -> None:
    invoice = issued()
    Invoice.objects.update(total=10)  # under the provider's least amount
    answer = Desk().post(f"/invoices/{invoice.id}/payments").json()

    assert (answer["status"], answer["failure"]) == ("failed", "amount_too_small")


def test_a_repeated_request_opens_one_page(practice: Practice) -> None:
    invoice = issued()

    first, again = (Desk().post(f"/invoices/{invoice.id}/payments", key="the-same-key-for-both") for _ in range(2))
    other = Desk().post(f"/invoices/{invoice.id}/payments")

    assert again["Idempotent-Replayed"] == "true"
    assert first.json() == again.json()
    assert other.json()["id"] == first.json()["id"]
    assert len(practice.stripe.sessions) == 1


def test_the_event_may_come_before_our_own_answer(practice: Practice) -> None:
    practice.stripe.faults.append(0)
    Desk().post(f"/invoices/{issued().id}/payments")
    session = next(iter(practice.stripe.sessions))
    practice.stripe.pay(session)

    practice.webhook(practice.stripe.events[-1])
    make_old(Payment)
    payments.unfinished(provider())

    assert Payment.objects.get().status == "succeeded"
    assert cash() == (15_000, 0)


def test_a_cancelled_page_is_closed_and_the_invoice_can_be_void(practice: Practice) -> None:
    invoice = issued()
    opened = Desk().post(f"/invoices/{invoice.id}/payments").json()
    assert Desk().post(f"/invoices/{invoice.id}/void").json()["code"] == "invoice_state"

    closed = Desk().post(f"/payments/{opened['id']}/cancel").json()

    assert (closed["status"], closed["url"]) == ("expired", None)
    assert Desk().post(f"/invoices/{invoice.id}/void").json()["status"] == "void"


def test_who_paid_before_the_page_was_closed_has_paid(practice: Practice) -> None:
    opened = Desk().post(f"/invoices/{issued().id}/payments").json()
    practice.stripe.pay(opened["url"].rpartition("/")[2])

    closed = Desk().post(f"/payments/{opened['id']}/cancel").json()

    assert closed["status"] == "succeeded"


# --- refunds ------------------------------------------------------------------------------------------------------------


def test_parts_of_a_payment_go_back_and_never_more_than_was_paid(practice: Practice) -> None:
    payment = paid(practice)

    assert Desk().post(f"/payments/{payment.id}/refunds", {"amount": 5_000}).json()["status"] == "succeeded"
    too_much = Desk().post(f"/payments/{payment.id}/refunds", {"amount": 10_001})
    assert Desk().post(f"/payments/{payment.id}/refunds", {"amount": 10_000}).status_code == 201

    assert (too_much.json()["code"], too_much.json()["refundable"]) == ("refund_too_large", 10_000)
    assert cash() == (0, 15_000)
    assert OutboxEvent.objects.filter(type="payment.refunded.v1").count() == 2


def test_a_refund_whose_answer_was_lost_happens_once(practice: Practice) -> None:
    payment = paid(practice)
    practice.stripe.faults.append(0)

    assert Desk().post(f"/payments/{payment.id}/refunds", {"amount": 5_000}).json()["status"] == "created"
    make_old(Refund)
    payments.unfinished(provider())

    assert Refund.objects.get().status == "succeeded"
    assert len(practice.stripe.refunds) == 1


def test_a_refund_that_failed_later_is_booked_back(practice: Practice) -> None:
    payment = paid(practice)
    Desk().post(f"/payments/{payment.id}/refunds", {"amount": 5_000})
    practice.stripe.finish_refund(next(iter(practice.stripe.refunds)), "failed")

    practice.webhook(practice.stripe.events[-1])

    assert Refund.objects.get().status == "failed"
    assert cash() == (15_000, 0)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_slow_refund_ends_the_same_in_any_order_of_its_events(practice: Practice, order: tuple[int, ...]) -> None:
    payment = paid(practice)
    practice.stripe.refund_status = "pending"
    before = len(practice.stripe.events)
    Desk().post(f"/payments/{payment.id}/refunds", {"amount": 5_000})
    refund = next(iter(practice.stripe.refunds))
    for status in ("pending", "succeeded"):
        practice.stripe.finish_refund(refund, status)
    told = practice.stripe.events[before:]

    for n in order:
        for _ in range(2):
            assert practice.webhook(told[n]).status_code == 200

    assert Refund.objects.get().status == "succeeded"
    assert cash() == (10_000, 5_000)


def test_a_refund_from_the_providers_dashboard_is_booked_too(practice: Practice) -> None:
    payment = paid(practice)
    practice.stripe.create_refund({"payment_intent": payment.transaction, "amount": "700"})

    practice.webhook(practice.stripe.events[-1])

    assert cash() == (14_300, 700)


def test_a_refund_of_a_payment_not_known_yet_is_sent_again_later(practice: Practice) -> None:
    opened = Desk().post(f"/invoices/{issued().id}/payments").json()
    session = practice.stripe.pay(opened["url"].rpartition("/")[2])
    practice.stripe.create_refund({"payment_intent": session["payment_intent"], "amount": "700"})
    payment_told, refund_told = practice.stripe.events[-2:]

    assert practice.webhook(refund_told).json()["code"] == "not_found"
    assert practice.webhook(payment_told).json()["outcome"] == "taken"
    assert practice.webhook(refund_told).json()["outcome"] == "taken"
    assert cash() == (14_300, 700)


@pytest.mark.parametrize("status", ["created", "open", "expired", "failed"])
def test_what_was_not_paid_cannot_go_back(practice: Practice, status: str) -> None:
    payment = paid(practice)
    Payment.objects.update(status=status)

    with pytest.raises(InvoiceState), transaction.atomic():
        payments.give_back(payment.id, clinic=CLINIC, amount=1)


def test_a_race_of_refunds_gives_back_no_more_than_was_paid(practice: Practice) -> None:
    payment, barrier, refused = paid(practice), threading.Barrier(6), []

    def refund() -> None:
        barrier.wait(10)
        try:
            with transaction.atomic(durable=True):
                payments.give_back(payment.id, clinic=CLINIC, amount=4_000)
        except RefundTooLarge as too_large:
            refused.append(too_large.refundable)
        finally:
            connection.close()

    run_all([refund] * 6)

    assert refused == [3_000] * 3
    assert payments.given_back(payment) == 12_000


def test_a_race_of_one_event_is_taken_once(practice: Practice) -> None:
    event, barrier, outcomes = completed(practice), threading.Barrier(6), []

    def send() -> None:
        barrier.wait(10)
        try:
            outcomes.append(practice.webhook(event).json()["outcome"])
        finally:
            connection.close()

    run_all([send] * 6)

    assert sorted(outcomes) == ["duplicate"] * 5 + ["taken"]
    assert cash() == (15_000, 0)


def test_two_refunds_at_once_cannot_exceed_the_payment(practice: Practice) -> None:
    payment = paid(practice)
    with transaction.atomic():
        payments.give_back(payment.id, clinic=CLINIC, amount=10_000)  # not told to the provider yet

    with pytest.raises(RefundTooLarge), transaction.atomic():
        payments.give_back(payment.id, clinic=CLINIC, amount=5_001)


# --- webhooks -----------------------------------------------------------------------------------------------------------


def test_an_event_sent_again_has_no_second_effect(practice: Practice) -> None:
    event = completed(practice)

    outcomes = [practice.webhook(event).json()["outcome"] for _ in range(3)]

    assert outcomes == ["taken", "duplicate", "duplicate"]
    assert cash() == (15_000, 0)


def test_the_same_fact_in_two_events_is_booked_once(practice: Practice) -> None:
    event = completed(practice)

    for name in ("evt_1", "evt_2"):
        practice.webhook({**event, "id": name})

    assert cash() == (15_000, 0)


def test_an_old_expiry_does_not_undo_a_payment(practice: Practice) -> None:
    event = completed(practice)
    practice.webhook(event)
    expired = {**event["data"]["object"], "status": "expired", "payment_status": "unpaid"}

    practice.webhook({**event, "id": "evt_9", "type": "checkout.session.expired", "data": {"object": expired}})

    assert Payment.objects.get().status == "succeeded"


def test_a_forged_signature_is_refused(practice: Practice) -> None:
    answer = practice.webhook(completed(practice), secret="whsec_guessed")

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_forged")
    assert not WebhookEvent.objects.exists()
    assert Payment.objects.get().status == "open"


@pytest.mark.parametrize("header", ["", "t=1", "v1=00", "t=x,v1=y", "nonsense"])
def test_a_missing_or_broken_signature_is_refused(practice: Practice, header: str) -> None:

    answer = Client().post(
        "/api/billing/v1/webhooks/stripe", "{}", content_type="application/json", headers={"Stripe-Signature": header}
    )

    assert answer.json()["code"] == "webhook_forged"


def test_a_recorded_event_played_back_later_is_refused(practice: Practice) -> None:
    answer = practice.webhook(completed(practice), at=int(time.time()) - 301)

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_too_old")
    assert practice.webhook(completed(practice), at=int(time.time()) - 290).status_code == 200


def test_an_event_too_large_is_refused(practice: Practice) -> None:
    assert practice.webhook({"id": "x" * 70_000}).json()["code"] == "payload_too_large"


@pytest.mark.parametrize("body", [{}, [], {"id": 7}, {"object": "event", "id": "evt", "type": "x"}])
def test_a_signed_body_that_is_no_event_is_refused(practice: Practice, body: Any) -> None:
    assert practice.webhook(body).json()["code"] == "validation_failed"


def test_events_that_are_none_of_ours_are_ignored(practice: Practice) -> None:
    event = completed(practice)
    foreign = {**event["data"]["object"], "metadata": {"payment": str(uuid4())}}
    unmarked = {**event["data"]["object"], "metadata": {}}

    for name, told in (("evt_1", foreign), ("evt_2", unmarked)):
        assert practice.webhook({**event, "id": name, "data": {"object": told}}).json() == {"outcome": "ignored"}
    assert practice.webhook({**event, "id": "evt_3", "type": "customer.created"}).json() == {"outcome": "ignored"}
    assert Payment.objects.get().status == "open"


def completed(practice: Practice) -> dict[str, Any]:
    """The event of a payment that the provider took and we do not know of."""
    if not practice.stripe.intents:
        opened = Desk().post(f"/invoices/{issued().id}/payments").json()
        practice.stripe.pay(opened["url"].rpartition("/")[2])
    return next(event for event in practice.stripe.events if event["type"] == "checkout.session.completed")


def cash() -> tuple[int, int]:
    balances = journal.balances(CLINIC)["USD"]
    assert sum(balances.values()) == 0
    return balances["cash"], balances["refunds"]


def make_old(model: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=11)
    model.objects.update(created_at=long_ago, tried_at=long_ago)


def test_a_second_payment_is_only_asked_for_what_is_owed(practice: Practice) -> None:
    payment = paid(practice)

    with pytest.raises(InvoiceState), transaction.atomic():
        payments.ask(payment.invoice_id, clinic=CLINIC)
    assert invoices.balance(Invoice.objects.get()) == 0
