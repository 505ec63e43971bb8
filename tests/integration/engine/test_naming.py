"""Times that staff name: of any length, and over everything but somebody who is there; and what they are told beforehand."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from apps.kernel.models import AuditEntry
from apps.kernel.shapes import in_zone
from engine import bookings, models, openings
from engine.scheduling.hours import OpeningException
from engine.scheduling.intervals import Interval
from tests.integration.engine.door import BASE, everything, post, refused
from tests.invariants import violations
from tests.practice import Practice, make_practice, tomorrow
from tests.writes import DESK, HOUR, NOON, ZOE, offer

MINUTE = 60
WHY = {"reason": "Walked in, in pain"}


def at(hour: float, *, days: int = 0) -> str:
    """An hour of tomorrow, UTC."""
    return in_zone(tomorrow() + days * 24 * HOUR + round(hour * HOUR), "UTC")


def wish(practice: Practice, hour: float, *, visit_type: models.VisitType | None = None, **more: Any) -> dict[str, Any]:
    return {"visit_type": str((visit_type or practice.visit).uid), "calendar": str(practice.doctor.uid), "start": at(hour)} | more


def book(desk: Client, practice: Practice, hour: float, **more: Any) -> Any:
    return post(desk, "/appointments", {"patient": {"id": "zoe"}} | wish(practice, hour, **more))


def booked(desk: Client, practice: Practice, hour: float, **more: Any) -> dict[str, Any]:
    answer = book(desk, practice, hour, **more)
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def against(desk: Client, practice: Practice, hour: float, **more: Any) -> list[dict[str, Any]]:
    """What the door says stands against it."""
    answer = post(desk, "/appointments/conflicts", wish(practice, hour, **more))
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["conflicts"]
    return found


def reasons(conflicts: list[dict[str, Any]]) -> dict[str, bool]:
    """Reason → whether it can be overridden."""
    return {one["reason"]: one["overridable"] for one in conflicts}


def history(desk: Client, visit: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.get(f"{BASE}/appointments/{visit}", {"expand": "history"}).json()["history"]
    return found


def blocked(visit: str) -> tuple[int, int]:
    """The minutes of tomorrow, UTC, that a visit takes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint"
            " FROM engine_allocation WHERE appointment_id = %s",
            [visit],
        )
        start, end = cursor.fetchone()
    return (start - tomorrow()) // MINUTE, (end - tomorrow()) // MINUTE


# --- who is nobody's staff ------------------------------------------------------------------------------------------------


def test_what_is_not_offered_is_refused_to_the_public_before_anything_is_locked(
    http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookings, "hold", None)  # whoever comes this far has locks
    centuries = {**wish(practice, 9), "end": "2199-12-31T00:00:00Z"}

    refused(post(http, "/holds", centuries), 422, "validation_failed", "end")
    refused(post(http, "/holds", {**centuries, "start": "2000-01-01T00:00:00Z"}), 422, "validation_failed", "start")


# --- a length of its own --------------------------------------------------------------------------------------------------


def test_staff_name_any_start_and_length_that_is_open_and_free(desk: Client, practice: Practice) -> None:
    assert against(desk, practice, 9.25, duration_minutes=40) == []

    visit = booked(desk, practice, 9.25, duration_minutes=40)

    assert (visit["start"], visit["end"]) == (at(9.25), in_zone(tomorrow() + 9 * HOUR + 55 * MINUTE, "UTC"))
    assert [set(entry) for entry in history(desk, visit["id"])] == [{"event", "at", "by"}]


def test_without_a_length_of_its_own_the_grid_counts(desk: Client, practice: Practice) -> None:
    problem = refused(book(desk, practice, 9.25), 422, "outside_opening_hours", "start")

    assert reasons(problem["conflicts"]) == {"grid": True}
    assert problem["alternatives"]
    assert booked(desk, practice, 9.5)["end"] == at(10)


