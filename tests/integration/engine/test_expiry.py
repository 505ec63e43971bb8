"""The end of a hold: by the clock's task, by whoever wants the time next, or put off once."""

from uuid import UUID

import pytest
from django.db import connection
from django.test import Client

from engine import bookings, models, tasks
from engine.errors import HoldExpired, IllegalTransition, SlotTaken
from engine.locks import NAMESPACE_CALENDAR
from engine.scheduling.lifecycle import Appointment, Status
from tests.integration.engine.test_races import another_connection
from tests.invariants import violations
from tests.practice import Practice
from tests.writes import DESK, ZOE, make_overdue, offer


def hold(practice: Practice, *calendars: models.Calendar, hour: int = 9, seconds: int = 300) -> Appointment:
    return bookings.hold(offer(practice, *calendars, hour=hour), seconds=seconds, actor=DESK).appointment


def overdue(practice: Practice, *calendars: models.Calendar, hour: int = 9) -> Appointment:
    held = hold(practice, *calendars, hour=hour)
    make_overdue(held.id)
    return held


def status(visit: UUID) -> str:
    return models.Appointment.objects.get(id=visit).status


def events(calendar: models.Calendar) -> list[tuple[int, str]]:
    return list(models.OutboxEvent.objects.filter(calendar_id=calendar.id).order_by("version").values_list("version", "type"))


# --- the task -------------------------------------------------------------------------------------------------------------


def test_the_task_ends_what_is_overdue_and_nothing_else(practice: Practice) -> None:
    late, both_late = overdue(practice, practice.doctor, hour=8), overdue(practice, practice.nurse, practice.room)
    live = hold(practice, practice.doctor, hour=10)
    booked = hold(practice, practice.doctor, hour=11)
    bookings.confirm(booked.id, patient=ZOE, state="", actor=DESK)

    assert tasks.expire_holds() == 2

    assert {a.id: a.status for a in models.Appointment.objects.all()} == {
        late.id: "expired",
        both_late.id: "expired",
        live.id: "held",
        booked.id: "booked",
    }
    assert tasks.expire_holds() == 0
    assert violations(practice.slug) == []


def test_an_expired_hold_is_told_of_on_each_of_its_calendars_and_gives_its_time_back(practice: Practice) -> None:
    held = overdue(practice, practice.doctor, practice.room)

    tasks.expire_holds()

    for calendar in (practice.doctor, practice.room):
        assert events(calendar) == [(1, "appointment.held"), (2, "appointment.expired")]
        data = models.OutboxEvent.objects.get(calendar_id=calendar.id, version=2).data
        assert (data["id"], data["status"]) == (str(held.id), "expired")
        assert set(data["calendars"]) == {str(practice.doctor.uid), str(practice.room.uid)}
        assert "expires_at" not in data
    assert not models.Allocation.objects.exists()
    assert models.Appointment.objects.get(id=held.id).calendars == sorted([practice.doctor.id, practice.room.id])
    assert hold(practice, practice.doctor, practice.room).start == held.start


def test_the_task_passes_over_a_calendar_that_is_busy(practice: Practice) -> None:
    busy, free = overdue(practice, practice.doctor), overdue(practice, practice.nurse)

    with another_connection() as cursor, connection.cursor() as ours:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [NAMESPACE_CALENDAR, practice.doctor.id])
        ours.execute("SET lock_timeout = '50ms'")
        try:
            assert tasks.expire_holds() == 1
        finally:
            ours.execute("RESET lock_timeout")

    assert (status(busy.id), status(free.id)) == ("held", "expired")
    assert tasks.expire_holds() == 1


def test_nothing_but_an_overdue_hold_expires(practice: Practice) -> None:
    live, booked, late = (
        hold(practice, practice.doctor),
        hold(practice, practice.nurse),
        overdue(practice, practice.doctor, hour=12),
    )
    bookings.confirm(booked.id, patient=ZOE, state="", actor=DESK)

    assert bookings.expire(live.id) is None
    assert bookings.expire(booked.id) is None
    ended = bookings.expire(late.id)
    assert ended is not None
    assert ended.appointment.status is Status.EXPIRED
    assert bookings.expire(late.id) is None
    assert (status(live.id), status(booked.id)) == ("held", "booked")


# --- who wants the time next ----------------------------------------------------------------------------------------------


def test_the_next_hold_ends_an_overdue_one_that_no_task_has_ended(practice: Practice) -> None:
    late = overdue(practice, practice.doctor)

    held = hold(practice, practice.doctor)

    assert (status(late.id), held.version) == ("expired", 3)
    assert events(practice.doctor) == [(1, "appointment.held"), (2, "appointment.expired"), (3, "appointment.held")]
    assert violations(practice.slug) == []


