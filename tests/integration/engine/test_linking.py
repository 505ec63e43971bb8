"""Records says whose visit it is: the row says so then, the envelope is gone, and every screen is told, in any order."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from apps.kernel.events import Event
from apps.kernel.ids import new_id
from engine import bookings, feed, models
from engine.handlers import HANDLERS
from engine.rows import Patient
from engine.tasks import link_patients
from tests.practice import Practice, make_practice
from tests.writes import DESK, ZOE, offer


def hear(type_: str, *, clinic: str = "harbor", **data: str) -> None:
    """What the consumer does with a fact of records, and the tick after it."""
    tell(type_, clinic=clinic, **data)
    link_patients()


def tell(type_: str, *, clinic: str = "harbor", **data: str) -> None:
    subject = data.get("appointment", data.get("from", ""))
    event = Event(new_id(), "/records", type_, subject, clinic, datetime.now(UTC), {**data, "clinic": clinic})
    HANDLERS["records", type_](event)


def linked(appointment: UUID, patient: str, *, clinic: str = "harbor") -> None:
    hear("patient.linked.v1", appointment=str(appointment), patient=patient, clinic=clinic)


def merged(gone: str, into: str, *, clinic: str = "harbor") -> None:
    hear("patient.merged.v1", **{"from": gone, "into": into}, clinic=clinic)


def facts() -> list[str]:
    return list(models.OutboxEvent.objects.order_by("calendar_id", "version").values_list("type", flat=True))


def patients() -> list[str | None]:
    return list(models.Appointment.objects.order_by("starts").values_list("patient_id", flat=True))


@pytest.fixture
def visit(practice: Practice) -> UUID:
    return bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK).appointment.id


def test_a_linked_visit_names_its_patient_and_keeps_no_envelope(visit: UUID, desk: Client) -> None:
    linked(visit, "p1")

    answer = desk.get(f"/api/engine/v1/appointments/{visit}", {"expand": "history"}).json()
    assert (answer["patient"], answer["version"], answer["status"]) == ({"id": "p1"}, 2, "booked")
    assert answer["history"][-1]["event"] == "appointment.linked"
    assert models.Appointment.objects.get().patient_details is None
    assert facts() == ["appointment.booked", "appointment.linked"]
    assert not models.PatientLink.objects.exists()


def test_others_learn_that_it_is_linked(visit: UUID) -> None:
    linked(visit, "p1")

    told: list[dict[str, Any]] = [placed.event.wire() for placed in feed.read("", 100, "records")]

    assert [(one["type"], one["data"]["patient"]) for one in told] == [
        ("healthflow.appointment.booked.v1", "p1"),
        ("healthflow.appointment.linked.v1", "p1"),
    ]
    assert [one["data"].get("sealed", "none") for one in told] == [None, "none"]


def test_the_same_fact_three_times_is_one_change(visit: UUID) -> None:
    for _ in range(3):
        linked(visit, "p1")

    assert facts() == ["appointment.booked", "appointment.linked"]


def test_a_visit_is_linked_whatever_became_of_it(practice: Practice, visit: UUID) -> None:
    bookings.cancel(visit, reason="", by="clinic", actor=DESK)
    rival = bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK).appointment.id

    linked(visit, "p1")

    found = models.Appointment.objects.get(id=visit)
    assert (found.patient_id, found.patient_details, found.status) == ("p1", None, "cancelled")
    assert [allocation.appointment_id for allocation in models.Allocation.objects.all()] == [rival]


def test_a_linked_visit_lives_on(practice: Practice, visit: UUID) -> None:
    linked(visit, "p1")
    bookings.reschedule(visit, offer(practice, practice.nurse, hour=11), by="clinic", actor=DESK)
    bookings.move(visit, "arrive", actor=DESK)

    assert patients() == ["p1"]
    assert models.Appointment.objects.get().patient_details is None


def test_answers_about_a_known_patient_have_served_when_they_were_taken_over(practice: Practice) -> None:
    known = Patient("p1", ZOE.sealed)
    visit = bookings.book(offer(practice, practice.doctor), patient=known, state="", actor=DESK).appointment.id

    linked(visit, "p1")

    assert models.Appointment.objects.get().patient_details is None


def test_another_clinics_visit_and_one_that_is_not_there_are_nothing_to_it(visit: UUID) -> None:
    make_practice("bayside")

    linked(visit, "p1", clinic="bayside")
    linked(new_id(), "p1")

    assert (patients(), facts()) == ([None], ["appointment.booked"])
    assert not models.PatientLink.objects.exists()


def test_merged_patients_are_one_on_all_their_visits(practice: Practice) -> None:
    make_practice("bayside")
    visits = [
        bookings.book(offer(practice, practice.doctor, hour=hour), patient=ZOE, state="", actor=DESK).appointment.id
        for hour in (9, 10, 11)
    ]
    for visit, patient in zip(visits, ("old", "other", "old"), strict=True):
        linked(visit, patient)

    merged("old", "new", clinic="bayside")
    assert patients() == ["old", "other", "old"]
    merged("old", "new")
    merged("old", "new")

    assert patients() == ["new", "other", "new"]
    assert facts() == ["appointment.booked"] * 3 + ["appointment.linked"] * 5


def test_a_merge_also_catches_what_is_still_to_be_written(visit: UUID) -> None:
    tell("patient.linked.v1", appointment=str(visit), patient="old")
    tell("patient.merged.v1", **{"from": "old", "into": "new"})

    link_patients()

    assert patients() == ["new"]


def test_a_merge_between_the_look_and_the_write_is_not_lost(visit: UUID) -> None:
    tell("patient.linked.v1", appointment=str(visit), patient="old")
    tell("patient.merged.v1", **{"from": "old", "into": "new"})

    bookings.link(visit, "old")  # of a tick that had looked before the merge
    link_patients()

    assert patients() == ["new"]
