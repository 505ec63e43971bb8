"""Who may do what: the whole table of addresses, role by role, for one's own clinic and another's; fields; care; break-glass."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from openapi_schema_validator import OAS31Validator

from apps.kernel import events
from apps.kernel.models import AuditEntry, OutboxEvent
from apps.kernel.redis import connect
from apps.kernel.tokens import ROLES
from apps.records.api import api
from apps.records.models import BreakGlass
from apps.records.permissions import FIELDS, PERMISSIONS
from tests.integration.records.room import ADA, BASE, Room, raw, send, told

pytestmark = pytest.mark.django_db
ENDPOINTS: dict[tuple[str, str], tuple[str, Any]] = {
    ("post", "/patients"): ("patient.create", ADA),
    ("post", "/patients/search"): ("patient.search", {"name": ADA["name"]}),
    ("get", "/patients/{patient_id}"): ("patient.read", None),
    ("patch", "/patients/{patient_id}"): ("patient.update", {"language": "en"}),
    ("get", "/patients/{patient_id}/export"): ("patient.export", None),
    ("get", "/patients/{patient_id}/disclosures"): ("patient.disclosures", None),
    ("post", "/patients/{patient_id}/break-glass"): ("break_glass.open", {"reason": "unconscious on arrival"}),
    ("get", "/duplicates"): ("patient.duplicates", None),
    ("get", "/patients/{patient_id}/duplicates"): ("patient.duplicates", None),
    ("post", "/patients/{patient_id}/merge"): ("patient.merge", {"source": "{other_id}"}),
    ("post", "/patients/{patient_id}/merges/{merge_id}/undo"): ("patient.merge", {}),
    ("get", "/appointments/{appointment_id}/patient"): ("appointment.patient", None),
    ("post", "/appointments/patients"): ("appointment.patient", {"appointments": ["{appointment_id}"]}),
    ("get", "/patients/{patient_id}/visits"): ("visit.read", None),
    ("get", "/patients/{patient_id}/notes"): ("note.read", None),
    ("post", "/patients/{patient_id}/notes"): ("note.write", {"text": "well"}),
    ("get", "/patients/{patient_id}/notes/{note_id}"): ("note.read", None),
    ("post", "/patients/{patient_id}/notes/{note_id}/amend"): ("note.write", {"version": 1, "text": "better"}),
    ("get", "/patients/{patient_id}/consents"): ("consent.read", None),
    ("post", "/patients/{patient_id}/consents"): ("consent.write", {"purpose": "treatment", "granted": True}),
    ("get", "/patients/{patient_id}/documents"): ("document.read", None),
    ("post", "/patients/{patient_id}/documents"): (
        "document.write",
        {"name": "letter.txt", "type": "text/plain", "content": "d2VsbA=="},
    ),
    ("get", "/patients/{patient_id}/documents/{document_id}"): ("document.read", None),
}
"""Every address: the action it stands for, and a body that is good."""


@dataclass(frozen=True)
class World:
    """A clinic where all that has an id is there."""

    room: Room
    ids: dict[str, str]

    def ask(self, client: Client, endpoint: tuple[str, str]) -> Any:
        method, path = endpoint
        body = ENDPOINTS[endpoint][1]
        if isinstance(body, dict):
            body = {name: self._filled(value) for name, value in body.items()}
        return raw(client, method, self._filled(path), body, headers={"If-Match": "1"})

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        return re.sub(r"{(\w+)}", lambda found: self.ids[found[1]], value) if isinstance(value, str) else value


@pytest.fixture
def world(room: Room) -> World:
    patient, doctor, admin = room.patient()["id"], room.practitioner(), room.client("clinic_admin")
    booked = room.fact("booked", patient=patient)
    told(booked)
    note = send(doctor, "post", f"/patients/{patient}/notes", {"text": "well"}, status=201)["id"]
    letter = ENDPOINTS["post", "/patients/{patient_id}/documents"][1]
    document = send(doctor, "post", f"/patients/{patient}/documents", letter, status=201)["id"]
    merged, other = room.patient(name="Old Canary")["id"], room.patient(name="New Canary")["id"]
    merge = send(admin, "post", f"/patients/{patient}/merge", {"source": merged})["merge"]
    send(admin, "patch", f"/patients/{other}", {"language": "fr"}, headers={"If-Match": "1"})
    ids = {"patient_id": patient, "other_id": other, "note_id": note, "document_id": document, "merge_id": merge}
    return World(room, ids | {"appointment_id": booked["subject"]})


def endpoints() -> Iterator[tuple[str, str]]:
    for path, methods in api.get_openapi_schema()["paths"].items():
        if path == f"{BASE}/audit":
            continue  # the kernel's own, the same in every service
        yield from ((method, path.removeprefix(BASE)) for method in methods)


def test_the_table_of_addresses_is_whole() -> None:
    assert set(endpoints()) == set(ENDPOINTS)
    assert {action for action, _ in ENDPOINTS.values()} == set(PERMISSIONS)


@pytest.mark.parametrize("role", sorted(ROLES))
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_a_role_does_what_the_table_says_and_nothing_else(world: World, endpoint: tuple[str, str], role: str) -> None:
    client = world.room.client(role, calendar=world.room.calendar)
    action = ENDPOINTS[endpoint][0]

    answer = world.ask(client, endpoint)

    if role in PERMISSIONS[action]:
        # The survivor of the merge is at version 2, so that a change is a conflict here: it was let in.
        assert answer.status_code in (200, 201) or (endpoint[0] == "patch" and answer.status_code == 409), answer.content
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        denied = AuditEntry.objects.filter(clinic=world.room.clinic, action=action, role=role, outcome="denied")
        assert denied.count() == 1


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if "{" in one[1]], ids=" ".join)
def test_another_clinics_things_are_not_there(world: World, endpoint: tuple[str, str]) -> None:
    for role in sorted(PERMISSIONS[ENDPOINTS[endpoint][0]]):
        stranger = world.room.client(role, clinic="elsewhere", calendar=world.room.calendar)

        answer = world.ask(stranger, endpoint)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "Canary" not in answer.content.decode()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_without_sign_in_or_second_factor_there_is_nothing(world: World, endpoint: tuple[str, str]) -> None:
    half = world.room.client("clinic_admin", second_factor=False)

    assert world.ask(Client(), endpoint).json()["code"] == "unauthenticated"
    assert world.ask(half, endpoint).json()["code"] == "second_factor_required"


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if ENDPOINTS[one][1] is not None], ids=" ".join)
def test_an_unknown_field_is_refused(world: World, endpoint: tuple[str, str]) -> None:
    action, body = ENDPOINTS[endpoint]
    role = min(PERMISSIONS[action])
    client = world.room.client(role, calendar=world.room.calendar)
    path = world._filled(endpoint[1])

    answer = raw(client, endpoint[0], path, body | {"clinic": "elsewhere"}, headers={"If-Match": "1"})

    assert (answer.status_code, answer.json()["param"]) == (422, "clinic")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_an_answer_of_patient_data_is_in_the_audit_log(world: World, endpoint: tuple[str, str]) -> None:
    action = ENDPOINTS[endpoint][0]
    role = min(PERMISSIONS[action])
    client = world.room.client(role, calendar=world.room.calendar, subject="test:audited")

    answer = world.ask(client, endpoint)

    entries = AuditEntry.objects.filter(clinic=world.room.clinic, actor="test:audited", action=action, outcome="done")
    assert bool(entries) == (answer.status_code < 300)


@pytest.mark.parametrize("role", sorted(FIELDS))
def test_a_role_sees_and_writes_its_fields_only(room: Room, role: str) -> None:
    patient = room.treated(
        sex="female",
        pronouns="she",
        state="NY",
        zone="America/New_York",
        address={"line": "1 Main St"},
        identifiers=[{"system": "insurer", "value": "A-1"}],
    )
    client = room.client(role, calendar=room.calendar)

    seen = set(send(client, "get", f"/patients/{patient}")) - {"id", "version", "possible_duplicate"}

    assert seen == FIELDS[role]
    if role in PERMISSIONS["patient.update"] and "sex" not in seen:
        refused = send(client, "patch", f"/patients/{patient}", {"sex": "male"}, status=403, headers={"If-Match": "1"})
        assert refused["param"] == "sex"


def test_the_field_table_has_the_least_that_each_role_needs() -> None:
    assert not FIELDS["front_desk"] & {"sex", "identifiers"}
    assert not FIELDS["program"] & {"sex", "identifiers"}
    assert not FIELDS["billing"] & {"phones", "emails", "language", "pronouns"}
    assert "auditor" not in FIELDS
    assert not any("auditor" in roles for roles in PERMISSIONS.values())


# --- a practitioner's patients ------------------------------------------------------------------------------------------


def test_a_practitioner_sees_the_patients_of_the_own_calendar(room: Room) -> None:
    patient = room.treated()

    assert send(room.practitioner(), "get", f"/patients/{patient}")["name"] == ADA["name"]
    for stranger in (room.client("practitioner"), room.client("practitioner", calendar="0192f7e0-0000-7000-8000-000000000000")):
        refused = send(stranger, "get", f"/patients/{patient}", status=403)
        assert "break-glass" in refused["detail"]
        assert send(stranger, "post", "/patients/search", {"name": ADA["name"]})["items"] == [
            {"id": patient, "access": "break_glass"}
        ]


def test_a_cancelled_appointment_is_no_care(room: Room) -> None:
    patient = room.patient()["id"]
    booked = room.fact("booked", patient=patient)

    told(booked, room.fact("cancelled", minutes=1, appointment=booked["subject"], patient=patient))

    send(room.practitioner(), "get", f"/patients/{patient}", status=403)


def test_broken_glass_opens_one_patient_for_a_while_and_tells(room: Room) -> None:
    patient, other = room.patient()["id"], room.patient(name="Other Canary")["id"]
    doctor = room.client("practitioner", subject="dr:7")

    glass = send(doctor, "post", f"/patients/{patient}/break-glass", {"reason": "unconscious on arrival"}, status=201)

    assert send(doctor, "get", f"/patients/{patient}")["name"] == ADA["name"]
    assert send(doctor, "get", f"/patients/{patient}/notes")["items"] == []
    send(doctor, "get", f"/patients/{other}", status=403)
    send(room.client("practitioner", subject="dr:8"), "get", f"/patients/{patient}", status=403)
    fact = OutboxEvent.objects.get(clinic=room.clinic, type="break_glass.opened.v1")
    assert (fact.data["patient"], fact.data["actor"]) == (patient, "dr:7")
    read = AuditEntry.objects.filter(clinic=room.clinic, actor="dr:7", action="patient.read", outcome="done").get()
    assert read.details == {"break_glass": glass["id"]}

    BreakGlass.objects.filter(id=glass["id"]).update(until=Now() - timedelta(seconds=1))
    send(doctor, "get", f"/patients/{patient}", status=403)


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": "short"}, {"reason": " " * 20}, {"reason": "unconscious on arrival", "minutes": 61}],
)
def test_glass_is_not_broken_without_a_reason_or_for_long(room: Room, body: dict[str, Any]) -> None:
    patient = room.patient()["id"]
    doctor = room.client("practitioner")

    send(doctor, "post", f"/patients/{patient}/break-glass", body, status=422)

    assert not BreakGlass.objects.filter(patient=patient).exists()
    send(doctor, "get", f"/patients/{patient}", status=403)


@pytest.mark.django_db(transaction=True)
def test_glass_is_broken_without_redis(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = room.patient()["id"]
    monkeypatch.setattr(events, "_redis", lambda: connect("redis://127.0.0.1:1", timeout_s=0.1))
    doctor = room.client("practitioner")

    send(doctor, "post", f"/patients/{patient}/break-glass", {"reason": "unconscious on arrival"}, status=201)

    assert send(doctor, "get", f"/patients/{patient}")["name"] == ADA["name"]
    assert OutboxEvent.objects.filter(clinic=room.clinic, type="break_glass.opened.v1").count() == 1


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_an_answer_is_what_the_document_says(world: World, endpoint: tuple[str, str]) -> None:
    client = world.room.client(max(PERMISSIONS[ENDPOINTS[endpoint][0]]), calendar=world.room.calendar)
    document = send(client, "get", "/openapi.json")
    told = document["paths"][BASE + endpoint[1]][endpoint[0]]["responses"]

    answer = world.ask(client, endpoint)

    said = told.get(str(answer.status_code), {}).get("content", {}).get("application/json")
    if said is None:
        assert answer.status_code == 409 or "document_id" in endpoint[1]
    else:
        OAS31Validator(said["schema"] | {"components": document["components"]}).validate(answer.json())
