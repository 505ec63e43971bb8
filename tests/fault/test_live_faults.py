"""500 open sockets, bookings that go on, and something dies: afterwards every client has what a fresh snapshot says.

That no client was given a version twice, out of order or after a hole is watched all the time by the clients (`tests/fleet.py`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import pytest
from django.db import connection
from django.test import Client

from engine import bookings, models
from tests.fleet import Fleet
from tests.integration.realtime.live import Server, Valkey, daphne, of_this_test, relaying, until
from tests.practice import DAY, Practice, tomorrow
from tests.reducer import Screen, load
from tests.writes import DESK, ZOE, offer

SOCKETS = 500
AWAY_S = 1.0
FROZEN_S = 10.0


@dataclass
class Stage:
    """Everything on the way from a booking to a screen. `again` starts a process that was killed."""

    valkey: Valkey
    relay: Server
    push: Server
    again: Callable[[str], None]


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    valkey = Valkey(folder)
    valkey.start()
    environ = {**of_this_test(), "REDIS_URL": valkey.url, "HEARTBEAT_S": "5"}
    with ExitStack() as opened:
        opened.callback(valkey.kill)
        relay = opened.enter_context(relaying(folder / "relay.log", **environ))
        push = opened.enter_context(daphne(folder / "push.log", **environ))

        def again(name: str) -> None:
            if name == "relay":
                opened.enter_context(relaying(folder / "relay.log", **environ))
            else:
                opened.enter_context(daphne(folder / "push.log", push.port, **environ))

        yield Stage(valkey, relay, push, again)


@contextmanager
def bookings_going_on(practice: Practice) -> Iterator[None]:
    """Holds, confirmations, cancellations and releases on all calendars, as fast as one desk is."""
    stopped = Event()
    visits = [(practice.doctor, practice.room), (practice.nurse,)]
    wanted = cycle([offer(practice, *calendars, hour=hour) for hour in range(5, 24) for calendars in visits])

    def book() -> None:
        for hour in range(5):  # these stay
            bookings.book(offer(practice, practice.doctor, hour=hour), patient=ZOE, state="", actor=DESK)
        while not stopped.wait(0.03):
            held = bookings.hold(next(wanted), seconds=300, actor=DESK).appointment
            if held.version % 3:
                bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)
                bookings.cancel(held.id, reason="", by="clinic", actor=DESK)
            else:
                bookings.release(held.id, actor=DESK)
        connection.close()

    desk = Thread(target=book)
    desk.start()
    try:
        yield
    finally:
        stopped.set()
        desk.join()


def snapshots(client: Client) -> Callable[[str], Screen]:
    def of(calendar: str) -> Screen:
        days = {"from": f"{_day(tomorrow())}T00:00:00Z", "to": f"{_day(tomorrow() + 2 * DAY)}T00:00:00Z"}
        try:
            answer = client.get(f"/api/engine/v1/calendars/{calendar}/snapshot", days)
            assert answer.status_code == 200, answer.content
            return load(answer.json())
        finally:
            connection.close()

    return of


def _day(instant: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(instant))


def push_killed(stage: Stage) -> None:
    stage.push.kill()
    time.sleep(AWAY_S)
    stage.again("push")


def relay_killed(stage: Stage) -> None:
    stage.relay.kill()
    time.sleep(AWAY_S)
    stage.again("relay")


def redis_killed(stage: Stage) -> None:
    stage.valkey.kill()
    time.sleep(AWAY_S)
    stage.valkey.start()


def redis_frozen(stage: Stage) -> None:
    stage.valkey.freeze()
    time.sleep(FROZEN_S)
    stage.valkey.thaw()


def all_killed(stage: Stage) -> None:
    stage.relay.kill()
    stage.valkey.kill()
    stage.push.kill()
    stage.valkey.start()
    stage.again("relay")
    stage.again("push")


@pytest.mark.parametrize(
    "fault", [push_killed, relay_killed, redis_killed, redis_frozen, all_killed], ids=lambda fault: fault.__name__
)
def test_every_client_ends_with_what_a_fresh_snapshot_says(
    practice: Practice, token: Callable[..., str], desk: Client, tmp_path: Path, fault: Callable[[Stage], None]
) -> None:
    calendars = [str(calendar.uid) for calendar in (practice.doctor, practice.nurse, practice.room)]
    of = snapshots(desk)
    with staged(tmp_path) as stage:
        address = f"ws://127.0.0.1:{stage.push.port}/ws/v1/live"
        watched = [calendars[number % 3] for number in range(SOCKETS)]
        with Fleet(address, token=token(practice.slug), calendars=watched, load=of) as fleet:
            until(lambda: fleet.all_are_in() or None, what="all are connected", within_s=30)
            with bookings_going_on(practice):
                before = versions()
                until(lambda: all(now > before[uid] for uid, now in versions().items()) or None, what="all calendars move")
                fault(stage)
                after = versions()
                until(lambda: fleet.all_know(after) or None, what="all know what was booked meanwhile", within_s=30)
            last = versions()
            until(lambda: fleet.all_know(last) or None, what="all know everything")
            fresh = {calendar: of(calendar) for calendar in calendars}
            seen = [viewer.screen for viewer in fleet.viewers]

    if fault is not redis_killed and fault is not all_killed:
        assert all(recovered for _, recovered in fleet.answers[SOCKETS:]), "somebody had to start afresh"
    assert seen == [fresh[calendar] for calendar in watched]
    assert all(last[calendar] > after[calendar] >= before[calendar] + 3 for calendar in calendars)
    print(f"{dict(fleet.closes)} closed, {sum(not recovered for _, recovered in fleet.answers) - SOCKETS} afresh, {last}")


def versions() -> dict[str, int]:
    return {str(uid): version for uid, version in models.Calendar.objects.values_list("uid", "version")}
