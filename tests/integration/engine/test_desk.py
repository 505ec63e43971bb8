"""What the screens of staff read and write: a whole clinic at one moment, opening times as they were set, the steps of a visit."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.kernel.models import AuditEntry
from apps.kernel.shapes import in_zone
from engine import bookings, models, openings
from tests.integration.engine.door import BASE, everything, post, refused
from tests.practice import Practice, make_practice, tomorrow
from tests.writes import DESK, HOUR, ZOE, offer

ROOM_URL = "https://video.example/dr-doctor"


@pytest.fixture
def admin(practice: Practice, token: Callable[..., str]) -> Client:
    return Client(headers={"authorization": f"Bearer {token(practice.slug, role='clinic_admin')}"})


def at(hours: int) -> str:
    """So many hours after tomorrow's midnight, UTC."""
    return in_zone(tomorrow() + hours * HOUR, "UTC")


def seen(client: Client, path: str, **query: Any) -> Any:
    answer = client.get(BASE + path, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def booked(practice: Practice, *, hour: int = 9, modality: str = "in_person") -> str:
    visit = offer(practice, practice.doctor, hour=hour)
    named = type(visit)(visit.clinic, visit.visit_type, visit.calendars, visit.start, visit.end, modality)
    return str(bookings.book(named, patient=ZOE, state="NY", actor=DESK).appointment.id)


# --- a clinic at one moment -----------------------------------------------------------------------------------------------


def test_a_clinic_s_calendars_are_seen_as_each_is_alone(desk: Client, practice: Practice) -> None:
    booked(practice)
    window = {"from": at(0), "to": at(24)}

    answer = seen(desk, "/clinics/harbor/snapshot", **window)

    names = {str(c.uid): c.name for c in (practice.doctor, practice.nurse, practice.room)}
    assert [names[one["calendar"]] for one in answer["calendars"]] == ["Doctor", "Nurse", "Room"]
    for one in answer["calendars"]:
        assert one == seen(desk, f"/calendars/{one['calendar']}/snapshot", **window)
        assert one["epoch"] == answer["epoch"]


def test_calendars_that_are_named_come_in_their_order_and_others_do_not(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.room.id).update(active=False)
    named = [str(practice.room.uid), str(practice.doctor.uid)]

    some = seen(desk, "/clinics/harbor/snapshot", calendar=named)["calendars"]
    every = seen(desk, "/clinics/harbor/snapshot")["calendars"]

    assert [one["calendar"] for one in some] == named
    assert [one["calendar"] for one in every] == [str(practice.doctor.uid), str(practice.nurse.uid)]


def test_a_clinic_s_snapshot_is_for_its_own_staff(http: Client, desk: Client, practice: Practice) -> None:
    other, denied = make_practice("elsewhere"), AuditEntry.objects.filter(action="calendar.read", outcome="denied")
    before = denied.count()

    refused(http.get(f"{BASE}/clinics/harbor/snapshot"), 401, "unauthenticated")
    refused(desk.get(f"{BASE}/clinics/elsewhere/snapshot"), 404, "not_found")
    refused(desk.get(f"{BASE}/clinics/harbor/snapshot", {"calendar": str(other.doctor.uid)}), 404, "not_found")
    refused(desk.get(f"{BASE}/clinics/harbor/snapshot", {"calendar": "x"}), 404, "not_found")
    assert denied.count() == before + 3


def test_a_clinic_s_snapshot_spans_a_month(desk: Client, practice: Practice) -> None:
    assert desk.get(f"{BASE}/clinics/harbor/snapshot", {"from": at(0), "to": at(31 * 24)}).status_code == 200
    refused(desk.get(f"{BASE}/clinics/harbor/snapshot", {"from": at(0), "to": at(31 * 24 + 1)}), 422, "validation_failed", "to")


def test_who_saw_patients_of_a_clinic_is_written_down(desk: Client, practice: Practice) -> None:
    bookings.link(bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK).appointment.id, "zoe")
    seen(desk, "/clinics/harbor/snapshot", **{"from": at(0), "to": at(24)})

    entry = AuditEntry.objects.filter(action="calendar.read").order_by("id").last()
    assert entry is not None
    assert (entry.object, entry.details) == ("clinic:harbor", {"patients": 1, "calendars": 3})


# --- video rooms ----------------------------------------------------------------------------------------------------------


