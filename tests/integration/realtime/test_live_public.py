"""What the public sees live, from the write to the frame: that a time is taken or free again, and nothing else."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from engine import bookings, tasks
from tests.integration.realtime.live import Server, Socket, of_this_test, relaying
from tests.practice import Practice
from tests.writes import DESK, ZOE, make_overdue, offer

WITHIN_S = 1.0


@pytest.fixture
def relay(practice: Practice, tmp_path: Path) -> Iterator[Server]:
    with relaying(tmp_path / "relay.log", **of_this_test()) as started:
        yield started


def expired(hold: UUID) -> None:
    make_overdue(hold)
    assert tasks.expire_holds() == 1


def released(hold: UUID) -> None:
    bookings.release(hold, actor=DESK)


def cancelled(hold: UUID) -> None:
    bookings.confirm(hold, patient=ZOE, state="", actor=DESK)
    bookings.cancel(hold, reason="Zoe Canary is ill", by="clinic", actor=DESK)


@pytest.mark.parametrize("end", [expired, released, cancelled], ids=lambda end: end.__name__)
@pytest.mark.usefixtures("relay")
def test_a_hold_is_seen_within_a_second_on_all_its_calendars_and_so_is_its_end(
    server: Server, practice: Practice, end: Callable[[UUID], None]
) -> None:
    wanted = offer(practice, practice.doctor, practice.room)
    with Socket(server).public(practice.slug) as of_doctor, Socket(server).public(practice.slug) as of_room:
        for socket, calendar in ((of_doctor, practice.doctor), (of_room, practice.room)):
            assert socket.subscribe(str(calendar.uid))["type"] == "subscribed"

        hold = bookings.hold(wanted, seconds=300, actor=DESK).appointment
        taken = [heard(socket, since=time.monotonic()) for socket in (of_doctor, of_room)]
        end(hold.id)
        ended = time.monotonic()
        if end is cancelled:
            assert [heard(socket, since=ended)["free"] for socket in (of_doctor, of_room)] == [False, False]
        free = [heard(socket, since=ended) for socket in (of_doctor, of_room)]

    assert [data["free"] for data in taken] == [False, False]
    assert [data["free"] for data in free] == [True, True]
    assert {(data["start"], data["end"]) for data in (*taken, *free)} == {(taken[0]["start"], taken[0]["end"])}


def heard(socket: Socket, *, since: float) -> dict[str, object]:
    """What the next frame says, which must come in time and say nothing but what the public may know."""
    frame = socket.hear("event")
    assert time.monotonic() - since < WITHIN_S
    assert set(frame) == {"type", "calendar", "version", "event", "at", "data"}
    assert frame["event"] == "slots.changed"
    assert set(frame["data"]) == {"start", "end", "free"}
    return dict(frame["data"])


@pytest.mark.usefixtures("relay")
def test_the_public_of_one_clinic_does_not_see_another(server: Server, practice: Practice) -> None:
    calendar = str(practice.doctor.uid)
    with Socket(server).public("elsewhere") as curious, Socket(server).public(practice.slug) as theirs:
        theirs.subscribe(calendar)
        assert curious.subscribe(calendar) == {"type": "error", "code": "not_found", "calendar": calendar}
        bookings.hold(offer(practice, practice.doctor), seconds=300, actor=DESK)
        heard(theirs, since=time.monotonic())
        curious.says_nothing_more(calendar)
