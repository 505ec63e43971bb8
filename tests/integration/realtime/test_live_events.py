"""Subscribing, events, recovery: a client that keeps to the protocol has every version once, in order, or starts afresh."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
from redis import Redis

from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, Valkey, daphne


def test_a_subscriber_hears_what_happens_from_now_on(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar(version=7)

    answer = staff.subscribe(calendar)
    feed.publish(calendar, 8, 9)

    assert answer == {"type": "subscribed", "calendar": calendar, "epoch": feed.epoch, "version": 7, "recovered": False}
    heard = staff.hear("event")
    assert (heard["calendar"], heard["version"], heard["event"]) == (calendar, 8, "appointment.booked")
    assert set(heard["data"]) == {"id", "start", "end", "status", "visit_type", "calendars"}
    assert staff.hear("event")["version"] == 9


def test_the_subprotocol_is_accepted(staff: Socket) -> None:
    assert staff.raw.subprotocol == "healthflow.v1"


def test_everybody_in_a_room_hears_the_same_once(server: Server, feed: Feed, token: Callable[..., str]) -> None:
    calendar = feed.calendar()
    with Socket(server).signed_in(token(CLINIC)) as one, Socket(server).signed_in(token(CLINIC)) as two:
        one.subscribe(calendar)
        feed.publish(calendar, 1)
        two.subscribe(calendar)
        feed.publish(calendar, 2, 2, 1, 3)

        assert one.versions(3) == [1, 2, 3]
        assert two.versions(2) == [2, 3]
        one.says_nothing_more(calendar)


def test_who_comes_in_the_middle_of_a_burst_misses_nothing(server: Server, feed: Feed, token: Callable[..., str]) -> None:
    calendar, last, bearer = feed.calendar(), 1_500, token(CLINIC)

    def publish_all() -> None:
        for version in range(1, last + 1):
            feed.publish(calendar, version)

    burst = Thread(target=publish_all)
    with ExitStack() as opened:
        sockets = [opened.enter_context(Socket(server).signed_in(bearer)) for _ in range(20)]
        burst.start()
        # Every other one comes back with a version, and gets what came after it from the log.
        had = [{} if number % 2 else {"version": 0} for number in range(len(sockets))]
        answers = [socket.subscribe(calendar, **known) for socket, known in zip(sockets, had, strict=True)]
        burst.join()
        for socket, known, answer in zip(sockets, had, answers, strict=True):
            first = 1 if answer["recovered"] else answer["version"] + 1
            assert answer["recovered"] is bool(known) or answer["version"] > 512
            assert socket.versions(last - first + 1) == list(range(first, last + 1))
    assert len({answer["version"] for answer in answers}) > 5, "nobody came in the middle"


def test_what_is_pushed_is_counted_and_its_lag_measured_once(server: Server, feed: Feed, token: Callable[..., str]) -> None:
    names = ("live_push_lag_seconds_count", 'live_push_lag_seconds_bucket{le="5.0"}', "live_deliveries_total")
    calendar = feed.calendar()
    with Socket(server).signed_in(token(CLINIC)) as one, Socket(server).signed_in(token(CLINIC)) as two:
        one.subscribe(calendar)
        two.subscribe(calendar)
        before = [server.metric(name) for name in names]
        feed.publish(calendar, 1, 2)
        assert one.versions(2) == two.versions(2) == [1, 2]
    assert [server.metric(name) - had for name, had in zip(names, before, strict=True)] == [2, 2, 4]


def test_after_unsubscribe_nothing_comes(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    staff.subscribe(calendar)
    staff.say("unsubscribe", calendar=calendar)
    staff.says_nothing_more(calendar)
    feed.publish(calendar, 1)
    staff.says_nothing_more(calendar)


def test_who_comes_back_gets_exactly_what_was_missed(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, *range(1, 45))

    answer = staff.subscribe(calendar, version=41, epoch=feed.epoch)
    feed.publish(calendar, 45)

    assert (answer["version"], answer["recovered"]) == (44, True)
    assert staff.versions(4) == [42, 43, 44, 45]


def test_who_missed_nothing_gets_nothing(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, 1, 2)
    assert staff.subscribe(calendar, version=2)["recovered"] is True
    staff.says_nothing_more(calendar)


@pytest.mark.parametrize("case", ["trimmed log", "no log", "another epoch", "a version to come"])
def test_what_cannot_be_recovered_in_full_is_not_recovered_at_all(staff: Socket, feed: Feed, case: str) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, *range(1, 11))
    had: dict[str, object] = {"version": 5, "epoch": feed.epoch}
    if case == "trimmed log":
        feed.redis.xtrim(f"live:log:{calendar}", maxlen=4, approximate=False)
    elif case == "no log":
        feed.redis.delete(f"live:log:{calendar}")
    elif case == "another epoch":
        had["epoch"] = "lost"
    else:
        had["version"] = 11

    answer = staff.subscribe(calendar, **had)

    assert (answer["version"], answer["recovered"]) == (10, False)
    feed.publish(calendar, 11)
    assert staff.versions(1) == [11]


def test_the_log_keeps_at_least_512_events(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, *range(1, 1_001))
    assert staff.subscribe(calendar, version=1_000 - 512)["recovered"] is True
    assert staff.versions(512) == list(range(489, 1_001))
    assert 0 < feed.redis.pttl(f"live:log:{calendar}") <= 3_600_000
    assert staff.subscribe(calendar, version=1)["recovered"] is False


def test_an_event_that_pub_sub_lost_is_fetched_from_the_log(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, 1)
    staff.subscribe(calendar)
    _write_unheard(feed, calendar, 2)
    _write_unheard(feed, calendar, 3)
    feed.publish(calendar, 4)
    assert staff.versions(3) == [2, 3, 4]
    staff.says_nothing_more(calendar)


def test_an_event_that_is_lost_for_good_starts_everybody_afresh(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    staff.subscribe(calendar)
    feed.publish(calendar, 3)
    answer = staff.hear("subscribed")
    assert (answer["calendar"], answer["version"], answer["recovered"]) == (calendar, 3, False)
    feed.publish(calendar, 4)
    assert staff.versions(1) == [4]


def test_a_lost_last_event_is_noticed_with_the_next_heartbeat(feed: Feed, token: Callable[..., str], tmp_path: Path) -> None:
    calendar, quiet = feed.calendar(), feed.calendar(version=3)
    with daphne(tmp_path / "daphne.log", HEARTBEAT_S="1") as server, Socket(server).signed_in(token(CLINIC)) as socket:
        socket.subscribe(calendar)
        socket.subscribe(quiet)
        _write_unheard(feed, calendar, 1)

        heard = [socket.hear()]
        while heard[-1]["type"] != "heartbeat" or heard[-1]["versions"] != {calendar: 1, quiet: 3}:
            heard.append(socket.hear())

    assert [frame["version"] for frame in heard if frame["type"] == "event"] == [1]


def test_a_restored_database_starts_everybody_afresh(staff: Socket, feed: Feed) -> None:
    calendar = feed.calendar(version=90)
    staff.subscribe(calendar)
    feed.redis.set(f"live:head:{calendar}", f"{CLINIC} 80")
    feed.epoch = "00000000-0000-7000-8000-000000000001"
    feed.begin()

    answer = staff.hear("subscribed")
    feed.publish(calendar, 81)

    assert (answer["epoch"], answer["version"], answer["recovered"]) == (feed.epoch, 80, False)
    assert staff.versions(1) == [81]


def test_the_public_learns_that_slots_changed_and_nothing_else(public: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    public.subscribe(calendar)
    feed.publish(calendar, 1)
    feed.publish(calendar, 2, event="calendar.hours_changed")
    feed.publish(calendar, 3, event="appointment.rescheduled")

    booked, hours, moved = public.hear(), public.hear(), public.hear()

    assert set(booked) == {"type", "calendar", "version", "event", "at", "data"}
    assert booked["event"] == hours["event"] == moved["event"] == "slots.changed"
    assert booked["data"] == {"start": "2026-12-01T14:00:00Z", "end": "2026-12-01T14:30:00Z", "free": False}
    assert hours["data"] == moved["data"] == {}


def test_the_public_recovers_its_own_frames(public: Socket, feed: Feed) -> None:
    calendar = feed.calendar()
    feed.publish(calendar, 1, 2)
    assert public.subscribe(calendar, version=0)["recovered"] is True
    assert [public.hear()["event"] for _ in range(2)] == ["slots.changed"] * 2


def test_redis_gone_and_back_under_an_open_socket_loses_nothing(tmp_path: Path, token: Callable[..., str]) -> None:
    """Its memory is gone as well; the feed puts back what the relay would: the epoch, the heads, then what was not sent."""
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        with daphne(tmp_path / "daphne.log", REDIS_URL=valkey.url) as server, Redis.from_url(valkey.url) as redis:
            feed = Feed(redis)
            feed.begin()
            unsent, lost = feed.calendar(), feed.calendar()
            with Socket(server).signed_in(token(CLINIC)) as socket:
                socket.subscribe(unsent)
                socket.subscribe(lost)
                feed.publish(unsent, 1)
                feed.publish(lost, 1)
                assert socket.versions(2) == [1, 1]

                valkey.kill()
                valkey.start()
                for calendar, version in ((unsent, 1), (lost, 2)):
                    redis.set(f"live:head:{calendar}", f"{CLINIC} {version}")
                feed.begin()
                feed.publish(unsent, 2, 3)

                heard = [socket.hear() for _ in range(3)]
                feed.publish(lost, 3)
                heard += [socket.hear()]

        of_unsent = [frame["version"] for frame in heard if frame["calendar"] == unsent]
        of_lost = [(frame["type"], frame["version"]) for frame in heard if frame["calendar"] == lost]
        assert of_unsent == [2, 3]
        assert of_lost == [("subscribed", 2), ("event", 3)]
    finally:
        valkey.kill()


def _write_unheard(feed: Feed, calendar: str, version: int) -> None:
    """What is left of an event whose message was lost on the way."""
    frame = json.dumps({"type": "event", "calendar": calendar, "version": version})
    feed.redis.xadd(f"live:log:{calendar}", {"staff": frame, "public": frame}, id=f"{version}-0")
    feed.redis.set(f"live:head:{calendar}", f"{CLINIC} {version}")
