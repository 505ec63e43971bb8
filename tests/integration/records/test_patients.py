"""Patients at the door: made, read, changed, found; and bad input that changes nothing."""

from typing import Any

import pytest

from apps.kernel.models import AuditEntry
from apps.records.models import Patient
from tests.integration.records.room import ADA, Room, raw, send

pytestmark = pytest.mark.django_db
INJECTIONS = (
    "Robert'); DROP TABLE records_patient;--",
    "{{ 7 * 7 }} {% debug %} ${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "O'Brien-D'Arcy",
    "Zoë 🦊 Núñez",
    "محمد عبد الله",
    "x" * 200,
    "🦊",
)


def test_a_patient_is_read_as_it_was_made(room: Room) -> None:
    more = {"sex": "female", "address": {"line": "1 Main St", "city": "Albany", "state": "NY"}, "zone": "America/New_York"}

    made = room.patient(**more)
    read = send(room.client("clinic_admin"), "get", f"/patients/{made['id']}")

    assert read == made
    assert read["name"] == ADA["name"]
    assert read["address"]["city"] == "Albany"
    assert (read["version"], read["possible_duplicate"]) == (1, False)


@pytest.mark.parametrize("name", INJECTIONS)
def test_any_name_is_text_and_nothing_else(room: Room, name: str) -> None:
    made = room.patient(name=name, emails=[], phones=[])
    found = send(room.client("front_desk"), "post", "/patients/search", {"birth_date": ADA["birth_date"]})

    assert made["name"] == name
    assert [one["name"] for one in found["items"]] == [name]


def test_a_change_keeps_what_it_does_not_name(room: Room) -> None:
    made = room.patient()
    admin = room.client("clinic_admin")

    send(
        admin, "patch", f"/patients/{made['id']}", {"phones": ["+1 212 555 0100"], "birth_date": None}, headers={"If-Match": '"1"'}
    )

    read = send(admin, "get", f"/patients/{made['id']}")
    assert read == made | {"phones": ["+1 212 555 0100"], "birth_date": None, "version": 2}
    assert send(admin, "post", "/patients/search", {"phone": "212-555-0100"})["items"]
    assert not send(admin, "post", "/patients/search", {"phone": ADA["phones"][0]})["items"]


def test_of_two_changes_to_one_version_one_is_refused(room: Room) -> None:
    made = room.patient()
    admin = room.client("clinic_admin")
    send(admin, "patch", f"/patients/{made['id']}", {"language": "en"}, headers={"If-Match": "1"})

    refused = send(admin, "patch", f"/patients/{made['id']}", {"language": "fr"}, status=409, headers={"If-Match": "1"})

    assert refused["code"] == "version_conflict"
    assert send(admin, "get", f"/patients/{made['id']}")["language"] == "en"
    assert send(admin, "patch", f"/patients/{made['id']}", {"language": "fr"}, status=422)["param"] == "If-Match"


@pytest.mark.parametrize(
    ("asked", "finds"),
    [
        ({"name": "ada ocanary"}, True),
        ({"name": "O'CANARY, Ada"}, True),
        ({"name": "canary"}, False),
        ({"name": "Ada"}, True),
        ({"name": "O\u2019Canary"}, True),
        ({"family": "O'Canary", "birth_date": "1990-02-03"}, True),
        ({"family": "O'Canary", "birth_date": "1990-02-04"}, False),
        ({"email": "ADA.canary@example.org"}, True),
        ({"phone": "(415) 555-2671"}, True),
        ({"identifier": {"system": "Insurer", "value": "a-1"}}, True),
        ({"identifier": {"system": "Other", "value": "A-1"}}, False),
    ],
)
def test_search_is_exact_but_not_pedantic(room: Room, asked: dict[str, Any], finds: bool) -> None:
    made = room.patient(identifiers=[{"system": "insurer", "value": "A-1"}])

    found = send(room.client("front_desk"), "post", "/patients/search", asked)

    expected = [{"id": made["id"], "name": ADA["name"], "birth_date": ADA["birth_date"]}] if finds else []
    assert found == {"items": expected, "next": None}


