"""The API's document is valid, and what the API answers is what the document says."""

import json
from collections.abc import Callable
from typing import Any

from django.test import Client
from openapi_spec_validator import validate

from apps.kernel.shapes import in_zone
from engine import calendar_shapes, shapes
from tests.practice import DAY, Practice, tomorrow

BASE = "/api/engine/v1"


def document(http: Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"{BASE}/openapi.json").json()
    return found


def post(client: Client, path: str, body: Any, **headers: str) -> dict[str, Any]:
    answer = client.post(BASE + path, json.dumps(body), content_type="application/json", headers=headers)
    assert answer.status_code in (200, 201), answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_document_is_valid_openapi_3_1(http: Client, practice: Practice) -> None:
    found = document(http)

    assert found["openapi"].startswith("3.1")
    validate(found)


def test_the_document_says_how_errors_look_and_what_a_write_takes(http: Client, practice: Practice) -> None:
    found = document(http)
    confirm = found["paths"][f"{BASE}/holds/{{hold_id}}/confirm"]["post"]

    assert set(confirm["responses"]["409"]["content"]) == {"application/problem+json"}
    assert set(confirm["responses"]["201"]["content"]) == {"application/json"}
    assert {parameter["name"] for parameter in confirm["parameters"]} == {"hold_id", "Idempotency-Key", "Hold-Secret"}
    assert set(found["components"]["securitySchemes"]) == {"token", "session"}


def test_every_address_of_the_contract_is_documented(http: Client, practice: Practice) -> None:
    paths = {path.removeprefix(BASE): set(methods) for path, methods in document(http)["paths"].items()}

    assert paths == {
        "/clinics/{clinic}": {"get"},
        "/clinics/{clinic}/slots": {"get"},
        "/slots/first": {"get"},
        "/sealing-keys": {"get"},
        "/manage/{token}": {"get"},
        "/manage/{token}/cancel": {"post"},
        "/manage/{token}/reschedule": {"post"},
        "/manage/{token}/calendar.ics": {"get"},
        "/holds": {"post"},
        "/holds/{hold_id}": {"delete"},
        "/holds/{hold_id}/extend": {"post"},
        "/holds/{hold_id}/confirm": {"post"},
        "/appointments": {"get", "post"},
        "/appointments/conflicts": {"post"},
        "/appointments/{appointment_id}": {"get"},
        "/appointments/{appointment_id}/reschedule": {"post"},
        "/appointments/{appointment_id}/cancel": {"post"},
        "/appointments/{appointment_id}/{move}": {"post"},
        "/calendars/{calendar}/snapshot": {"get"},
        "/calendars/{calendar}/changes": {"get"},
        "/clinics/{clinic}/snapshot": {"get"},
        "/clinics/{clinic}/statistics": {"get"},
        "/calendars/{calendar}/hours": {"get", "put"},
        "/calendars/{calendar}/exceptions": {"get", "post"},
        "/calendars/{calendar}/exceptions/{exception}": {"delete"},
        "/audit": {"get"},
        "/clinics/{clinic}/settings": {"get", "patch"},
        "/clinics/{clinic}/locations": {"get"},
        "/locations": {"post"},
        "/locations/{location}": {"patch"},
        "/clinics/{clinic}/calendars": {"get"},
        "/calendars": {"post"},
        "/calendars/{calendar}": {"patch"},
        "/calendars/{calendar}/imports": {"post"},
        "/holidays": {"get"},
        "/clinics/{clinic}/visit-types": {"get"},
        "/visit-types": {"post"},
        "/visit-types/{visit_type}": {"patch"},
    }


def test_every_operation_documents_its_problems(http: Client, practice: Practice) -> None:
    for path, methods in document(http)["paths"].items():
        for method, operation in methods.items():
            for status in ("401", "404", "422", "429", "503"):
                schema = operation["responses"][status]["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemOut"}, (method, path, status)


