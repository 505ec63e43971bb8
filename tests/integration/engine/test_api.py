"""The door: who may ask, what is refused and how, and that a refusal changes nothing."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any
from uuid import uuid4

import psycopg2.extensions
import pytest
from django.core.exceptions import DisallowedHost
from django.db import connection
from django.db.models import F
from django.test import Client, RequestFactory

from apps.kernel.http import as_response
from apps.kernel.limits import Limit
from apps.kernel.shapes import in_zone
from engine import models
from engine.locks import gate, gate_keys
from engine.offers import parse
from engine.rows import Once
from engine.wsgi import application
from tests.integration.engine.door import BASE, ZOE, everything, post, refused, slots_of
from tests.practice import DAY, Practice, make_practice, open_around_the_clock, tomorrow

# --- the main flow ------------------------------------------------------------------------------------------------------


def test_the_public_holds_and_confirms_a_slot(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]

    hold = post(http, "/holds", {"slot": slot["slot"]})
    assert hold.status_code == 201
    held = hold.json()
    assert held.keys() >= {"id", "slot", "start", "end", "calendar", "expires_at", "secret"}
    booked = post(http, f"/holds/{held['id']}/confirm", {"patient": ZOE, "state": "NY"}, hold_secret=held["secret"])

    assert booked.status_code == 201
    appointment = booked.json()
    assert (appointment["status"], appointment["start"], appointment["state"]) == ("booked", slot["start"], "NY")
    assert appointment["id"] == held["id"]
    assert "Zoe" not in booked.content.decode()
    assert slot["slot"] not in [s["slot"] for s in slots_of(http, practice)]


def test_staff_book_in_one_call_and_the_engine_does_not_say_for_whom(desk: Client, practice: Practice) -> None:
    slot = slots_of(desk, practice)[0]

    booked = post(desk, "/appointments", {"slot": slot["slot"], "patient": ZOE})

    assert booked.status_code == 201
    path = f"{BASE}/appointments/{booked.json()['id']}"
    assert desk.get(path).json()["patient"] is None
    refused(desk.get(path, {"expand": "patient"}), 422, "validation_failed", "expand")
    history = desk.get(path, {"expand": "history"}).json()["history"]
    assert [entry["event"] for entry in history] == ["appointment.booked"]


def test_a_visit_lives_from_arrival_to_completion(desk: Client, practice: Practice) -> None:
    booked = post(desk, "/appointments", {"slot": slots_of(desk, practice)[0]["slot"], "patient": {"id": "p1"}}).json()

    steps = [post(desk, f"/appointments/{booked['id']}/{step}").json()["status"] for step in ("arrive", "start", "complete")]

    assert steps == ["arrived", "in_progress", "completed"]
    refused(post(desk, f"/appointments/{booked['id']}/arrive"), 409, "illegal_transition")


def test_a_slot_named_by_its_time_is_the_slot_of_the_search(desk: Client, practice: Practice) -> None:
    slot = slots_of(desk, practice)[3]
    named = {"visit_type": str(practice.visit.uid), "calendar": slot["calendar"], "start": slot["start"], "end": slot["end"]}

    hold = post(desk, "/holds", named)

    assert hold.status_code == 201
    assert hold.json()["slot"] == slot["slot"]


def test_a_snapshot_is_not_sent_twice(desk: Client, practice: Practice) -> None:
    query = {"from": in_zone(tomorrow(), "UTC"), "to": in_zone(tomorrow() + DAY, "UTC")}
    path = f"{BASE}/calendars/{practice.doctor.uid}/snapshot"

    first = desk.get(path, query)
    again = desk.get(path, query, headers={"if-none-match": first["ETag"]})

    assert first["ETag"] == f'"{first.json()["version"]}"'
    assert (again.status_code, again.content) == (304, b"")


def test_pages_of_slots_follow_each_other_without_gap_or_repetition(http: Client, practice: Practice) -> None:
    whole = [s["slot"] for s in slots_of(http, practice, limit=500)]
    start = tomorrow()
    query: dict[str, Any] = {
        "visit_type": str(practice.visit.uid),
        "from": in_zone(start, "UTC"),
        "to": in_zone(start + DAY, "UTC"),
        "limit": 7,
    }

    paged, cursor = [], None
    while True:
        page = http.get(f"{BASE}/clinics/harbor/slots", query | ({"cursor": cursor} if cursor else {})).json()
        paged += [s["slot"] for s in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert paged == whole
    assert len(whole) == 96  # two calendars, 48 half hours


def test_pages_of_appointments_follow_each_other(desk: Client, practice: Practice) -> None:
    made = [
        post(desk, "/appointments", {"slot": s["slot"], "patient": {"id": "p"}}).json()["id"] for s in slots_of(desk, practice)[:5]
    ]

    first = desk.get(f"{BASE}/appointments", {"limit": "3", "patient": "p"}).json()
    second = desk.get(f"{BASE}/appointments", {"limit": "3", "cursor": first["next"]}).json()

    assert [a["id"] for a in first["items"] + second["items"]] == made
    assert second["next"] is None


def test_the_first_available_is_the_earliest_of_all_clinics(http: Client, practice: Practice) -> None:
    other = make_practice("bayside")
    models.Calendar.objects.filter(id=other.doctor.id).update(specialty="Cardiology", states=["NY"])

    found = http.get(f"{BASE}/slots/first", {"specialty": "cardiology", "state": "NY"}).json()["items"]
    elsewhere = http.get(f"{BASE}/slots/first", {"specialty": "cardiology", "state": "TX"}).json()["items"]

    assert [slot["calendar"] for slot in found] == [str(other.doctor.uid)] * len(found)
    assert found
    assert elsewhere == []


# --- idempotency --------------------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer(http: Client, practice: Practice) -> None:
    body = {"slot": slots_of(http, practice)[0]["slot"]}
    key = uuid4().hex

    first = post(http, "/holds", body, idempotency_key=key)
    again = post(http, "/holds", body, idempotency_key=key)

    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert "Idempotent-Replayed" not in first
    assert models.Appointment.objects.count() == 1


def test_a_key_does_not_serve_another_request(http: Client, practice: Practice) -> None:
    one, two = slots_of(http, practice)[:2]
    post(http, "/holds", {"slot": one["slot"]}, idempotency_key="k")
    before = everything()

    refused(post(http, "/holds", {"slot": two["slot"]}, idempotency_key="k"), 422, "idempotency_mismatch")
    refused(post(http, "/holds", {"slot": one["slot"], "seconds": 60}, idempotency_key="k"), 422, "idempotency_mismatch")

    assert everything() == before


def test_a_key_is_its_owners_alone(http: Client, desk: Client, practice: Practice) -> None:
    one, two = slots_of(http, practice)[:2]

    assert post(http, "/holds", {"slot": one["slot"]}, idempotency_key="k").status_code == 201
    assert post(desk, "/holds", {"slot": two["slot"]}, idempotency_key="k").status_code == 201


def test_a_key_that_could_be_guessed_counts_for_its_address_only(http: Client, practice: Practice) -> None:
    body = {"slot": slots_of(http, practice)[0]["slot"]}
    long = "a-key-that-nobody-guesses"

    mine = post(http, "/holds", body, idempotency_key="1", x_forwarded_for="192.0.2.1")
    again = post(http, "/holds", body, idempotency_key="1", x_forwarded_for="192.0.2.1")

    assert mine.status_code == 201
    assert again.json() == mine.json()
    refused(post(http, "/holds", body, idempotency_key="1", x_forwarded_for="192.0.2.2"), 409, "slot_taken")
    body = {"slot": slots_of(http, practice)[1]["slot"]}
    held = post(http, "/holds", body, idempotency_key=long, x_forwarded_for="192.0.2.1")
    assert post(http, "/holds", body, idempotency_key=long, x_forwarded_for="192.0.2.2").json() == held.json()


def test_an_exception_is_added_once_however_often_it_is_sent(practice: Practice, token: Callable[..., str]) -> None:
    admin = Client(headers={"authorization": f"Bearer {token('harbor', role='clinic_admin')}"})
    path = f"/calendars/{practice.doctor.uid}/exceptions"
    closed = {"start": in_zone(tomorrow(), "UTC"), "end": in_zone(tomorrow() + 3600, "UTC"), "open": False}

    first = post(admin, path, closed, idempotency_key="k")
    again = post(admin, path, closed, idempotency_key="k")

    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert models.OpeningException.objects.count() == 1
    refused(post(admin, path, {**closed, "open": True}, idempotency_key="k"), 422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "x" * 129, "with space", "tab\t", "ünïcode"])
def test_a_key_is_visible_ascii(http: Client, practice: Practice, key: str) -> None:
    body = {"slot": slots_of(http, practice)[0]["slot"]}

    refused(post(http, "/holds", body, idempotency_key=key), 422, "validation_failed", "Idempotency-Key")


# --- who may ask --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/appointments"),
        ("get", f"/appointments/{uuid4()}"),
        ("post", "/appointments"),
        ("post", f"/appointments/{uuid4()}/arrive"),
        ("post", f"/appointments/{uuid4()}/cancel"),
        ("post", f"/appointments/{uuid4()}/reschedule"),
        ("get", f"/calendars/{uuid4()}/snapshot?from=2027-01-01T00:00:00Z&to=2027-01-02T00:00:00Z"),
        ("get", f"/calendars/{uuid4()}/changes?since=0"),
        ("put", f"/calendars/{uuid4()}/hours"),
        ("post", f"/calendars/{uuid4()}/exceptions"),
        ("delete", f"/calendars/{uuid4()}/exceptions/{uuid4()}"),
    ],
)
def test_the_public_has_no_business_with_staff_things(http: Client, practice: Practice, method: str, path: str) -> None:
    bodies = {
        "/appointments": {"slot": "x", "patient": {"id": "p"}},
        "cancel": {"by": "clinic"},
        "reschedule": {"slot": "x"},
        "hours": {"hours": []},
        "exceptions": {"start": "2027-01-01T00:00:00Z", "end": "2027-01-01T01:00:00Z", "open": False},
    }
    body = bodies.get(path) or bodies.get(path.rpartition("/")[2], {})

    answer = getattr(http, method)(
        BASE + path, *([json.dumps(body)] if method in ("post", "put") else []), content_type="application/json"
    )

    refused(answer, 401, "unauthenticated")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer a.b.c", "Basic Zm9vOmJhcg==", "Bearer "])
def test_a_bad_token_is_not_the_public(http: Client, practice: Practice, header: str) -> None:
    answer = http.get(f"{BASE}/clinics/harbor", headers={"authorization": header})

    refused(answer, 401, "unauthenticated")


def test_staff_need_their_second_factor(http: Client, practice: Practice, token: Callable[..., str]) -> None:
    bearer = f"Bearer {token('harbor', second_factor=False)}"

    refused(http.get(f"{BASE}/appointments", headers={"authorization": bearer}), 401, "second_factor_required")


def test_an_auditor_reads_and_does_not_write(http: Client, practice: Practice, token: Callable[..., str]) -> None:
    auditor = Client(headers={"authorization": f"Bearer {token('harbor', role='auditor')}"})
    booked = post(
        Client(headers={"authorization": f"Bearer {token('harbor')}"}),
        "/appointments",
        {"slot": slots_of(http, practice)[0]["slot"], "patient": ZOE},
    )
    path = f"/appointments/{booked.json()['id']}"

    assert auditor.get(BASE + path).status_code == 200
    refused(post(auditor, path + "/arrive"), 403, "forbidden")
    refused(post(auditor, "/holds", {"slot": slots_of(http, practice)[1]["slot"]}), 403, "forbidden")


def test_the_front_desk_does_not_change_hours(desk: Client, practice: Practice) -> None:
    answer = desk.put(f"{BASE}/calendars/{practice.doctor.uid}/hours", json.dumps({"hours": []}), content_type="application/json")

    refused(answer, 403, "forbidden")


def test_another_clinics_things_are_not_there(desk: Client, practice: Practice, token: Callable[..., str]) -> None:
    stranger = Client(headers={"authorization": f"Bearer {token('bayside', role='clinic_admin')}"})
    make_practice("bayside")
    one, two = slots_of(desk, practice)[:2]
    booked = post(desk, "/appointments", {"slot": one["slot"], "patient": ZOE}).json()
    mine, none = f"/appointments/{booked['id']}", f"/appointments/{uuid4()}"
    window = {"from": in_zone(tomorrow(), "UTC"), "to": in_zone(tomorrow() + DAY, "UTC")}
    before = everything()

    for there, nowhere in [
        (stranger.get(BASE + mine), stranger.get(BASE + none)),
        (post(stranger, mine + "/arrive"), post(stranger, none + "/arrive")),
        (post(stranger, mine + "/cancel", {"by": "clinic"}), post(stranger, none + "/cancel", {"by": "clinic"})),
        (
            stranger.get(f"{BASE}/calendars/{practice.doctor.uid}/snapshot", window),
            stranger.get(f"{BASE}/calendars/{uuid4()}/snapshot", window),
        ),
        (
            stranger.get(f"{BASE}/calendars/{practice.doctor.uid}/changes", {"since": 0}),
            stranger.get(f"{BASE}/calendars/{uuid4()}/changes", {"since": 0}),
        ),
    ]:
        assert refused(there, 404, "not_found") == refused(nowhere, 404, "not_found")
    refused(post(stranger, "/holds", {"slot": two["slot"]}), 404, "not_found")
    refused(post(stranger, "/appointments", {"slot": two["slot"], "patient": ZOE}), 404, "not_found")
    refused(stranger.get(f"{BASE}/appointments", {"clinic": "harbor"}), 404, "not_found")

    assert stranger.get(f"{BASE}/appointments").json()["items"] == []
    assert everything() == before


def test_the_session_cookie_is_as_good_as_a_token_but_needs_the_csrf_header(practice: Practice, token: Callable[..., str]) -> None:
    page = Client(enforce_csrf_checks=True)
    page.cookies["hf_session"] = token("harbor")
    page.cookies["csrftoken"] = "x" * 32
    slot = slots_of(page, practice)[0]["slot"]

    refused(post(page, "/holds", {"slot": slot}), 403, "forbidden")

    assert post(page, "/holds", {"slot": slot}, x_csrftoken="x" * 32).status_code == 201


def test_a_public_caller_is_limited_and_told_for_how_long(
    http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.api.PUBLIC_WRITE", Limit("t" + uuid4().hex, 2, 60))
    offers = slots_of(http, practice)

    answers = [post(http, "/holds", {"slot": offers[n]["slot"]}) for n in range(3)]

    assert [a.status_code for a in answers] == [201, 201, 429]
    problem = refused(answers[2], 429, "rate_limited")
    assert int(answers[2]["Retry-After"]) == problem["retry_after"] > 0
    assert answers[2]["RateLimit-Policy"].endswith(";q=2;w=60")
    assert answers[2]["RateLimit"].endswith(f";r=0;t={problem['retry_after']}")


# --- bad input: each gets its error and changes nothing -----------------------------------------------------------------


def _named(practice: Practice, **changes: Any) -> dict[str, Any]:
    start = tomorrow() + 9 * 3600
    body = {"visit_type": str(practice.visit.uid), "calendar": str(practice.doctor.uid), "start": in_zone(start, "UTC")}
    return body | changes


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"start": "2027-03-01T09:00:00"}, 422, "validation_failed", "start"),
        ({"start": "2027-03-01"}, 422, "validation_failed", "start"),
        ({"start": 1798880400}, 422, "validation_failed", "start"),
        ({"start": "2020-03-01T09:00:00Z"}, 422, "validation_failed", "start"),
        ({"start": "9999-12-31T23:59:59-12:00"}, 422, "validation_failed", "start"),
        ({"start": "2027-06-30T23:59:60Z"}, 422, "validation_failed", "start"),
        ({"start": "2027-02-30T09:00:00Z"}, 422, "validation_failed", "start"),
        ({"start": "2027-03-01T09:00:00+99:99"}, 422, "validation_failed", "start"),
        ({"start": "infinity"}, 422, "validation_failed", "start"),
        ({"start": "2031-03-01T09:00:00Z"}, 422, "validation_failed", "start"),
        ({"start": in_zone(tomorrow() + 60, "UTC")}, 422, "outside_opening_hours", "start"),
        ({"end": in_zone(tomorrow() + 9 * 3600 + 3600, "UTC")}, 422, "validation_failed", "end"),
        ({"end": in_zone(tomorrow() + 8 * 3600, "UTC")}, 422, "validation_failed", "body"),
        ({"slot": "both"}, 422, "validation_failed", "body"),
        ({"calendar": None}, 422, "validation_failed", "body"),
        ({"calendar": str(uuid4())}, 404, "not_found", None),
        ({"calendar": "../../etc/passwd"}, 404, "not_found", None),
        ({"visit_type": str(uuid4())}, 404, "not_found", "visit_type"),
        ({"visit_type": "' OR 1=1 --"}, 404, "not_found", "visit_type"),
        ({"modality": "telepathy"}, 422, "validation_failed", "modality"),
        ({"modality": "nul\x00byte"}, 422, "validation_failed", "modality"),
        ({"modality": 7}, 422, "validation_failed", "modality"),
        ({"seconds": 29}, 422, "validation_failed", "seconds"),
        ({"seconds": 901}, 422, "validation_failed", "seconds"),
        ({"seconds": "300"}, 422, "validation_failed", "seconds"),
        ({"seconds": 300.5}, 422, "validation_failed", "seconds"),
        ({"seconds": True}, 422, "validation_failed", "seconds"),
        ({"seconds": 10**400}, 422, "validation_failed", None),
        ({"status": "booked"}, 422, "validation_failed", "status"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, 422, "validation_failed", "expires_at"),
    ],
)
def test_a_bad_hold_is_refused_and_changes_nothing(
    desk: Client, practice: Practice, changes: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    before = everything()

    answer = post(desk, "/holds", _named(practice, **changes), idempotency_key=uuid4().hex)

    refused(answer, status, code, param)
    assert everything() == before


def test_minimum_notice_and_horizon_count_from_the_databases_now(desk: Client, practice: Practice) -> None:
    models.VisitType.objects.filter(id=practice.visit.id).update(notice=10_000, horizon=8, revision=2)
    inside = tomorrow() + 7 * DAY

    early = post(desk, "/holds", _named(practice))
    late = post(desk, "/holds", _named(practice, start=in_zone(tomorrow() + 30 * DAY, "UTC")))

    assert "notice" in refused(early, 422, "validation_failed", "start")["detail"]
    assert "horizon" in refused(late, 422, "validation_failed", "start")["detail"]
    assert post(desk, "/holds", _named(practice, start=in_zone(inside, "UTC"))).status_code == 201


def test_a_closed_calendar_is_outside_opening_hours(desk: Client, practice: Practice, token: Callable[..., str]) -> None:
    admin = Client(headers={"authorization": f"Bearer {token('harbor', role='clinic_admin')}"})
    slot = next(s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid))
    closed = {"start": slot["start"], "end": slot["end"], "open": False}

    added = post(admin, f"/calendars/{practice.doctor.uid}/exceptions", closed)

    assert added.status_code == 201
    refused(post(desk, "/holds", {"slot": slot["slot"]}), 422, "outside_opening_hours")
    assert admin.delete(f"{BASE}/calendars/{practice.doctor.uid}/exceptions/{added.json()['id']}").status_code == 204
    assert post(desk, "/holds", {"slot": slot["slot"]}).status_code == 201
    refused(admin.delete(f"{BASE}/calendars/{practice.doctor.uid}/exceptions/{added.json()['id']}"), 404, "not_found")


def test_hours_can_be_replaced(desk: Client, practice: Practice, token: Callable[..., str]) -> None:
    admin = Client(headers={"authorization": f"Bearer {token('harbor', role='clinic_admin')}"})
    path = f"{BASE}/calendars/{practice.doctor.uid}/hours"
    week = {"hours": [{"weekday": day, "opens": "09:00", "closes": "10:00"} for day in range(7)]}

    answer = admin.put(path, json.dumps(week), content_type="application/json")

    assert answer.status_code == 200
    assert len(slots_of(desk, practice, calendar=practice.doctor.uid)) == 2
    bad = {"hours": [{"weekday": 0, "opens": "25:00", "closes": "10:00"}]}
    refused(admin.put(path, json.dumps(bad), content_type="application/json"), 422, "validation_failed", "hours.0.opens")
    bad = {"hours": [{"weekday": 0, "opens": "09:00", "closes": "10:00", "valid_from": "2027-02-30"}]}
    refused(admin.put(path, json.dumps(bad), content_type="application/json"), 422, "validation_failed", "hours.0.valid_from")


def test_an_opening_longer_than_a_day_is_refused(practice: Practice, token: Callable[..., str]) -> None:
    admin = Client(headers={"authorization": f"Bearer {token('harbor', role='clinic_admin')}"})
    body = {"start": in_zone(tomorrow(), "UTC"), "end": in_zone(tomorrow() + DAY + 1, "UTC"), "open": True}

    refused(post(admin, f"/calendars/{practice.doctor.uid}/exceptions", body), 422, "validation_failed", "end")


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: "A" + t[1:], lambda t: t + "A", lambda t: "é" + t, lambda t: ""],
)
def test_an_altered_slot_token_is_refused(http: Client, practice: Practice, change: Callable[[str], str]) -> None:
    token = slots_of(http, practice)[0]["slot"]

    refused(post(http, "/holds", {"slot": change(token)}), 422, "validation_failed", "slot")


def test_a_stale_slot_token_is_refused(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]["slot"]
    models.VisitType.objects.filter(id=practice.visit.id).update(duration=15, revision=2)

    refused(post(http, "/holds", {"slot": slot}), 422, "validation_failed", "end")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 422, "validation_failed"),
        (b"\xff\xfe", "application/json", 422, "validation_failed"),
        (b"[]", "application/json", 422, "validation_failed"),
        (b"null", "application/json", 422, "validation_failed"),
        (b"NaN", "application/json", 422, "validation_failed"),
        (b"[" * 5000, "application/json", 422, "validation_failed"),
        (b"slot=x", "application/x-www-form-urlencoded", 422, "validation_failed"),
        (b"", "application/json", 422, "validation_failed"),
        (b'{"slot":"' + b"x" * 70_000 + b'"}', "application/json", 413, "payload_too_large"),
    ],
)
def test_what_is_not_a_body_is_refused(
    http: Client, practice: Practice, body: bytes, content_type: str, status: int, code: str
) -> None:
    before = everything()

    refused(http.post(f"{BASE}/holds", body, content_type=content_type), status, code)

    assert everything() == before


@pytest.mark.parametrize(
    "patient",
    [
        {},
        {"id": "p1", "name": "Zoe"},
        {"name": "Zoe", "zone": "Mars/Olympus"},
        {"name": "Zoe", "language": "English"},
        {"language": "en"},
        {"email": "zoe@example.org"},
        {"name": ""},
        {"name": "Zoe\x00"},
        {"name": "x" * 201},
        {"name": "Zoe", "email": "not an address"},
        {"name": "Zoe", "date_of_birth": "2999-01-01"},
        {"name": "Zoe", "date_of_birth": "1980-02-30"},
        {"name": "Zoe", "is_staff": True},
        "Zoe",
    ],
)
def test_a_bad_patient_is_refused_and_the_hold_stays(desk: Client, practice: Practice, patient: Any) -> None:
    held = post(desk, "/holds", {"slot": slots_of(desk, practice)[0]["slot"]}).json()
    before = everything()

    problem = refused(post(desk, f"/holds/{held['id']}/confirm", {"patient": patient}), 422, "validation_failed")

    assert problem["param"].startswith("patient")
    assert "Zoe" not in json.dumps(problem)
    assert everything() == before


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 10**9}, "limit"),
        ({"limit": 0}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "1.2.3"}, "cursor"),
        ({"cursor": "x" * 100}, "cursor"),
        ({"cursor": "\u00b2.\u00b2"}, "cursor"),
        ({"cursor": "9" * 25 + ".1"}, "cursor"),
        ({"from": "2027-01-01T00:00:00"}, "from"),
        ({"from": "2027-01-02T00:00:00Z", "to": "2027-01-01T00:00:00Z"}, "to"),
        ({"from": "2027-01-01T00:00:00Z", "to": "2027-12-01T00:00:00Z"}, "to"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"state": "New York"}, "state"),
    ],
)
def test_a_bad_search_is_refused(http: Client, practice: Practice, query: dict[str, Any], param: str) -> None:
    answer = http.get(f"{BASE}/clinics/harbor/slots", {"visit_type": practice.visit.uid} | query)

    refused(answer, 422, "validation_failed", param)


def test_unknown_addresses_and_methods_have_their_problem(http: Client, practice: Practice) -> None:
    refused(http.get(f"{BASE}/nowhere"), 404, "not_found")
    refused(http.get(f"{BASE}/clinics/nowhere"), 404, "not_found")
    refused(http.patch(f"{BASE}/holds"), 405, "method_not_allowed")


# --- holds that are not there, not theirs, or over ----------------------------------------------------------------------


def test_a_hold_that_is_unknown_or_someone_elses_is_not_found(http: Client, practice: Practice) -> None:
    held = post(http, "/holds", {"slot": slots_of(http, practice)[0]["slot"]}).json()
    before = everything()

    for secret in ("", "0" * 40, held["secret"][:-1]):
        refused(post(http, f"/holds/{held['id']}/confirm", {"patient": ZOE}, hold_secret=secret), 404, "not_found")
        refused(post(http, f"/holds/{held['id']}/extend", {}, hold_secret=secret), 404, "not_found")
        refused(http.delete(f"{BASE}/holds/{held['id']}", headers={"hold-secret": secret}), 404, "not_found")
    refused(post(http, f"/holds/{uuid4()}/confirm", {"patient": ZOE}, hold_secret=held["secret"]), 404, "not_found")
    refused(post(http, "/holds/not-an-id/confirm", {"patient": ZOE}), 404, "not_found")

    assert everything() == before


def test_a_hold_is_confirmed_once(http: Client, practice: Practice) -> None:
    held = post(http, "/holds", {"slot": slots_of(http, practice)[0]["slot"]}).json()
    confirm = f"/holds/{held['id']}/confirm"

    first = post(http, confirm, {"patient": ZOE}, hold_secret=held["secret"], idempotency_key="c1")
    replay = post(http, confirm, {"patient": ZOE}, hold_secret=held["secret"], idempotency_key="c1")

    assert (replay.status_code, replay.json()) == (201, first.json())
    problem = refused(post(http, confirm, {"patient": ZOE}, hold_secret=held["secret"]), 409, "illegal_transition")
    assert problem["current"] == "booked"


def test_an_expired_hold_is_gone_and_offers_what_is_free(http: Client, practice: Practice) -> None:
    held = post(http, "/holds", {"slot": slots_of(http, practice)[0]["slot"]}).json()
    models.Appointment.objects.filter(id=held["id"]).update(expires_at="2026-01-01T00:00:00Z")

    answer = post(http, f"/holds/{held['id']}/confirm", {"patient": ZOE}, hold_secret=held["secret"])

    problem = refused(answer, 410, "hold_expired")
    assert len(problem["alternatives"]) == 5
    refused(post(http, f"/holds/{held['id']}/extend", {}, hold_secret=held["secret"]), 410, "hold_expired")


def test_a_hold_can_be_extended_once_and_given_back(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]["slot"]
    held = post(http, "/holds", {"slot": slot, "seconds": 60}).json()

    longer = post(http, f"/holds/{held['id']}/extend", {"seconds": 900}, hold_secret=held["secret"])

    assert longer.status_code == 200
    assert longer.json()["expires_at"] > held["expires_at"]
    refused(post(http, f"/holds/{held['id']}/extend", {}, hold_secret=held["secret"]), 409, "illegal_transition")
    assert http.delete(f"{BASE}/holds/{held['id']}", headers={"hold-secret": held["secret"]}).status_code == 204
    assert http.delete(f"{BASE}/holds/{held['id']}", headers={"hold-secret": held["secret"]}).status_code == 204
    assert post(http, "/holds", {"slot": slot}).status_code == 201


def test_a_taken_slot_comes_with_the_nearest_alternatives(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[10]
    post(http, "/holds", {"slot": slot["slot"]})

    problem = refused(post(http, "/holds", {"slot": slot["slot"]}), 409, "slot_taken")

    # The other practitioner at the same time is the nearest of all.
    assert problem["alternatives"][0]["start"] == slot["start"]
    assert problem["alternatives"][0]["calendar"] != slot["calendar"]
    assert post(http, "/holds", {"slot": problem["alternatives"][0]["slot"]}).status_code == 201


def test_alternatives_keep_the_state_and_the_way_of_the_visit(http: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(name="Nurse").update(states=["FL"], rules=F("rules") + 1)
    slot = slots_of(http, practice, modality="video")[10]
    held = post(http, "/holds", {"slot": slot["slot"]}).json()

    problem = refused(post(http, "/holds", {"slot": slot["slot"], "state": "NY"}), 409, "slot_taken")

    assert {(one["calendar"], one["modality"]) for one in problem["alternatives"]} == {(held["calendar"], "video")}


def test_a_practitioner_is_licensed_where_the_patient_is(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(states=["NY", "NJ"], rules=1)
    slot = next(s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid))
    held = post(desk, "/holds", {"slot": slot["slot"]}).json()

    refused(post(desk, f"/holds/{held['id']}/confirm", {"patient": ZOE, "state": "TX"}), 422, "not_licensed_in_state", "state")

    assert str(practice.doctor.uid) not in [s["calendar"] for s in slots_of(desk, practice, state="TX")]
    assert post(desk, f"/holds/{held['id']}/confirm", {"patient": ZOE, "state": "NJ"}).status_code == 201


def test_only_staff_may_book_for_a_known_patient(http: Client, practice: Practice) -> None:
    held = post(http, "/holds", {"slot": slots_of(http, practice)[0]["slot"]}).json()

    answer = post(http, f"/holds/{held['id']}/confirm", {"patient": {"id": "p1"}}, hold_secret=held["secret"])

    refused(answer, 403, "forbidden")


def test_a_refused_move_keeps_the_old_time(desk: Client, practice: Practice) -> None:
    one, two, three = [s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid)][:3]
    mine = post(desk, "/appointments", {"slot": one["slot"], "patient": ZOE}).json()
    post(desk, "/appointments", {"slot": two["slot"], "patient": ZOE})
    before = everything()

    refused(post(desk, f"/appointments/{mine['id']}/reschedule", {"slot": two["slot"]}), 409, "slot_taken")

    assert everything() == before
    moved = post(desk, f"/appointments/{mine['id']}/reschedule", {"slot": three["slot"]})
    assert (moved.status_code, moved.json()["start"], moved.json()["id"]) == (200, three["start"], mine["id"])


def test_a_patient_cannot_cancel_at_the_last_moment_but_the_clinic_can(desk: Client, practice: Practice) -> None:
    models.VisitType.objects.filter(id=practice.visit.id).update(change_notice=10_000, revision=2)
    booked = post(desk, "/appointments", {"slot": slots_of(desk, practice)[0]["slot"], "patient": ZOE}).json()
    path = f"/appointments/{booked['id']}/cancel"

    refused(post(desk, path, {"by": "patient", "reason": "ill"}), 409, "too_late_to_change")

    assert post(desk, path, {"by": "clinic", "reason": "ill"}).json()["status"] == "cancelled"


def test_changes_that_are_no_longer_kept_are_gone(desk: Client, practice: Practice) -> None:
    for slot in [s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid)][:3]:
        post(desk, "/holds", {"slot": slot["slot"]})
    path = f"{BASE}/calendars/{practice.doctor.uid}/changes"
    assert [e["version"] for e in desk.get(path, {"since": 1}).json()["events"]] == [2, 3]

    models.OutboxEvent.objects.filter(calendar_id=practice.doctor.id, version__lte=2).delete()

    refused(desk.get(path, {"since": 1}), 410, "version_gone")
    refused(desk.get(path, {"since": 99}), 410, "version_gone")
    assert [e["version"] for e in desk.get(path, {"since": 2}).json()["events"]] == [3]
    assert desk.get(path, {"since": 3}).json()["events"] == []


# --- the edges of HTTP ----------------------------------------------------------------------------------------------------


def test_the_apis_own_root_is_not_found(http: Client, practice: Practice) -> None:
    refused(http.get(f"{BASE}/"), 404, "not_found")


@pytest.mark.parametrize(("size", "status"), [(0, 201), (70_000, 413)])
def test_a_body_that_comes_in_chunks_is_read(http: Client, practice: Practice, size: int, status: int) -> None:
    body = json.dumps({"slot": slots_of(http, practice)[0]["slot"]}).encode() + b" " * size
    environ = RequestFactory().post(f"{BASE}/holds", content_type="application/json").environ
    del environ["CONTENT_LENGTH"]
    answers: list[str] = []

    application(environ | {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(body)}, lambda line, _: answers.append(line))

    assert answers[0].startswith(str(status))


def test_a_parameter_that_is_not_known_is_refused(http: Client, practice: Practice) -> None:
    query = {"visit_type": str(practice.visit.uid), "calender": str(practice.doctor.uid)}

    refused(http.get(f"{BASE}/clinics/harbor/slots", query), 422, "validation_failed", "calender")


def test_another_clinics_calendar_is_no_filter(http: Client, desk: Client, practice: Practice) -> None:
    foreign = str(make_practice("bayside").doctor.uid)
    query = {"visit_type": str(practice.visit.uid), "calendar": foreign}

    refused(http.get(f"{BASE}/clinics/harbor/slots", query), 404, "not_found", "calendar")
    refused(desk.get(f"{BASE}/appointments", {"calendar": foreign}), 404, "not_found", "calendar")
    refused(desk.get(f"{BASE}/appointments", {"cursor": "x"}), 422, "validation_failed", "cursor")


def test_who_is_not_known_is_told_how_to_sign_in(http: Client, practice: Practice) -> None:
    assert http.get(f"{BASE}/appointments")["WWW-Authenticate"] == "Bearer"


# --- what a visit needs ---------------------------------------------------------------------------------------------------


def test_a_visit_takes_another_room_when_its_own_is_gone(http: Client, practice: Practice) -> None:
    second = models.Calendar.objects.create(clinic=practice.doctor.clinic, kind="room", name="Second room", zone="America/New_York")
    open_around_the_clock(second)
    practice.procedure.calendars.add(second)
    models.VisitType.objects.filter(id=practice.procedure.id).update(revision=2)
    by_calendar = {slot["calendar"]: slot for slot in reversed(slots_of(http, practice, visit_type=practice.procedure))}
    doctors, nurses = by_calendar[str(practice.doctor.uid)], by_calendar[str(practice.nurse.uid)]
    assert (doctors["start"], doctors["calendars"][1]) == (nurses["start"], nurses["calendars"][1])

    first, other = (post(http, "/holds", {"slot": slot["slot"]}) for slot in (doctors, nurses))

    assert (first.status_code, other.status_code) == (201, 201)
    assert {room for held in (first, other) for room in held.json()["calendars"]} == {
        str(calendar.uid) for calendar in (practice.doctor, practice.nurse, practice.room, second)
    }


def test_who_is_seen_by_video_says_in_which_state(desk: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.doctor.id).update(states=["NY"], rules=F("rules") + 1)
    video, person = (
        next(s for s in slots_of(desk, practice, modality=way) if s["calendar"] == str(practice.doctor.uid))
        for way in ("video", "in_person")
    )

    refused(post(desk, "/appointments", {"slot": video["slot"], "patient": ZOE}), 422, "validation_failed", "state")
    assert post(desk, "/appointments", {"slot": person["slot"], "patient": ZOE}).status_code == 201


# --- faults of ours -----------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(practice: Practice) -> Iterator[psycopg2.extensions.connection]:
    """Somebody else's connection, which has the doctor's calendar locked; here nobody waits long."""
    place = {name: connection.settings_dict[name.upper()] for name in ("host", "port", "user", "password")}
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    with closing(psycopg2.connect(dbname=connection.settings_dict["NAME"], **place)) as other:
        with other.cursor() as holder:
            holder.execute("SELECT pg_advisory_xact_lock(1, %s)", [practice.doctor.id])
        yield other
    connection.close()


def test_a_locked_calendar_is_busy_not_broken(desk: Client, practice: Practice, locked: psycopg2.extensions.connection) -> None:
    slot = next(s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid))

    problem = refused(post(desk, "/holds", {"slot": slot["slot"]}), 503, "calendar_busy")
    locked.rollback()

    assert (problem["retryable"], problem["retry_after"]) == (True, 1)
    assert post(desk, "/holds", {"slot": slot["slot"]}).status_code == 201


def test_a_request_that_is_sent_again_while_it_runs_is_told_so(
    desk: Client, practice: Practice, locked: psycopg2.extensions.connection
) -> None:
    slot = next(s for s in slots_of(desk, practice) if s["calendar"] == str(practice.doctor.uid))
    key = uuid4().hex
    offer, first = parse(slot["slot"]), Once("harbor:test:front_desk", key, b"")
    gate.claim(gate_keys(offer.clinic, offer.calendars, offer.start), uuid4(), digest=first.digest, capacities=[1])

    problem = refused(post(desk, "/holds", {"slot": slot["slot"]}, idempotency_key=key), 409, "idempotency_in_progress")
    locked.rollback()

    assert problem["retryable"]
    assert post(desk, "/holds", {"slot": slot["slot"]}, idempotency_key=key).status_code == 201


def test_a_database_that_is_gone_is_unavailable(desk: Client, practice: Practice) -> None:
    slot = slots_of(desk, practice)[0]["slot"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    import psycopg2

    settings = connection.settings_dict
    other = psycopg2.connect(
        host=settings["HOST"], port=settings["PORT"], dbname=settings["NAME"], user=settings["USER"], password=settings["PASSWORD"]
    )
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()

    problem = refused(post(desk, "/holds", {"slot": slot}, idempotency_key="u"), 503, "unavailable")

    assert problem["retryable"]
    assert post(desk, "/holds", {"slot": slot}, idempotency_key="u").status_code == 201


def test_a_fault_of_ours_says_nothing_of_what_it_saw(
    desk: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("Zoe Canary, born 1980")

    monkeypatch.setattr("engine.bookings.book", broken)

    problem = refused(
        post(desk, "/appointments", {"slot": slots_of(desk, practice)[0]["slot"], "patient": ZOE}), 500, "internal_error"
    )

    out, err = capfd.readouterr()
    assert "Zoe" not in json.dumps(problem) + out + err


def test_a_foreign_host_is_a_fault_of_the_request() -> None:
    request = RequestFactory().get("/", headers={"host": "evil.example"})
    with pytest.raises(DisallowedHost) as refused:
        request.get_host()

    told = json.loads(as_response(request, refused.value).content)

    assert (told["status"], told["code"], told["param"]) == (422, "validation_failed", "Host")


def test_another_kind_of_sign_in_does_not_let_the_cookie_pass(token: Callable[..., str], practice: Practice) -> None:
    page = Client(enforce_csrf_checks=True, headers={"authorization": "Basic eDp5", "origin": "https://evil.example"})
    page.cookies["hf_session"] = token(practice.slug)

    answer = page.post(f"{BASE}/appointments/{uuid4()}/arrive", "{}", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