def test_search_gives_pages(room: Room) -> None:
    made = [room.patient(emails=[f"p{number}@example.org"], phones=[])["id"] for number in range(3)]
    desk = room.client("front_desk")

    first = send(desk, "post", "/patients/search", {"name": ADA["name"], "limit": 2})
    second = send(desk, "post", "/patients/search", {"name": ADA["name"], "limit": 2, "cursor": first["next"]})

    assert [one["id"] for one in first["items"] + second["items"]] == sorted(made)
    assert second["next"] is None
    assert send(desk, "post", "/patients/search", {"name": ADA["name"], "cursor": "x"}, status=422)["param"] == "cursor"
    assert send(desk, "get", f"/patients/{made[0]}/visits?cursor=x", status=422)["param"] == "cursor"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"id": "0192f7e0-0000-7000-8000-000000000000"}, "id"),
        ({"clinic": "another"}, "clinic"),
        ({"version": 7}, "version"),
        ({"possible_duplicate": False}, "possible_duplicate"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": 7}, "name"),
        ({"birth_date": "2090-01-01"}, "birth_date"),
        ({"birth_date": "1990-02-30"}, "birth_date"),
        ({"emails": ["nobody"]}, "emails.0"),
        ({"phones": ["call me"]}, "phones.0"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"sex": "f"}, "sex"),
        ({"address": {"planet": "Mars"}}, "address.planet"),
        ({"identifiers": [{"system": "x"}]}, "identifiers.0.value"),
    ],
)
def test_bad_details_are_refused_by_name_and_change_nothing(room: Room, body: dict[str, Any], param: str) -> None:
    refused = send(room.client("clinic_admin"), "post", "/patients", ADA | body, status=422)

    assert (refused["code"], refused["param"]) == ("validation_failed", param)
    assert not Patient.objects.filter(clinic=room.clinic).exists()


def test_a_search_needs_something_and_a_body_has_an_end(room: Room) -> None:
    desk = room.client("front_desk")

    assert send(desk, "post", "/patients/search", {}, status=422)["code"] == "validation_failed"
    assert raw(desk, "post", "/patients/search", {"name": "x" * 70_000}).status_code == 413
    assert raw(desk, "post", "/patients", {"name": "x" * 8_000_000}).status_code == 413


def test_a_repeated_request_makes_one_patient(room: Room) -> None:
    admin, key = room.client("clinic_admin"), {"Idempotency-Key": "one"}

    first = raw(admin, "post", "/patients", ADA, headers=key)
    again = raw(admin, "post", "/patients", ADA, headers=key)

    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert Patient.objects.filter(clinic=room.clinic).count() == 1


def test_every_look_is_in_the_audit_log_and_in_the_account_of_disclosures(room: Room) -> None:
    patient = room.patient()["id"]
    send(room.client("front_desk", subject="desk:7"), "get", f"/patients/{patient}")
    send(room.client("front_desk", subject="desk:7"), "post", "/patients/search", {"name": ADA["name"]})

    told = send(room.client("clinic_admin"), "get", f"/patients/{patient}/disclosures")

    assert [(one["actor"], one["action"]) for one in told["items"]] == [
        ("desk:7", "patient.search"),
        ("desk:7", "patient.read"),
        ("test:clinic_admin", "patient.create"),
    ]
    assert "Canary" not in str(list(AuditEntry.objects.filter(clinic=room.clinic).values()))


def test_an_export_has_everything(room: Room) -> None:
    patient = room.treated()
    send(room.practitioner(), "post", f"/patients/{patient}/notes", {"text": "Canary sings"}, status=201)

    told = send(room.client("clinic_admin"), "get", f"/patients/{patient}/export")

    assert told["patients"][0]["name"] == ADA["name"]
    assert told["notes"][0]["text"] == "Canary sings"
    assert len(told["visits"]) == 1
