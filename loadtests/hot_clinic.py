"""Nine o'clock at one clinic: 2,000 people for 100 slots, while the others go on as before.

    .venv/bin/python -m loadtests.hot_clinic --start

All have opened the page before and have the same hundred slots before them. They do what the booking page does: who is asked to
wait keeps the place in line, and asks again when the turn comes or the time is gone. Who is refused chooses an alternative within
three seconds, as long as it is one of the hundred; else they have lost, and it is counted whether they were told what else is free.
The exit status is 1 when a slot was sold twice or not at all, when somebody lost without being told, or when
`./manage.py engine verify` is not clean.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from loadtests import clients, sites, target
from loadtests.arrivals import DEEDS, PEAK_HOUR, Arrival, arrivals, crowd
from loadtests.clients import API, PATIENT, somebody
from loadtests.frame import about, ends_within, heading
from loadtests.sites import Ask, Engine, Failed, Place, Refused, Site
from loadtests.target import Json, Target

_CALENDARS = 5
_TRIES = 20
_CHOOSES_S = (1.0, 3.0)
"""How long people look at the alternatives."""
_PATIENCE_S = 30.0
_LONGEST_S = 600
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Rush:
    """How many want how many slots, and within how many seconds they press; how much goes on elsewhere, and for how long."""

    people: int = 2000
    slots: int = 100
    within_s: float = 3.0
    others_per_s: float = 40.0
    seconds: float = 16.0
    rounds: int = 3


SMALL = Rush(people=60, slots=10, within_s=0.5, others_per_s=20.0, seconds=1.5, rounds=1)


@dataclass
class _Line:
    """One person's place in line, whichever slot is wanted."""

    ticket: str = ""
    turn: float = 0.0

    def told(self, ticket: str, seconds: float) -> None:
        self.ticket, self.turn = ticket or self.ticket, time.monotonic() + seconds

    async def wait(self, is_gone: Callable[[], bool]) -> None:
        while time.monotonic() < self.turn and not is_gone():
            await asyncio.sleep(1)


@dataclass
class Hot:
    """The hundred slots of one clinic, and what came of them."""

    place: Place
    slots: Sequence[str]
    sold: Counter[str] = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)
    """What every open page has seen vanish."""
    told: int = 0
    untold: int = 0
    asked_to_wait: int = 0

    async def rush(self, _site: Site, ask: Ask, _place: Place, luck: float) -> None:
        """One person's nine o'clock: of the public, at an address of their own. Raises Refused, Failed."""
        random, wanted, alternatives = Random(luck), list(self.slots), [""]
        at, line = somebody(random.getrandbits(24)), _Line()
        for _ in range(_TRIES):
            slot = random.choice(wanted)
            status, body = await self._hold(ask, slot, at, line)
            if status == 201:
                self.gone.add(slot)
                await self._confirm(ask, slot, json.loads(body), at)
                return
            if status != 409:
                raise Failed(str(status))
            alternatives = [other["slot"] for other in json.loads(body).get("alternatives") or ()]
            wanted = [other for other in alternatives if other in self.slots]
            if not wanted:
                break
            await asyncio.sleep(random.uniform(*_CHOOSES_S))
        self.told += bool(alternatives)
        self.untold += not alternatives
        raise Refused

    async def _hold(self, ask: Ask, slot: str, at: Mapping[str, str], line: "_Line") -> tuple[int, bytes]:
        """Whoever is asked to wait waits, and comes back with the ticket, as the booking page does."""
        for _ in range(_TRIES):
            await line.wait(lambda: slot in self.gone)
            headers = {**at, **({"Waiting-Ticket": line.ticket} if line.ticket else {})}
            status, answer = await ask("POST", f"{API}/holds", json.dumps({"slot": slot}).encode(), headers=headers)
            if status not in (429, 503):
                break
            self.asked_to_wait += 1
            told = json.loads(answer)
            line.told(told.get("ticket", ""), told.get("retry_after") or 1)
        return status, answer

    async def _confirm(self, ask: Ask, slot: str, hold: Json, at: Mapping[str, str]) -> None:
        headers, patient = {**at, "Hold-Secret": hold["secret"]}, json.dumps({"patient": PATIENT}).encode()
        status, _ = await ask("POST", f"{API}/holds/{hold['id']}/confirm", patient, headers=headers)
        if status != 201:
            raise Failed(str(status))
        self.sold[slot] += 1


