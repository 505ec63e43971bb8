"""The internal door: each service learns what it needs for its purpose, is named in the audit log, and nobody else gets in."""

import json

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from apps.kernel.models import AuditEntry, OutboxEvent
from apps.records.settings import ENV
from tests.integration.records.room import ADA, SAID, Room, raw, sealed, send, service, told

pytestmark = pytest.mark.django_db
ADDRESSES = (
    ("get", "/internal/v1/appointments/{id}/contact", None, "notifications"),
    ("get", "/internal/v1/patients/{id}/contact?clinic={clinic}", None, "notifications"),
    ("get", "/internal/v1/patients/{id}/billing?clinic={clinic}", None, "billing"),
    ("post", "/internal/v1/contacts/find", {"phone": "+1 415 555 2671"}, "notifications"),
)


@pytest.mark.parametrize(("method", "path", "body", "reader"), ADDRESSES)
def test_only_the_service_that_needs_it_gets_in(room: Room, method: str, path: str, body: object, reader: str) -> None:
    here = path.format(id=room.patient()["id"], clinic=room.clinic)

    assert raw(Client(), method, here, body).status_code == 401
    assert raw(room.client("clinic_admin"), method, here, body).status_code == 401
    for name in {"engine", "billing", "notifications", "auth"} - {reader}:
        assert raw(service(name), method, here, body).status_code == 403
    assert raw(service(reader), method, here, body).status_code in (200, 404)


def test_a_booking_says_how_to_reach_its_patient(room: Room) -> None:
    patient = room.patient()["id"]
    booked = room.fact("booked", sealed=sealed(SAID | {"email": "today@example.org"}))
    path = f"/internal/v1/appointments/{booked['subject']}/contact"
    assert raw(service("notifications"), "get", path).status_code == 404

    told(booked)

    assert send(service("notifications"), "get", path) == {
        "patient": patient,
        "name": ADA["name"],
        "email": "today@example.org",
        "phone": SAID["phone"],
        "language": "es",
        "channels": ["email", "sms"],
        "zone": "America/New_York",
    }
    entry = AuditEntry.objects.get(clinic=room.clinic, action="patient.contact")
    assert (entry.actor, entry.patient) == ("notifications", patient)


def test_a_channel_is_used_until_it_is_taken_back(room: Room) -> None:
    patient, desk = room.patient(emails=[])["id"], room.client("front_desk")
    path = f"/internal/v1/patients/{patient}/contact?clinic={room.clinic}"
    assert send(service("notifications"), "get", path)["channels"] == ["sms"]

    send(desk, "post", f"/patients/{patient}/consents", {"purpose": "messages", "channel": "sms", "granted": False}, status=201)

    assert send(service("notifications"), "get", path)["channels"] == []


def test_a_claim_gets_the_demographics_it_needs(room: Room) -> None:
    address = {"line": "1 Main St", "city": "Albany", "state": "NY", "postal_code": "12207"}
    patient = room.patient(sex="female", address=address)["id"]

    assert send(service("billing"), "get", f"/internal/v1/patients/{patient}/billing?clinic={room.clinic}") == {
        "name": {"given": "Ada", "family": "O'Canary"},
        "date_of_birth": ADA["birth_date"],
        "sex": "female",
        "address": address | {"line2": "", "country": "US"},
        "identifiers": [],
    }


@pytest.mark.parametrize(("what", "reader"), [("contact", "notifications"), ("billing", "billing")])
def test_another_clinics_patient_is_not_found_for_a_service_either(room: Room, what: str, reader: str) -> None:
    patient = room.patient()["id"]

    for query in ("?clinic=elsewhere", ""):
        answer = raw(service(reader), "get", f"/internal/v1/patients/{patient}/{what}{query}", None)
        assert answer.status_code == (404 if query else 422)


def test_a_number_finds_its_patients_in_all_clinics(room: Room) -> None:
    number = {"phone": "+1 646 555 0123"}
    other = Room(room.clinic + "x", room.calendar)
    expected = sorted(one.patient(phones=["646-555-0123"])["id"] for one in (room, other))
    room.patient(phones=["646-555-0124"])

    assert send(service("notifications"), "post", "/internal/v1/contacts/find", number) == {"patients": expected}


def test_a_shredded_patient_is_gone_for_ever(room: Room) -> None:
    patient, admin = room.treated(), room.client("clinic_admin")
    merged = room.patient(name="Old Canary")["id"]
    send(admin, "post", f"/patients/{patient}/merge", {"source": merged})
    send(room.practitioner(), "post", f"/patients/{patient}/notes", {"text": "gone"}, status=201)
    with pytest.raises(CommandError):
        call_command("shred_patient", patient, clinic="elsewhere")

    call_command("shred_patient", patient, clinic=room.clinic)

    for one in (patient, merged):
        assert send(admin, "get", f"/patients/{one}", status=404)["code"] == "not_found"
    assert send(room.practitioner(), "get", f"/patients/{patient}/notes")["items"] == []
    assert send(admin, "post", "/patients/search", {"name": ADA["name"]})["items"] == []
    facts = OutboxEvent.objects.filter(clinic=room.clinic, type="patient.shredded.v1")
    assert {fact.data["patient"] for fact in facts} == {patient, merged}


def test_the_demo_is_seeded_once(room: Room, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(settings, "ENV", ENV.model_copy(update={"demo_clinic": room.clinic}))

    for expected in (2, 0):
        call_command("seed_demo", "--json")
        assert json.loads(capsys.readouterr().out) == {"clinic": room.clinic, "patients": expected}

    assert len(send(room.client("front_desk"), "get", "/duplicates")["items"]) == 1
