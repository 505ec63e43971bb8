"""What is over for long leaves the table of allocations: nothing shows less for it, and nobody can take that time again."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client

from apps.kernel.shapes import in_zone
from engine import bookings, models, pictures, tasks
from engine.rows import SETTLED_S
from engine.verification import verify
from tests.integration.engine.door import BASE, post, refused
from tests.practice import DAY, Practice, tomorrow
from tests.writes import DESK, ZOE, offer

LONG_AGO = tomorrow() - SETTLED_S - 10 * DAY
A_TURN_OF_ALL = range(144)


@pytest.fixture
def visits(practice: Practice) -> tuple[UUID, UUID]:
    """(a visit with a room, long ago; one to come)"""
    old = bookings.book(offer(practice, practice.doctor, practice.room, hour=9), patient=ZOE, state="", actor=DESK)
    new = bookings.book(offer(practice, practice.doctor, practice.room, hour=12), patient=ZOE, state="", actor=DESK)
    with connection.cursor() as cursor:
        for sql in (
            "UPDATE engine_appointment SET starts = starts - make_interval(secs => %s), ends = ends - make_interval(secs => %s)",
            "UPDATE engine_allocation SET during = tstzrange(lower(during) - make_interval(secs => %s),"
            " upper(during) - make_interval(secs => %s))",
        ):
            key = "appointment_id" if "allocation" in sql else "id"
            cursor.execute(f"{sql} WHERE {key} = %s", [tomorrow() - LONG_AGO] * 2 + [old.appointment.id])
    return old.appointment.id, new.appointment.id


def allocated() -> set[UUID]:
    return {allocation.appointment_id for allocation in models.Allocation.objects.all()}


def shown(desk: Client, calendar: models.Calendar) -> Any:
    window = {"from": in_zone(LONG_AGO - DAY, "UTC"), "to": in_zone(LONG_AGO + 3 * DAY, "UTC")}
    answer = desk.get(f"{BASE}/calendars/{calendar.uid}/snapshot", window)
    assert answer.status_code == 200, answer.content
    return answer.json()


def settle_all() -> None:
    for tick in A_TURN_OF_ALL:
        tasks.settle(tick)


def test_history_loses_its_allocations_and_is_shown_as_before(desk: Client, practice: Practice, visits: tuple[UUID, UUID]) -> None:
    old, new = visits
    before = [shown(desk, calendar) for calendar in (practice.doctor, practice.room, practice.nurse)]
    assert allocated() == {old, new}

    settle_all()
    settle_all()
    pictures.forget()

    assert allocated() == {new}
    assert [shown(desk, calendar) for calendar in (practice.doctor, practice.room, practice.nurse)] == before
    assert [[a["id"] for a in calendar["appointments"]] for calendar in before] == [[str(old)], [str(old)], []]
    assert verify().ok, verify().checks


def test_a_visit_that_is_not_history_must_have_its_allocations(visits: tuple[UUID, UUID]) -> None:
    models.Allocation.objects.filter(appointment_id=visits[1]).delete()

    assert [check.name for check in verify().checks if check.violations] == ["no_missing_allocation"]


@pytest.mark.parametrize(("ago", "status"), [(SETTLED_S, 422), (SETTLED_S - 3 * DAY, 201)], ids=["history", "past"])
def test_no_override_takes_time_that_is_history(desk: Client, practice: Practice, ago: int, status: int) -> None:
    wish = {"visit_type": str(practice.visit.uid), "calendar": str(practice.doctor.uid), "start": in_zone(tomorrow() - ago, "UTC")}
    body = wish | {"patient": {"id": "zoe"}, "override": {"reason": "Forgotten"}}

    answer = post(desk, "/appointments", body)

    assert answer.status_code == status, answer.content
    told = post(desk, "/appointments/conflicts", wish).json()["conflicts"]
    assert [(one["reason"], one["overridable"]) for one in told if one["reason"] == "past"] == [("past", status == 201)]
    if status == 422:
        refused(answer, 422, "validation_failed", "start")


def test_a_settled_visit_can_still_be_cancelled_or_moved(practice: Practice, visits: tuple[UUID, UUID]) -> None:
    old, new = visits
    settle_all()

    bookings.reschedule(old, offer(practice, practice.doctor, practice.room, hour=15), by="clinic", actor=DESK)
    assert allocated() == {old, new}
    bookings.cancel(old, reason="", by="clinic", actor=DESK)

    assert allocated() == {new}
    assert verify().ok
