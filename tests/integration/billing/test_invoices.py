"""Invoices: numbers without gaps, states, the ledger behind them, and the page to print."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from apps.billing import invoices, journal
from apps.billing.errors import ChargeNotBillable, InvoiceState
from apps.billing.models import Charge, Invoice, Series
from apps.kernel.models import OutboxEvent
from apps.kernel.problems import NotFound
from tests.integration.billing.practice import CLINIC, Desk, Practice, a_charge, deliver, fact, issued, policy, run_all

pytestmark = pytest.mark.django_db


def test_an_invoice_is_issued_with_a_number_booked_and_told(practice: Practice) -> None:
    invoice = issued()

    assert (invoice.number, invoice.status, invoice.total) == (1, "issued", 15_000)
    assert journal.balances(CLINIC)["USD"] == {
        "receivable": 15_000, "revenue": -15_000, "fees": 0, "cash": 0, "refunds": 0, "write_off": 0
    }  # fmt: skip
    told = OutboxEvent.objects.get(type="invoice.issued.v1")
    assert told.data == {"invoice": str(invoice.id), "patient": "p-1", "clinic": CLINIC}


def test_fees_are_income_of_another_account_than_visits(practice: Practice) -> None:
    policy()
    a_charge()
    deliver(fact("no_show", uuid4(), patient="p-1"))

    with transaction.atomic():
        invoice = invoices.issue(invoices.draft("p-1", None, clinic=CLINIC).id, clinic=CLINIC)

    assert invoice.total == 20_000
    assert (journal.balances(CLINIC)["USD"]["revenue"], journal.balances(CLINIC)["USD"]["fees"]) == (-15_000, -5_000)


def test_a_race_for_numbers_leaves_no_gap_and_gives_none_twice(practice: Practice) -> None:
    drafts = [draft() for _ in range(12)]
    barrier = threading.Barrier(len(drafts))

    def issue(invoice: Invoice) -> None:
        barrier.wait(10)
        try:
            with transaction.atomic(durable=True):
                invoices.issue(invoice.id, clinic=CLINIC)
        finally:
            connection.close()

    run_all([partial(issue, invoice) for invoice in drafts])

    assert sorted(invoice.number or 0 for invoice in Invoice.objects.all()) == list(range(1, 13))


def test_numbers_read_without_the_lock_collide(practice: Practice) -> None:
    """The negative control: the same race, each reading the last number for itself."""
    Series.objects.create(clinic=CLINIC, name="unlocked", last=0)
    barrier, given = threading.Barrier(4), []

    def take() -> None:
        try:
            with transaction.atomic(durable=True):
                last = Series.objects.get(clinic=CLINIC, name="unlocked").last
                barrier.wait(10)
                given.append(last + 1)
                Series.objects.filter(clinic=CLINIC, name="unlocked").update(last=last + 1)
        finally:
            connection.close()

    run_all([take] * 4)

    assert len(set(given)) < len(given)


def test_a_number_of_an_issue_that_failed_is_given_again(practice: Practice) -> None:
    first = draft()
    with transaction.atomic(durable=True):
        assert invoices.issue(first.id, clinic=CLINIC).number == 1
        transaction.set_rollback(True)

    assert issued().number == 1


def test_each_clinic_has_its_own_numbers(practice: Practice) -> None:
    assert (issued().number, issued(clinic="summit").number) == (1, 1)


def test_a_void_invoice_owes_nothing_and_lets_its_charges_go(practice: Practice) -> None:
    invoice = issued()

    with transaction.atomic():
        invoices.void(invoice.id, clinic=CLINIC)

    assert set(journal.balances(CLINIC)["USD"].values()) == {0}
    assert Charge.objects.get().invoice is None
    with transaction.atomic():
        assert invoices.draft("p-1", None, clinic=CLINIC).total == 15_000


def test_a_write_off_gives_up_what_is_owed(practice: Practice) -> None:
    invoice = issued()

    with transaction.atomic():
        invoices.write_off(invoice.id, clinic=CLINIC)

    assert journal.balances(CLINIC)["USD"]["write_off"] == 15_000
    assert journal.balances(CLINIC)["USD"]["receivable"] == 0


def test_an_invoice_of_nothing_is_paid_as_it_is_issued(practice: Practice) -> None:
    charge = a_charge()
    Charge.objects.update(amount=0)
    with transaction.atomic():
        invoice = invoices.issue(invoices.draft("p-1", [charge.id], clinic=CLINIC).id, clinic=CLINIC)

    assert invoice.status == "paid"
    assert journal.balances(CLINIC) == {}


@pytest.mark.parametrize("move", [invoices.issue, invoices.void, invoices.write_off])
@pytest.mark.parametrize("status", ["paid", "void", "written_off"])
def test_a_closed_invoice_stays_closed(practice: Practice, move: Callable[..., Invoice], status: str) -> None:
    invoice = issued()
    Invoice.objects.filter(id=invoice.id).update(status=status)

    with pytest.raises(InvoiceState) as refused, transaction.atomic():
        move(invoice.id, clinic=CLINIC)

    assert refused.value.body()["code"] == "invoice_state"
    assert refused.value.body()["current"] == status


@pytest.mark.parametrize("spoil", [{"amount": None}, {"patient": "p-2"}, {"patient": None}, {"waived_at": "2026-01-01T00:00Z"}])
def test_a_charge_that_cannot_be_billed_is_refused(practice: Practice, spoil: dict[str, Any]) -> None:
    charge = a_charge()
    Charge.objects.filter(id=charge.id).update(**spoil)

    with pytest.raises(ChargeNotBillable) as refused, transaction.atomic():
        invoices.draft("p-1", [charge.id], clinic=CLINIC)

    assert refused.value.body()["code"] == "charge_not_billable"
    assert not Invoice.objects.exists()


def test_a_charge_is_billed_once(practice: Practice) -> None:
    charge = a_charge()
    with transaction.atomic():
        invoices.draft("p-1", [charge.id], clinic=CLINIC)

    with pytest.raises(ChargeNotBillable), transaction.atomic():
        invoices.draft("p-1", [charge.id], clinic=CLINIC)


def test_another_clinics_charges_and_invoices_are_not_found(practice: Practice) -> None:
    charge, invoice = a_charge(clinic="summit"), issued(clinic="summit")

    with pytest.raises(NotFound), transaction.atomic():
        invoices.draft("p-1", [charge.id], clinic=CLINIC)
    with pytest.raises(NotFound), transaction.atomic():
        invoices.void(invoice.id, clinic=CLINIC)


def test_an_invoice_past_its_day_is_marked_once(practice: Practice) -> None:
    invoice = issued()
    assert invoices.mark_overdue() == 0
    Invoice.objects.filter(id=invoice.id).update(due_at="2026-01-01T00:00Z")

    assert (invoices.mark_overdue(), invoices.mark_overdue()) == (1, 0)
    assert Desk().get("/invoices", overdue="true").json()["items"][0]["overdue"] is True
    assert Desk().get("/invoices", overdue="false").json()["items"] == []


def test_the_page_to_print_names_the_patient_and_is_the_same_each_time(practice: Practice) -> None:
    invoice = issued()

    first, second = (Desk().get(f"/invoices/{invoice.id}.pdf") for _ in range(2))

    assert first["Content-Type"] == "application/pdf"
    assert first.content.startswith(b"%PDF-")
    assert first.content == second.content
    assert practice.records.asked == ["p-1", "p-1"]
    assert practice.records.refused == 0


def test_without_records_there_is_no_page_but_a_clear_answer(practice: Practice) -> None:
    invoice = issued()
    practice.records.down = True

    answer = Desk().get(f"/invoices/{invoice.id}.pdf")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_patient_whom_records_forgot_is_billed_by_reference(practice: Practice) -> None:
    practice.records.patients.clear()

    assert Desk().get(f"/invoices/{issued().id}.pdf").status_code == 200


def test_a_draft_has_no_page(practice: Practice) -> None:
    assert Desk().get(f"/invoices/{draft().id}.pdf").json()["code"] == "invoice_state"


def draft() -> Invoice:
    with transaction.atomic(durable=True):
        return invoices.draft("p-1", [a_charge().id], clinic=CLINIC)