def test_the_answers_have_the_documented_shapes(http: Client, desk: Client, practice: Practice, token: Callable[..., str]) -> None:
    admin = Client(headers={"authorization": f"Bearer {token(practice.slug, role='clinic_admin')}"})
    window = {"from": in_zone(tomorrow(), "UTC"), "to": in_zone(tomorrow() + DAY, "UTC")}
    patient = {"name": "Zoe Canary"}

    shapes.SealingKeysOut.model_validate(http.get(f"{BASE}/sealing-keys").json())
    shapes.ClinicOut.model_validate(http.get(f"{BASE}/clinics/harbor").json())
    found = http.get(f"{BASE}/clinics/harbor/slots", window | {"visit_type": str(practice.visit.uid)}).json()
    slots = shapes.SlotsOut.model_validate(found).items
    held = shapes.HoldOut.model_validate(post(http, "/holds", {"slot": slots[0].slot}))
    other = shapes.HoldOut.model_validate(post(http, "/holds", {"slot": slots[1].slot}))
    shapes.HoldOut.model_validate(post(http, f"/holds/{other.id}/extend", {}, hold_secret=other.secret))
    booked = shapes.AppointmentOut.model_validate(
        post(http, f"/holds/{held.id}/confirm", {"patient": patient}, hold_secret=held.secret)
    )
    shapes.AppointmentOut.model_validate(post(desk, f"/appointments/{booked.id}/reschedule", {"slot": slots[2].slot}))
    for step in ("arrive", "room", "revert", "cancel"):
        shapes.AppointmentOut.model_validate(
            post(desk, f"/appointments/{booked.id}/{step}", {"by": "clinic", "reason": "x"} if step == "cancel" else {})
        )
    shapes.AppointmentOut.model_validate(desk.get(f"{BASE}/appointments/{booked.id}", {"expand": "history"}).json())
    shapes.AppointmentsOut.model_validate(desk.get(f"{BASE}/appointments").json())
    for calendar in (practice.doctor, practice.nurse):
        calendar_shapes.SnapshotOut.model_validate(desk.get(f"{BASE}/calendars/{calendar.uid}/snapshot", window).json())
        calendar_shapes.ChangesOut.model_validate(desk.get(f"{BASE}/calendars/{calendar.uid}/changes", {"since": 0}).json())
        calendar_shapes.WeekOut.model_validate(desk.get(f"{BASE}/calendars/{calendar.uid}/hours").json())
    closed = {"start": window["from"], "end": window["to"], "open": False, "note": "Team day"}
    calendar_shapes.ExceptionOut.model_validate(post(admin, f"/calendars/{practice.doctor.uid}/exceptions", closed))
    exceptions = desk.get(f"{BASE}/calendars/{practice.doctor.uid}/exceptions").json()
    assert calendar_shapes.CalendarExceptionsOut.model_validate(exceptions).items
    calendar_shapes.ClinicSnapshotOut.model_validate(desk.get(f"{BASE}/clinics/harbor/snapshot", window).json())
    days = {"from": window["from"][:10], "to": window["to"][:10]}
    calendar_shapes.StatisticsOut.model_validate(desk.get(f"{BASE}/clinics/harbor/statistics", days).json())
    wish = {"visit_type": str(practice.visit.uid), "calendar": str(practice.doctor.uid), "start": window["from"]}
    assert shapes.ConflictsOut.model_validate(post(desk, "/appointments/conflicts", wish)).conflicts
    override = {"patient": {"id": "zoe"}, "override": {"reason": "Walked in"}}
    over = shapes.AppointmentOut.model_validate(post(desk, "/appointments", wish | override))
    shapes.AppointmentOut.model_validate(desk.get(f"{BASE}/appointments/{over.id}", {"expand": "history"}).json())
    assert shapes.AppointmentOut.model_validate(desk.get(f"{BASE}/appointments/{booked.id}").json()).status == "cancelled"
