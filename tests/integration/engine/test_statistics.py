"""How days went: every number against a clinic so small that it can be counted by hand."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from engine import bookings, models, openings
from engine.models import Appointment
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from engine.statistics import statistics
from tests.integration.engine.door import BASE, refused
from tests.practice import Practice, make_practice, tomorrow
from tests.writes import DESK, HOUR, ZOE, offer

WORKDAY = [OpeningHours(weekday, time(9), time(17)) for weekday in range(7)]


@pytest.fixture
def office(practice: Practice) -> Practice:
    """The practice in UTC, open from nine to five."""
    models.Clinic.objects.filter(slug=practice.slug).update(zone="UTC")
    models.Calendar.objects.filter(clinic__slug=practice.slug).update(zone="UTC")
    for calendar in (practice.doctor, practice.nurse):
        openings.set_hours(calendar.id, WORKDAY, actor=DESK)
    return practice


def the_day(days: int = 0) -> str:
    return (datetime.fromtimestamp(tomorrow(), UTC).date() + timedelta(days=days)).isoformat()


def asked(client: Client, first: str, last: str, *, clinic: str = "harbor") -> Any:
    return client.get(f"{BASE}/clinics/{clinic}/statistics", {"from": first, "to": last})


def figures(client: Client, first: int = 0, last: int = 0) -> dict[str, Any]:
    answer = asked(client, the_day(first), the_day(last))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def booked(practice: Practice, calendar: models.Calendar, hour: int, *moves: str) -> Appointment:
    visit = bookings.book(offer(practice, calendar, hour=hour), patient=ZOE, state="", actor=DESK).appointment
    for move in moves:
        if move == "cancel":
            bookings.cancel(visit.id, reason="", by="clinic", actor=DESK)
        else:
            bookings.move(visit.id, move, actor=DESK)
    return Appointment.objects.get(id=visit.id)


def test_a_day_without_visits_was_open_and_nothing_else(desk: Client, office: Practice) -> None:
    found = figures(desk)

    (day,) = found["days"]
    assert day == {"date": the_day()} | found["total"]
    assert found["total"] == {
        "open_minutes": 960,
        "booked_minutes": 0,
        "utilisation": 0.0,
        "booked": 0,
        "completed": 0,
        "cancelled": 0,
        "no_show": 0,
        "no_show_rate": None,
        "lead_time_hours": None,
        "wait_minutes": None,
    }
    assert [one["calendar"] for one in found["calendars"]] == [str(office.doctor.uid), str(office.nurse.uid)]


def test_visits_are_counted_by_what_became_of_them(desk: Client, office: Practice) -> None:
    booked(office, office.doctor, 9)
    booked(office, office.doctor, 10, "arrive", "start", "complete")
    booked(office, office.doctor, 11, "no-show")
    booked(office, office.nurse, 9, "arrive")
    booked(office, office.nurse, 10, "cancel")
    bookings.hold(offer(office, office.nurse, hour=11), seconds=300, actor=DESK)
    given_back = bookings.hold(offer(office, office.nurse, hour=12), seconds=300, actor=DESK).appointment
    bookings.release(given_back.id, actor=DESK)
    booked(office, office.doctor, 24 + 9)

    found = figures(desk, 0, 1)

    counts = ("booked", "completed", "cancelled", "no_show", "booked_minutes", "utilisation", "no_show_rate")
    first, second = ([day[name] for name in counts] for day in found["days"])
    assert first == [4, 1, 1, 1, 120, 0.125, round(1 / 3, 4)]
    assert second == [1, 0, 0, 0, 30, round(30 / 960, 4), None]
    doctor, nurse = ([one[name] for name in counts] for one in found["calendars"])
    assert doctor == [4, 1, 0, 1, 120, 0.125, 0.5]
    assert nurse == [1, 0, 1, 0, 30, round(30 / 960, 4), 0.0]
    assert [found["total"][name] for name in counts] == [5, 1, 1, 1, 150, round(150 / 1920, 4), round(1 / 3, 4)]


def test_waits_and_lead_times_are_medians(desk: Client, office: Practice) -> None:
    waits = {9: (0, 300), 10: (60, 660), 11: (0, 3600)}
    for hour, (arrived, roomed) in waits.items():
        visit = booked(office, office.doctor, hour)
        stages = {"arrived": arrived, "roomed": roomed, "started": 9999}
        created = visit.starts - timedelta(hours=hour)
        Appointment.objects.filter(id=visit.id).update(stages=stages, created_at=created, status="completed")
    alone = booked(office, office.nurse, 9)
    Appointment.objects.filter(id=alone.id).update(
        stages={"arrived": 0, "started": 120}, created_at=alone.starts, status="completed"
    )

    found = figures(desk)

    assert [(one["wait_minutes"], one["lead_time_hours"]) for one in found["calendars"]] == [(10.0, 10.0), (2.0, 0.0)]
    assert (found["total"]["wait_minutes"], found["total"]["lead_time_hours"]) == (7.5, 9.5)


def test_days_are_the_clinic_s_own_also_when_they_have_25_hours(desk: Client, practice: Practice) -> None:
    ends = date(2027, 11, 7)
    openings.set_hours(practice.doctor.id, [OpeningHours(ends.weekday(), time(), time())], actor=DESK)
    openings.set_hours(practice.nurse.id, [], actor=DESK)

    found = asked(desk, ends.isoformat(), (ends + timedelta(days=1)).isoformat()).json()

    assert [day["open_minutes"] for day in found["days"]] == [25 * 60, 0]


def test_exceptions_that_are_over_count_in_the_days_they_were(desk: Client, office: Practice) -> None:
    past = tomorrow() - 20 * 24 * HOUR
    openings.add_exception(office.doctor.id, OpeningException(Interval(past + 9 * HOUR, past + 13 * HOUR), False), actor=DESK)
    session = OpeningException(Interval(past + 14 * HOUR, past + 15 * HOUR), True, 4, office.visit.id)
    openings.add_exception(office.nurse.id, session, actor=DESK)

    found = figures(desk, -20, -20)

    assert [one["open_minutes"] for one in found["calendars"]] == [240, 480 - 60 + 4 * 60]


def test_more_than_all_is_all(desk: Client, office: Practice) -> None:
    booked(office, office.doctor, 9)
    openings.set_hours(office.doctor.id, [], actor=DESK)
    openings.add_exception(office.doctor.id, OpeningException(Interval(tomorrow(), tomorrow() + 600), True), actor=DESK)

    doctor, _ = figures(desk)["calendars"]

    assert (doctor["open_minutes"], doctor["booked_minutes"], doctor["utilisation"]) == (10, 30, 1.0)


def test_what_was_asked_too_widely_or_for_others_is_refused(desk: Client, http: Client, practice: Practice) -> None:
    make_practice("elsewhere")

    assert asked(desk, "2027-01-01", "2027-04-02").status_code == 200
    refused(asked(desk, "2027-01-01", "2027-04-03"), 422, "validation_failed", "to")
    refused(asked(desk, "2027-01-02", "2027-01-01"), 422, "validation_failed", "to")
    refused(asked(desk, "2027-02-30", "2027-03-01"), 422, "validation_failed", "from")
    refused(asked(desk, "0001-01-01", "0001-01-02"), 422, "validation_failed", "from")
    refused(asked(desk, "9999-12-30", "9999-12-31"), 422, "validation_failed", "from")
    refused(asked(desk, "tomorrow", "2027-03-01"), 422, "validation_failed", "from")
    refused(desk.get(f"{BASE}/clinics/harbor/statistics"), 422, "validation_failed")
    refused(asked(desk, "2027-01-01", "2027-01-02", clinic="elsewhere"), 404, "not_found")
    refused(asked(http, "2027-01-01", "2027-01-02"), 401, "unauthenticated")


def test_a_quarter_is_answered_from_an_index_in_few_statements(office: Practice) -> None:
    clinic, first = models.Clinic.objects.get(slug="harbor"), date.fromisoformat(the_day())
    statistics(clinic, first, first)  # the calendars' rules are kept in the process
    with CaptureQueriesContext(connection) as read:
        statistics(clinic, first, first + timedelta(days=91))

    assert len(read) == 3
    (visits,) = (query["sql"] for query in read if "GROUPING SETS" in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + visits)
        plan = " ".join(row[0] for row in cursor.fetchall())
    assert "appointment_calendar" in plan
