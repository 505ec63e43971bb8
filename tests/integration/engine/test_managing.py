"""The patient's own link: it shows, moves and cancels one visit, and tells nothing of whose it is."""

import json
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from icalendar import Calendar

from apps.kernel.limits import Limit
from engine import feed, models, shapes
from engine.callers import manage_url
from tests.integration.engine.door import BASE, ZOE, everything, post, refused, slots_of
from tests.practice import Practice


@pytest.fixture
def http(practice: Practice) -> Client:
    """The public, from an address whose requests no other test counts."""
    return Client(headers={"accept": "application/json", "x-forwarded-for": f"192.0.2.1{uuid4().hex}"})


@pytest.fixture
def booked(http: Client, practice: Practice) -> dict[str, Any]:
    """What the public is answered who has just booked."""
    models.VisitType.objects.update(change_notice=60)
    slot = slots_of(http, practice)[5]
    held = post(http, "/holds", {"slot": slot["slot"]}).json()
    answer = post(http, f"/holds/{held['id']}/confirm", {"patient": ZOE, "state": "NY"}, hold_secret=held["secret"])
    return cast(dict[str, Any], answer.json())


def path_of(appointment: dict[str, Any]) -> str:
    """Where the API has this visit for its patient."""
    return f"/manage/{appointment['manage_url'].rstrip('/').rpartition('/')[2]}"


def entry(http: Client, path: str) -> Any:
    answer = http.get(f"{BASE}{path}/calendar.ics")
    assert answer["Content-Type"].startswith("text/calendar")
    return Calendar.from_ical(answer.content).walk("VEVENT")[0]


def test_who_booked_gets_a_link_and_staff_do_not(booked: dict[str, Any], desk: Client, practice: Practice) -> None:
    assert booked["manage_url"] == manage_url(UUID(booked["id"]))
    answer = post(desk, "/appointments", {"slot": slots_of(desk, practice)[0]["slot"], "patient": {"id": "p1"}})
    assert "manage_url" not in answer.json()


def test_the_link_shows_the_visit_and_nothing_of_the_patient(http: Client, booked: dict[str, Any]) -> None:
    answer = http.get(BASE + path_of(booked))

    shown = shapes.ManagedOut.model_validate(answer.json())
    assert (shown.status, shown.clinic.name, shown.calendar.id) == ("booked", "Harbor", booked["calendar"])
    assert answer.json()["start"] == booked["start"]
    for canary in ("Zoe", "zoe@", "555 0100", "1980-02", booked["id"]):
        assert canary not in answer.content.decode()


def test_it_is_moved_and_cancelled_by_its_patient(http: Client, desk: Client, booked: dict[str, Any], practice: Practice) -> None:
    slot, path, key = slots_of(http, practice)[9], path_of(booked), str(uuid4())

    moved = post(http, f"{path}/reschedule", {"slot": slot["slot"]}, idempotency_key=key)
    again = post(http, f"{path}/reschedule", {"slot": slot["slot"]}, idempotency_key=key)
    gone = post(http, f"{path}/cancel")

    assert (moved.status_code, moved.json()["start"]) == (200, slot["start"])
    assert again["Idempotent-Replayed"] == "true"
    assert (gone.status_code, gone.json()["status"]) == (200, "cancelled")
    history = desk.get(f"{BASE}/appointments/{booked['id']}", {"expand": "history"}).json()["history"]
    assert [one["by"] for one in history][-2:] == ["patient", "patient"]
    refused(post(http, f"{path}/cancel"), 409, "illegal_transition")
    refused(post(http, f"{path}/reschedule", {"slot": slot["slot"]}), 409, "illegal_transition")


def test_a_time_that_was_taken_offers_others_and_the_old_one_stays(
    http: Client, desk: Client, booked: dict[str, Any], practice: Practice
) -> None:
    slot = slots_of(http, practice)[2]
    post(desk, "/appointments", {"slot": slot["slot"], "patient": {"id": "p1"}})

    problem = refused(post(http, f"{path_of(booked)}/reschedule", {"slot": slot["slot"]}), 409, "slot_taken")

    assert problem["alternatives"]
    assert http.get(BASE + path_of(booked)).json()["start"] == booked["start"]


def test_too_near_is_too_late(http: Client, booked: dict[str, Any], practice: Practice) -> None:
    slot = slots_of(http, practice)[9]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_visittype SET change_notice = 20000, revision = revision + 1")
    before = everything()

    refused(post(http, f"{path_of(booked)}/cancel"), 409, "too_late_to_change")
    refused(post(http, f"{path_of(booked)}/reschedule", {"slot": slot["slot"]}), 409, "too_late_to_change")
    assert everything() == before


