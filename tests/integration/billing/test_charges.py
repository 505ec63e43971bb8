"""Charges from facts: one an appointment and reason, whatever order they come in and however often."""

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from apps.billing.models import AppointmentPatient, Charge, Policy, Price
from apps.kernel.events import Event
from tests.integration.billing.practice import CLINIC, START, VISIT_TYPE, deliver, fact, policy, price, record_fact

pytestmark = pytest.mark.django_db


def test_a_completed_visit_costs_the_price_of_its_day() -> None:
    price(10_000)
    later = Price.objects.create(
        clinic=CLINIC, visit_type=VISIT_TYPE, valid_from=START, amount=12_000, currency="USD", description="Follow-up", code="99213"
    )
    Price.objects.create(
        clinic=CLINIC, visit_type=VISIT_TYPE, valid_from=START + timedelta(seconds=1), amount=1, currency="USD", description="x"
    )
    appointment = uuid4()

    deliver(fact("completed", appointment, patient="p-1"))

    charge = Charge.objects.get(appointment=appointment)
    assert (charge.amount, charge.currency, charge.patient, charge.reason) == (later.amount, "USD", "p-1", "visit")
    assert (charge.code, charge.modifiers, charge.place) == ("99213", [], "11")


def test_a_video_visit_is_coded_as_telehealth() -> None:
    price()
    appointment = uuid4()

    deliver(fact("completed", appointment, modality="video"))

    charge = Charge.objects.get(appointment=appointment)
    assert (charge.modifiers, charge.place) == (["95"], "10")


def test_a_visit_without_a_price_is_charged_unpriced_and_never_lost() -> None:
    price(clinic="another")
    appointment = uuid4()

    deliver(fact("completed", appointment, patient="p-1"))

    assert Charge.objects.get(appointment=appointment).amount is None


@pytest.mark.parametrize(
    ("hours_before", "by", "charged"),
    [
        (25, "patient", False),
        (24, "patient", False),
        (23, "patient", True),
        (-1, "patient", True),
        (1, "clinic", False),
        (1, "", False),
    ],
)
def test_only_a_patient_who_cancels_late_owes_a_fee(hours_before: int, by: str, charged: bool) -> None:
    policy()
    appointment = uuid4()

    deliver(fact("cancelled", appointment, by=by, at=START - timedelta(hours=hours_before)))

    found = Charge.objects.filter(appointment=appointment).values_list("reason", "amount")
    assert list(found) == ([("late_cancel", 2_500)] if charged else [])


def test_a_missed_visit_costs_the_fee_of_the_policy_then_valid() -> None:
    policy()
    Policy.objects.create(
        clinic=CLINIC, valid_from=START + timedelta(days=1), currency="USD", late_cancel_fee=1, late_cancel_hours=1, no_show_fee=1
    )
    appointment = uuid4()

    deliver(fact("no_show", appointment))

    assert Charge.objects.get(appointment=appointment).amount == 5_000


@pytest.mark.parametrize("later", ["arrived", "reverted"])
@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_who_came_late_or_was_called_missing_by_mistake_owes_no_fee(later: str, order: tuple[int, ...]) -> None:
    policy()
    appointment = uuid4()
    facts = [fact("no_show", appointment), fact(later, appointment, at=START + timedelta(minutes=9))]

    deliver(*(facts[place] for place in order), *facts)

    assert not Charge.objects.filter(appointment=appointment).exists()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_who_is_missing_after_all_owes_the_fee(order: tuple[int, ...]) -> None:
    policy()
    appointment = uuid4()
    facts = [
        fact("no_show", appointment),
        fact("reverted", appointment, at=START + timedelta(minutes=9)),
        fact("no_show", appointment, at=START + timedelta(minutes=20)),
    ]

    deliver(*(facts[place] for place in order), *facts)

    assert Charge.objects.get(appointment=appointment).amount == 5_000


def test_without_a_policy_nobody_owes_a_fee() -> None:
    deliver(fact("no_show", uuid4()), fact("cancelled", uuid4(), by="patient"))

    assert not Charge.objects.exists()


def in_every_order() -> list[tuple[int, ...]]:
    return list(permutations(range(3)))


@pytest.mark.parametrize("order", in_every_order())
def test_facts_give_the_same_charge_in_any_order_and_three_times(order: tuple[int, ...]) -> None:
    price()
    appointment = uuid4()
    facts: list[Event] = [
        fact("completed", appointment),
        record_fact("linked", appointment=str(appointment), patient="p-old"),
        record_fact("merged", **{"from": "p-old", "into": "p-new"}),
    ]

    deliver(*[facts[n] for n in order for _ in range(3)])

    assert list(Charge.objects.values_list("patient", "amount")) == [("p-new", 15_000)]
    assert AppointmentPatient.objects.get().patient == "p-new"


@pytest.mark.parametrize("merges", list(permutations([("a", "b"), ("b", "c"), ("c", "d")])))
def test_a_chain_of_merges_ends_at_the_last_patient(merges: tuple[tuple[str, str], ...]) -> None:
    appointment = uuid4()

    deliver(*[record_fact("merged", **{"from": old, "into": new}) for old, new in merges])
    deliver(fact("completed", appointment, patient="a"))

    assert Charge.objects.get().patient == "d"


def test_a_merge_that_was_undone_binds_nobody_any_more() -> None:
    deliver(record_fact("merged", **{"from": "a", "into": "b"}))
    deliver(record_fact("unmerged", **{"from": "a", "into": "b"}, moved=["a"]))
    deliver(fact("completed", uuid4(), patient="a"))
    assert Charge.objects.get().patient == "a"

    deliver(record_fact("merged", **{"from": "b", "into": "a"}))
    deliver(fact("completed", uuid4(), patient="b"))
    assert set(Charge.objects.values_list("patient", flat=True)) == {"a"}


def test_merging_back_and_forth_ends() -> None:
    deliver(record_fact("merged", **{"from": "a", "into": "b"}), record_fact("merged", **{"from": "b", "into": "a"}))
    deliver(fact("completed", uuid4(), patient="a"))

    assert Charge.objects.get().patient == "b"


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: data.pop("appointment"),
        lambda data: data.update(visit_type="x"),
        lambda data: data.update(start="yesterday"),
    ],
)
def test_a_fact_that_cannot_be_read_is_refused_and_charges_nothing(broken: Callable[[dict[str, object]], object]) -> None:
    event = fact("completed", uuid4())
    broken(event.data)

    with pytest.raises((KeyError, ValueError)):
        deliver(event)

    assert not Charge.objects.exists()
