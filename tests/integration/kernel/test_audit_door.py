"""What the audit log says of requests, and who may read it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.kernel.models import AuditEntry
from tests.practice import Practice, make_practice

BASE = "/api/engine/v1"
FROM = {"x-request-id": "req-7", "x-forwarded-for": "198.51.100.1, 203.0.113.7"}


@pytest.fixture
def auditor(token: Callable[..., str], practice: Practice) -> Client:
    return Client(headers={"authorization": f"Bearer {token(practice.slug, role='auditor', subject='eve')}"})


def booked(desk: Client, practice: Practice, patient: str = "p-1") -> str:
    body = {"slot": practice.offers()[0].token(), "patient": {"id": patient}}
    answer = desk.post(f"{BASE}/appointments", json.dumps(body), content_type="application/json", headers=FROM)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def told(**filters: Any) -> list[tuple[str, str, str, str]]:
    found = AuditEntry.objects.filter(**filters).order_by("id")
    return list(found.values_list("actor", "action", "object", "outcome"))


def test_a_booking_and_its_reads_say_who_what_whose_and_from_where(log: None, desk: Client, practice: Practice) -> None:
    appointment = booked(desk, practice)
    desk.get(f"{BASE}/appointments/{appointment}")
    desk.get(f"{BASE}/appointments", {"patient": "p-1"})
    desk.post(f"{BASE}/appointments/{appointment}/cancel", '{"by": "clinic", "reason": "x"}', content_type="application/json")

    first = AuditEntry.objects.order_by("id")[0]
    assert (first.clinic, first.role, first.patient, first.request_id, first.address) == (
        *("harbor", "front_desk", "p-1", "req-7", "203.0.113.7"),
    )
    assert told(patient="p-1") == [
        ("test:front_desk", "appointment.booked", f"appointment:{appointment}", "done"),
        ("test:front_desk", "appointment.read", f"appointment:{appointment}", "done"),
        ("test:front_desk", "appointment.list", "", "done"),
        ("test:front_desk", "appointment.cancelled", f"appointment:{appointment}", "done"),
    ]


def test_the_public_s_holds_are_told_and_refused_ones_are_not(log: None, http: Client, practice: Practice) -> None:
    body = json.dumps({"slot": practice.offers()[0].token()})
    held = http.post(f"{BASE}/holds", body, content_type="application/json").json()["id"]
    again = http.post(f"{BASE}/holds", body, content_type="application/json")

    assert again.status_code == 409
    assert told() == [("public", "appointment.held", f"appointment:{held}", "done")]


def test_a_role_that_may_not_leaves_a_denied_entry(log: None, auditor: Client, practice: Practice) -> None:
    answer = auditor.post(
        f"{BASE}/appointments/{'0' * 32}/cancel", '{"by": "clinic", "reason": "x"}', content_type="application/json"
    )

    assert answer.json()["code"] == "forbidden"
    assert told() == [("eve", "book", "", "denied")]


@pytest.mark.parametrize("method", ["get", "cancel", "arrive"])
def test_another_clinic_s_appointment_leaves_a_denied_entry(
    log: None, desk: Client, practice: Practice, token: Callable[..., str], method: str
) -> None:
    make_practice("lakeside")
    appointment = booked(desk, practice)
    stranger = Client(headers={"authorization": f"Bearer {token('lakeside', subject='mallory')}"})
    body = '{"by": "clinic", "reason": "x"}' if method == "cancel" else "{}"
    address = f"{BASE}/appointments/{appointment}"

    answer = (
        stranger.get(address) if method == "get" else stranger.post(f"{address}/{method}", body, content_type="application/json")
    )

    assert answer.json()["code"] == "not_found"
    ((actor, _, object_, outcome),) = told(clinic="lakeside")
    assert (actor, object_, outcome) == ("mallory", f"appointment:{appointment}", "denied")


def test_a_zero_byte_in_the_address_is_told_without_it(log: None, desk: Client, practice: Practice) -> None:
    assert desk.get(f"{BASE}/appointments/a%00b").json()["code"] == "not_found"
    assert told() == [("test:front_desk", "appointment.read", "appointment:ab", "denied")]


def test_an_auditor_pages_through_the_own_clinic_newest_first(
    log: None, auditor: Client, desk: Client, practice: Practice, token: Callable[..., str]
) -> None:
    lakeside = make_practice("lakeside")
    booked(Client(headers={"authorization": f"Bearer {token('lakeside')}"}), lakeside)
    appointment = booked(desk, practice)
    for _ in range(4):
        desk.get(f"{BASE}/appointments/{appointment}")

    pages, cursor = list[list[str]](), None
    while cursor or not pages:
        query = {"limit": "2", "patient": "p-1", "from": "2026-01-01T00:00:00Z"} | ({"cursor": cursor} if cursor else {})
        answer = auditor.get(f"{BASE}/audit", query).json()
        pages.append([entry["action"] for entry in answer["items"]])
        cursor = answer["next"]

    # The auditor's own look at a patient is about that patient too, and came after.
    assert pages == [["appointment.read"] * 2, ["appointment.read"] * 2, ["appointment.booked"]]
    assert told(actor="eve") == [("eve", "audit.read", "", "done")] * 3
    assert {entry["object"] for entry in auditor.get(f"{BASE}/audit").json()["items"]} <= {f"appointment:{appointment}", ""}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"actor": "a\0b"}, "validation_failed"),
        ({"outcome": "maybe"}, "validation_failed"),
        ({"clinic": "lakeside"}, "validation_failed"),
        ({"cursor": "-1"}, "validation_failed"),
        ({"from": "yesterday"}, "validation_failed"),
        ({"limit": 501}, "validation_failed"),
    ],
)
def test_bad_filters_get_a_clear_answer(log: None, auditor: Client, query: dict[str, str], code: str) -> None:
    assert auditor.get(f"{BASE}/audit", query).json()["code"] == code


@pytest.mark.parametrize("role", ["practitioner", "front_desk", "clinic_admin", "billing", "program"])
def test_nobody_else_reads_the_log(log: None, practice: Practice, token: Callable[..., str], role: str) -> None:
    answer = Client(headers={"authorization": f"Bearer {token(practice.slug, role=role)}"}).get(f"{BASE}/audit")

    assert answer.json()["code"] == "forbidden"
    assert told() == [(f"test:{role}", "audit.read", "", "denied")]


def test_the_public_reads_nothing(log: None, http: Client) -> None:
    assert http.get(f"{BASE}/audit").json()["code"] == "unauthenticated"
