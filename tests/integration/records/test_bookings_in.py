"""Facts of the engine: an envelope becomes a patient, an arrival a visit, in any order, thrice, and nothing twice."""

import random
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.kernel.models import AuditEntry, OutboxEvent, ParkedEvent
from apps.records.keys import keyring
from apps.records.kms import KeyFile
from apps.records.models import Patient, Visit
from tests.integration.records.room import ADA, SAID, Room, sealed, send, told

pytestmark = pytest.mark.django_db


def linked(room: Room) -> list[dict[str, Any]]:
    return [dict(one) for one in OutboxEvent.objects.filter(clinic=room.clinic, type="patient.linked.v1").values("subject", "data")]


def visit(fact: dict[str, Any]) -> Visit:
    return Visit.objects.get(appointment=fact["subject"])


def test_an_envelope_becomes_a_patient_and_a_fact(room: Room) -> None:
    booked = room.fact("booked", sealed=sealed())

    told(booked)

    patient = Patient.objects.get(clinic=room.clinic)
    assert linked(room) == [
        {
            "subject": str(patient.id),
            "data": {"appointment": booked["subject"], "patient": str(patient.id), "clinic": room.clinic},
        }
    ]
    read = send(room.client("clinic_admin"), "get", f"/patients/{patient.id}")
    assert (read["name"], read["zone"], read["language"]) == (SAID["name"], SAID["zone"], SAID["language"])
    assert (read["birth_date"], read["phones"], read["emails"]) == (SAID["date_of_birth"], [SAID["phone"]], [SAID["email"]])
    assert read["state"] == "NY"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"email": "another@example.org"}, True),
        ({"phone": "+1 212 555 0100"}, True),
        ({"name": "OCANARY ada"}, True),
        ({"email": "another@example.org", "phone": "+1 212 555 0100"}, False),
        ({"date_of_birth": "1990-03-02"}, False),
        ({"name": "Ada Canary"}, False),
        ({"date_of_birth": None}, False),
    ],
)
def test_the_same_person_is_found_again_and_another_is_not(room: Room, change: dict[str, Any], same: bool) -> None:
    told(room.fact("booked", sealed=sealed()))

    told(room.fact("booked", sealed=sealed(SAID | change)))

    assert Patient.objects.filter(clinic=room.clinic).count() == (1 if same else 2)
    assert Patient.objects.filter(clinic=room.clinic, possible_duplicate=True).count() == (0 if same else 1)


def test_a_booking_does_not_change_what_is_known_of_a_patient(room: Room) -> None:
    before = room.patient()

    told(room.fact("booked", sealed=sealed(SAID | {"email": "thief@example.org"})))

    assert send(room.client("clinic_admin"), "get", f"/patients/{before['id']}") == before


def test_another_clinic_has_another_patient(room: Room) -> None:
    told(room.fact("booked", sealed=sealed()))

    told(Room(room.clinic + "x", room.calendar).fact("booked", sealed=sealed()))

    assert Patient.objects.filter(clinic__startswith=room.clinic).count() == 2


def test_a_patient_named_by_id_is_linked_if_it_is_the_clinics(room: Room) -> None:
    patient = room.patient()["id"]
    other = Room(room.clinic + "x", room.calendar)
    mine, foreign = room.fact("booked", patient=patient), other.fact("booked", patient=patient)

    told(mine, foreign)

    assert str(visit(mine).patient) == patient
    assert (visit(foreign).patient, visit(foreign).refused) == (None, "patient_unknown")
    assert not linked(other)


@pytest.mark.parametrize("envelope", ["a.b.c.d.e", sealed.__name__, "x" * 40_000, '{"name": "Ada"}'])
def test_a_broken_envelope_blocks_nothing(room: Room, envelope: str) -> None:
    broken, sound = room.fact("booked", sealed=envelope), room.fact("booked", sealed=sealed())

    told(broken, sound)

    assert (visit(broken).patient, visit(broken).refused) == (None, "envelope_unreadable")
    assert visit(sound).patient
    assert not ParkedEvent.objects.filter(subject=broken["subject"]).exists()
    assert AuditEntry.objects.filter(object=f"appointment:{broken['subject']}", outcome="denied").count() == 1


@pytest.mark.parametrize("details", [{"email": "x@example.org"}, {"name": ""}, {"name": 7}, {"name": "a\u202eb"}])
def test_an_envelope_without_a_name_has_nobody_in_it(room: Room, details: dict[str, Any]) -> None:
    booked = room.fact("booked", sealed=sealed(details))

    told(booked)

    assert visit(booked).refused == "envelope_unreadable"


def test_an_unusable_contact_does_not_lose_the_patient(room: Room) -> None:
    told(
        room.fact(
            "booked",
            sealed=sealed({"name": "Ada O'Canary", "phone": "call me", "email": 7, "date_of_birth": "soon", "zone": "Mars"}),
        )
    )

    patient = Patient.objects.get(clinic=room.clinic)
    read = send(room.client("clinic_admin"), "get", f"/patients/{patient.id}")
    assert (read["name"], read["phones"], read["emails"], read["birth_date"]) == ("Ada O'Canary", [], [], None)


