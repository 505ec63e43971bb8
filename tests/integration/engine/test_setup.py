"""Setting up a clinic at the door: who may, what is refused, what changes for those who book, and what the audit log says of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Max, QuerySet
from django.test import Client

from apps.kernel.models import AuditEntry
from apps.kernel.shapes import in_zone
from engine import models, setup_shapes
from engine.verification import verify
from tests.integration.engine.door import BASE, ZOE, post, refused, slots_of
from tests.practice import DAY, Practice, make_practice, tomorrow

ROOM = {"kind": "room", "name": "Room 7", "zone": "America/Chicago"}
PLACE = {"name": "Uptown", "zone": "America/New_York", "state": "NY"}
CHECKUP = {"name": "Check-up", "duration_minutes": 45, "modalities": ["in_person"], "needs": ["practitioner"]}
WEEK = {"hours": [{"weekday": 0, "opens": "22:00", "closes": "06:00"}]}


@pytest.fixture
def admin(practice: Practice, token: Callable[..., str]) -> Client:
    return Client(headers={"authorization": f"Bearer {token(practice.slug, role='clinic_admin')}"})


def patch(client: Client, path: str, body: Any) -> Any:
    return client.patch(BASE + path, json.dumps(body), content_type="application/json")


@pytest.fixture
def log(practice: Practice) -> Callable[[], QuerySet[AuditEntry]]:
    """The entries of the audit log since the test began: nobody can empty it."""
    before = AuditEntry.objects.aggregate(Max("id"))["id__max"] or 0
    return lambda: AuditEntry.objects.filter(id__gt=before).order_by("id")


Log = Callable[[], QuerySet[AuditEntry]]


def noted(log: Log) -> list[tuple[str, Any]]:
    """What the log says was done, oldest first."""
    return list(log().filter(outcome="done").values_list("action", "details"))


def made() -> list[Any]:
    """All that a refused request must leave as it was."""
    tables = ("clinic", "location", "calendar", "visittype", "visittype_calendars", "openingexception", "outboxevent")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT " + ", ".join(f"(SELECT json_agg(t ORDER BY t::text)::text FROM engine_{name} t)" for name in tables)
        )
        return list(cursor.fetchall())


def of(admin: Client, what: str, name: str = "") -> dict[str, Any]:
    found = admin.get(f"{BASE}/clinics/harbor/{what}").json()
    return dict(next(one for one in found["items"] if one["name"] == name)) if name else dict(found)


# --- settings and places ------------------------------------------------------------------------------------------------


def test_settings_are_read_and_changed(admin: Client, log: Log) -> None:
    before = of(admin, "settings")
    setup_shapes.SettingsOut.model_validate(before)
    origins = ["https://www.harbor.example", "https://harbor.example:8443", "http://localhost:8000", "http://127.0.0.1"]

    changed = patch(admin, "/clinics/harbor/settings", {"revision": before["revision"], "widget_origins": origins})

    assert changed.status_code == 200, changed.content
    assert changed.json() == {**before, "widget_origins": origins, "revision": changed.json()["revision"]}
    assert of(admin, "settings") == changed.json()
    assert noted(log) == [("settings.changed", {"fields": ["widget_origins"]})]


def test_who_saw_an_older_revision_is_told_and_changes_nothing(admin: Client) -> None:
    first = of(admin, "settings")
    assert patch(admin, "/clinics/harbor/settings", {"revision": first["revision"], "name": "Harbor & Sons"}).status_code == 200

    refused(patch(admin, "/clinics/harbor/settings", {"revision": first["revision"], "name": "Mine"}), 409, "version_conflict")

    assert of(admin, "settings")["name"] == "Harbor & Sons"


@pytest.mark.parametrize(
    "origin",
    [
        "http://harbor.example",
        "https://*.example",
        "https://harbor.example/",
        "https://harbor.example/book",
        "https://harbor.example; script-src *",
        "https://Harbor.example",
        "https://user@harbor.example",
        "'self'",
        "*",
        "",
        "https://-harbor.example",
        "https://harbor.example\n",
    ],
)
def test_an_origin_is_one_site_and_nothing_else(admin: Client, origin: str) -> None:
    seen = of(admin, "settings")["revision"]

    answer = patch(admin, "/clinics/harbor/settings", {"revision": seen, "widget_origins": [origin]})

    refused(answer, 422, "validation_failed", "widget_origins.0")


def test_a_place_is_added_once_and_changed(admin: Client, log: Log) -> None:
    added = post(admin, "/locations", PLACE, idempotency_key="k")
    again = post(admin, "/locations", PLACE, idempotency_key="k")
    place = added.json()

    changed = patch(admin, f"/locations/{place['id']}", {"revision": place["revision"], "city": "New York"})

    assert (added.status_code, again.json(), again["Idempotent-Replayed"]) == (201, place, "true")
    assert changed.json() == {**place, "city": "New York", "revision": changed.json()["revision"]}
    setup_shapes.PlacesOut.model_validate(of(admin, "locations"))
    assert of(admin, "locations")["items"] == [changed.json()]
    assert [action for action, _ in noted(log)] == ["location.created", "location.changed"]
    refused(patch(admin, f"/locations/{place['id']}", {"revision": place["revision"]}), 409, "version_conflict")


# --- calendars ----------------------------------------------------------------------------------------------------------


def test_a_calendar_is_made_once_and_its_stream_begins(admin: Client) -> None:
    place = post(admin, "/locations", PLACE).json()
    body = {**ROOM, "location": place["id"], "holidays": "US-NY", "states": ["NY", "NJ"]}

    added = post(admin, "/calendars", body, idempotency_key="k")
    again = post(admin, "/calendars", body, idempotency_key="k")

    assert (added.status_code, again.json()) == (201, added.json()), added.content
    assert added.json() == of(admin, "calendars", "Room 7")
    setup_shapes.CalendarsOut.model_validate(of(admin, "calendars"))
    assert added.json().items() >= body.items()
    events = admin.get(f"{BASE}/calendars/{added.json()['id']}/changes", {"since": 0}).json()["events"]
    assert [event["event"] for event in events] == ["calendar.created"]
    assert {check.name for check in verify().checks if check.violations} == set()


def test_a_change_of_a_calendar_is_told_to_every_open_page(admin: Client, practice: Practice, log: Log) -> None:
    doctor = of(admin, "calendars", "Doctor")
    change = {"revision": doctor["revision"], "name": "Dr. Who", "specialty": "time", "join_url": "https://meet.example/who?x=1"}

    changed = patch(admin, f"/calendars/{doctor['id']}", change)

    assert changed.json().items() >= {**change, "revision": changed.json()["revision"]}.items()
    assert [c["name"] for c in admin.get(f"{BASE}/clinics/harbor").json()["calendars"] if c["id"] == doctor["id"]] == ["Dr. Who"]
    (event,) = admin.get(f"{BASE}/calendars/{doctor['id']}/changes", {"since": 0}).json()["events"]
    assert (event["event"], event["version"]) == ("calendar.hours_changed", 1)
    assert noted(log)[-1] == ("calendar.changed", {"fields": ["name", "specialty", "join_url"]})
    refused(patch(admin, f"/calendars/{doctor['id']}", change), 409, "version_conflict")


def test_what_is_as_it_was_takes_no_version(admin: Client, practice: Practice) -> None:
    doctor, before = of(admin, "calendars", "Doctor"), made()

    answer = patch(admin, f"/calendars/{doctor['id']}", {"revision": doctor["revision"], "name": doctor["name"]})

    assert answer.json() == doctor
    assert made() == before


def test_an_inactive_calendar_is_not_booked_any_more_and_its_visits_stay(admin: Client, desk: Client, practice: Practice) -> None:
    mine = [slot for slot in slots_of(desk, practice) if slot["calendar"] == str(practice.doctor.uid)]
    booked = post(desk, "/appointments", {"slot": mine[0]["slot"], "patient": ZOE}).json()
    doctor = of(admin, "calendars", "Doctor")
    assert doctor["future_visits"] == 1

    closed = patch(admin, f"/calendars/{doctor['id']}", {"revision": doctor["revision"], "active": False})

    assert (closed.json()["active"], closed.json()["future_visits"]) == (False, 1)
    assert str(practice.doctor.uid) not in {slot["calendar"] for slot in slots_of(desk, practice)}
    refused(post(desk, "/holds", {"slot": mine[1]["slot"]}), 422, "outside_opening_hours")
    assert desk.get(f"{BASE}/appointments/{booked['id']}").json()["status"] == "booked"
    assert of(admin, "calendars", "Doctor") == closed.json()


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"kind": "broom"}, "kind"),
        ({"name": "  "}, "name"),
        ({"states": ["New York"]}, "states.0"),
        ({"states": ["NY", "NY"]}, "states"),
        ({"holidays": "US-XX"}, "holidays"),
        ({"holidays": "Narnia"}, "holidays"),
        ({"join_url": "http://meet.example/a"}, "join_url"),
        ({"join_url": "javascript:alert(1)"}, "join_url"),
        ({"active": False}, "active"),
        ({"location": 7}, "location"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused_at_the_field(admin: Client, wrong: dict[str, Any], param: str) -> None:
    before = made()

    refused(post(admin, "/calendars", ROOM | wrong), 422, "validation_failed", param)

    assert made() == before


# --- visit types --------------------------------------------------------------------------------------------------------


def test_a_visit_type_is_made_once_and_can_be_booked(admin: Client, desk: Client, practice: Practice) -> None:
    body = {**CHECKUP, "calendars": [str(practice.doctor.uid)], "step_minutes": 45}

    added = post(admin, "/visit-types", body, idempotency_key="k")
    again = post(admin, "/visit-types", body, idempotency_key="k")

    assert (added.status_code, again.json(), again["Idempotent-Replayed"]) == (201, added.json(), "true"), added.content
    assert added.json() == of(admin, "visit-types", "Check-up")
    setup_shapes.VisitTypesOut.model_validate(of(admin, "visit-types"))
    found = slots_of(desk, practice, visit_type=models.VisitType.objects.get(uid=added.json()["id"]))
    assert {slot["calendar"] for slot in found} == {str(practice.doctor.uid)}
    assert len(found) == 32
    assert [e.type for e in models.OutboxEvent.objects.filter(calendar_id=practice.doctor.id)] == ["calendar.hours_changed"]
    refused(post(admin, "/visit-types", {**body, "name": "x"}, idempotency_key="k"), 422, "idempotency_mismatch")


def test_a_policy_holds_from_the_next_search_on(admin: Client, desk: Client, practice: Practice, log: Log) -> None:
    visit = of(admin, "visit-types", "Visit")
    before = slots_of(desk, practice)
    policy = {"duration_minutes": 60, "step_minutes": 60, "calendars": [str(practice.nurse.uid)]}

    changed = patch(admin, f"/visit-types/{visit['id']}", {"revision": visit["revision"], **policy})

    after = slots_of(desk, practice)
    assert changed.json().items() >= policy.items()
    assert (len(before), len(after)) == (96, 24)
    assert {slot["calendar"] for slot in after} == {str(practice.nurse.uid)}
    told = list(models.OutboxEvent.objects.order_by("calendar_id").values_list("calendar_id", "type"))
    assert told == [(calendar.id, "calendar.hours_changed") for calendar in (practice.doctor, practice.nurse)]
    assert noted(log)[-1] == ("visit_type.changed", {"fields": ["duration_minutes", "step_minutes", "calendars"]})
    refused(patch(admin, f"/visit-types/{visit['id']}", {"revision": visit["revision"]}), 409, "version_conflict")
    assert {check.name for check in verify().checks if check.violations} == set()


def test_another_name_changes_no_slot_and_tells_nobody(admin: Client, practice: Practice) -> None:
    visit = of(admin, "visit-types", "Visit")

    changed = patch(admin, f"/visit-types/{visit['id']}", {"revision": visit["revision"], "name": "Consultation"})

    assert changed.json()["name"] == "Consultation"
    assert [one["name"] for one in admin.get(f"{BASE}/clinics/harbor").json()["visit_types"]] == ["Consultation", "Procedure"]
    assert not models.OutboxEvent.objects.exists()


def test_a_visit_type_that_is_not_active_is_not_offered(admin: Client, desk: Client, practice: Practice) -> None:
    visit = of(admin, "visit-types", "Visit")
    slot = slots_of(desk, practice)[0]

    patch(admin, f"/visit-types/{visit['id']}", {"revision": visit["revision"], "active": False})

    assert "Visit" not in [one["name"] for one in desk.get(f"{BASE}/clinics/harbor").json()["visit_types"]]
    refused(post(desk, "/holds", {"slot": slot["slot"]}), 422, "outside_opening_hours")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"duration_minutes": 1440}, "duration_minutes"),
        ({"step_minutes": 0}, "step_minutes"),
        ({"before_minutes": 721}, "before_minutes"),
        ({"notice_minutes": -1}, "notice_minutes"),
        ({"horizon_days": 731}, "horizon_days"),
        ({"modalities": []}, "modalities"),
        ({"modalities": ["telepathy"]}, "modalities.0"),
        ({"needs": []}, "needs"),
        ({"needs": ["room", "room"]}, "needs"),
        ({"price": 3}, "price"),
    ],
)
def test_a_visit_type_that_cannot_be_is_refused_at_the_field(admin: Client, wrong: dict[str, Any], param: str) -> None:
    before = made()

    refused(post(admin, "/visit-types", CHECKUP | wrong), 422, "validation_failed", param)

    assert made() == before


def test_a_visit_type_is_offered_by_the_kinds_of_calendar_it_needs(admin: Client, practice: Practice) -> None:
    answer = post(admin, "/visit-types", {**CHECKUP, "calendars": [str(practice.room.uid)]})

    refused(answer, 422, "validation_failed", "calendars")


# --- hours, exceptions, holidays ----------------------------------------------------------------------------------------


def test_hours_and_exceptions_are_in_the_audit_log(admin: Client, practice: Practice, log: Log) -> None:
    path = f"/calendars/{practice.doctor.uid}"
    closed = {"start": in_zone(tomorrow(), "UTC"), "end": in_zone(tomorrow() + DAY, "UTC"), "open": False}

    assert admin.put(f"{BASE}{path}/hours", json.dumps(WEEK), content_type="application/json").status_code == 200
    added = post(admin, f"{path}/exceptions", closed).json()["id"]
    assert admin.delete(f"{BASE}{path}/exceptions/{added}").status_code == 204

    assert noted(log) == [
        ("calendar.hours_changed", {}),
        ("calendar.exception_added", {"exception": added}),
        ("calendar.exception_removed", {"exception": added}),
    ]
    assert set(log().values_list("object", "actor", "clinic")) == {
        (f"calendar:{practice.doctor.uid}", "test:clinic_admin", "harbor")
    }


def test_a_practitioner_sets_up_her_own_calendar_and_no_other(practice: Practice, own: Client, log: Log) -> None:
    mine, other = (f"{BASE}/calendars/{calendar.uid}" for calendar in (practice.doctor, practice.nurse))
    closed = {"start": in_zone(tomorrow(), "UTC"), "end": in_zone(tomorrow() + DAY, "UTC"), "open": False}

    assert own.put(f"{mine}/hours", json.dumps(WEEK), content_type="application/json").status_code == 200
    refused(own.put(f"{other}/hours", json.dumps(WEEK), content_type="application/json"), 403, "forbidden")
    refused(post(own, f"/calendars/{practice.nurse.uid}/exceptions", closed), 403, "forbidden")
    refused(post(own, f"/calendars/{practice.nurse.uid}/imports", {"ics": "x", "as": "busy"}), 403, "forbidden")
    assert list(log().filter(outcome="denied").values_list("object", flat=True)) == [f"calendar:{practice.nurse.uid}"] * 3


@pytest.fixture
def own(practice: Practice, token: Callable[..., str]) -> Client:
    bearer = token(practice.slug, role="practitioner", calendar=str(practice.doctor.uid))
    return Client(headers={"authorization": f"Bearer {bearer}"})


def test_public_holidays_are_named(admin: Client) -> None:
    found = admin.get(f"{BASE}/holidays", {"region": "US-NY", "year": "2027"}).json()

    setup_shapes.HolidaysOut.model_validate(found)
    assert {"US", "US-NY", "US-DC", "CA-ON"} <= set(found["regions"])
    assert {"date": "2027-07-04", "name": "Independence Day"} in found["days"]
    assert admin.get(f"{BASE}/holidays").json()["days"] == []
    refused(admin.get(f"{BASE}/holidays", {"region": "US-XX"}), 422, "validation_failed", "region")


# --- who may ------------------------------------------------------------------------------------------------------------


def every_request(practice: Practice) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path, body of all that only administrators may."""
    seen = {"revision": "0" * 16}
    for what in ("settings", "locations", "calendars", "visit-types"):
        yield "get", f"/clinics/{practice.slug}/{what}", {}
    yield "patch", f"/clinics/{practice.slug}/settings", seen
    yield "post", "/locations", PLACE
    yield "post", "/calendars", ROOM
    yield "post", "/visit-types", CHECKUP
    yield "patch", f"/locations/{models.Location.objects.get().uid}", seen
    yield "patch", f"/calendars/{practice.doctor.uid}", seen
    yield "patch", f"/visit-types/{practice.visit.uid}", seen


