"""Redis slow, gone, or without its memory: bookings go on, and nothing is booked twice. A Valkey of these tests' own."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from django.db import connection
from redis import Redis

from apps.kernel.redis import circuit
from apps.local.probes import answers
from apps.local.processes import guarded
from apps.local.servers import servers
from engine import bookings, locks, models
from engine.days import Days, moment
from engine.errors import SlotTaken
from engine.locks import Gate, gate_keys
from engine.rows import Done, Once
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment
from tests.invariants import violations
from tests.practice import Practice
from tests.writes import DESK, ZOE, offer

SKIPPED = "redis_skipped"
AT_MOST_S = 1.0
"""What one call may take while Redis does not answer: its time-out of 0.1 s, and what a busy machine adds to everything."""


class Valkey:
    """One server process that can be killed, frozen and started again at the same address."""

    def __init__(self, data: Path) -> None:
        everything_else = {f"DATABASE_URL_{name}": "-" for name in ("ENGINE", "AUTH", "RECORDS", "BILLING", "NOTIFICATIONS")}
        (self._process,) = servers(data, given=everything_else).processes
        self.address = self._process.probe
        self.start()

    def start(self) -> None:
        self._child = subprocess.Popen(guarded(self._process), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not answers(self.address):
            assert time.monotonic() < deadline, "valkey did not start"

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def freeze(self) -> None:
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def client(self) -> "Redis":
        return Redis.from_url(self.address)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    yield valkey
    valkey.thaw()
    valkey.kill()


@pytest.fixture
def valkey(machine: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """The server that the engine's gate asks in this test, empty."""
    machine.client().flushall()
    ours, theirs = Gate(machine.address), locks.gate
    circuit(machine.address).reset()
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("engine.") and getattr(module, "gate", None) is theirs:
            monkeypatch.setattr(module, "gate", ours)
    yield machine
    machine.thaw()
    if not answers(machine.address):
        machine.kill()
        machine.start()


