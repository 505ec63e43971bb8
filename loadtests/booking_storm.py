"""Load on the booking path: what a booking costs, what a refusal costs, and that a crowd buys every slot once.

    .venv/bin/python -m loadtests.booking_storm all --start

README.md beside this file says what each mode measures and how. The exit status is 1 when a promise is broken: a slot
that is sold twice or not at all, a server error, a deadlock, or `./manage.py engine verify` not clean. Speed is reported
beside its target and decides nothing: a busy machine is no fault of the code.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apps.local.environment import free_ports
from loadtests import clients, target
from loadtests.clients import Client, Tally
from loadtests.frame import about, ends_within, heading
from loadtests.target import BOOKING, Clinic, Json, Target

_CALENDARS, _CLIENTS, _RIVALS, _SLOTS = 1000, 64, 200, 50
_REFUSALS = 6400
_MOST_BOOKINGS, _LONGEST_S = 20_000, 3600
_SERVERS = ((1, 8), (2, 4), (2, 8), (4, 2))
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Load:
    """A clinic of its own in the target, and the loop on which its clients live."""

    at: Target
    clinic: Clinic
    loop: asyncio.AbstractEventLoop

    def connect(self, count: int) -> list[Client]:
        tokens = target.bearer_tokens(self.at, self.clinic, count)
        return self.loop.run_until_complete(clients.connect(self.at.urls["engine"], tokens))

    def slots(self, searching: Sequence[Client]) -> dict[str, list[str]]:
        """calendar → tokens of free slots, found as anybody would find them."""
        found: dict[str, list[str]] = {}
        days = {"first": self.clinic.first, "last": self.clinic.last}

        async def look(client: Client, visit_types: Sequence[str]) -> None:
            for visit_type in visit_types:
                found.update(await clients.search(client, clinic=self.clinic.slug, visit_type=visit_type, **days))

        self.loop.run_until_complete(
            _together(look(client, self.clinic.visit_types[n :: len(searching)]) for n, client in enumerate(searching))
        )
        return found

    def measured(self, crowd: Coroutine[Any, Any, Tally], *, per: Literal["booking", "request"]) -> Json:
        """What the crowd saw, and the ms of CPU that each process spent on one booking or request."""
        before, others, stolen, own = target.cpu(self.at), target.others(self.at), target.steal(), time.process_time()
        tally = self.loop.run_until_complete(crowd)
        spent, own = target.since(before, target.cpu(self.at)), time.process_time() - own
        count = max(1, tally.bookings if per == "booking" else tally.requests)
        return {
            **clients.as_json(tally),
            "per": per,
            "per_s": round(count / tally.wall, 1),
            "cpu_ms": round(sum(spent[name] for name in BOOKING) / count * 1000, 3),
            "cpu_ms_by_process": {name: round(seconds / count * 1000, 3) for name, seconds in sorted(spent.items())},
            "client_cpu_ms": round(own / count * 1000, 3),
            "busy_elsewhere": round((target.others(self.at) - others - own) / tally.wall, 2),
            "stolen": round((target.steal() - stolen) / tally.wall, 2),
        }


async def _together(coroutines: Iterator[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*coroutines)


@contextmanager
def _load(at: Target, *, calendars: int = _CALENDARS) -> Iterator[Load]:
    loop = asyncio.new_event_loop()
    try:
        yield Load(at, target.make_clinic(at, calendars=calendars), loop)
    finally:
        loop.close()


# --- bookings -----------------------------------------------------------------------------------------------------------


class Spread:
    """Many clients over many calendars, each with slots of its own. Keeps clients and slots from one run to the next."""

    def __init__(self, load: Load, *, warm_ups: int = 1) -> None:
        self._load, self._clients = load, load.connect(_CLIENTS)
        found = load.slots(self._clients)
        # A whole number of calendars a client, so that a calendar's bookings come over one connection to one process.
        calendars = sorted(found)[: len(found) // _CLIENTS * _CLIENTS]
        longest = max(map(len, found.values()))
        self._slots = [found[calendar][n] for n in range(longest) for calendar in calendars if n < len(found[calendar])]
        # The first booking on a calendar fills what a process keeps of its rules; that is not what a booking costs.
        for _ in range(warm_ups):
            self.run(len(calendars))

    def run(self, bookings: int) -> Json:
        """One measurement of about `bookings` holds and confirms."""
        count = max(1, bookings // _CLIENTS) * _CLIENTS
        slots, self._slots = self._slots[:count], self._slots[count:]
        if len(slots) < count:
            raise RuntimeError("No slots are left; ask for fewer bookings.")
        self._load.loop.run_until_complete(clients.wake(self._clients))
        return self._load.measured(clients.spread(self._clients, slots), per="booking")


def spread(at: Target, options: argparse.Namespace) -> Json:
    with _load(at) as load:
        crowd = Spread(load)
        return {"spread": _summary([crowd.run(options.bookings) for _ in range(options.rounds)])}


def floor(at: Target, options: argparse.Namespace) -> Json:
    with target.floor_database(at) as database:
        runs = [_floor(at, database, options) for _ in range(options.rounds)]
    return {"floor": runs, "floor_cpu_ms": _floor_median(runs)}


def _floor(at: Target, database: str, options: argparse.Namespace) -> list[Json]:
    return [target.floor(at, database, pairs=options.bookings, mode=mode) for mode in ("simple", "prepared")]


def _floor_median(runs: Sequence[Sequence[Json]]) -> Json:
    return {
        mode: round(statistics.median(run["postgres_ms"] for both in runs for run in both if run["mode"] == mode), 3)
        for mode in ("simple", "prepared")
    }


def compared(at: Target, options: argparse.Namespace) -> Json:
    """Bookings and the floor in turns, so that what else the machine does hits both; through the edge once at the end."""
    floors, bookings = [], []
    with target.floor_database(at) as database, _load(at) as load:
        crowd = Spread(load)
        for _ in range(options.rounds):
            floors.append(_floor(at, database, options))
            bookings.append(crowd.run(options.bookings))
    found: Json = {"spread": _summary(bookings), "floor": floors, "floor_cpu_ms": _floor_median(floors)}
    found["ratio"] = {
        mode: round(found["spread"]["median"]["cpu_ms"] / floor_ms, 2) for mode, floor_ms in found["floor_cpu_ms"].items()
    }
    if "edge" in at.urls:
        with _load(Target(at.pids, {**at.urls, "engine": at.urls["edge"]}, at.variables)) as load:
            # The edge gives each request to either process, so both must have seen each calendar.
            found["through_the_edge"] = Spread(load, warm_ups=4).run(options.bookings)
    return found


# --- rivals and refusals ------------------------------------------------------------------------------------------------


def rivals(at: Target, _: argparse.Namespace) -> Json:
    """200 rivals for 50 slots: with Redis, with a Redis that is frozen, and without one."""
    found: Json = {"with_redis": _rivals(at)}
    valkey = at.pids["valkey"]
    os.kill(valkey, signal.SIGSTOP)
    try:
        found["redis_frozen"] = _rivals(at)
    finally:
        os.kill(valkey, signal.SIGCONT)
    nobody = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    with target.another_engine(at, workers=2, threads=8, redis_url=nobody) as without:
        found["redis_absent"] = _rivals(without)
    first = found["with_redis"]["wall_s"]
    return {"rivals": {name: {**run, "times_as_long": round(run["wall_s"] / first, 2)} for name, run in found.items()}}


def _rivals(at: Target) -> Json:
    before = target.counters(at)
    with _load(at, calendars=5) as load:
        crowd = load.connect(_RIVALS)
        slots = [slot for tokens in load.slots(crowd[:1]).values() for slot in tokens[: _SLOTS // 5]]
        found = load.measured(clients.rivals(crowd, slots), per="request")
        found["slots"], found["allocations"] = len(slots), target.live_allocations(at, load.clinic)
    found["deadlocks"] = target.counters(at)["deadlocks"] - before["deadlocks"]
    return found


def refusals(at: Target, options: argparse.Namespace) -> Json:
    """What it costs to be told that a slot is held, beside what a booking costs in the same minute."""
    with _load(at) as load:
        booking = Spread(load).run(options.bookings)
    with _load(at, calendars=1) as load:
        crowd = load.connect(_CLIENTS)
        (slots,) = load.slots(crowd[:1]).values()
        held = load.loop.run_until_complete(clients.refusals(crowd[:1], slots[0], 1))
        quiet = target.counters(at), time.monotonic()
        before = target.counters(at), time.monotonic()
        found = load.measured(clients.refusals(crowd, slots[0], _REFUSALS), per="request")
        after = target.counters(at), time.monotonic()
    others_per_s = (before[0]["transactions"] - quiet[0]["transactions"]) / (before[1] - quiet[1])
    more = after[0]["transactions"] - before[0]["transactions"] - others_per_s * (after[1] - before[1])
    found |= {
        "held": dict(held.statuses),
        "transactions_per_1000": round(more / _REFUSALS * 1000, 1),
        "of_a_booking": round(found["cpu_ms"] / booking["cpu_ms"], 3),
        "booking_cpu_ms": booking["cpu_ms"],
    }
    return {"refusals": found}


# --- comparisons --------------------------------------------------------------------------------------------------------


def servers(at: Target, options: argparse.Namespace) -> Json:
    """The same bookings through the HTTP server with other numbers of workers and threads, in turns."""
    with ExitStack() as stack:
        crowds = {}
        for workers, threads in _SERVERS:
            another = stack.enter_context(target.another_engine(at, workers=workers, threads=threads))
            crowds[f"{workers} x {threads}"] = Spread(stack.enter_context(_load(another)))
        runs: dict[str, list[Json]] = {name: [] for name in crowds}
        for _ in range(options.rounds):
            for name, crowd in crowds.items():
                runs[name].append(crowd.run(options.bookings))
    return {"servers": {name: _summary(of_one) for name, of_one in runs.items()}}


def beside(at: Target, options: argparse.Namespace) -> Json:
    """The same bookings with the other four services running and stopped, in turns, and how long these take to catch up."""
    runs: dict[str, list[Json]] = {"running": [], "stopped": []}
    with _load(at) as load:
        crowd = Spread(load)
        target.caught_up(at, load.clinic)
        for _ in range(options.rounds):
            runs["running"].append(crowd.run(options.bookings))
            target.caught_up(at, load.clinic)
            with target.alone(at):
                runs["stopped"].append(crowd.run(options.bookings))
            runs["stopped"][-1]["caught_up_s"] = target.caught_up(at, load.clinic)
    found: Json = {name: _summary(of_one) for name, of_one in runs.items()}
    times = [found[name]["median"]["p50_ms"] for name in ("stopped", "running")]
    return {"beside": {**found, "ratio": round(times[0] / times[1], 2)}, "verify": target.verify(at)}


def everything(at: Target, options: argparse.Namespace) -> Json:
    return compared(at, options) | rivals(at, options) | refusals(at, options) | {"verify": target.verify(at)}


MODES: dict[str, Callable[[Target, argparse.Namespace], Json]] = {
    "spread": spread,
    "floor": floor,
    "rivals": rivals,
    "refusals": refusals,
    "servers": servers,
    "beside": beside,
    "all": everything,
}


# --- what is kept of it -------------------------------------------------------------------------------------------------


def _summary(runs: Sequence[Json]) -> Json:
    names = ("cpu_ms", "per_s", "p50_ms", "p99_ms", "client_cpu_ms")
    median: Json = {name: round(statistics.median(run[name] for run in runs), 3) for name in names}
    by_process = {name: [run["cpu_ms_by_process"][name] for run in runs] for name in runs[0]["cpu_ms_by_process"]}
    median["cpu_ms_by_process"] = {name: round(statistics.median(values), 3) for name, values in by_process.items()}
    return {"runs": list(runs), "median": median}


def broken(found: Json) -> list[str]:
    """The promises that did not hold, as sentences."""
    faults = []
    for place, run in _runs(found):
        errors = sum(count for status, count in run["statuses"].items() if status.split()[1].startswith("5"))
        faults += [f"{place}: {errors} server errors"] if errors else []
        faults += [f"{place}: {run['sold_twice']} slots were sold twice"] if run["sold_twice"] else []
        faults += [f"{place}: {run['deadlocks']} deadlocks"] if run.get("deadlocks") else []
        if "slots" in run and not run["slots"] == run["bookings"] == run["allocations"]:
            faults.append(f"{place}: {run['slots']} slots, {run['bookings']} sold, {run['allocations']} taken in the database")
    if found.get("verify", {"status": 0})["status"] != 0:
        faults.append("./manage.py engine verify found a broken promise")
    return faults


def _runs(found: Any, place: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(found, dict) and "statuses" in found:
        yield place, found
    elif isinstance(found, dict):
        for name, inner in found.items():
            yield from _runs(inner, f"{place} {name}".strip())
    elif isinstance(found, list):
        for inner in found:
            yield from _runs(inner, place)


def main() -> int:
    options = _options()
    ends_within(_LONGEST_S)
    began = time.monotonic()
    with ExitStack() as stack:
        at = stack.enter_context(target.started()) if options.start else target.running(options.data)
        found = MODES[options.mode](at, options)
    result = {
        **about("booking_storm", began=began),
        "broken": broken(found),
        **found,
    }
    RESULTS.mkdir(exist_ok=True)
    name = "booking_storm" if options.mode == "all" else f"booking_storm_{options.mode}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_markdown(result)
    (RESULTS / f"{name}.md").write_text(text)
    print(text)
    return 1 if result["broken"] else 0


def as_markdown(result: Json) -> str:
    """The result for people: what was run, on what, a line for each measurement, and the targets."""
    lines = [
        *heading("Load on the booking path", result),
        "CPU is milliseconds for one booking (hold and confirm) or one request: engine + PostgreSQL + Redis, then each alone.",
        "`elsewhere` is how many cores other programs on the machine had meanwhile. ../README.md says how it is measured.",
        "",
        "| measurement | of one | CPU | engine | PostgreSQL | Redis | relay | edge | per s | p50 ms | p99 ms | elsewhere |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_line(place, run) for place, run in _runs(result)),
    ]
    if "floor" in result:
        lines += ["", "| floor, by run | PostgreSQL simple | PostgreSQL prepared |", "|---|---|---|"]
        lines += [f"| {n} | {one['postgres_ms']} | {two['postgres_ms']} |" for n, (one, two) in enumerate(result["floor"], 1)]
    findings = [*_findings(result), *(f"Broken: {fault}." for fault in result["broken"])]
    return "\n".join([*lines, "", *(f"- {finding}" for finding in findings), ""])


def _line(place: str, run: Json) -> str:
    by, of_process = run["cpu_ms_by_process"], ("engine", "postgres", "valkey", "relay", "edge")
    cells = [run["cpu_ms"], *(by.get(name, "") for name in of_process), run["per_s"], run["p50_ms"], run["p99_ms"]]
    return "| " + " | ".join(map(str, [place, run["per"], *cells, run["busy_elsewhere"]])) + " |"


def _findings(result: Json) -> Iterator[str]:
    """The targets, each beside what was measured."""
    if "spread" in result:
        yield f"Booking: {result['spread']['median']['cpu_ms']} ms of CPU in the median (target 4)."
    if "ratio" in result:
        simple, prepared = result["ratio"]["simple"], result["ratio"]["prepared"]
        yield f"That is {simple} x the bare pair of transactions with simple queries (target 3), {prepared} x with prepared ones."
    for name, run in result.get("rivals", {}).items():
        sold = f"{run['bookings']} of {run['slots']} slots sold, {run['sold_twice']} twice, {run['deadlocks']} deadlocks"
        yield f"Rivals, {name}: {sold}, p99 {run['p99_ms']} ms (target 500), {run['times_as_long']} x the time (target 5)."
    if "refusals" in result:
        run = result["refusals"]
        asked = f"{run['transactions_per_1000']} transactions in 1,000"
        yield f"Refusal: {run['of_a_booking']} of a booking's CPU (target 0.25), {asked}."
    if "beside" in result:
        run = result["beside"]
        back = [f"{one['bookings']} in {one['caught_up_s']} s" for one in run["stopped"]["runs"]]
        yield f"Four services stopped: {run['ratio']} x the time of a request with them running; caught up {', '.join(back)}."
    if "verify" in result:
        yield f"`./manage.py engine verify` at the end: exit status {result['verify']['status']}."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.booking_storm", description="Load on the booking path.")
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--start", action="store_true", help="start a stack for this, and take it down at the end")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder of the stack that runs (.data)")
    parser.add_argument("--bookings", type=int, default=1920, help="of one measurement (1920)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each measurement is taken (3)")
    options = parser.parse_args()
    if not 0 < options.bookings * options.rounds <= _MOST_BOOKINGS:
        parser.error(f"bookings x rounds must be 1 to {_MOST_BOOKINGS}")
    return options


if __name__ == "__main__":
    sys.exit(main())