def send(client: Client, method: str, path: str, body: dict[str, Any]) -> Any:
    given = [] if method == "get" else [json.dumps(body)]
    return getattr(client, method)(BASE + path, *given, content_type="application/json")


def test_only_administrators_set_up_a_clinic(http: Client, desk: Client, admin: Client, practice: Practice) -> None:
    post(admin, "/locations", PLACE)
    before = made()

    for method, path, body in every_request(practice):
        refused(send(http, method, path, body), 401, "unauthenticated")
        refused(send(desk, method, path, body), 403, "forbidden")

    assert made() == before


def test_another_clinics_things_are_not_there(admin: Client, practice: Practice, token: Callable[..., str]) -> None:
    post(admin, "/locations", PLACE)
    make_practice("bayside")
    stranger = Client(headers={"authorization": f"Bearer {token('bayside', role='clinic_admin')}"})
    before = made()

    named = [request for request in every_request(practice) if request[0] != "post"]
    for method, path, body in named:
        refused(send(stranger, method, path, body), 404, "not_found")
    refused(post(stranger, f"/calendars/{practice.doctor.uid}/imports", {"ics": "x", "as": "busy"}), 404, "not_found")
    for field, thing in (("location", models.Location.objects.get().uid), ("location", uuid4()), ("location", "abc")):
        refused(post(stranger, "/calendars", {**ROOM, field: str(thing)}), 404, "not_found", field)
    for calendar in (str(practice.doctor.uid), "abc"):
        refused(post(stranger, "/visit-types", {**CHECKUP, "calendars": [calendar]}), 404, "not_found", "calendars")

    assert made() == before


def test_a_change_with_an_unknown_field_is_refused(admin: Client, practice: Practice) -> None:
    post(admin, "/locations", PLACE)
    before = made()

    for method, path, body in every_request(practice):
        if method != "get":
            refused(send(admin, method, path, {**body, "colour": "red"}), 422, "validation_failed", "colour")

    assert made() == before