@pytest.mark.parametrize("by_name", ["doctor", "room"])
def test_an_overdue_hold_of_two_calendars_leaves_both_when_one_is_wanted(practice: Practice, by_name: str) -> None:
    late = overdue(practice, practice.doctor, practice.room)
    if by_name == "doctor":
        wanted = offer(practice, practice.doctor, hour=9)
    else:
        wanted = offer(practice, practice.nurse, practice.room, hour=9)

    bookings.book(wanted, patient=ZOE, state="", actor=DESK)

    assert status(late.id) == "expired"
    for calendar in (practice.doctor, practice.room):
        assert events(calendar)[:2] == [(1, "appointment.held"), (2, "appointment.expired")]
    assert violations(practice.slug) == []


def test_a_visit_moves_into_the_time_of_an_overdue_hold(practice: Practice) -> None:
    visit = bookings.book(offer(practice, practice.nurse), patient=ZOE, state="", actor=DESK).appointment
    late = overdue(practice, practice.doctor, hour=10)

    bookings.reschedule(visit.id, offer(practice, practice.doctor, hour=10), by="clinic", actor=DESK)

    assert (status(visit.id), status(late.id)) == ("booked", "expired")
    assert violations(practice.slug) == []


def test_several_overdue_holds_in_the_way_all_end(practice: Practice) -> None:
    late = [
        overdue(practice, practice.doctor, hour=9),
        overdue(practice, practice.nurse, practice.room, hour=9),
    ]

    hold(practice, practice.doctor, practice.room)

    assert [status(held.id) for held in late] == ["expired", "expired"]
    assert violations(practice.slug) == []


def test_an_overdue_hold_that_is_in_nobodys_way_waits_for_the_task(practice: Practice) -> None:
    late = overdue(practice, practice.doctor, hour=9)

    hold(practice, practice.doctor, hour=10)

    assert status(late.id) == "held"


def test_a_search_offers_the_time_of_an_overdue_hold(practice: Practice) -> None:
    held = hold(practice, practice.doctor)
    assert (held.calendar, held.start) not in {(o.calendar, o.start) for o in practice.offers()}

    make_overdue(held.id)

    assert (held.calendar, held.start) in {(o.calendar, o.start) for o in practice.offers()}


# --- too late -------------------------------------------------------------------------------------------------------------


def test_an_overdue_hold_cannot_be_confirmed_or_extended_even_if_nobody_has_ended_it(practice: Practice) -> None:
    late = overdue(practice, practice.doctor)

    for _ in ("overdue", "expired"):
        with pytest.raises(HoldExpired):
            bookings.confirm(late.id, patient=ZOE, state="", actor=DESK)
        with pytest.raises(HoldExpired):
            bookings.extend(late.id, seconds=60, actor=DESK)
        tasks.expire_holds()

    assert events(practice.doctor) == [(1, "appointment.held"), (2, "appointment.expired")]


def test_who_confirms_too_late_is_offered_other_times(practice: Practice, desk: Client) -> None:
    late = overdue(practice, practice.doctor)

    answer = desk.post(
        f"/api/engine/v1/holds/{late.id}/confirm", {"patient": {"name": "Zoe Canary"}}, content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (410, "hold_expired")
    assert answer.json()["alternatives"]


def test_a_confirmed_hold_never_expires(practice: Practice) -> None:
    held = hold(practice, practice.doctor)
    booked = bookings.confirm(held.id, patient=ZOE, state="", actor=DESK).appointment

    assert booked.expires_at is None
    assert tasks.expire_holds() == 0
    with pytest.raises(SlotTaken):
        hold(practice, practice.doctor)


# --- more time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "more", "in_all"), [(300, 60, 360), (300, 600, 900), (300, 900, 900), (900, 900, 900)])
def test_a_hold_gets_more_time_up_to_900_seconds_in_all(practice: Practice, first: int, more: int, in_all: int) -> None:
    held = hold(practice, practice.doctor, seconds=first)

    extended = bookings.extend(held.id, seconds=more, actor=DESK).appointment

    assert extended.expires_at == held.created_at + in_all
    assert (extended.status, extended.version) == (Status.HELD, 2)
    stored = models.Appointment.objects.get(id=held.id)
    assert stored.expires_at is not None
    assert int(stored.expires_at.timestamp()) == extended.expires_at


def test_a_hold_gets_more_time_only_once(practice: Practice) -> None:
    held = hold(practice, practice.doctor)
    extended = bookings.extend(held.id, seconds=60, actor=DESK).appointment

    with pytest.raises(IllegalTransition):
        bookings.extend(held.id, seconds=60, actor=DESK)

    stored = models.Appointment.objects.get(id=held.id)
    assert stored.expires_at is not None
    assert int(stored.expires_at.timestamp()) == extended.expires_at
    assert events(practice.doctor) == [(1, "appointment.held"), (2, "appointment.hold_extended")]


def test_an_extended_hold_runs_out_like_any_other(practice: Practice) -> None:
    held = hold(practice, practice.doctor)
    bookings.extend(held.id, seconds=60, actor=DESK)
    make_overdue(held.id)

    assert hold(practice, practice.doctor).start == held.start
    assert status(held.id) == "expired"
