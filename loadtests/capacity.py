"""What the measured costs come to for many users at the peak hour; the table of results/capacity.md.

    .venv/bin/python -m loadtests.capacity

Takes nothing but the committed results of booking_storm, live_storm and peak_hour, and the assumptions below.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.arrivals import PEAK_HOUR, READS
from loadtests.peak_report import cpu_ms
from loadtests.target import Json

RESULTS = Path(__file__).resolve().parent / "results"
USERS = (80_000, 500_000)

# --- the assumptions ----------------------------------------------------------------------------------------------------

BOOKINGS_A_USER = 4
"""In the peak hour: a fifth of the twenty visits that a practitioner has on a full day is booked then."""
BUSIEST_MINUTE = 2
"""Times the mean of that hour."""
SCREENS_OPEN = 0.5
"""Of the users, each with one socket."""
VIEWERS = 4
"""Sockets that an event goes to: the practitioner, the desk, and who is booking there."""
EVENTS_A_BOOKING = 2
"""Held and booked; a change is one."""
FULL = 0.6
"""How much of a core is used, so that a process may stop and its work fit into the others."""
SOCKETS_A_PROCESS = 10_000
"""As measured, and no more."""
LARGEST_SERVER = 64
"""Cores of one database server before it is called large."""


@dataclass(frozen=True)
class Costs:
    """ms of CPU: of a read, a booking (search, hold, confirmation) and a change by process; of an event and of a socket."""

    read: Mapping[str, float]
    booking: Mapping[str, float]
    change: Mapping[str, float]
    relay_event: float
    redis_event: float
    delivery: float
    idle_socket_s: float
    socket_mib: float


def measured() -> Costs:
    """From the results. Raises FileNotFoundError when one is not there."""
    storm, live, peak = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("booking_storm", "live_storm", "peak_hour")
    )
    lag, idle = live["lag"]["cpu_ms_per_event"], live["idle"]["ours"]
    booking, search = storm["spread"]["median"]["cpu_ms_by_process"], cpu_ms(peak, "slots")
    return Costs(
        read=_mean(peak, READS),
        booking={name: booking[name] + search[name] for name in ("engine", "postgres", "valkey")},
        change=cpu_ms(peak, "change"),
        relay_event=lag["relay"],
        redis_event=lag["valkey"],
        delivery=live["peers"]["ours"]["median"]["four_viewers"]["cpu_us"] / 1000,
        idle_socket_s=idle["idle_ms_per_s"] / idle["sockets"],
        socket_mib=idle["kib_each"] / 1024,
    )


def _mean(peak: Json, deeds: tuple[str, ...]) -> dict[str, float]:
    """One read, as the peak hour mixes them."""
    costs, share = {deed: cpu_ms(peak, deed) for deed in deeds}, sum(PEAK_HOUR[deed] for deed in deeds)
    return {name: sum(PEAK_HOUR[d] * costs[d][name] for d in deeds) / share for name in ("engine", "postgres", "valkey")}


# --- what follows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """A tier's work at a number of users: cores that are busy in the busiest minute, and what it is spread over."""

    tier: str
    cores: float
    limit: float
    """Cores that one of it can use at most."""
    once: bool = False
    """There is one: more cannot be had by adding."""

    @property
    def count(self) -> int:
        return max(1, math.ceil(self.cores / (self.limit * FULL)))

    def __str__(self) -> str:
        if self.once:
            return f"{self.cores:.1f} cores" + (" (more than it may use)" if self.count > 1 else "")
        return f"{self.cores:.1f} cores: {self.count}"


def rates(users: int) -> dict[str, float]:
    """What happens in a second of the busiest minute."""
    bookings = users * BOOKINGS_A_USER / 3600 * BUSIEST_MINUTE
    changes = bookings * PEAK_HOUR["change"] / PEAK_HOUR["book"]
    reads = bookings * sum(PEAK_HOUR[deed] for deed in READS) / PEAK_HOUR["book"]
    events = bookings * EVENTS_A_BOOKING + changes
    sockets = users * SCREENS_OPEN
    return {
        "bookings": bookings,
        "changes": changes,
        "reads": reads,
        "events": events,
        "deliveries": events * VIEWERS,
        "sockets": sockets,
    }


def needs(users: int, costs: Costs) -> list[Need]:
    """Every tier of the system; the first whose work exists once and is full is the wall."""
    at = rates(users)

    def http(process: str) -> float:
        work = at["reads"] * costs.read[process] + at["bookings"] * costs.booking[process] + at["changes"] * costs.change[process]
        return work / 1000

    push = (at["deliveries"] * costs.delivery + at["sockets"] * costs.idle_socket_s) / 1000
    by_count = at["sockets"] / SOCKETS_A_PROCESS * FULL
    redis = http("valkey") + at["events"] * costs.redis_event / 1000
    return [
        Need("engine, processes", http("engine"), 1),
        Need("push, processes", max(push, by_count), 1),
        Need("relay, one process", at["events"] * costs.relay_event / 1000, 1, once=True),
        Need("Redis, one thread", redis, 1, once=True),
        Need("PostgreSQL, one primary for all", http("postgres"), LARGEST_SERVER, once=True),
    ]


def wall(costs: Costs) -> list[tuple[str, int]]:
    """Of each tier that exists once: the users at which it is full, the first wall first."""
    at = USERS[-1]
    full = [(need.tier, int(at * need.limit * FULL / need.cores)) for need in needs(at, costs) if need.once]
    return sorted(full, key=lambda found: found[1])


def as_markdown(costs: Costs) -> Iterator[str]:
    yield "# Capacity"
    yield ""
    yield "Written by `python -m loadtests.capacity` from the results beside this page. ../README.md names the assumptions."
    yield ""
    yield "| of one | engine | PostgreSQL | Redis |"
    yield "|---|---:|---:|---:|"
    for name, cost in (("read", costs.read), ("booking", costs.booking), ("change", costs.change)):
        yield f"| {name}, ms of CPU | {cost['engine']:.2f} | {cost['postgres']:.2f} | {cost['valkey']:.2f} |"
    yield ""
    yield f"An event: relay {costs.relay_event:.3f} ms, Redis {costs.redis_event:.3f} ms."
    yield f"A delivery: {costs.delivery * 1000:.1f} us."
    yield f"A silent socket: {costs.idle_socket_s * 1000:.1f} us a second, {costs.socket_mib * 1024:.0f} KiB."
    yield ""
    yield "| in the busiest minute | " + " | ".join(f"{users:,} users" for users in USERS) + " |"
    yield "|---|" + "---:|" * len(USERS)
    for name in rates(1):
        a_second = "" if name == "sockets" else "/s"
        yield f"| {name}{a_second} | " + " | ".join(f"{rates(users)[name]:,.0f}" for users in USERS) + " |"
    columns = [needs(users, costs) for users in USERS]
    for row in zip(*columns, strict=True):
        yield f"| {row[0].tier} | " + " | ".join(map(str, row)) + " |"
    memory = [f"{rates(users)['sockets'] * costs.socket_mib / 1024:.1f} GiB" for users in USERS]
    yield "| push, memory of sockets | " + " | ".join(memory) + " |"
    yield ""
    yield "Walls, the first one first:"
    yield ""
    yield from (f"- {tier}: full at {users:,} users" for tier, users in wall(costs))
    yield ""


def main() -> None:
    text = "\n".join(as_markdown(measured()))
    (RESULTS / "capacity.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
