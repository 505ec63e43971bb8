"""Load on the live path: what an event costs beside `ws`, Socket.IO and stock Channels, and that nothing is lost on the way.

    .venv/bin/python -m loadtests.live_storm all --start

README.md beside this file says what each mode measures and how. The exit status is 1 when a promise of ours is broken: an event
lost, twice or out of order, a socket that did not get back what it missed. Speed is reported beside its target and decides nothing.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from loadtests import live_report, live_scenarios, live_stack, target
from loadtests.frame import about, ends_within
from loadtests.live_servers import OURS, apart, peers_here, serving
from loadtests.target import Json

_LONGEST_S = 1200
_MOST_SECONDS, _MOST_ROUNDS = 30, 5


def peers(options: argparse.Namespace) -> Json:
    """All servers through the same session, in turns."""
    names = (OURS, *peers_here())
    runs: dict[str, list[Json]] = {name: [] for name in names}
    with apart():
        for _ in range(options.rounds):
            for name in names:
                with serving(name) as live:
                    runs[name].append(asyncio.run(live_scenarios.session(live, seconds=options.seconds)))
    return {"peers": {name: {"median": median(of_one), "runs": of_one} for name, of_one in runs.items()}}


def idle(options: argparse.Namespace) -> Json:
    found = {}
    with apart():
        for name in (OURS, *(peer for peer in peers_here() if peer != "channels")):
            with serving(name) as live:
                found[name] = asyncio.run(live_scenarios.idle(live, seconds=options.seconds))
    return {"idle": found}


def stopped(_: argparse.Namespace) -> Json:
    with apart(), serving(OURS) as live:
        return {"stopped": asyncio.run(live_scenarios.stopped(live))}


def lag(options: argparse.Namespace) -> Json:
    with target.started() as at, live_stack.stage(at) as on:
        return {"lag": asyncio.run(live_stack.lag(on, seconds=options.seconds))}


def comeback(_: argparse.Namespace) -> Json:
    with target.started() as at, live_stack.stage(at) as on:
        return {"comeback": asyncio.run(live_stack.comeback(on))}


def everything(options: argparse.Namespace) -> Json:
    found = peers(options) | idle(options) | stopped(options)
    with target.started() as at, live_stack.stage(at) as on:
        found["lag"] = asyncio.run(live_stack.lag(on, seconds=options.seconds))
        found["comeback"] = asyncio.run(live_stack.comeback(on))
        return found | {"verify": target.verify(at)}


MODES: dict[str, Callable[[argparse.Namespace], Json]] = {
    "peers": peers,
    "idle": idle,
    "stopped": stopped,
    "lag": lag,
    "comeback": comeback,
    "all": everything,
}


def median(runs: Sequence[Any]) -> Any:
    """The median of each figure of runs that are built alike; of words and lists the first run's."""
    first = runs[0]
    if isinstance(first, dict):
        return {name: median([run[name] for run in runs]) for name in first if name != "steps"}
    if isinstance(first, (int, float)):
        return round(statistics.median(runs), 3)
    return first


def broken(found: Json) -> list[str]:
    """The promises of ours that did not hold, as sentences."""
    faults = []
    for place, run in _ours(found):
        for name, what in (("lost", "deliveries lost"), ("repeated", "deliveries twice or out of order")):
            faults += [f"{place}: {run[name]} {what}"] if run.get(name) else []
        faults += [f"{place}: {run['sockets_ended']} sockets were ended"] if run.get("sockets_ended") else []
        if "recovered" in run and run["recovered"] != run["sockets"]:
            faults.append(f"{place}: only {run['recovered']} of {run['sockets']} sockets got back what they had missed")
    if found.get("verify", {"status": 0})["status"] != 0:
        faults.append("./manage.py engine verify found a broken promise")
    return faults


def _ours(found: Json) -> Iterator[tuple[str, Json]]:
    for number, run in enumerate(found.get("peers", {}).get(OURS, {}).get("runs", ()), 1):
        for name, figures in run.items():
            yield f"round {number}, {name}", figures
            # The ramp goes on until something gives. A socket that was closed for being too slow knows that it missed something.
            steps = (step for step in figures.get("steps", ()) if not step["sockets_ended"])
            yield from ((f"round {number}, {step['asked_per_s']} deliveries/s", step) for step in steps)
    if "idle" in found:
        yield "idle", found["idle"][OURS]
    yield from ((name, found[name]) for name in ("stopped", "lag", "comeback") if name in found)


@contextmanager
def _bounded() -> Iterator[None]:
    ends_within(_LONGEST_S)
    # 10,000 sockets are as many files, here and in the server, which inherits the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield


def main() -> int:
    options = _options()
    began = time.monotonic()
    with _bounded():
        found = MODES[options.mode](options)
    result = {
        **about("live_storm", began=began),
        "broken": broken(found),
        **found,
    }
    text = live_report.write(result, name="live_storm" if options.mode == "all" else f"live_storm_{options.mode}")
    print(text)
    return 1 if result["broken"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.live_storm", description="Load on the live path.")
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--start", action="store_true", help="start the servers and the stack for this; nothing else is offered")
    parser.add_argument("--seconds", type=float, default=8, help="of one measurement at a steady rate (8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often the servers take their turns (3)")
    options = parser.parse_args()
    if not options.start:
        parser.error("every mode starts servers of its own; say so with --start")
    if not (1 <= options.seconds <= _MOST_SECONDS and 1 <= options.rounds <= _MOST_ROUNDS):
        parser.error(f"seconds must be 1 to {_MOST_SECONDS}, rounds 1 to {_MOST_ROUNDS}")
    return options


if __name__ == "__main__":
    sys.exit(main())