@pytest.mark.parametrize("seed", range(6))
def test_facts_in_any_order_and_thrice_make_one_visit(room: Room, seed: int) -> None:
    appointment = room.fact("booked")["subject"]
    said = {"appointment": appointment, "sealed": sealed()}
    facts = [
        room.fact("booked", minutes=1, **said),
        room.fact("rescheduled", minutes=2, **said | {"start": "2027-03-02T14:00:00Z", "end": "2027-03-02T15:00:00Z"}),
        room.fact("arrived", minutes=3, **said | {"start": "2027-03-02T14:00:00Z", "end": "2027-03-02T15:00:00Z"}),
        room.fact("completed", minutes=4, **said | {"start": "2027-03-02T14:00:00Z", "end": "2027-03-02T15:00:00Z"}),
    ]
    shuffled = facts * 3
    random.Random(seed).shuffle(shuffled)

    for fact in shuffled:
        told(fact)

    only = visit(facts[0])
    assert Patient.objects.filter(clinic=room.clinic).count() == 1
    assert len(linked(room)) == 1
    assert (only.status, only.start.day) == ("completed", 2)
    assert only.opened_at
    assert only.closed_at
    assert (only.closed_at - only.opened_at).seconds == 60


@pytest.mark.parametrize("seed", range(3))
def test_an_arrival_that_was_taken_back_opens_no_visit(room: Room, seed: int) -> None:
    booked = room.fact("booked", minutes=1, sealed=sealed())
    said = {"appointment": booked["subject"]}
    shuffled = [
        booked,
        room.fact("arrived", minutes=2, status="arrived", **said),
        room.fact("roomed", minutes=3, status="arrived", **said),
        room.fact("reverted", minutes=4, status="arrived", **said),
        room.fact("reverted", minutes=5, status="booked", **said),
    ] * 2
    random.Random(seed).shuffle(shuffled)

    told(*shuffled)

    assert (visit(booked).status, visit(booked).opened_at) == ("booked", None)


@pytest.mark.parametrize("end", ["cancelled", "no_show"])
def test_an_end_before_the_beginning_is_the_end(room: Room, end: str) -> None:
    booked = room.fact("booked", minutes=1, sealed=sealed())

    told(room.fact(end, minutes=5, appointment=booked["subject"]), booked)

    assert visit(booked).status == end
    assert visit(booked).patient


def test_a_hold_that_was_given_back_leaves_nothing(room: Room) -> None:
    told(room.fact("cancelled", by="system"), room.fact("cancelled", by=None))

    assert not Visit.objects.filter(clinic=room.clinic).exists()


def test_visits_are_listed_newest_first_by_pages(room: Room) -> None:
    patient = room.treated()
    later = room.fact("booked", patient=patient, start="2027-04-01T14:00:00Z", end="2027-04-01T15:00:00Z")
    told(later, room.fact("arrived", minutes=1, patient=patient, appointment=later["subject"]))
    desk = room.client("front_desk")

    first = send(desk, "get", f"/patients/{patient}/visits?limit=1")
    second = send(desk, "get", f"/patients/{patient}/visits?limit=1&cursor={first['next']}")

    assert len({one["appointment"] for one in first["items"] + second["items"]}) == 2
    assert sum(one["opened_at"] is not None for one in first["items"] + second["items"]) == 1


def test_a_calendar_page_asks_for_its_names_at_once(room: Room) -> None:
    mine, nobodys = room.fact("booked", sealed=sealed()), room.fact("booked", sealed="broken")
    other = room.fact("booked", sealed=sealed(SAID | {"name": "Bob Canary"}), calendars=[], calendar=mine["id"])
    told(mine, nobodys, other)
    asked = {"appointments": [mine["subject"], nobodys["subject"], other["subject"], "nonsense"]}

    def at(client: Client) -> dict[str, Any]:
        return {one.pop("appointment"): one for one in send(client, "post", "/appointments/patients", asked)["items"]}

    at_desk, at_doctor = at(room.client("front_desk")), at(room.practitioner())
    assert {key: one["name"] for key, one in at_desk.items()} == {mine["subject"]: ADA["name"], other["subject"]: "Bob Canary"}
    assert set(at_doctor) == {mine["subject"]}
    assert at(room.client("front_desk", clinic="elsewhere")) == {}
    one = send(room.practitioner(), "get", f"/appointments/{mine['subject']}/patient")
    assert one == at_doctor[mine["subject"]]
    assert send(room.client("front_desk"), "get", f"/appointments/{nobodys['subject']}/patient", status=404)
    assert AuditEntry.objects.filter(clinic=room.clinic, action="appointment.patient", patient=one["id"]).count() == 3


def test_while_the_key_service_is_away_bookings_wait_and_none_is_parked(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    booked = room.fact("booked", sealed=sealed())
    with monkeypatch.context() as away:
        away.setattr(keyring(), "kms", KeyFile(Path("/proc/nobody/kms.json")))
        with pytest.raises(OperationalError):
            told(booked)
    assert not ParkedEvent.objects.filter(subject=booked["subject"]).exists()

    told(booked)

    assert visit(booked).patient
