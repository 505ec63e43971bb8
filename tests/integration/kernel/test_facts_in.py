"""Facts of other services are handled once each, whatever order, state or clock they come with."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from apps.kernel import inbox
from apps.kernel.models import Cursor, InboxEvent, ParkedEvent
from tests.integration.kernel.facts import Taker, fact, ids, taker
from tests.serving import serving

__all__ = ["taker"]


def parked() -> dict[UUID, tuple[str, bool]]:
    """Each parked fact: why, and whether it is tried again by itself."""
    return {one.uid: (one.reason, one.next_try_at is not None) for one in ParkedEvent.objects.order_by("id")}


def test_the_same_fact_three_times_is_handled_once(taker: Taker) -> None:
    one = fact()

    taker.take(one, one)
    taker.take(one | {"id": one["id"].upper()})

    assert taker.effects() == ids(one)
    assert parked() == {}


def test_what_comes_later_about_a_subject_waits_behind_and_the_rest_goes_on(taker: Taker) -> None:
    first, second, other = fact("a"), fact("a"), fact("b")
    taker.broken = {"a"}

    taker.take(first, second, other)
    third = fact("a")
    taker.take(third)
    before = taker.effects()
    taker.broken = set()
    handled = [taker.retry() for _ in range(4)]

    assert before == ids(other)
    assert handled == [1, 1, 1, 0]
    assert taker.effects() == ids(other, first, second, third)


def test_a_fact_that_fails_for_ever_is_given_up_and_blocks_nothing_any_more(taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    poison, behind = fact("a"), fact("a")
    poison_only = poison["id"]
    handle = taker.handlers[("records", "thing.done.v1")]

    def but_one(event: Any) -> None:
        handle(event)
        if str(event.id) == poison_only:
            raise ZeroDivisionError

    taker.handlers = {("records", "thing.done.v1"): but_one}
    taker.take(poison, behind)
    for _ in range(inbox.TRIES):
        taker.retry()

    assert taker.effects() == ids(behind)
    assert parked() == {UUID(poison["id"]): ("ZeroDivisionError", False)}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["event_parked"]
    with pytest.raises(SystemExit):
        call_command("parked", stdout=(out := StringIO()))
    assert "given up  ZeroDivisionError" in out.getvalue()

    taker.handlers = {("records", "thing.done.v1"): handle}
    call_command("parked", "--again", poison["id"], stdout=StringIO())
    assert inbox.retry(taker.handlers) == 1
    assert taker.effects() == ids(behind, poison)


def test_a_fact_from_the_future_waits_and_one_of_years_ahead_is_given_up(taker: Taker) -> None:
    now = datetime.now(UTC)
    soon = fact("a", time=(now + timedelta(minutes=6)).isoformat())
    absurd = fact("b", time=(now + timedelta(days=9_000)).isoformat())

    taker.take(soon, absurd)
    due = {one.uid: one.next_try_at for one in ParkedEvent.objects.all() if one.next_try_at}
    for _ in range(inbox.TRIES):
        taker.retry()

    assert taker.effects() == []
    assert due[UUID(soon["id"])] == now + timedelta(minutes=6)
    assert due[UUID(absurd["id"])] < now + timedelta(hours=1)
    assert set(parked().values()) == {("is from the future", False)}


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "text"},
        {"data": None},
        {"specversion": "0.3"},
        {"time": "2026-01-01T00:00:00"},
        {"time": 5},
        {"time": "soon"},
    ],
)
def test_a_malformed_fact_is_put_aside_and_the_next_is_handled(taker: Taker, changed: dict[str, Any]) -> None:
    bad, good = fact("a", **changed), fact("a")

    taker.take(bad, good)

    assert taker.effects() == ids(good)
    assert parked() == {UUID(bad["id"]): ("cannot be read", False)}


@pytest.mark.parametrize("bad", [{}, "text", None, ["id"], {"id": 5}, {"id": "none"}])
def test_what_is_not_even_a_fact_is_passed_over(taker: Taker, bad: object, caplog: pytest.LogCaptureFixture) -> None:
    good = fact()

    taker.take(bad, good)

    assert taker.effects() == ids(good)
    assert "event_without_id" in caplog.messages


def test_a_version_that_is_not_known_is_put_aside_and_another_kind_is_none_of_ours(taker: Taker) -> None:
    newer, unknown, good = fact("a", type="healthflow.thing.done.v2"), fact("a", type="healthflow.thing.seen.v1"), fact("a")

    taker.take(newer, unknown, good)

    assert taker.effects() == ids(good)
    assert parked() == {UUID(newer["id"]): ("version v2 is not known", False)}


def test_a_crash_between_effect_and_cursor_repeats_nothing(taker: Taker) -> None:
    first, second = fact("a"), fact("b")
    handle = taker.handlers[("records", "thing.done.v1")]

    class Killed(BaseException):
        pass

    def dies(event: Any) -> None:
        handle(event)
        if event.subject == "b":
            raise Killed

    taker.handlers = {("records", "thing.done.v1"): dies}
    with pytest.raises(Killed):
        taker.take(first, second)
    after_the_crash = (taker.effects(), InboxEvent.objects.count(), Cursor.objects.count())
    taker.handlers = {("records", "thing.done.v1"): handle}
    taker.take(first, second)

    assert after_the_crash == ([], 0, 0)
    assert taker.effects() == ids(first, second)


def test_a_page_that_another_consumer_took_is_left_alone(taker: Taker) -> None:
    one = fact()
    taker.take(one)

    inbox.take("records", [fact()], taker.handlers, before="", after="9:9")

    assert taker.effects() == ids(one)
    assert Cursor.objects.get(producer="records").position == "1:0"


def test_ten_thousand_facts_are_taken_over_in_less_than_a_minute(taker: Taker) -> None:
    wires = [fact(str(number)) for number in range(10_000)]
    began = time.process_time()
    for start in range(0, len(wires), inbox.PAGE):
        taker.take(*wires[start : start + inbox.PAGE])
    seconds = time.process_time() - began
    print(f"{len(wires) / seconds:,.0f} facts/s")

    assert taker.effects() == ids(*wires)
    assert seconds < 60


@pytest.fixture
def producer(settings: Settings) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """What the feed of "records" answers to the next requests, over HTTP; it keeps nothing else."""
    answers: list[tuple[int, dict[str, Any]]] = []

    class Feed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(Feed) as url:
        settings.ENV = settings.ENV.model_copy(update={"records_url": url})
        yield answers


def test_a_producer_that_was_restored_is_read_from_its_beginning_and_nothing_is_done_twice(
    taker: Taker, producer: list[tuple[int, dict[str, Any]]]
) -> None:
    old, new = fact("a"), fact("b")
    producer += [
        (200, {"events": [old], "position": "900:1"}),
        (410, {"code": "version_gone"}),
        (200, {"events": [old, new], "position": "500:7"}),
    ]

    more = [inbox.pull("records", taker.handlers) for _ in range(3)]

    assert more == [False, True, False]
    assert taker.effects() == ids(old, new)
    assert Cursor.objects.get(producer="records").position == "500:7"