def test_a_video_room_is_told_to_staff_for_visits_by_video_alone(
    desk: Client, http: Client, practice: Practice, token: Callable[..., str]
) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(join_url=ROOM_URL)
    by_video, in_person = booked(practice, modality="video"), booked(practice, hour=10)

    answer = seen(desk, f"/calendars/{practice.doctor.uid}/snapshot", **{"from": at(0), "to": at(24)})

    assert answer["join_url"] == ROOM_URL
    rooms = {visit["id"]: visit.get("join_url") for visit in answer["appointments"]}
    assert rooms == {by_video: ROOM_URL, in_person: None}
    assert seen(desk, f"/calendars/{practice.nurse.uid}/snapshot")["join_url"] is None
    for role in ("billing", "auditor"):
        reader = Client(headers={"authorization": f"Bearer {token(practice.slug, role=role)}"})
        assert seen(reader, f"/calendars/{practice.doctor.uid}/snapshot")["join_url"] is None
    assert ROOM_URL not in http.get(f"{BASE}/clinics/harbor").content.decode()


# --- opening times --------------------------------------------------------------------------------------------------------


def test_the_hours_are_told_as_they_were_set(admin: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(holidays="US-NY")
    week = [
        {"weekday": 0, "opens": "08:00", "closes": "12:00", "valid_from": None, "valid_until": None},
        {"weekday": 0, "opens": "13:00", "closes": "00:00", "valid_from": "2027-01-04", "valid_until": "2027-06-30"},
    ]
    path = f"/calendars/{practice.doctor.uid}/hours"
    assert admin.put(BASE + path, {"hours": week[::-1]}, content_type="application/json").status_code == 200

    assert seen(admin, path) == {"hours": week, "zone": "America/New_York", "holidays": "US-NY", "version": 1}
    openings.set_hours(practice.doctor.id, [], actor=DESK)
    assert seen(admin, path)["hours"] == []


def test_exceptions_are_told_with_their_notes_wherever_a_screen_looks(admin: Client, desk: Client, practice: Practice) -> None:
    path = f"/calendars/{practice.doctor.uid}/exceptions"
    closed = {"start": at(12), "end": at(13), "open": False, "note": "Team meeting"}
    session = {"start": at(30), "end": at(31), "open": True, "capacity": 8, "visit_type": str(practice.visit.uid)}

    added = [post(admin, path, body).json() for body in (session, closed)]

    later, sooner = ({name: value for name, value in one.items() if name != "version"} for one in added)
    assert (sooner["note"], sooner["visit_type"]) == ("Team meeting", None)
    assert (later["note"], later["visit_type"], later["capacity"]) == ("", str(practice.visit.uid), 8)
    assert seen(desk, path) == {"items": [sooner, later], "next": None}
    assert seen(desk, path, **{"from": at(13), "to": at(40)})["items"] == [later]
    snapshot = seen(desk, f"/calendars/{practice.doctor.uid}/snapshot", **{"from": at(0), "to": at(24)})
    assert snapshot["exceptions"] == [sooner]


def test_exceptions_are_listed_by_pages(admin: Client, practice: Practice) -> None:
    path = f"/calendars/{practice.doctor.uid}/exceptions"
    for hour in (4, 2, 2, 3):
        post(admin, path, {"start": at(hour), "end": at(hour + 1), "open": False})

    first = seen(admin, path, limit=3)
    second = seen(admin, path, limit=3, cursor=first["next"])

    assert [one["start"] for one in first["items"]] == [at(2), at(2), at(3)]
    assert ([one["start"] for one in second["items"]], second["next"]) == ([at(4)], None)
    refused(admin.get(BASE + path, {"cursor": "x"}), 422, "validation_failed", "cursor")
    refused(admin.get(BASE + path, {"from": at(0), "to": at(401 * 24)}), 422, "validation_failed", "to")


def test_a_note_is_short_and_opening_times_are_the_clinic_s_own(admin: Client, http: Client, practice: Practice) -> None:
    other = make_practice("elsewhere").doctor.uid
    body = {"start": at(12), "end": at(13), "open": False, "note": "x" * 101}

    refused(post(admin, f"/calendars/{practice.doctor.uid}/exceptions", body), 422, "validation_failed", "note")
    for path in (f"/calendars/{other}/hours", f"/calendars/{uuid4()}/exceptions", "/calendars/x/hours"):
        refused(admin.get(BASE + path), 404, "not_found")
        refused(http.get(BASE + path), 401, "unauthenticated")


def test_a_clinic_s_profile_says_what_a_visit_takes(http: Client, practice: Practice) -> None:
    models.VisitType.objects.filter(id=practice.visit.id).update(before=5, after=10, step=15, revision=2)

    (visit,) = (one for one in seen(http, "/clinics/harbor")["visit_types"] if one["name"] == "Visit")

    assert [visit[f"{name}_minutes"] for name in ("duration", "before", "after", "step")] == [30, 5, 10, 15]


# --- the steps of a visit -------------------------------------------------------------------------------------------------


def step(client: Client, visit: str, name: str, **headers: str) -> Any:
    answer = post(client, f"/appointments/{visit}/{name}", **headers)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_visit_tells_when_each_of_its_steps_was(desk: Client, practice: Practice) -> None:
    visit = booked(practice)

    for name in ("arrive", "room", "start", "complete"):
        answer = step(desk, visit, name)

    assert list(answer["stages"]) == ["arrived", "roomed", "started", "completed"]
    assert sorted(answer["stages"].values()) == list(answer["stages"].values())
    (shown,) = seen(desk, f"/calendars/{practice.doctor.uid}/snapshot", **{"from": at(0), "to": at(24)})["appointments"]
    events = seen(desk, f"/calendars/{practice.doctor.uid}/changes", since=0)["events"]
    assert shown["stages"] == events[-1]["data"]["stages"] == answer["stages"]
    assert "stages" not in events[0]["data"]


def test_a_patient_is_roomed_once_and_only_when_there(desk: Client, practice: Practice) -> None:
    visit = booked(practice)

    assert refused(post(desk, f"/appointments/{visit}/room"), 409, "illegal_transition")["current"] == "booked"
    step(desk, visit, "arrive")
    assert step(desk, visit, "room")["status"] == "arrived"
    before = everything()
    refused(post(desk, f"/appointments/{visit}/room"), 409, "illegal_transition")
    assert everything() == before


def test_a_step_is_taken_back_and_history_knows(desk: Client, practice: Practice) -> None:
    visit = booked(practice)
    for name in ("arrive", "start"):
        step(desk, visit, name)

    assert step(desk, visit, "revert")["status"] == "arrived"
    answer = step(desk, visit, "revert")

    assert (answer["status"], answer["stages"]) == ("booked", {})
    before = everything()
    assert refused(post(desk, f"/appointments/{visit}/revert"), 409, "illegal_transition")["current"] == "booked"
    assert everything() == before
    history = seen(desk, f"/appointments/{visit}", expand="history")["history"]
    assert [(entry["event"], entry.get("was")) for entry in history[-2:]] == [
        ("appointment.reverted", "in_progress"),
        ("appointment.reverted", "arrived"),
    ]


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_what_is_over_is_not_taken_back(desk: Client, practice: Practice, end: str) -> None:
    visit = booked(practice)
    step(desk, visit, "arrive")
    assert post(desk, f"/appointments/{visit}/{end}", {"by": "clinic"} if end == "cancel" else {}).status_code == 200

    refused(post(desk, f"/appointments/{visit}/revert"), 409, "illegal_transition")


def test_who_was_given_up_may_still_come(desk: Client, practice: Practice) -> None:
    visit = booked(practice)
    step(desk, visit, "no-show")

    answer = step(desk, visit, "arrive")

    assert (answer["status"], list(answer["stages"])) == ("arrived", ["arrived"])
    assert step(desk, visit, "revert")["status"] == "booked"


def test_a_step_that_is_repeated_has_its_first_answer(desk: Client, practice: Practice) -> None:
    visit = booked(practice)
    answers = [step(desk, visit, "arrive", idempotency_key="the-one-key-of-this-arrival") for _ in range(2)]
    assert answers[0] == answers[1]
    answers = [step(desk, visit, "revert", idempotency_key="the-one-key-of-this-way-back") for _ in range(2)]
    assert answers[0] == answers[1]
    assert models.Appointment.objects.get(id=visit).version == 3


def test_steps_are_for_the_clinic_s_own_staff(http: Client, practice: Practice, token: Callable[..., str]) -> None:
    visit, other = booked(practice), make_practice("elsewhere").slug
    stranger = Client(headers={"authorization": f"Bearer {token(other)}"})
    biller = Client(headers={"authorization": f"Bearer {token(practice.slug, role='billing')}"})

    for name in ("room", "revert"):
        refused(post(http, f"/appointments/{visit}/{name}"), 401, "unauthenticated")
        refused(post(biller, f"/appointments/{visit}/{name}"), 403, "forbidden")
        refused(post(stranger, f"/appointments/{visit}/{name}"), 404, "not_found")
