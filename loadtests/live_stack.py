"""The live path of a whole stack: from the commit through relay, Redis, push process and edge into a client's hands.

Events are rows in the outbox, committed as a booking commits them (`engine.outbox.record` under the calendar's lock, then
the bell), by four writers. Whole bookings at this rate would need more cores for themselves than the machine has.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import urlsplit

import psycopg2
from redis import Redis

from loadtests import target
from loadtests.live_scenarios import Meter, quantiles
from loadtests.live_servers import DIALECTS, OURS, Publisher, forget_peak, peak, publishing
from loadtests.sockets import Crowd, Viewer
from loadtests.target import Clinic, Json, Target

_CALENDARS, _WRITERS = 500, 4
_SETTLE_S = 20.0
_EVENTS_PER_S = 500
_BACK, _MISSED_EACH = 5_000, 5
_KNOWN_WITHIN_S = 30


class Stage:
    """A clinic with 500 calendars in a running stack, and the writers of its events."""

    def __init__(self, at: Target, clinic: Clinic, writers: Sequence[Publisher]) -> None:
        self.at, self.clinic, self._writers = at, clinic, writers
        with closing(psycopg2.connect(at.database)) as connection, connection.cursor() as cursor:
            query = "SELECT c.uid::text FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id WHERE k.slug = %s"
            cursor.execute(query, [self.clinic.slug])
            self.calendars = [calendar for (calendar,) in cursor.fetchall()]
        self._wait_for_the_relay()

    def _wait_for_the_relay(self) -> None:
        # It tells Redis of new calendars every 2 s.
        deadline = time.monotonic() + _KNOWN_WITHIN_S
        with Redis.from_url(self.at.variables["REDIS_URL"]) as redis:
            while not all(redis.mget([f"live:head:{calendar}" for calendar in self.calendars])):
                if time.monotonic() > deadline:
                    raise RuntimeError("The relay did not tell Redis of the new calendars.")
                time.sleep(0.1)

    def viewers(self, count: int) -> list[Viewer]:
        """Viewers over all calendars, each with a token of its own."""
        tokens = target.bearer_tokens(self.at, self.clinic, count)
        return [Viewer(self.calendars[n % len(self.calendars)], token) for n, token in enumerate(tokens)]

    def crowd(self) -> Crowd:
        return Crowd(urlsplit(self.at.urls["edge"]).port or 80, DIALECTS[OURS])

    async def publish(self, *, events: int, per_s: float) -> Json:
        """Commits events, shared out among the writers. Their versions, the time it took, and the CPU of all writers."""
        shares = [self.calendars[n::_WRITERS] for n in range(_WRITERS)]
        answers = await asyncio.gather(
            *(
                writer.publish(share, events=events // _WRITERS, per_s=per_s / _WRITERS)
                for writer, share in zip(self._writers, shares, strict=True)
            )
        )
        return {
            "versions": {calendar: version for answer in answers for calendar, version in answer["versions"].items()},
            "took_s": max(answer["took_s"] for answer in answers),
            "cpu_s": sum(answer["cpu_s"] for answer in answers),
        }


@contextmanager
def stage(at: Target) -> Iterator[Stage]:
    """The stage, with its clinic made before its writers look for the calendars."""
    with ExitStack() as stack:
        clinic = target.make_clinic(at, calendars=_CALENDARS)
        yield Stage(at, clinic, [stack.enter_context(publishing("outbox", at.variables)) for _ in range(_WRITERS)])


async def lag(on: Stage, *, seconds: float) -> Json:
    """500 events/s to 2,000 sockets through the edge. Latency begins before the commit: it holds the wait for the disk."""
    crowd = on.crowd()
    try:
        await crowd.join(on.viewers(4 * _CALENDARS))
        await _events(on, crowd, events=_CALENDARS)  # each calendar once, so that everything is warm
        return await _events(on, crowd, events=int(_EVENTS_PER_S * seconds))
    finally:
        crowd.close()


async def _events(on: Stage, crowd: Crowd, *, events: int) -> Json:
    crowd.latencies.clear()
    received, meter = crowd.received, Meter(on.at.pids)
    published = await on.publish(events=events, per_s=_EVENTS_PER_S)
    due = await crowd.settle(published["versions"], within_s=_SETTLE_S)
    spent = meter.read()
    count, faults = crowd.received - received, crowd.faults()
    return {
        "events": events,
        "deliveries": count,
        "lost": due + faults["skipped"],
        "repeated": faults["repeated"],
        "sockets_ended": sum(faults.values()) - faults["skipped"] - faults["repeated"],
        "events_per_s": round(events / published["took_s"], 1),
        **quantiles(crowd.latencies),
        "cpu_ms_per_event": {name: round(seconds / events * 1000, 3) for name, seconds in sorted(spent["cpu_s"].items())},
        "writers_ms_per_event": round(published["cpu_s"] / events * 1000, 3),
        **{name: spent[name] for name in ("client_cores", "busy_elsewhere", "stolen")},
    }


async def comeback(on: Stage) -> Json:
    """5,000 sockets through the edge are gone while each calendar gets 5 events, then all come back at once with their versions."""
    crowd = on.crowd()
    try:
        await crowd.join(on.viewers(_BACK))
        before = {viewer: (viewer.version, viewer.epoch) for viewer in crowd.viewers}
        crowd.leave()
        published = await on.publish(events=_MISSED_EACH * _CALENDARS, per_s=_EVENTS_PER_S)
        quiet = _transactions(on.at)
        start = _transactions(on.at)
        watched = {name: pid for name, pid in on.at.pids.items() if name.startswith("realtime")}
        for pid in watched.values():
            forget_peak(pid)
        back = [Viewer(v.calendar, v.token, version=version, epoch=epoch) for v, (version, epoch) in before.items()]
        meter, began = Meter(on.at.pids), time.perf_counter()
        with suppress(TimeoutError):  # who is not back by then counts as not recovered
            await crowd.join(back, at_once=_BACK, stubborn=True)
        opened = time.perf_counter() - began
        due = await crowd.settle(published["versions"], within_s=_SETTLE_S)
        took, spent = time.perf_counter() - began, meter.read()
        end = _transactions(on.at)
    finally:
        crowd.close()
    per_s_of_others = (start[0] - quiet[0]) / (start[1] - quiet[1])
    return {
        "sockets": _BACK,
        "recovered": sum(viewer.recovered for viewer in back),
        "deliveries": sum(viewer.received for viewer in back),
        "lost": due + sum(viewer.missed for viewer in back),
        "repeated": sum(viewer.repeated for viewer in back),
        "refused": dict(crowd.refused),
        "all_open_s": round(opened, 2),
        "all_recovered_s": round(took, 2),
        "transactions_more": round(end[0] - start[0] - per_s_of_others * (end[1] - start[1]), 1),
        "transactions_per_s_of_others": round(per_s_of_others, 2),
        "peak_mib": {name: round(peak(pid) / 2**20, 1) for name, pid in watched.items()},
        "cpu_ms_each": {name: round(seconds / _BACK * 1000, 3) for name, seconds in sorted(spent["cpu_s"].items())},
        **{name: spent[name] for name in ("client_cores", "busy_elsewhere", "stolen")},
    }


def _transactions(at: Target) -> tuple[int, float]:
    """Transactions in the engine's database so far, and when that was; waits until all are counted."""
    return target.counters(at)["transactions"], time.monotonic()
