"""The lifecycle against a literal table: a move that appears, vanishes or ends elsewhere must be changed here too."""

import re
from uuid import UUID

import pytest

from engine.scheduling.lifecycle import CAN_BE_MOVED, MOVES, TAKES_TIME, Appointment, Event, Status, moved, reverted

# One column per move, one row per status; a dash is a refusal.
TABLE = """
              confirm  expire   release    cancel     arrive   room     start        complete   no-show
held          booked   expired  cancelled  -          -        -        -            -          -
booked        -        -        -          cancelled  arrived  -        in_progress  -          no_show
arrived       -        -        -          cancelled  -        arrived  in_progress  completed  -
in_progress   -        -        -          -          -        -        -            completed  -
completed     -        -        -          -          -        -        -            -          -
cancelled     -        -        -          -          -        -        -            -          -
no_show       -        -        -          -          arrived  -        -            -          -
expired       -        -        -          -          -        -        -            -          -
"""
EVENT_OF = {
    "confirm": "appointment.booked",
    "expire": "appointment.expired",
    "release": "appointment.cancelled",
    "cancel": "appointment.cancelled",
    "arrive": "appointment.arrived",
    "room": "appointment.roomed",
    "start": "appointment.started",
    "complete": "appointment.completed",
    "no-show": "appointment.no_show",
}
TERMINAL = {Status.COMPLETED, Status.CANCELLED, Status.EXPIRED}


def _cells() -> list[tuple[str, str, str]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(status, move, target) for status, *targets in rows for move, target in zip(header, targets, strict=True)]


@pytest.mark.parametrize(("status", "move", "target"), _cells())
def test_a_move_leads_where_the_table_says_or_is_refused(status: str, move: str, target: str) -> None:
    allowed = Status(status) in MOVES[move].sources

    assert (MOVES[move].target if allowed else "-") == target


def test_the_table_has_every_status_and_every_move() -> None:
    assert {(status, move) for status, move, _ in _cells()} == {(status, move) for status in Status for move in MOVES}


def test_every_move_tells_its_own_event() -> None:
    assert {name: move.event for name, move in MOVES.items()} == EVENT_OF


def test_every_status_can_be_reached_from_held() -> None:
    reached, before = {Status.HELD}, set[Status]()

    while reached != before:
        before = set(reached)
        reached |= {move.target for move in MOVES.values() if move.sources & reached}

    assert reached == set(Status)


def test_a_terminal_status_has_no_way_out_and_every_other_one_has() -> None:
    with_way_out = {source for move in MOVES.values() for source in move.sources}

    assert with_way_out == set(Status) - TERMINAL


def test_nothing_leads_back_to_held() -> None:
    assert Status.HELD not in {move.target for move in MOVES.values()}


def test_the_statuses_on_the_wire_are_those_of_the_contract() -> None:
    assert [status.value for status in Status] == [
        "held",
        "booked",
        "arrived",
        "in_progress",
        "completed",
        "cancelled",
        "no_show",
        "expired",
    ]


def test_event_names_are_unique_and_say_whose_fact_they_are() -> None:
    names = [event.value for event in Event.__members__.values()]

    assert len(set(names)) == len(Event.__members__)
    assert all(re.fullmatch(r"(appointment|calendar)\.[a-z]+(_[a-z]+)*", name) for name in names)


def test_only_a_cancelled_or_expired_appointment_gives_its_time_back() -> None:
    assert set(Status) - TAKES_TIME == {Status.CANCELLED, Status.EXPIRED}


def test_only_a_visit_that_is_agreed_and_not_begun_can_be_rescheduled() -> None:
    assert {Status.BOOKED, Status.ARRIVED} == CAN_BE_MOVED


# --- the steps of a visit -------------------------------------------------------------------------------------------------


def after(*steps: str) -> Appointment:
    """A booked appointment after these moves: the first at 100, the next at 200, and so on."""
    visit = Appointment(UUID(int=7), 1, 1, 1, (1,), Status.BOOKED, 0, 60, "in_person", "", None, False, None, 1, 0)
    for number, name in enumerate(steps, 1):
        assert visit.allows(MOVES[name]), name
        visit = moved(visit, MOVES[name], now=number * 100)
    return visit


def test_each_step_of_a_visit_leaves_its_instant() -> None:
    assert after("arrive", "room", "start", "complete").stages == {
        "arrived": 100,
        "roomed": 200,
        "started": 300,
        "completed": 400,
    }
    assert after("no-show").stages == {}


def test_a_step_is_taken_once() -> None:
    assert not after("arrive", "room").allows(MOVES["room"])


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        (("arrive",), ()),
        (("arrive", "room"), ("arrive",)),
        (("arrive", "start"), ("arrive",)),
        (("arrive", "room", "start"), ("arrive", "room")),
        (("start",), ()),
        (("no-show",), ()),
    ],
)
def test_the_last_step_can_be_taken_back(steps: tuple[str, ...], before: tuple[str, ...]) -> None:
    assert reverted(after(*steps)) == after(*before)


@pytest.mark.parametrize("steps", [(), ("arrive", "complete"), ("cancel",)])
def test_what_is_not_begun_or_is_over_has_no_step_to_take_back(steps: tuple[str, ...]) -> None:
    assert reverted(after(*steps)) is None


def test_who_came_late_goes_back_to_being_expected() -> None:
    assert reverted(after("no-show", "arrive")) == after()