def test_a_visit_may_end_after_midnight_wherever_that_is_open(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(zone="UTC", rules=1)

    assert booked(desk, practice, 23.75, duration_minutes=30)["end"] == at(24.25)


def test_what_is_too_long_for_the_hours_is_refused(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(zone="UTC")
    openings.set_hours(practice.doctor.id, NOON, actor=DESK)

    problem = refused(book(desk, practice, 15.5, duration_minutes=31), 422, "outside_opening_hours", "start")

    assert reasons(problem["conflicts"]) == {"closed": True}
    booked(desk, practice, 15.5, duration_minutes=30)


def test_a_visit_is_made_longer_where_it_is(desk: Client, practice: Practice) -> None:
    visit, neighbour = booked(desk, practice, 9), booked(desk, practice, 10)
    path, here = f"/appointments/{visit['id']}/reschedule", {"calendar": visit["calendar"], "start": visit["start"]}

    longer = post(desk, path, here | {"duration_minutes": 60})
    assert (longer.status_code, longer.json()["end"]) == (200, at(10))
    before = everything()
    problem = refused(post(desk, path, here | {"duration_minutes": 61}), 409, "slot_taken")

    assert everything() == before
    assert [(one["reason"], one["appointment"], one["overridable"]) for one in problem["conflicts"]] == [
        ("taken", neighbour["id"], False)
    ]
    assert post(desk, path, here).json()["end"] == at(9.5)


def test_a_moved_visit_keeps_its_way_unless_another_is_named(desk: Client, practice: Practice) -> None:
    visit = booked(desk, practice, 9, modality="video")
    path, there = f"/appointments/{visit['id']}/reschedule", {"calendar": str(practice.nurse.uid), "start": at(11)}

    assert post(desk, path, there).json()["modality"] == "video"
    assert post(desk, path, there | {"start": at(12), "modality": "in_person"}).json()["modality"] == "in_person"


def test_another_room_is_taken_when_one_is_not_free_for_so_long(desk: Client, practice: Practice) -> None:
    other = models.Calendar.objects.create(clinic_id=practice.doctor.clinic_id, kind="room", name="Other", zone="UTC")
    for weekday in range(7):
        models.OpeningHours.objects.create(calendar=other, weekday=weekday, opens="00:00", closes="00:00")
    practice.procedure.calendars.add(other)
    models.VisitType.objects.filter(id=practice.procedure.id).update(revision=2)
    bookings.book(offer(practice, practice.nurse, practice.room, hour=10), patient=ZOE, state="", actor=DESK)

    visit = booked(desk, practice, 9, visit_type=practice.procedure, duration_minutes=90)

    assert visit["calendars"] == [str(practice.doctor.uid), str(other.uid)]


# --- overrides ------------------------------------------------------------------------------------------------------------


def test_an_override_books_over_closed_hours_and_says_so_where_it_may(desk: Client, practice: Practice) -> None:
    openings.set_hours(practice.doctor.id, [], actor=DESK)

    visit = booked(desk, practice, 9.25, override=WHY)

    assert (visit["start"], visit["end"]) == (at(9.25), at(9.75))
    (entry,) = history(desk, visit["id"])
    assert (entry["override"], entry["waived"]) == (WHY["reason"], ["closed"])
    told = AuditEntry.objects.get(action="appointment.booked", object=f"appointment:{visit['id']}")
    assert told.details == {"waived": ["closed"]}
    frames = desk.get(f"{BASE}/calendars/{practice.doctor.uid}/changes", {"since": 1}).content.decode()
    assert "pain" not in frames


def test_an_override_that_was_not_needed_leaves_no_trace(desk: Client, practice: Practice) -> None:
    visit = booked(desk, practice, 9, override=WHY)

    assert [set(entry) for entry in history(desk, visit["id"])] == [{"event", "at", "by"}]


def test_an_override_waives_what_is_past_and_what_is_far_ahead(desk: Client, practice: Practice) -> None:
    models.VisitType.objects.filter(id=practice.visit.id).update(notice=60 * 24 * 5, horizon=30, revision=2)

    assert reasons(against(desk, practice, 9)) == {"notice": True}
    assert reasons(against(desk, practice, -48)) == {"past": True}
    assert reasons(against(desk, practice, 31 * 24)) == {"horizon": True}
    for hour, reason in ((9, "notice"), (-48, "past"), (31 * 24, "horizon")):
        refused(book(desk, practice, hour), 422, "validation_failed", "start")
        assert history(desk, booked(desk, practice, hour, override=WHY)["id"])[0]["waived"] == [reason]


def test_an_override_lets_own_buffers_shrink_and_nobody_else_s(desk: Client, practice: Practice) -> None:
    models.VisitType.objects.filter(id=practice.visit.id).update(before=10, after=10, step=5, revision=2)
    first = booked(desk, practice, 9)
    late = {"duration_minutes": 15}

    assert reasons(against(desk, practice, 9 + 42 / 60, **late)) == {"buffer": True}
    refused(book(desk, practice, 9 + 42 / 60, **late), 409, "slot_taken")
    visit = booked(desk, practice, 9 + 42 / 60, **late, override=WHY)

    assert (blocked(first["id"]), blocked(visit["id"])) == ((530, 580), (580, 607))
    assert history(desk, visit["id"])[0]["waived"] == ["buffer"]
    # In the first one's own buffer.
    problem = refused(book(desk, practice, 9 + 35 / 60, **late, override=WHY), 409, "slot_taken")
    assert [(one["reason"], one["overridable"]) for one in problem["conflicts"]] == [("taken", False), ("taken", False)]
    assert violations(practice.slug) == []


def test_nothing_books_over_somebody_who_is_there(desk: Client, practice: Practice) -> None:
    there = booked(desk, practice, 9)
    before = everything()

    problem = refused(book(desk, practice, 9.25, duration_minutes=15, override=WHY), 409, "slot_taken")

    assert everything() == before
    (conflict,) = problem["conflicts"]
    assert conflict == {
        "code": "slot_taken",
        "reason": "taken",
        "calendar": str(practice.doctor.uid),
        "start": at(9),
        "end": at(9.5),
        "appointment": there["id"],
        "overridable": False,
    }


def test_an_override_takes_a_room_that_is_closed_but_never_one_that_is_taken(desk: Client, practice: Practice) -> None:
    openings.set_hours(practice.room.id, [], actor=DESK)
    procedure = {"visit_type": practice.procedure}

    assert reasons(against(desk, practice, 9, **procedure)) == {"room": True}
    refused(book(desk, practice, 9, **procedure), 422, "outside_opening_hours")
    visit = booked(desk, practice, 9, **procedure, override=WHY)
    assert history(desk, visit["id"])[0]["waived"] == ["room"]

    elsewhere = {"calendar": str(practice.nurse.uid), **procedure}
    assert reasons(against(desk, practice, 9, **elsewhere)) == {"room": True, "taken": False}
    refused(book(desk, practice, 9, **elsewhere, override=WHY), 409, "slot_taken")


def test_an_override_waives_a_licence(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(states=["NY"], rules=1)

    assert against(desk, practice, 9, state="TX") == [
        {"code": "not_licensed_in_state", "reason": "licence", "calendar": str(practice.doctor.uid), "overridable": True}
    ]
    assert [one["code"] for one in against(desk, practice, 9, modality="video")] == ["validation_failed"]
    assert refused(book(desk, practice, 9, state="TX"), 422, "not_licensed_in_state")["conflicts"]
    assert history(desk, booked(desk, practice, 9, state="TX", override=WHY)["id"])[0]["waived"] == ["licence"]


def test_a_visit_is_moved_over_what_stands_against_it(desk: Client, practice: Practice) -> None:
    visit = booked(desk, practice, 9)
    away = OpeningException(Interval(tomorrow() + 10 * HOUR, tomorrow() + 12 * HOUR), False)
    openings.add_exception(practice.doctor.id, away, actor=DESK)
    path, there = f"/appointments/{visit['id']}/reschedule", {"calendar": visit["calendar"], "start": at(11)}

    assert reasons(refused(post(desk, path, there), 422, "outside_opening_hours")["conflicts"]) == {"closed": True}
    moved = post(desk, path, there | {"override": WHY})

    assert (moved.status_code, moved.json()["start"]) == (200, at(11))
    entry = history(desk, visit["id"])[-1]
    assert (entry["event"], entry["from"], entry["override"], entry["waived"]) == (
        "appointment.rescheduled",
        at(9),
        WHY["reason"],
        ["closed"],
    )


def test_a_repeated_override_has_its_first_answer(desk: Client, practice: Practice) -> None:
    openings.set_hours(practice.doctor.id, [], actor=DESK)
    body = {"patient": {"id": "zoe"}} | wish(practice, 9, override=WHY)

    first, again = (post(desk, "/appointments", body, idempotency_key="the-one-key-of-this-override") for _ in range(2))

    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"


# --- what can be said of a time -------------------------------------------------------------------------------------------


def test_a_visit_is_not_in_its_own_way(desk: Client, practice: Practice) -> None:
    visit = booked(desk, practice, 9)

    assert reasons(against(desk, practice, 9.25, duration_minutes=60)) == {"taken": False}
    assert against(desk, practice, 9.25, duration_minutes=60, appointment=visit["id"]) == []


def test_a_hold_that_has_run_out_is_in_nobody_s_way(desk: Client, practice: Practice) -> None:
    held = bookings.hold(offer(practice, practice.doctor), seconds=300, actor=DESK).appointment
    assert reasons(against(desk, practice, 9)) == {"taken": False}
    models.Appointment.objects.filter(id=held.id).update(expires_at="2026-01-01T00:00:00Z")

    assert against(desk, practice, 9) == []
    booked(desk, practice, 9, duration_minutes=20)


def test_all_that_stands_against_a_time_is_told_at_once(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(states=["NY"])
    booked(desk, practice, 9)
    openings.set_hours(practice.doctor.id, [], actor=DESK)

    assert reasons(against(desk, practice, 9, state="TX")) == {"closed": True, "taken": False, "licence": True}


def test_a_group_session_takes_neither_a_length_nor_an_override(desk: Client, practice: Practice) -> None:
    during = Interval(tomorrow() + 9 * HOUR, tomorrow() + 10 * HOUR)
    openings.add_exception(practice.doctor.id, OpeningException(during, True, 8, practice.visit.id), actor=DESK)
    endless = models.VisitType.objects.create(
        clinic_id=practice.doctor.clinic_id, name="Class", modalities=["in_person"], needs=["practitioner"]
    )
    endless.calendars.add(practice.doctor)
    before = everything()

    for hour, more in (
        (9, {"duration_minutes": 30}),
        (9, {"override": WHY}),
        (8.75, {"duration_minutes": 30}),
        (12, {"visit_type": endless, "override": WHY}),
        (12, {"visit_type": endless, "duration_minutes": 30}),
    ):
        param = "duration_minutes" if "duration_minutes" in more else "override"
        refused(book(desk, practice, hour, **more), 422, "validation_failed", param)
    assert everything() == before
    assert reasons(against(desk, practice, 8.75, duration_minutes=30)) == {"duration": False}
    assert len({booked(desk, practice, 9)["id"] for _ in range(2)}) == 2


# --- who may, and what is no wish at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"override": {"reason": "no"}}, "override.reason"),
        ({"override": {"reason": "   "}}, "override.reason"),
        ({"override": {"reason": "x" * 201}}, "override.reason"),
        ({"override": {}}, "override.reason"),
        ({"override": True}, "override"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"duration_minutes": 1440}, "duration_minutes"),
        ({"duration_minutes": 30, "end": "2030-01-01T00:00:00Z"}, "body"),
        ({"modality": "telepathy"}, "modality"),
    ],
)
def test_a_wish_that_makes_no_sense_changes_nothing(desk: Client, practice: Practice, more: dict[str, Any], param: str) -> None:
    before = everything()

    refused(book(desk, practice, 9, **more), 422, "validation_failed", param)

    assert everything() == before


def test_a_slot_has_its_own_length_and_is_offered(desk: Client, practice: Practice) -> None:
    visit, slot = booked(desk, practice, 9), offer(practice, practice.doctor, hour=10).token()

    for more in ({"override": WHY}, {"duration_minutes": 30}):
        refused(post(desk, "/appointments", {"patient": {"id": "zoe"}, "slot": slot} | more), 422, "validation_failed")
        refused(post(desk, f"/appointments/{visit['id']}/reschedule", {"slot": slot} | more), 422, "validation_failed")
    refused(post(desk, f"/appointments/{visit['id']}/reschedule", {"slot": slot, "start": at(9)}), 422, "validation_failed")
    refused(post(desk, f"/appointments/{visit['id']}/reschedule", {"start": at(9)}), 422, "validation_failed")


@pytest.mark.parametrize(
    ("role", "may"), [("front_desk", True), ("practitioner", True), ("clinic_admin", True), ("program", False)]
)
def test_people_may_override_and_programs_may_not(practice: Practice, token: Callable[..., str], role: str, may: bool) -> None:
    client = Client(headers={"authorization": f"Bearer {token(practice.slug, role=role)}"})
    visit = booked(client, practice, 9)
    openings.set_hours(practice.doctor.id, [], actor=DESK)
    move = {"calendar": visit["calendar"], "start": at(12), "override": WHY}

    answers = [book(client, practice, 10, override=WHY), post(client, f"/appointments/{visit['id']}/reschedule", move)]

    assert [answer.status_code for answer in answers] == ([201, 200] if may else [403, 403])
    refused(book(client, practice, 11, duration_minutes=5), 422, "outside_opening_hours")


def test_the_public_names_neither_lengths_nor_reasons(http: Client, practice: Practice) -> None:
    for more in ({"override": WHY}, {"duration_minutes": 10}):
        refused(book(http, practice, 9, **more), 401, "unauthenticated")
        refused(post(http, "/holds", wish(practice, 9, **more)), 422, "validation_failed")
    refused(post(http, "/appointments/conflicts", wish(practice, 9)), 401, "unauthenticated")
    assert post(http, "/holds", wish(practice, 9)).status_code == 201


def test_another_clinic_s_times_are_nobody_s_here(desk: Client, practice: Practice) -> None:
    other = make_practice("elsewhere")
    theirs: dict[str, Any] = {"calendar": str(other.doctor.uid), "visit_type": other.visit}
    visit = booked(desk, practice, 9)
    before = everything()

    refused(book(desk, practice, 9, **theirs, override=WHY), 404, "not_found")
    refused(book(desk, practice, 9, visit_type=other.visit), 404, "not_found")
    refused(
        post(desk, f"/appointments/{visit['id']}/reschedule", {"calendar": theirs["calendar"], "start": at(9)}), 404, "not_found"
    )
    refused(post(desk, "/appointments/conflicts", wish(practice, 9, **theirs)), 404, "not_found")
    refused(post(desk, "/appointments/conflicts", wish(practice, 9, appointment=str(uuid4()))), 404, "not_found")
    assert everything() == before


def test_a_calendar_that_does_not_offer_the_visit_is_not_overridden(desk: Client, practice: Practice) -> None:
    room: dict[str, Any] = {"calendar": str(practice.room.uid)}

    refused(book(desk, practice, 9, **room, override=WHY), 422, "outside_opening_hours", "calendar")
    refused(post(desk, "/appointments/conflicts", wish(practice, 9, **room)), 422, "outside_opening_hours", "calendar")