def test_a_slot_of_another_visit_type_is_refused(http: Client, booked: dict[str, Any], practice: Practice) -> None:
    other = slots_of(http, practice, visit_type=practice.procedure)[0]

    refused(post(http, f"{path_of(booked)}/reschedule", {"slot": other["slot"]}), 422, "validation_failed", "slot")
    refused(post(http, f"{path_of(booked)}/cancel", {"reason": "x"}), 422, "validation_failed")


def test_another_link_finds_nothing(http: Client, booked: dict[str, Any], practice: Practice) -> None:
    token = path_of(booked).removeprefix("/manage/")
    swapped = token[:21] + manage_url(uuid4()).rstrip("/").rpartition("/")[2][21:]
    # One that was never given out: of a hold that is not confirmed.
    held = post(http, "/holds", {"slot": slots_of(http, practice)[0]["slot"]}).json()
    tokens = [
        token[:-1],
        token + "A",
        "x",
        "é" * 43,
        "A" * 43,
        swapped,
        token.swapcase(),
        manage_url(UUID(held["id"])).split("/")[-2],
    ]
    # Another spelling of the same bytes.
    tokens.append(token[:-1] + chr(ord(token[-1]) + 1))

    for wrong in tokens:
        refused(http.get(f"{BASE}/manage/{wrong}"), 404, "not_found")
        refused(post(http, f"/manage/{wrong}/cancel"), 404, "not_found")
        refused(http.get(f"{BASE}/manage/{wrong}/calendar.ics"), 404, "not_found")
        assert http.get(f"/manage/{wrong}/").status_code == 404


def test_a_link_opens_nothing_a_month_after_the_visit(http: Client, booked: dict[str, Any]) -> None:
    move = "UPDATE engine_appointment SET starts = now() - %s::interval, ends = now() - %s::interval + interval '30 min'"
    for days, status in (("29 days", 200), ("31 days", 404)):
        with connection.cursor() as cursor:
            cursor.execute(move, [days, days])
        assert http.get(BASE + path_of(booked)).status_code == status


def test_the_calendar_file_takes_the_place_of_the_earlier_one(http: Client, booked: dict[str, Any], practice: Practice) -> None:
    path = path_of(booked)
    first = entry(http, path)
    with connection.cursor() as cursor:  # a second later is another revision
        cursor.execute(
            "UPDATE engine_appointment SET history = jsonb_set(history, '{-1,at}', to_jsonb(to_char(now() - interval '9 s',"
            """ 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))"""
        )
    post(http, f"{path}/cancel")
    last = entry(http, path)

    assert first["UID"] == last["UID"]
    assert str(first["UID"]).startswith(booked["id"])
    assert (str(first["STATUS"]), str(last["STATUS"])) == ("CONFIRMED", "CANCELLED")
    assert str(first["SUMMARY"]) == "Harbor"
    assert "Visit" not in first.to_ical().decode()
    assert int(first["DTSTART"].dt.timestamp()) == shapes.ManagedOut.model_validate(http.get(BASE + path).json()).start.timestamp()


def test_who_tries_many_links_is_stopped(http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.managing.PUBLIC_READ", Limit("t" + uuid4().hex, 3, 3600))

    answers = [http.get(f"{BASE}/manage/{'A' * 43}") for _ in range(4)]

    assert [json.loads(answer.content)["code"] for answer in answers] == ["not_found"] * 3 + ["rate_limited"]


def test_only_notifications_is_told_the_link(booked: dict[str, Any]) -> None:
    told = {reader: feed.read("", 100, reader)[-1].event.data for reader in ("notifications", "records", "billing")}

    assert told["notifications"]["manage_url"] == booked["manage_url"]
    assert "manage_url" not in told["records"] | told["billing"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM engine_outboxevent WHERE data::text LIKE '%manage%'")
        assert cursor.fetchone() == (0,)


def test_a_hold_that_was_given_back_is_no_fact(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]["slot"]
    held = post(http, "/holds", {"slot": slot}).json()
    assert http.delete(f"{BASE}/holds/{held['id']}", headers={"Hold-Secret": held["secret"]}).status_code == 204

    assert [placed.event.type for placed in feed.read("", 100, "billing") if placed.event.subject == held["id"]] == []
