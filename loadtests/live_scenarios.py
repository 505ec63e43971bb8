"""What is done to one server of the live path, and what it costs: the scenarios that our push process shares with its peers.

Each takes a server that has just been started (`live_servers.serving`), opens its own sockets and publishes its own events. What it
gives back is plain figures; which of them are good is for live_report.py to say.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import uuid4

from apps.kernel import tokens
from loadtests import target
from loadtests.live_servers import CLINIC, DIALECTS, OURS, PUBLIC, Live, forget_peak, memory, peak
from loadtests.sockets import Crowd, Viewer
from loadtests.target import Json, Target

_CALENDARS, _VIEWERS_EACH, _HALL = 500, 4, 1000
_IDLE_SOCKETS = 10_000
_SETTLE_S = 15.0
_RAMP_FROM, _RAMP_BY, _RAMP_TO, _RAMP_STEP_S = 20_000, 1.25, 160_000, 2.0
_RAMP_LATENCY_S = 0.25
# A publisher that took this much longer than the rate allows did not put on the load that was asked for.
_RATE_MISSED = 1.1


class Meter:
    """CPU from its making on: of the target's processes, of this one, and of everything else on the machine."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._at = Target(pids, {}, {})
        self._before, self._others, self._stolen = target.cpu(self._at), target.others(self._at), target.steal()
        self._own, self._began = time.process_time(), time.perf_counter()

    def read(self) -> Json:
        """Seconds of CPU by process, the wall time, and how many cores others had meanwhile."""
        wall, own = time.perf_counter() - self._began, time.process_time() - self._own
        return {
            "wall_s": wall,
            "cpu_s": target.since(self._before, target.cpu(self._at)),
            "client_cores": round(own / wall, 2),
            "busy_elsewhere": round((target.others(self._at) - self._others - own) / wall, 2),
            "stolen": round((target.steal() - self._stolen) / wall, 2),
        }


