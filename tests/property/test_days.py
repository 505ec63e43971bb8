"""The caches of availability beside the rows themselves: for a named version they never disagree, whatever is written, evicted,
flushed or cut off. Three processes' caches share one real Redis, or cannot reach it.
"""

from itertools import count
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from engine import bookings, queries
from engine.days import Days, Known, Moment, moment, redis_key
from engine.locks import gate
from engine.queries import Found
from engine.rules import VisitTypeRules
from engine.scheduling.claims import Claim
from engine.scheduling.intervals import DAY_S, Interval
from tests.day_caches import NOWHERE, REDIS, Processes, rows
from tests.practice import Practice
from tests.property.test_machine import KINDS, BookingMachine, calendars, opening_times, recent, steps, wishes
from tests.writes import DESK, offer

AFTER_ALL_HOLDS_S = 1000


class Straight(Days):
    """No cache at all."""

    def known(self, seen: Moment, within: Interval, *, clinic: int) -> list[Known]:
        whole = Interval(within.start - within.start % DAY_S, within.end)
        return [Known(stand, tuple(Claim(*row) for row in rows(stand.calendar, whole)[1])) for stand in seen.stands]


def search(cache: Days, rules: VisitTypeRules, within: Interval, *, seen: Moment) -> Found:
    with patch.object(queries, "days", cache):
        return queries.slots(rules, within, limit=20, seen=seen)


class CacheMachine(BookingMachine):
    """Any writes in any order, as there; here the caches are looked at after each."""

    def __init__(self) -> None:
        super().__init__()
        self.processes = Processes(sorted(self.names), clinic=self.practice.doctor.clinic_id)
        self.turn = count()

    def time_passes(self, which: int) -> None:
        """Not in the rows: the searches below look at them from a later time."""

    @rule(
        what=steps,
        which=recent,
        wish=wishes,
        calendar=calendars,
        change=opening_times,
        gone=st.sampled_from(["nothing", "memory", "redis", "all memories"]),
    )
    def step(self, what: str, which: int, wish: tuple[str, str, int], calendar: str, change: tuple[str, Any], gone: str) -> None:
        match gone:
            case "memory":
                self.processes.usual.memory.clear()
            case "redis":
                self.processes.redis.flushall()
            case "all memories":
                for cache in self.processes.all:
                    cache.memory.clear()
        super().step(what, which, wish, calendar, change)

    @invariant()
    def the_caches_say_what_the_rows_say(self) -> None:
        self.processes.check()

    @invariant()
    def the_slots_are_those_of_the_rows(self) -> None:
        turn = next(self.turn)
        kind, cache = list(KINDS)[turn % len(KINDS)], self.processes.all[turn % len(self.processes.all)]
        rules = queries.visit_type_by_uid(self.kinds[kind].uid)
        within = Interval(self.midnight + 8 * 3600, self.midnight + 14 * 3600)
        today = moment(rules.calendars)
        for seen in (today, today._replace(now=today.now + AFTER_ALL_HOLDS_S)):
            found = search(cache, rules, within, seen=seen)
            expected = search(Straight(NOWHERE), rules, within, seen=seen)
            assert (found.offers, found.next, found.until) == (expected.offers, expected.next, expected.until)
            # Nor does it change before it says so.
            last = search(Straight(NOWHERE), rules, within, seen=seen._replace(now=min(found.until, seen.now + 10**5) - 1))
            assert last.offers == found.offers


def test_caches_and_rows_never_disagree(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gate may say no too early, which the model of the writes cannot foresee; and it would remember what was flushed.
    monkeypatch.setattr(gate, "claim", lambda *_args, **_kwargs: None)
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_value_under_a_wrong_version_is_noticed(practice: Practice) -> None:
    processes = Processes([practice.doctor.id], clinic=practice.doctor.clinic_id)
    processes.check()
    held = bookings.hold(offer(practice, practice.doctor), seconds=300, actor=DESK).appointment
    epoch = moment(processes.calendars).epoch
    for number in range(processes.first - 1, processes.first + 2):
        old, new = (
            redis_key((epoch, practice.doctor.id, number, version), clinic=processes.clinic)
            for version in (held.version - 1, held.version)
        )
        processes.redis.set(new, cast(bytes, processes.redis.get(old)))

    with pytest.raises(AssertionError):
        processes.check()


def test_one_that_puts_rows_under_the_version_it_was_asked_for_is_noticed(practice: Practice) -> None:
    class Careless(Days):
        """Puts what it reads under the version of the moment, although somebody may have written since."""

        def known(self, seen: Moment, within: Interval, *, clinic: int) -> list[Known]:
            known = super().known(seen, within, clinic=clinic)
            for one, stand in zip(known, seen.stands, strict=True):
                for number in range(within.start // DAY_S, within.end // DAY_S):
                    value = self.memory.get((seen.epoch, one.stand.calendar, number, one.stand.version))
                    self.memory.put((seen.epoch, stand.calendar, number, stand.version), value or b"")
            return known

    for kind, right in ((Days, True), (Careless, False)):
        processes = Processes([practice.doctor.id], clinic=practice.doctor.clinic_id)
        processes.check()
        before = moment(processes.calendars)
        bookings.hold(offer(practice, practice.doctor, hour=9 if right else 10), seconds=300, actor=DESK)
        processes.redis.flushall()
        processes.usual = kind(REDIS)
        processes.all = (processes.usual,)
        processes.usual.known(before, processes.within, clinic=processes.clinic)

        if right:
            processes.check()
        else:
            with pytest.raises(AssertionError):
                processes.check()