@pytest.fixture
def skipped(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many calls found no Redis so far."""
    caplog.set_level(logging.WARNING, logger="engine.locks")
    return lambda: sum(record.message == SKIPPED for record in caplog.records)


def hold(practice: Practice, hour: int = 9, **once: Once) -> Appointment:
    return bookings.hold(offer(practice, practice.doctor, hour=hour), seconds=300, actor=DESK, **once).appointment


def keys(held: Appointment) -> list[str]:
    return gate_keys(held.clinic, held.calendars, held.start)


def timed(write: Callable[[], object]) -> float:
    began = time.monotonic()
    write()
    return time.monotonic() - began


def without_database(monkeypatch: pytest.MonkeyPatch, write: Callable[[], Done]) -> Any:
    """What a write gives or raises where no database can be reached: on a thread without a connection, that cannot open one."""
    results: list[Any] = []

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the database was asked")

    def run() -> None:
        try:
            results.append(write())
        except BaseException as refused:  # noqa: BLE001 - what comes out is what the test is about
            results.append(refused)
        finally:
            connection.close()

    with monkeypatch.context() as patched:
        patched.setattr(psycopg2, "connect", refuse)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    return results[0]


# --- the gate, when it is well --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["held", "confirmed"])
@pytest.mark.usefixtures("valkey")
def test_a_slot_that_somebody_holds_is_refused_without_asking_the_database(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    held = hold(practice)
    if again == "confirmed":
        bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)
    wanted = offer(practice, practice.doctor)

    refused = without_database(monkeypatch, lambda: bookings.hold(wanted, seconds=300, actor=DESK))

    assert isinstance(refused, SlotTaken)


@pytest.mark.usefixtures("valkey")
def test_a_slot_that_the_database_refused_is_refused_without_asking_it_again(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another start: only the database can know that it overlaps.
    bookings.hold(offer(practice, practice.doctor, practice.room), seconds=300, actor=DESK)
    inside = offer(practice, practice.doctor)
    half_past = replace(inside, start=inside.end, end=inside.end + 1800)
    with pytest.raises(SlotTaken):
        bookings.hold(half_past, seconds=300, actor=DESK)

    refused = without_database(monkeypatch, lambda: bookings.hold(half_past, seconds=300, actor=DESK))

    assert isinstance(refused, SlotTaken)


@pytest.mark.usefixtures("valkey")
def test_a_slot_that_nobody_has_is_asked_of_the_database(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = offer(practice, practice.doctor)

    asked = without_database(monkeypatch, lambda: bookings.hold(wanted, seconds=300, actor=DESK))

    assert isinstance(asked, AssertionError)


@pytest.mark.usefixtures("valkey")
@pytest.mark.parametrize("end", ["released", "cancelled", "moved away"])
def test_a_slot_that_was_given_back_can_be_taken_at_once(practice: Practice, end: str) -> None:
    held = hold(practice)
    if end == "released":
        bookings.release(held.id, actor=DESK)
    else:
        bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)
        if end == "cancelled":
            bookings.cancel(held.id, reason="", by="clinic", actor=DESK)
        else:
            bookings.reschedule(held.id, offer(practice, practice.doctor, hour=10), by="clinic", actor=DESK)

    assert hold(practice).start == held.start


def test_the_keys_of_a_hold_do_not_outlive_it(practice: Practice, valkey: Valkey) -> None:
    held = bookings.hold(offer(practice, practice.doctor, practice.room), seconds=30, actor=DESK).appointment

    left = [valkey.client().pttl(key) for key in keys(held)]

    assert len(left) == 2
    assert all(0 < milliseconds <= 30_000 for milliseconds in left)


def test_a_claim_whose_process_died_frees_itself(practice: Practice, valkey: Valkey) -> None:
    # What a process leaves that dies between the claim and the commit: a claim that nobody settles.
    wanted = offer(practice, practice.doctor)
    claimed = gate_keys(wanted.clinic, wanted.calendars, wanted.start)
    dead = Gate(valkey.address).claim(claimed, uuid4(), digest="", capacities=[1])
    assert dead is None

    with pytest.raises(SlotTaken):
        hold(practice)

    assert 0 < valkey.client().pttl(claimed[0]) <= 10_000
    valkey.client().delete(claimed[0])  # as its time-out does
    assert hold(practice).start == wanted.start


def test_a_hold_that_the_database_refused_claims_nothing(practice: Practice, valkey: Valkey) -> None:
    bookings.hold(offer(practice, practice.doctor, practice.room), seconds=300, actor=DESK)
    wanted = offer(practice, practice.nurse, practice.room)

    with pytest.raises(SlotTaken):
        bookings.hold(wanted, seconds=300, actor=DESK)

    assert valkey.client().pttl(gate_keys(wanted.clinic, [practice.nurse.id], wanted.start)[0]) <= 1_000
    (room,) = gate_keys(wanted.clinic, [practice.room.id], wanted.start)
    assert 1_000 < valkey.client().pttl(room) <= 300_000


# --- memory lost ----------------------------------------------------------------------------------------------------------


def test_when_redis_loses_its_memory_the_database_still_knows_every_hold(practice: Practice, valkey: Valkey) -> None:
    held = [hold(practice, hour) for hour in range(6, 12)]
    valkey.client().flushall()

    for hour in range(6, 12):
        with pytest.raises(SlotTaken):
            hold(practice, hour)

    assert models.Appointment.objects.count() == len(held)
    for one in held:
        bookings.confirm(one.id, patient=ZOE, state="", actor=DESK)
    assert violations(practice.slug) == []


def test_a_repeated_request_gets_its_first_answer_after_redis_lost_its_memory(practice: Practice, valkey: Valkey) -> None:
    once = Once("harbor:desk", "the one", b"all that was asked")
    first = hold(practice, once=once)
    valkey.client().flushall()

    assert hold(practice, once=once) == first
    assert models.Appointment.objects.count() == 1


def test_a_claim_that_redis_forgot_half_way_still_makes_one_hold(
    practice: Practice, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between the claim of one and its transaction another claims the same, books and is done.
    claim = locks.gate.claim

    def forgetful(claimed: list[str], hold_id: UUID, **rest: Any) -> str | None:
        answer = claim(claimed, hold_id, **rest)
        monkeypatch.setattr(locks.gate, "claim", claim)
        valkey.client().flushall()
        hold(practice)
        return answer

    monkeypatch.setattr(locks.gate, "claim", forgetful)
    with pytest.raises(SlotTaken):
        hold(practice)

    assert models.Appointment.objects.count() == 1


# --- killed ---------------------------------------------------------------------------------------------------------------


def test_bookings_go_on_when_redis_is_killed_and_the_gate_is_back_when_it_is(
    practice: Practice, valkey: Valkey, skipped: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hold(practice, 8)
    valkey.kill()

    took = [timed(partial(hold, practice, hour)) for hour in range(9, 15)]
    with pytest.raises(SlotTaken):
        hold(practice, 8)
    bookings.confirm(before.id, patient=ZOE, state="", actor=DESK)
    bookings.cancel(before.id, reason="", by="clinic", actor=DESK)
    hold(practice, 8)

    assert max(took) < AT_MOST_S
    assert skipped() >= 1
    assert violations(practice.slug) == []

    valkey.start()
    circuit(valkey.address).reset()
    hold(practice, 16)
    wanted = offer(practice, practice.doctor, hour=16)
    assert isinstance(without_database(monkeypatch, lambda: bookings.hold(wanted, seconds=300, actor=DESK)), SlotTaken)


# --- frozen ---------------------------------------------------------------------------------------------------------------


def test_a_frozen_redis_is_waited_for_briefly_and_not_by_every_call(
    practice: Practice, valkey: Valkey, skipped: Callable[[], int]
) -> None:
    hold(practice, 8)
    valkey.freeze()
    for second in range(3):
        circuit(valkey.address).reset()  # a second has passed
        began = time.monotonic()

        took = [timed(partial(hold, practice, hour)) for hour in range(4 * second + 9, 4 * second + 13)]

        assert max(took) < AT_MOST_S
        # Only so long as the second is not over on the clock must the others not have asked.
        assert skipped() == second + 1 or time.monotonic() - began > 1
    with pytest.raises(SlotTaken):
        hold(practice, 8)
    assert violations(practice.slug) == []


def test_a_slot_given_back_while_redis_did_not_answer_is_refused_no_longer_than_its_hold(
    practice: Practice, valkey: Valkey
) -> None:
    held = hold(practice)
    valkey.freeze()
    hold(practice, 10)  # finds no answer, so that the next call does not even ask
    bookings.release(held.id, actor=DESK)
    valkey.thaw()
    circuit(valkey.address).reset()

    # Redis never heard of the release: what it still says must end when the hold would have ended.
    left = valkey.client().pttl(keys(held)[0])

    assert 0 < left <= 300_000, f"refused for another {left / 1000:.0f} s"


# --- threads that come and go ---------------------------------------------------------------------------------------------


def test_the_gate_serves_any_number_of_threads_one_after_another(valkey: Valkey, skipped: Callable[[], int]) -> None:
    faults: list[BaseException] = []

    def ring() -> None:
        try:
            locks.gate.ring()
        except BaseException as fault:  # noqa: BLE001 - whatever it is, it must not have come out
            faults.append(fault)

    for _ in range(300):
        thread = threading.Thread(target=ring)
        thread.start()
        thread.join()

    assert (faults, skipped()) == ([], 0)
    assert valkey.client().info("clients")["connected_clients"] < 50


def test_free_times_are_found_in_the_rows_while_redis_is_silent(practice: Practice, valkey: Valkey) -> None:
    cache, seen = Days(valkey.address), moment([practice.doctor.id])
    held = hold(practice)
    around, clinic = Interval(held.start, held.end), practice.doctor.clinic_id

    def known() -> list[int]:
        cache.memory.clear()
        return [claim.start for one in cache.known(seen, around, clinic=clinic) for claim in one.claims]

    assert known() == [held.start]
    valkey.freeze()
    for _ in range(2):
        assert timed(known) < AT_MOST_S
        assert known() == [held.start]
    valkey.thaw()
    valkey.kill()
    circuit(valkey.address).reset()
    assert timed(known) < AT_MOST_S
    assert known() == [held.start]
