"""One clinic's crowd waits in line with tickets; the other clinics do not notice."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from redis import Redis

from apps.kernel.redis import connect
from engine.waiting_room import BURST_S, LONGEST_LINE_S, WaitingRoom, ticket_for
from tests.integration.engine.door import everything, line_of, line_up, now_ms, post, refused, slots_of
from tests.practice import Practice, make_practice

SLOW = 1
"""Holds a second: a turn is so far away that no test reaches it by being slow."""


@pytest.fixture
def redis() -> "Redis":
    return connect(settings.ENV.redis_url.get_secret_value(), timeout_s=5)


@pytest.fixture
def crowded(practice: Practice, monkeypatch: pytest.MonkeyPatch, redis: "Redis") -> Iterator[None]:
    """A clinic that has let in as many as it does at once, and a hundred more in line."""
    room = WaitingRoom(settings.ENV.redis_url.get_secret_value(), holds_a_second=SLOW)
    monkeypatch.setattr("engine.taking.waiting_room", lambda: room)
    yield
    for key in redis.scan_iter("line:*"):
        redis.delete(key)


def hold(http: Client, slot: dict[str, Any], ticket: str = "") -> Any:
    return post(http, "/holds", {"slot": slot["slot"]}, **({"waiting-ticket": ticket} if ticket else {}))


@pytest.mark.usefixtures("crowded")
def test_who_comes_after_the_burst_waits_in_line_and_the_next_behind_them(http: Client, practice: Practice) -> None:
    slots = slots_of(http, practice)
    assert [hold(http, slots[n]).status_code for n in range(BURST_S * SLOW + 1)] == [201] * (BURST_S * SLOW + 1)
    before = everything()

    first, second = (refused(hold(http, slots[n]), 429, "rate_limited") for n in (10, 11))

    assert 0 < first["retry_after"] <= second["retry_after"] <= 3
    assert first["ticket"] != second["ticket"]
    assert everything() == before


@pytest.mark.usefixtures("crowded")
def test_a_ticket_is_no_use_too_early_lets_in_once_and_at_its_own_clinic(http: Client, practice: Practice, redis: "Redis") -> None:
    slots, others = slots_of(http, practice), make_practice("pine")
    line_up(redis, practice, ms=30_000)
    ticket = refused(hold(http, slots[0]), 429, "rate_limited")["ticket"]
    line = redis.get(line_of(practice))

    early = refused(hold(http, slots[0], ticket), 429, "rate_limited")

    assert (early["ticket"], redis.get(line_of(practice))) == (ticket, line), "who asks too early keeps the place"
    assert early["retry_after"] <= 30

    ripe = ticket_for(now_ms(redis) - 1_000, practice.doctor.clinic_id)
    assert hold(http, slots[0], ripe).status_code == 201
    assert refused(hold(http, slots[1], ripe), 429, "rate_limited")["ticket"] not in (ripe, ticket), "it is used"
    for worthless in ("x", ripe[:-4] + "AAA=", ticket_for(now_ms(redis) - 1_000, others.doctor.clinic_id)):
        assert refused(hold(http, slots[1], worthless), 429, "rate_limited")["retry_after"] > 25, "the end of the line"


@pytest.mark.usefixtures("crowded")
def test_a_slot_that_is_gone_is_refused_at_once_with_others_whatever_the_line(
    http: Client, practice: Practice, redis: "Redis"
) -> None:
    slot = slots_of(http, practice)[0]
    assert hold(http, slot).status_code == 201
    line_up(redis, practice, ms=30_000)

    assert refused(hold(http, slot), 409, "slot_taken")["alternatives"]


@pytest.mark.usefixtures("crowded")
def test_a_line_that_is_too_long_gives_no_places(http: Client, practice: Practice, redis: "Redis") -> None:
    slot = slots_of(http, practice)[0]
    line_up(redis, practice, ms=LONGEST_LINE_S * 1000 + 5_000)
    line = redis.get(line_of(practice))

    problem = refused(hold(http, slot), 429, "rate_limited")

    assert "ticket" not in problem
    assert redis.get(line_of(practice)) == line


@pytest.mark.usefixtures("crowded")
def test_staff_do_not_wait(desk: Client, practice: Practice, redis: "Redis") -> None:
    line_up(redis, practice, ms=30_000)
    assert hold(desk, slots_of(desk, practice)[0]).status_code == 201


def test_without_redis_everybody_is_let_in(http: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    room = WaitingRoom("redis://127.0.0.1:1", holds_a_second=SLOW)
    monkeypatch.setattr("engine.taking.waiting_room", lambda: room)

    assert [hold(http, slots_of(http, practice)[n]).status_code for n in (0, 10, 20, 30, 40)] == [201] * 5
