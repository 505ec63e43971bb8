"""Long polling of changes, for whoever cannot have a socket: the same frames, given as soon as there are some."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from redis import Redis

from apps.kernel import revocations
from engine import bookings, relay
from tests.integration.local.machine import get
from tests.integration.realtime.live import CLINIC, Feed, Server, daphne, until
from tests.practice import Practice
from tests.writes import DESK

Answer = tuple[HTTPResponse, Any]
Poll = Callable[..., Answer]


@pytest.fixture
def poll(server: Server, token: Callable[..., str]) -> Poll:
    """poll(calendar, since=, wait=, server=, token=) -> the answer and its JSON."""

    def ask(calendar: str, *, at: Server = server, bearer: str = token(CLINIC), **query: object) -> Answer:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer, body = get(f"/api/engine/v1/calendars/{calendar}/changes?{asked}", port=at.port, headers=headers)
        return answer, json.loads(body)

    return ask


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def waits(server: Server, future: Future[Answer], *, count: int = 1) -> Future[Answer]:
    """The future of a poll, once the server has it."""
    until(lambda: server.metric("live_polls") >= count or None, what="the poll waits")
    assert not future.done()
    return future


def test_what_is_missing_is_given_at_once(poll: Poll, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, 1, 2, 3)
    began = time.monotonic()

    answer, told = poll(calendar, since=1, wait=20)

    assert time.monotonic() - began < 5
    assert answer.status == 200
    assert (told["epoch"], told["version"], [event["version"] for event in told["events"]]) == (feed.epoch, 3, [2, 3])
    assert poll(calendar, since=0, wait=20, limit=2)[1] | {"events": None} == told | {"events": None}
    assert [event["version"] for event in poll(calendar, since=0, wait=20, limit=2)[1]["events"]] == [1, 2]


def test_the_next_event_is_given_when_it_happens(server: Server, poll: Poll, feed: Feed, aside: ThreadPoolExecutor) -> None:
    calendar = feed.calendar(version=7)
    waiting = waits(server, aside.submit(poll, calendar, since=7, wait=25))
    feed.publish(calendar, 8)
    _, told = waiting.result(5)
    assert (told["version"], [event["version"] for event in told["events"]]) == (8, [8])


def test_when_nothing_happens_the_answer_is_empty_after_the_wait(poll: Poll, feed: Feed) -> None:
    began = time.monotonic()
    answer, told = poll(feed.calendar(version=7), since=7, wait=1)
    assert 1 <= time.monotonic() - began < 3
    assert (answer.status, told) == (200, {"epoch": feed.epoch, "version": 7, "events": []})


def test_the_answer_is_the_engines(practice: Practice, token: Callable[..., str], poll: Poll) -> None:
    bookings.hold(practice.offers()[0], seconds=300, actor=DESK)
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        while relay.relay(redis):
            pass
    desk = Client(headers={"authorization": f"Bearer {token(practice.slug)}"})

    direct = desk.get(f"/api/engine/v1/calendars/{practice.doctor.uid}/changes?since=0&wait=5")

    assert direct.status_code == 200
    assert poll(str(practice.doctor.uid), since=0, wait=5)[1] == direct.json()


@pytest.mark.parametrize("case", ["trimmed log", "a version to come", "an event lost for good"])
def test_what_cannot_be_given_in_full_is_gone(server: Server, poll: Poll, feed: Feed, aside: ThreadPoolExecutor, case: str) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, *range(1, 11))
    if case == "trimmed log":
        feed.redis.xtrim(f"live:log:{calendar}", maxlen=4, approximate=False)
        answer, told = poll(calendar, since=5, wait=5)
    elif case == "a version to come":
        answer, told = poll(calendar, since=11, wait=5)
    else:
        waiting = waits(server, aside.submit(poll, calendar, since=10, wait=20))
        feed.publish(calendar, 12)
        answer, told = waiting.result(5)
    assert (answer.status, told["code"]) == (410, "version_gone")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_another_clinics_calendar_cannot_be_told_from_none(poll: Poll, feed: Feed) -> None:
    theirs = feed.calendar("elsewhere")
    answers = [poll(calendar, since=0, wait=5) for calendar in (theirs, str(uuid4()), "no-identifier")]
    assert {answer.status for answer, _ in answers} == {404}
    assert answers[0][1] == answers[1][1] == answers[2][1]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"wait": 5}, "since"),
        ({"since": -1, "wait": 5}, "since"),
        ({"since": 0, "wait": 0}, "wait"),
        ({"since": 0, "wait": 26}, "wait"),
        ({"since": 0, "wait": ""}, "wait"),
        ({"since": 0, "wait": 5, "limit": 501}, "limit"),
        ({"since": 0, "wait": 5, "until": 6}, "until"),
    ],
)
def test_what_is_not_valid_is_named(poll: Poll, feed: Feed, query: dict[str, object], param: str) -> None:
    answer, told = poll(feed.calendar(), **query)
    assert (answer.status, told["code"], told["param"]) == (422, "validation_failed", param)


def test_who_asks_must_be_known_and_have_two_factors(poll: Poll, feed: Feed, token: Callable[..., str]) -> None:
    calendar = feed.calendar()
    told = [
        poll(calendar, since=0, wait=1, bearer=bearer)[1]["code"]
        for bearer in ("", "x", token(CLINIC, seconds=-1), token(CLINIC, second_factor=False))
    ]
    assert told == ["unauthenticated", "unauthenticated", "unauthenticated", "second_factor_required"]


def test_the_session_cookie_is_good_too(server: Server, token: Callable[..., str], feed: Feed) -> None:
    address = f"/api/engine/v1/calendars/{feed.calendar()}/changes?since=0&wait=1"
    assert get(address, port=server.port, headers={"Cookie": f"hf_session={token(CLINIC)}"})[0].status == 200


def test_rights_that_end_end_the_poll(
    server: Server, poll: Poll, feed: Feed, token: Callable[..., str], aside: ThreadPoolExecutor
) -> None:
    who = f"test:{uuid4().hex}"
    waiting = waits(server, aside.submit(poll, feed.calendar(), since=0, wait=25, bearer=token(CLINIC, subject=who)))
    revocations.revoke(feed.redis, revocations.member(who, clinic=CLINIC))
    answer, told = waiting.result(5)
    assert (answer.status, told["code"]) == (401, "unauthenticated")


def test_a_process_that_stops_answers_who_waits(poll: Poll, feed: Feed, aside: ThreadPoolExecutor, tmp_path: Path) -> None:
    with daphne(tmp_path / "victim.log") as victim:
        waiting = waits(victim, aside.submit(poll, feed.calendar(), since=0, wait=25, at=victim))
        # One that does not know yet where the calendar stands has nothing to say, and is asked to come again.
        until(lambda: victim.metric("live_subscriptions") or None, what="it knows where the calendar stands")
        victim.process.send_signal(signal.SIGTERM)
        answer, told = waiting.result(5)
        assert (answer.status, told.get("events")) == (200, []), told
        assert victim.process.wait(5) == 0


def test_who_has_gone_leaves_nothing_behind_and_nobody_has_more_than_100(
    server: Server, poll: Poll, feed: Feed, token: Callable[..., str]
) -> None:
    calendar, bearer = feed.calendar(), token(CLINIC, subject=f"test:{uuid4().hex}")
    line = f"GET /api/engine/v1/calendars/{calendar}/changes?since=0&wait=25 HTTP/1.1"
    request = f"{line}\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
    with ExitStack() as opened:
        for _ in range(100):
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port))).sendall(request)
        until(lambda: server.metric("live_polls") == 100 or None, what="all wait")
        answer, told = poll(calendar, since=0, wait=25, bearer=bearer)
        assert (answer.status, told["code"]) == (429, "rate_limited")
    until(lambda: server.metric("live_polls") == 0 or None, what="nobody waits any more")
    assert poll(calendar, since=0, wait=1, bearer=bearer)[0].status == 200
