"""Holds at the engine's WSGI door: what is refused before Django is what Django would have refused, and nothing else."""

import json
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from redis import Redis

from apps.kernel.http import LONGEST_QUEUE_S, entrance
from apps.kernel.limits import Limit
from apps.kernel.shapes import in_zone
from engine import queries, taking
from engine.errors import CalendarBusy, SlotTaken
from engine.waiting_room import PLACES_A_MINUTE, WaitingRoom, ticket_for
from tests.integration.engine.door import BASE, at_the_door, everything, line_of, line_up, post, slots_of, statements
from tests.practice import DAY, Practice, tomorrow

Answer = tuple[int, dict[str, str], Any]
URL = settings.ENV.redis_url.get_secret_value()


@pytest.fixture(autouse=True)
def crowded(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A waiting room that lets one in a second; nobody has come yet."""
    room = WaitingRoom(URL, holds_a_second=1)
    monkeypatch.setattr("engine.taking.waiting_room", lambda: room)
    yield
    redis().delete(*redis().keys(f"{line_of(practice)}*"), "nothing")


def redis() -> "Redis":
    return Redis.from_url(URL)


def hold(practice: Practice, slot: dict[str, Any] | None = None, body: bytes = b"", **headers: str) -> Answer:
    """(status, headers, JSON) of a hold at the door, from an address of the clinic's own."""
    return ask(practice, "POST", "/holds", body or json.dumps({"slot": (slot or {})["slot"]}).encode(), **headers)


def ask(practice: Practice, method: str, path: str, sent: bytes = b"", /, **headers: str) -> Answer:
    given = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    status, told, body = at_the_door(method, path, sent, REMOTE_ADDR=practice.slug, **given)
    return int(status.split()[0]), told, json.loads(body)


def test_a_slot_that_is_held_is_refused_as_django_refuses_it_and_without_the_database(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]
    assert hold(practice, slot)[0] == 201
    usual, before = post(http, "/holds", {"slot": slot["slot"]}), everything()

    with statements() as sent:
        status, headers, problem = hold(practice, slot)

    assert (status, problem) == (409, usual.json())
    assert headers == dict(usual.headers)
    assert problem["alternatives"]
    assert (sent, everything()) == ([], before)


def test_who_must_wait_is_told_so_at_the_door_and_who_has_waited_is_let_in(http: Client, practice: Practice) -> None:
    slots, now = slots_of(http, practice), line_up(redis(), practice, ms=60_000)

    with statements() as sent:
        status, headers, problem = hold(practice, slots[0])

    assert (status, problem["code"], sent) == (429, "rate_limited", [])
    assert int(headers["Retry-After"]) == problem["retry_after"] >= 59
    assert hold(practice, slots[0], waiting_ticket=problem["ticket"])[2]["ticket"] == problem["ticket"]
    ripe = ticket_for(now - 1_000, practice.doctor.clinic_id)
    assert hold(practice, slots[0], waiting_ticket=ripe)[0] == 201, "let in once, and asked once"
    assert hold(practice, slots[1], waiting_ticket=ripe)[0] == 429, "it is used"


def test_who_is_let_in_in_vain_keeps_the_place_for_the_same_request(
    http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, now, mine = slots_of(http, practice)[0], line_up(redis(), practice, ms=60_000), uuid4().hex
    ticket = ticket_for(now - 1_000, practice.doctor.clinic_id)
    with monkeypatch.context() as busy:
        busy.setattr("engine.api.bookings.hold", Mock(side_effect=CalendarBusy()))
        assert hold(practice, slot, waiting_ticket=ticket, idempotency_key=mine)[2]["code"] == "calendar_busy"

    assert hold(practice, slot, waiting_ticket=ticket, idempotency_key=uuid4().hex)[0] == 429, "somebody else's request"
    assert hold(practice, slot, waiting_ticket=ticket, idempotency_key=mine)[0] == 201


def test_an_address_gets_so_many_places_in_line(http: Client, practice: Practice) -> None:
    slot, _ = slots_of(http, practice)[0], line_up(redis(), practice, ms=60_000)

    answers = [hold(practice, slot)[2] for _ in range(PLACES_A_MINUTE + 1)]

    assert ["ticket" in answer for answer in answers] == [True] * PLACES_A_MINUTE + [False]
    assert answers[-1]["code"] == "rate_limited"
    assert "ticket" in hold(practice, slot, x_forwarded_for="another")[2]
    again = hold(practice, slot, waiting_ticket=answers[0]["ticket"])[2]
    assert again["ticket"] == answers[0]["ticket"], "who has a place keeps it"


def test_without_alternatives_a_slot_that_is_gone_is_still_refused(
    http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = slots_of(http, practice)[0]
    assert hold(practice, slot)[0] == 201
    monkeypatch.setattr("engine.taking.queries.slots", Mock(side_effect=OperationalError()))

    status, _, problem = hold(practice, slot)

    assert (status, problem["code"], problem.get("alternatives")) == (409, "slot_taken", None)


def test_a_request_is_counted_once_whoever_answers_it(http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    slots, limit = slots_of(http, practice), Limit("t" + uuid4().hex, 3, 60)
    for place in ("engine.quick", "engine.api"):
        monkeypatch.setattr(f"{place}.PUBLIC_WRITE", limit)

    answers = [hold(practice, slots[n]) for n in (0, 1, 0, 2)]

    assert [answer[0] for answer in answers] == [201, 201, 409, 429]
    assert answers[3][1]["RateLimit-Policy"].endswith(";q=3;w=60")


def test_a_repetition_gets_its_first_answer_past_any_line_and_whoever_has_the_slot_now(http: Client, practice: Practice) -> None:
    slot, key = slots_of(http, practice)[0], uuid4().hex
    status, _, first = hold(practice, slot, idempotency_key=key)
    assert status == 201
    line_up(redis(), practice, ms=60_000)

    assert hold(practice, slot, idempotency_key=key)[2] == first
    redis().delete(line_of(practice))
    assert http.delete(f"{BASE}/holds/{first['id']}", headers={"Hold-Secret": first["secret"]}).status_code == 204
    assert hold(practice, slot)[0] == 201, "another has it"

    again = hold(practice, slot, idempotency_key=key)
    assert (again[0], again[1]["Idempotent-Replayed"], again[2]) == (201, "true", first)
    assert hold(practice, slot, idempotency_key=uuid4().hex)[0] == 409
    assert hold(practice, body=json.dumps({"slot": slot["slot"], "seconds": 60}).encode(), idempotency_key=key)[2]["code"] == (
        "idempotency_mismatch"
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "param"),
    [
        (b"{", {}, 422, "body"),
        (b"[]", {}, 422, "body"),
        (b'{"slot": "forged"}', {}, 422, "slot"),
        (b'{"slot": "x", "colour": "red"}', {}, 422, "colour"),
        (b'{"slot": "x", "seconds": "60"}', {}, 422, "seconds"),
        (b'{"slot": "' + b"x" * 5_000 + b'"}', {}, 422, "slot"),
        (b'{"slot": "%s"}', {"idempotency_key": "\xe4"}, 422, "Idempotency-Key"),
        (b'{"slot": "%s"}', {"authorization": "Bearer nobody"}, 401, None),
    ],
)
def test_what_is_not_understood_at_the_door_is_refused_by_django(
    http: Client, practice: Practice, body: bytes, headers: dict[str, str], status: int, param: str | None
) -> None:
    slot, before = slots_of(http, practice)[0], everything()

    found = hold(practice, None, body.replace(b"%s", slot["slot"].encode()), **headers)

    assert (found[0], found[2].get("param")) == (status, param), found
    assert everything() == before


def test_who_has_stood_in_line_too_long_is_refused_before_any_work(http: Client, practice: Practice) -> None:
    slots, before = slots_of(http, practice), everything()

    def since(seconds: float, index: int, body: bytes = b"") -> Answer:
        redis().delete(line_of(practice))
        return hold(practice, slots[index], body, x_request_start=f"{time.time() - seconds:.3f}")

    with statements() as sent:
        status, headers, problem = since(LONGEST_QUEUE_S + 1, 0)
    assert (status, problem["code"], problem["retryable"], sent) == (503, "unavailable", True, [])
    assert int(headers["Retry-After"]) == problem["retry_after"] in (1, 2, 3)
    assert headers["Content-Type"] == "application/problem+json"
    assert everything() == before

    assert since(LONGEST_QUEUE_S / 4, 0)[0] == 201
    assert since(3600, 1)[0] == 201, "the edge's clock is wrong"
    assert since(-3600, 2)[0] == 201
    assert hold(practice, slots[3], x_request_start="soon")[0] == 201
    slow = json.dumps({"slot": slots[4]["slot"], "modality": "x" * 5_000}).encode()
    assert since(LONGEST_QUEUE_S + 1, 4, slow)[2]["code"] == "validation_failed", "a large body may just have been slow"


def test_in_a_line_that_lasts_readers_give_way_and_writers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("apps.kernel.http.time.monotonic", lambda: clock[0])
    door = entrance(lambda _environ, _start_response: [b"served"])

    def served(waited: float, *, at: float, method: str = "GET", path: str = "/api/engine/v1/clinics/harbor") -> bool:
        clock[0] = at
        stamp = f"{time.time() - waited:.3f}"
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_X_REQUEST_START": stamp}
        return door(environ, lambda *_: None) == [b"served"]

    assert served(1.0, at=1010.0), "a burst is waited for"
    assert served(1.0, at=1011.0)
    assert not served(1.0, at=1011.1), "it has been long for a second"
    assert served(0.3, at=1011.2), "not so long"
    assert not served(1.0, at=1011.3), "that was not short"
    assert served(1.0, at=1011.3, method="POST")
    assert served(1.0, at=1011.3, path="/book/demo/"), "a page would not come again by itself"
    assert served(0.05, at=1011.4)
    assert served(1.0, at=1012.5), "it was short a moment ago"
    assert not served(1.0, at=1013.6)
    assert served(0.0, at=1014.0)


def test_a_search_that_nothing_has_changed_is_answered_however_long_the_line_is(http: Client, practice: Practice) -> None:
    slot = slots_of(http, practice)[0]
    words = f"visit_type={practice.visit.uid}&from={slot['start']}&to={in_zone(tomorrow() + DAY, 'UTC')}"

    def search(waited: float) -> tuple[Answer, int]:
        with statements() as sent:
            stamp = f"{time.time() - waited:.3f}"
            return ask(practice, "GET", f"/clinics/{practice.slug}/slots?{words}", x_request_start=stamp), len(sent)

    assert search(3)[0][0] == 503, "nothing is known of it"
    first, _, _ = (search(0)[0] for _ in range(3))  # Redis is told where its calendars stand when it is asked again
    again, asked = search(3)
    assert (first[0], again[0], again[2], asked) == (200, 200, first[2], 0)
    held = hold(practice, slot)
    assert held[0] == 201
    assert search(3)[0][0] == 503, "it would have to be made anew"
    now, _ = search(0)
    assert slot["start"] not in [item["start"] for item in now[2]["items"] if item["calendar"] == slot["calendar"]]
    assert search(3)[0] == now
    other = next(offer for offer in practice.offers(days=20, limit=2_000) if offer.start > tomorrow() + 10 * DAY)
    redis().delete(f"stand:v{practice.visit.id}")  # a minute has passed
    assert search(0) == (now, 1), "one statement, and no day is made anew"
    moved = hold(practice, {"slot": other.token()})
    assert (moved[0], search(3)[0][2]) == (201, now[2] | {"as_of": now[2]["as_of"] | {moved[2]["calendar"]: moved[2]["version"]}})


def test_what_else_is_free_costs_a_crowd_one_search_a_second(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    offers, clock, searches = practice.offers(), [1000.0], list[int]()
    search = queries.slots

    def slots(*args: Any, **kwargs: Any) -> queries.Found:
        searches.append(1)
        if len(searches) == depth:  # another one of the crowd, meanwhile
            meanwhile.append(taking.with_alternatives(SlotTaken(), offers[0]).alternatives)
        return search(*args, **kwargs)

    def at(seconds: float) -> Any:
        clock[0] = seconds
        return taking.with_alternatives(SlotTaken(), offers[0]).alternatives

    monkeypatch.setattr("engine.taking.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("engine.taking.queries.slots", slots)
    depth, meanwhile = 0, list[Any]()

    first = at(1000.0)
    assert first[0]["start"] == in_zone(offers[0].start, "UTC"), "the nearest are of the other practitioner, then"
    assert (at(1000.9), len(searches)) == (first, 1)
    depth = 2
    assert (at(1001.5), len(searches), meanwhile) == (first, 2, [first]), "while one looks, the others have what was"
    depth = 3
    assert (at(1060.0), len(searches)) == (first, 4), "but not what was a minute ago"