def quantiles(latencies: Sequence[float]) -> Json:
    """p50, p99 and the longest, in milliseconds."""
    ordered = sorted(latencies) or [0.0]
    at = {"p50_ms": len(ordered) // 2, "p99_ms": len(ordered) * 99 // 100, "max_ms": len(ordered) - 1}
    return {name: round(ordered[number] * 1000, 1) for name, number in at.items()}


async def deliver(live: Live, crowd: Crowd, calendars: Sequence[str], *, events: int, per_s: float = 0, note: int = 0) -> Json:
    """Publishes events and waits for them. `lost` were skipped or had not come 15 s later, `repeated` came again or too late."""
    crowd.latencies.clear()
    received, faults, meter = crowd.received, Counter(crowd.faults()), Meter(live.pids)
    published = await live.publisher.publish(calendars, events=events, per_s=per_s, note=note)
    due = await crowd.settle(published["versions"], within_s=_SETTLE_S)
    spent = meter.read()
    count, faults = crowd.received - received, Counter(crowd.faults()) - faults
    return {
        "events": events,
        "deliveries": count,
        "lost": due + faults["skipped"],
        "repeated": faults["repeated"],
        "sockets_ended": sum(number for how, number in faults.items() if how.startswith("ended_")),
        "cpu_us": round(spent["cpu_s"]["server"] / max(1, count) * 1e6, 1),
        "publisher_us_per_event": round(published["cpu_s"] / max(1, events) * 1e6, 1),
        "valkey_us_per_event": round(spent["cpu_s"]["valkey"] / events * 1e6, 1),
        "asked_per_s": round(per_s * count / events),
        "per_s": round(count / published["took_s"]),
        **quantiles(crowd.latencies),
        **{name: spent[name] for name in ("client_cores", "busy_elsewhere", "stolen")},
    }


async def open_sockets(live: Live, crowd: Crowd, viewers: Sequence[Viewer]) -> Json:
    """Opens and subscribes the viewers, and says what each of them cost the server."""
    before, meter = memory(live.pid), Meter(live.pids)
    await crowd.join(viewers)
    spent = meter.read()
    return {
        "sockets": len(viewers),
        "cpu_ms": round(spent["cpu_s"]["server"] / len(viewers) * 1000, 3),
        "per_s": round(len(viewers) / spent["wall_s"]),
        "kib_each": round((memory(live.pid) - before) / len(viewers) / 1024, 1),
        **{name: spent[name] for name in ("client_cores", "busy_elsewhere", "stolen")},
    }


async def session(live: Live, *, seconds: float) -> Json:
    """One server through everything that all servers go through; what takes a while takes about `seconds`."""
    calendars = await _calendars(live, _CALENDARS)
    crowd = Crowd(live.port, DIALECTS[live.name])
    try:
        found = {"open": await open_sockets(live, crowd, _viewers(live, calendars, each=_VIEWERS_EACH))}
        found["four_viewers"] = await deliver(live, crowd, calendars, events=int(500 * seconds), per_s=500)
        if live.name == "channels":  # the rest is more than it can carry, and shows nothing new
            return found
        found["burst"] = await deliver(live, crowd, calendars, events=2000)
        (hall,) = await _calendars(live, 1)
        listeners = _viewers(live, [hall], each=_HALL)
        await crowd.join(listeners)
        found["one_room"] = await deliver(live, crowd, [hall], events=int(20 * seconds * 0.6), per_s=20)
        crowd.leave(listeners)
        found["most"] = await _ramp(live, crowd, calendars)
        if live.name == OURS:
            crowd.leave()
            found["open_public"] = await _open_public(live, calendars)
    finally:
        crowd.close()
    return found


async def _open_public(live: Live, calendars: Sequence[str]) -> Json:
    crowd = Crowd(live.port, PUBLIC)
    try:
        return await open_sockets(live, crowd, _viewers(live, calendars, each=_VIEWERS_EACH))
    finally:
        crowd.close()


async def _ramp(live: Live, crowd: Crowd, calendars: Sequence[str]) -> Json:
    """Raises the rate until deliveries are late or lost, or the load cannot be put on; the last good step, and all of them."""
    steps: list[Json] = []
    rate, ended_by = float(_RAMP_FROM), "the end of the ramp"
    while rate <= _RAMP_TO:
        per_s = rate / _VIEWERS_EACH
        step = await deliver(live, crowd, calendars, events=int(per_s * _RAMP_STEP_S), per_s=per_s)
        if step["lost"] or step["repeated"] or step["p99_ms"] > _RAMP_LATENCY_S * 1000:
            ended_by = "the server"
        elif step["per_s"] * _RATE_MISSED < rate:
            ended_by = "the publisher"
        steps.append(step)
        if ended_by != "the end of the ramp":
            break
        rate *= _RAMP_BY
    good = [step for step in steps if not step["lost"] and step["p99_ms"] <= _RAMP_LATENCY_S * 1000]
    return {**(good or steps)[-1], "ended_by": ended_by, "steps": steps}


async def idle(live: Live, *, seconds: float) -> Json:
    """10,000 sockets on a fresh server that say nothing: memory, and CPU while nothing happens."""
    before = memory(live.pid)
    calendars = await _calendars(live, _IDLE_SOCKETS // _VIEWERS_EACH)
    crowd = Crowd(live.port, DIALECTS[live.name])
    try:
        found = await open_sockets(live, crowd, _viewers(live, calendars, each=_VIEWERS_EACH))
        await asyncio.sleep(1)
        meter = Meter(live.pids)
        await asyncio.sleep(seconds)
        spent = meter.read()
        found["idle_ms_per_s"] = round(spent["cpu_s"]["server"] / spent["wall_s"] * 1000, 1)
        found["memory_mib"], found["fresh_mib"] = _mib(memory(live.pid)), _mib(before)
        found |= {"sockets_ended": sum(crowd.faults().values())}
    finally:
        crowd.close()
    return found


async def stopped(live: Live) -> Json:
    """Five viewers of one calendar; one stops reading while 5,000 events of 4 KB come; then it reads on."""
    calendars = await _calendars(live, 1)
    crowd = Crowd(live.port, DIALECTS[live.name])
    viewers = _viewers(live, calendars, each=5)
    try:
        await crowd.join(viewers)
        await deliver(live, crowd, calendars, events=200, per_s=500, note=4096)
        before = memory(live.pid)
        forget_peak(live.pid)
        asleep = viewers[0]
        crowd.look_away(asleep)
        crowd.viewers.remove(asleep)
        found = await deliver(live, crowd, calendars, events=5_000, per_s=1_000, note=4096)
        found["memory_more_kib"] = round((memory(live.pid) - before) / 1024)
        found["peak_more_kib"] = round((peak(live.pid) - before) / 1024)
        crowd.viewers.append(asleep)
        crowd.look_again(asleep)
        await asyncio.sleep(1)
        found["stopped_one_got"], found["stopped_one_ended"] = asleep.version - 200, asleep.ended
        found |= crowd.faults() if asleep.missed or asleep.repeated else {}
    finally:
        crowd.close()
    return found


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


async def _calendars(live: Live, count: int) -> list[str]:
    """Calendars nobody has seen before, which the publisher has made known."""
    calendars = [str(uuid4()) for _ in range(count)]
    await live.publisher.publish(calendars, events=0)
    return calendars


def _viewers(live: Live, calendars: Sequence[str], *, each: int) -> list[Viewer]:
    """`each` viewers a calendar; at our server every one has a token of its own, as people have."""
    viewers = [Viewer(calendar) for calendar in calendars for _ in range(each)]
    for number, viewer in enumerate(viewers if live.name == OURS else ()):
        viewer.token = tokens.sign(live.signing_key, subject=f"storm-{number}", clinic=CLINIC, role="program", seconds=900)
    return viewers
