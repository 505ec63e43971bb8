"""Who may open a socket, what ends it, and that another clinic's calendar cannot be told from none."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings
from redis import Redis
from websockets.exceptions import InvalidStatus

from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, Valkey, daphne, until

IDLE_S = 15

pytestmark = pytest.mark.usefixtures("idle")


@dataclass
class Idle:
    """A socket, and a calendar it watches, in whose whole system nothing happens."""

    socket: Socket
    feed: Feed
    calendar: str
    since: float


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idle]:
    """Opened before the other tests of this file, looked at after them: idle for a long time that costs none."""
    folder = tmp_path_factory.mktemp("idle")
    valkey = Valkey(folder)
    valkey.start()
    try:
        with Redis.from_url(valkey.url) as redis, daphne(folder / "daphne.log", REDIS_URL=valkey.url) as server:
            feed = Feed(redis)
            feed.begin()
            calendar = feed.calendar()
            with Socket(server).public() as socket:
                socket.subscribe(calendar)
                yield Idle(socket, feed, calendar, time.monotonic())
    finally:
        valkey.kill()


def test_a_token_signs_in(server: Server, token: Callable[..., str]) -> None:
    with Socket(server) as socket:
        socket.say("auth", token=token(CLINIC))
        answer = socket.hear("ready")
        assert answer["heartbeat_s"] == 25
        assert answer["session"]


def test_the_session_cookie_signs_in_at_once(server: Server, token: Callable[..., str], feed: Feed) -> None:
    with _page(server, token(CLINIC)) as socket:
        socket.hear("ready")
        assert socket.subscribe(feed.calendar())["type"] == "subscribed"


def test_whoever_does_not_say_who_it_is_is_closed_after_5_s(server: Server, token: Callable[..., str]) -> None:
    began = time.monotonic()
    with Socket(server) as silent, _page(server, token(CLINIC, seconds=-60)) as signed_out:
        assert silent.close_code() == 4408
        assert signed_out.close_code() == 4401
    assert 4.5 < time.monotonic() - began < 8


@pytest.mark.parametrize("kind", ["none at all", "expired", "one factor", "changed"])
def test_a_bad_token_closes(server: Server, token: Callable[..., str], kind: str) -> None:
    good = token(CLINIC)
    bad = {
        "none at all": "x" * 100,
        "expired": token(CLINIC, seconds=-1),
        "one factor": token(CLINIC, second_factor=False),
        "changed": good[:-20] + ("A" * 20),
    }[kind]
    with Socket(server) as socket:
        socket.say("auth", token=bad)
        assert socket.close_code() == 4401


def test_a_program_needs_no_second_factor(server: Server, token: Callable[..., str]) -> None:
    with Socket(server) as socket:
        socket.signed_in(token(CLINIC, role="program", second_factor=False))


def test_a_socket_ends_when_its_token_does(server: Server, token: Callable[..., str]) -> None:
    with Socket(server).signed_in(token(CLINIC, seconds=2)) as socket:
        began = time.monotonic()
        assert socket.close_code() == 4401
        assert time.monotonic() - began < 5


def test_nothing_is_answered_before_the_socket_says_who_it_is(server: Server, feed: Feed) -> None:
    with Socket(server) as socket:
        socket.say("subscribe", calendar=feed.calendar())
        assert socket.close_code() == 4401


def test_a_signed_in_person_on_the_public_page_is_the_public(server: Server, token: Callable[..., str], feed: Feed) -> None:
    calendar = feed.calendar()
    with _page(server, token("elsewhere")) as socket:
        socket.hear("ready")
        socket.public()
        assert socket.subscribe(calendar)["type"] == "subscribed"
        feed.publish(calendar, 1)
        assert socket.hear()["event"] == "slots.changed"


@pytest.mark.parametrize("before", ["auth", "subscribe"])
def test_who_it_is_cannot_change_later(server: Server, token: Callable[..., str], feed: Feed, before: str) -> None:
    with _page(server, token(CLINIC)) as socket:
        socket.hear("ready")
        if before == "auth":
            socket.signed_in(token(CLINIC))
        else:
            socket.subscribe(feed.calendar())
        socket.say("auth", clinic=CLINIC)
        assert socket.close_code() == 4400


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
def test_a_foreign_page_is_refused_before_it_is_accepted(server: Server, token: Callable[..., str], origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Socket(server, Origin=origin, Cookie=f"hf_session={token(CLINIC)}")
    assert refused.value.response.status_code == 403


def test_the_cookie_alone_without_an_origin_is_refused(server: Server, token: Callable[..., str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Socket(server, Cookie=f"other=1; hf_session={token(CLINIC)}")
    assert refused.value.response.status_code == 403


def test_another_clinics_calendar_cannot_be_told_from_none(staff: Socket, public: Socket, feed: Feed) -> None:
    theirs, nobodys = feed.calendar("elsewhere", version=5), "019abcde-0000-7000-8000-000000000000"
    for socket in (staff, public):
        answers = [socket.subscribe(calendar, version=4) for calendar in (theirs, nobodys)]
        assert answers == [{"type": "error", "code": "not_found", "calendar": calendar} for calendar in (theirs, nobodys)]
        feed.publish(theirs, 6, clinic="elsewhere")
        socket.says_nothing_more(theirs)


@pytest.mark.parametrize("frame", ["hello", "[]", '{"type":"shout"}', '{"type":"subscribe"}', "[" * 8_000, b"\x00\x01"])
def test_a_bad_message_closes(staff: Socket, frame: str | bytes) -> None:
    staff.raw.send(frame)
    assert staff.close_code() == 4400


@pytest.mark.parametrize("size", [16 * 1024, 1024 * 1024])
def test_a_frame_over_16_kib_closes(staff: Socket, size: int) -> None:
    staff.say("subscribe", calendar="c", note="x" * size)
    assert staff.close_code() == 4413


def test_a_flood_closes(staff: Socket) -> None:
    for _ in range(60):
        staff.say("unsubscribe", calendar="c")
    assert staff.close_code() == 4429


def test_a_hundred_calendars_may_be_asked_for_at_once_and_no_more(staff: Socket, feed: Feed) -> None:
    calendars = [feed.calendar() for _ in range(101)]
    for calendar in calendars:
        staff.say("subscribe", calendar=calendar)
    assert {staff.hear("subscribed")["calendar"] for _ in range(100)} == set(calendars[:100])
    assert staff.close_code() == 4429


def test_a_closed_socket_leaves_nothing_behind(server: Server, feed: Feed, token: Callable[..., str]) -> None:
    before = server.metric("live_subscriptions")
    with Socket(server).signed_in(token(CLINIC)) as socket:
        socket.subscribe(feed.calendar())
        assert server.metric("live_subscriptions") == before + 1
    until(lambda: server.metric("live_subscriptions") == before or None, what="the subscription is gone")


def test_an_idle_socket_stays_open_and_hears_the_next_event(idle: Idle) -> None:
    # Defaults of redis-py and of Channels' Redis layers close or deafen subscribers after 5 s of silence.
    until(lambda: time.monotonic() - idle.since > IDLE_S or None, what="15 s have passed")
    idle.feed.publish(idle.calendar, 1)
    while (heard := idle.socket.hear())["type"] == "heartbeat":
        pass
    assert (heard["type"], heard["version"]) == ("event", 1)


def _page(server: Server, token: str) -> Socket:
    return Socket(server, Origin=settings.ENV.public_url, Cookie=f"hf_session={token}")