def _hot(at: Target, rush: Rush) -> Hot:
    """A clinic of its own, found as anybody finds it."""
    clinic = target.make_clinic(at, calendars=_CALENDARS)
    (token,) = target.bearer_tokens(at, clinic, 1)

    async def look() -> list[str]:
        (client,) = await clients.connect(at.urls["engine"], [token])
        days = {"first": clinic.first, "last": clinic.last}
        found = await clients.search(client, clinic=clinic.slug, visit_type=clinic.visit_types[0], **days)
        client.close()
        return [slot for tokens in found.values() for slot in tokens[: rush.slots // _CALENDARS]]

    slots = asyncio.run(look())
    place = next(place for places in sites.places(at) for place in places if place.slug == clinic.slug)
    return Hot(place, slots)


def hot_clinic(at: Target, rush: Rush) -> Json:
    """The other clinics without the rush and with it, in turns."""
    clinics = sites.places(at)
    site = Engine(at, clinics)
    runs: list[Json] = []
    for number in range(rush.rounds + 1):
        others = arrivals(clinics, per_s=rush.others_per_s, seconds=rush.seconds, seed=number)
        hot, random = _hot(at, rush), Random(number)
        pressed = (Arrival(random.random() * rush.within_s, "hot", hot.place, random.random()) for _ in range(rush.people))
        both = sorted((*others, *pressed), key=lambda person: person.at)
        quiet = asyncio.run(crowd(site, others, patience_s=_PATIENCE_S))
        busy = asyncio.run(crowd(site, both, patience_s=_PATIENCE_S, deeds={**DEEDS, "hot": hot.rush}))
        if not number:  # the first one warms up
            continue
        runs.append(
            {
                "slots": len(hot.slots),
                "sold": len(hot.sold),
                "sold_twice": sum(count > 1 for count in hot.sold.values()),
                "lost_and_told": hot.told,
                "lost_untold": hot.untold,
                "asked_to_wait": hot.asked_to_wait,
                "ends": dict(sorted(busy.ends.items())),
                "rush_p99_ms": _p99(busy.of("hot")),
                "requests": busy.requests,
                "others_p99_ms": {"quiet": _p99(quiet.of(*PEAK_HOUR)), "rush": _p99(busy.of(*PEAK_HOUR))},
            }
        )
    ratios = [run["others_p99_ms"]["rush"] / max(0.1, run["others_p99_ms"]["quiet"]) for run in runs]
    return {"runs": runs, "ratio": round(statistics.median(ratios), 2), "verify": target.verify(at)}


def _p99(ordered: Sequence[float]) -> float:
    return round(ordered[len(ordered) * 99 // 100] * 1000, 1) if ordered else 0.0


def broken(found: Json) -> list[str]:
    """The promises that did not hold, as sentences."""
    faults = []
    for run in found["runs"]:
        if run["slots"] != run["sold"]:
            faults.append(f"{run['sold']} of {run['slots']} slots sold")
        faults += [f"{run['sold_twice']} slots sold twice"] if run["sold_twice"] else []
        faults += [f"{run['lost_untold']} people lost and were not told what else is free"] if run["lost_untold"] else []
        faults += [f"{count} x {end}" for end, count in run["ends"].items() if end.split()[1] not in ("done", "refused")]
    if found["verify"]["status"] != 0:
        faults.append("./manage.py engine verify found a broken promise")
    return faults


def main() -> int:
    options = _options()
    ends_within(_LONGEST_S)
    began = time.monotonic()
    with ExitStack() as stack:
        at = stack.enter_context(target.started(limits=True)) if options.start else target.running(options.data)
        stack.enter_context(target.alone(at))
        target.seeded(at, clinics=50, calendars=500, appointments=20_000)
        target.at_rest(at)
        found = hot_clinic(at, Rush(people=options.people, within_s=options.within, rounds=options.rounds))
    text = _as_markdown({**about("hot_clinic", began=began), **found})
    (RESULTS / "hot_clinic.md").write_text(text)
    print(text)
    return 1 if broken(found) else 0


def _as_markdown(result: Json) -> str:
    lines = [
        *heading("Nine o'clock at one clinic", result),
        "| slots | sold | twice | lost and told | lost untold | asked to wait | rush p99 ms | others p99 ms, quiet | rush |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in result["runs"]:
        others = run["others_p99_ms"]
        cells = [run["slots"], run["sold"], run["sold_twice"], run["lost_and_told"], run["lost_untold"]]
        cells += [run["asked_to_wait"], run["rush_p99_ms"]]
        lines.append("| " + " | ".join(map(str, [*cells, others["quiet"], others["rush"]])) + " |")
    lines += ["", f"- The other clinics' p99 with the rush: {result['ratio']} x the quiet one in the median (target 1.5)."]
    lines += [f"- `./manage.py engine verify` at the end: exit status {result['verify']['status']}."]
    return "\n".join([*lines, *(f"- Broken: {fault}." for fault in broken(result)), ""])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.hot_clinic", description="2,000 people for 100 slots.")
    parser.add_argument("--start", action="store_true", help="start a stack for this, and take it down at the end")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder of the stack that runs (.data)")
    parser.add_argument("--people", type=int, default=Rush.people, help="who want the 100 slots (2000)")
    parser.add_argument("--within", type=float, default=Rush.within_s, help="seconds in which all of them press (3)")
    parser.add_argument("--rounds", type=int, default=Rush.rounds, help="how often it turns nine (3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
