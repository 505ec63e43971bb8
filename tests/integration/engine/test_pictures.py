"""Snapshots are kept as bytes by where a calendar stands: always the bytes that its rows would make, and no row read twice."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from django.db import connection
from django.test import Client

from apps.kernel.models import AuditEntry
from apps.kernel.shapes import in_zone
from engine import answers, bookings, models, openings, pictures, snapshots
from engine.scheduling.hours import OpeningException
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import TAKES_TIME
from tests.integration.engine.door import BASE, statements
from tests.practice import DAY, Practice, make_practice, tomorrow
from tests.writes import DESK, HOUR, WRITES, ZOE, Write, make_overdue, offer

RANGES = [Interval(tomorrow() + start * HOUR, tomorrow() + end * HOUR) for start, end in ((0, 24), (9, 10), (-24, 96))]


def drawn(within: Interval, *, joins: bool = True, slug: str = "harbor") -> list[bytes]:
    return [one.body for one in pictures.pictures(None, within, clinic=slug, joins=joins)]


def plain(practice: Practice, within: Interval, *, joins: bool = True) -> list[bytes]:
    """The same from the rows alone."""
    uids = [calendar.uid for calendar in (practice.doctor, practice.nurse, practice.room)]
    found = [snapshots.snapshot(uid, within, clinic=practice.slug) for uid in uids]
    return [json.dumps(answers.snapshot(one, joins=joins), separators=(",", ":")).encode() for one in found]


def all_as_their_rows(practice: Practice) -> bool:
    return all(drawn(within, joins=j) == plain(practice, within, joins=j) for within in RANGES for j in (True, False))


def ids_of(rows: Sequence[bytes]) -> list[set[str]]:
    return [{a["id"] for a in json.loads(row)["appointments"]} for row in rows]


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_what_is_kept_is_what_the_rows_say_before_and_after_every_write(practice: Practice, write: Write) -> None:
    act = write.prepare(practice)
    assert all_as_their_rows(practice)

    act()

    assert all_as_their_rows(practice)


def test_a_day_with_everything_is_what_its_rows_say(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(join_url="https://video.example/dr-doctor")
    moves = {9: (), 10: ("arrive", "room"), 11: ("arrive", "start"), 12: ("start", "complete"), 13: ("no-show",)}
    for hour, some in moves.items():
        visit = replace(offer(practice, practice.doctor, hour=hour), modality="video")
        booked = bookings.book(visit, patient=ZOE, state="NY", actor=DESK).appointment
        bookings.link(booked.id, f"zoë-{hour}")
        for move in some:
            bookings.move(booked.id, move, actor=DESK)
    bookings.hold(offer(practice, practice.nurse, practice.room, hour=15), seconds=300, actor=DESK)
    closed = OpeningException(Interval(tomorrow() + 20 * HOUR, tomorrow() + 22 * HOUR), False)
    openings.add_exception(practice.doctor.id, closed, note="Réunion", actor=DESK)

    assert all_as_their_rows(practice)
    assert all_as_their_rows(practice)

    window = {"from": in_zone(RANGES[0].start, "UTC"), "to": in_zone(RANGES[0].end, "UTC")}
    answer = desk.get(f"{BASE}/clinics/harbor/snapshot", window)
    doctor, nurse, room = plain(practice, RANGES[0])
    epoch = json.loads(doctor)["epoch"].encode()
    assert answer.content == b'{"epoch":"' + epoch + b'","calendars":[' + b",".join((doctor, nurse, room)) + b"]}"
    assert answer["Content-Type"] == "application/json"
    assert desk.get(f"{BASE}/calendars/{practice.doctor.uid}/snapshot", window).content == doctor
    shown = {a["status"] for one in (doctor, room) for a in (*json.loads(one)["appointments"], *json.loads(one)["holds"])}
    assert shown == set(TAKES_TIME)


def test_who_reads_again_is_noted_again(desk: Client, practice: Practice) -> None:
    bookings.link(bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK).appointment.id, "zoe")
    window = {"from": in_zone(tomorrow(), "UTC"), "to": in_zone(tomorrow() + DAY, "UTC")}

    for _ in range(2):
        desk.get(f"{BASE}/clinics/harbor/snapshot", window)
        desk.get(f"{BASE}/calendars/{practice.doctor.uid}/snapshot", window)

    entries = AuditEntry.objects.filter(action="calendar.read").order_by("id").values_list("object", "details")
    both = [("clinic:harbor", {"patients": 1, "calendars": 3}), (f"calendar:{practice.doctor.uid}", {"patients": 1})]
    assert list(entries)[-4:] == both * 2


def test_a_clinic_is_read_in_one_statement_and_no_calendar_twice(practice: Practice) -> None:
    within = RANGES[0]
    visits = [bookings.book(offer(practice, one), patient=ZOE, state="", actor=DESK) for one in (practice.doctor, practice.nurse)]
    before = drawn(within)
    # A change that no write makes: it takes no version, so it shows which rows were read again.
    models.Appointment.objects.update(patient_id="somebody")
    with statements() as sent:
        assert drawn(within) == before
    bookings.hold(offer(practice, practice.doctor, hour=15), seconds=300, actor=DESK)
    with statements() as sent_after:
        after = drawn(within)

    assert len(sent) == len(sent_after) == 1
    assert [row == seen for row, seen in zip(after, before, strict=True)] == [False, True, True]
    assert after[0] == plain(practice, within)[0]
    assert ids_of(after) == [{str(visits[0].appointment.id)}, {str(visits[1].appointment.id)}, set()]
    pictures.forget()
    assert drawn(within) == plain(practice, within)


def test_after_a_restore_the_same_versions_are_read_again(practice: Practice) -> None:
    bookings.book(offer(practice, practice.doctor), patient=ZOE, state="", actor=DESK)
    drawn(RANGES[0])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_appointment SET patient_id = 'somebody'")
        cursor.execute("UPDATE engine_stream SET epoch = gen_random_uuid()")

    assert drawn(RANGES[0]) == plain(practice, RANGES[0])


def test_a_hold_that_ran_out_is_shown_until_it_is_cleared_away(practice: Practice) -> None:
    held = bookings.hold(offer(practice, practice.doctor), seconds=300, actor=DESK).appointment
    make_overdue(held.id)
    assert all_as_their_rows(practice)

    bookings.expire(held.id)

    assert all_as_their_rows(practice)
    assert json.loads(drawn(RANGES[0])[0])["holds"] == []


def test_calendars_come_and_go_and_stay_their_clinic_s(practice: Practice) -> None:
    other = make_practice("elsewhere")
    assert len(drawn(RANGES[0])) == len(drawn(RANGES[0], slug="elsewhere")) == 3
    models.Calendar.objects.filter(id=practice.doctor.id).update(active=False)
    models.Calendar.objects.create(clinic=other.doctor.clinic, kind="room", name="Attic", zone="UTC")

    assert drawn(RANGES[0]) == plain(practice, RANGES[0])[1:]
    assert [json.loads(one)["zone"] for one in drawn(RANGES[0], slug="elsewhere")] == ["UTC", *["America/New_York"] * 3]
