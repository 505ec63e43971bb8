"""Clients that are slow, silent, loud or too many: they are cut, the others notice nothing, and memory stays flat."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, Valkey, daphne, deaf, shout, until

MIB = 1024 * 1024
TOO_SLOW = 'live_closed_total{code="4409"}'
TOLD_WHY = b"\x88\x02" + (4409).to_bytes(2, "big")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A process of the test's own, so that its memory is."""
    with daphne(tmp_path / "daphne.log") as started:
        yield started


def test_who_stops_reading_is_closed_and_costs_the_others_nothing(own: Server, feed: Feed, token: Callable[..., str]) -> None:
    calendar = feed.calendar()
    with Socket(own).signed_in(token(CLINIC)) as reading, deaf(own) as sleeping:
        reading.subscribe(calendar)
        shout(sleeping, "subscribe", calendar=calendar)
        until(lambda: own.metric("live_subscriptions") == 2 or None, what="both are subscribed")
        before, version, slowest = own.memory, 0, 0.0
        # Until the kernel's buffers on both sides and then ours are full: several MB.
        while not own.metric(TOO_SLOW):
            assert version < 100_000, "the sleeping socket was not closed"
            began = time.monotonic()
            feed.publish(calendar, *range(version + 1, version + 501))
            assert reading.versions(500) == list(range(version + 1, version + 501))
            slowest = max(slowest, time.monotonic() - began)
            version += 500

        heard = b""
        while not heard.endswith(TOLD_WHY):
            some = sleeping.recv(MIB)
            assert some, "the connection ended before it was told why"
            heard += some
    print(f"{version} events, 500 in at most {slowest:.2f} s, {(own.memory - before) / MIB:.1f} MiB more")
    assert own.memory - before < 8 * MIB


def test_a_client_that_vanished_without_a_word_is_cut(token: Callable[..., str], feed: Feed, tmp_path: Path) -> None:
    calendar = feed.calendar()
    with (
        daphne(tmp_path / "daphne.log", HEARTBEAT_S="1") as server,
        Socket(server).signed_in(token(CLINIC)) as alive,
        deaf(server),
    ):
        assert server.metric("live_sockets") == 2
        until(lambda: server.metric("live_sockets") == 1 or None, what="the silent one is gone", within_s=10)
        alive.say("subscribe", calendar=calendar)
        while alive.hear()["type"] == "heartbeat":
            pass


def test_a_flood_of_large_frames_does_not_fill_the_memory(own: Server, token: Callable[..., str]) -> None:
    large = json.dumps({"type": "unsubscribe", "calendar": "c", "note": "x" * 16_000})
    bearer, codes = token(CLINIC), []
    before = own.memory
    for _ in range(10):
        with ExitStack() as opened:
            sockets = [opened.enter_context(Socket(own).signed_in(bearer)) for _ in range(5)]
            for socket in sockets:
                with suppress(ConnectionClosed):
                    for _ in range(300):
                        socket.raw.send(large)
            codes += [socket.close_code() for socket in sockets]
    assert set(codes) == {4429}
    assert own.memory - before < 32 * MIB, "240 MB were sent"
    until(lambda: own.metric("live_sockets") == 0 or None, what="all are gone")


def test_a_full_process_sends_on_who_comes(token: Callable[..., str], tmp_path: Path) -> None:
    with daphne(tmp_path / "daphne.log", MOST_SOCKETS="2") as server, Socket(server).signed_in(token(CLINIC)):
        with Socket(server).signed_in(token(CLINIC)), Socket(server) as third:
            assert third.hear("reconnect")["after_ms"] >= 2_000
            assert third.close_code() == 4503
        until(lambda: server.metric("live_sockets") == 1 or None, what="there is room again")
        with Socket(server) as again:
            again.signed_in(token(CLINIC))


def test_who_subscribes_while_redis_is_away_is_told_when_to_come_back(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        with daphne(tmp_path / "daphne.log", REDIS_URL=valkey.url) as server, Redis.from_url(valkey.url) as redis:
            feed = Feed(redis)
            feed.begin()
            calendar = feed.calendar()
            with Socket(server).public() as socket:
                valkey.kill()
                socket.say("subscribe", calendar=calendar)
                assert 500 <= socket.hear("reconnect")["after_ms"] <= 3_000
                assert socket.close_code() == 4503
    finally:
        valkey.kill()
