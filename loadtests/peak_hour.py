"""The peak hour: many look, some book, a few change, at the engine and at the monolith that it is compared with.

    .venv/bin/python -m loadtests.peak_hour --start

README.md beside this file says what is measured and how. The exit status is 1 when a promise is broken: a server error or a double
booking at the engine, a booking that failed there below saturation, or `./manage.py engine verify` not clean. Speed fails nothing.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from apps.local.probes import answers
from loadtests import peak_report, sites, statements, target
from loadtests.arrivals import PEAK_HOUR, READS, Arrival, Seen, arrivals, crowd
from loadtests.frame import about, ends_within
from loadtests.legacy import data
from loadtests.legacy import server as legacy
from loadtests.sites import Engine, Monolith, Place, Site
from loadtests.target import Json, Target

_STEP_BY = 1.4
_KEEPS_UP = 0.95
"""The share of arrivals that must be served well at a rate that a site is said to carry."""
_EMPTY_WITHIN_S = 180
_LONGEST_S = 1500
RESULTS = Path(__file__).resolve().parent / "results"
UNCACHED = RESULTS / "peak_hour_uncached.json"


@dataclass(frozen=True)
class Sizes:
    """How large the platform is, how long each measurement lasts, and the rates at which the search for the knee begins."""

    clinics: int = 20
    calendars: int = 200
    appointments: int = 160_000
    step_s: float = 6.0
    monolith_step_s: float = 15.0
    face_off_s: float = 60.0
    engine_from: float = 60.0
    monolith_from: float = 3.0
    patience_s: float = 10.0
    overload: float = 2.0
    costs_per_s: float = 60.0
    most_steps: int = 14


SMALL = Sizes(
    clinics=2,
    calendars=12,
    appointments=200,
    step_s=0.4,
    monolith_step_s=0.4,
    face_off_s=0.8,
    engine_from=20.0,
    monolith_from=20.0,
    patience_s=5.0,
    overload=1.0,
    costs_per_s=20.0,
    most_steps=1,
)


@dataclass(frozen=True)
class Bench:
    """A site, what runs it, its database, and the platform's clinics, the busiest first."""

    site: Site
    at: Target
    database: str
    clinics: Sequence[Sequence[Place]]
    sizes: Sizes

    def people(self, per_s: float, seconds: float, *, mix: Mapping[str, float] = PEAK_HOUR, seed: int = 1) -> list[Arrival]:
        return arrivals(self.clinics, per_s=per_s, seconds=seconds, mix=mix, seed=seed)

    def serve(self, people: Sequence[Arrival], per_s: float) -> Json:
        """Lets them in; what they saw, and what it cost. Waits first until the site has nothing left to do."""
        self._empty()
        asked, before, others, own = self._asked(), target.cpu(self.at), target.others(self.at), time.process_time()
        seen = asyncio.run(crowd(self.site, people, patience_s=self.sizes.patience_s))
        spent, own = target.since(before, target.cpu(self.at)), time.process_time() - own
        busy = (target.others(self.at) - others - own) / seen.wall
        more, arrived_s = self._asked(), people[-1].at if people else 1.0
        print(f"{self.site.name}: {per_s:.0f} people/s, {seen.good} of {len(people)} served well", file=sys.stderr)
        return {
            **_as_json(seen, per_s=per_s, seconds=arrived_s, people=len(people)),
            "statements": None if asked is None or more is None else more - asked,
            "cpu_ms_by_process": {name: round(s / max(1, len(people)) * 1000, 3) for name, s in sorted(spent.items())},
            "client_cores": round(own / seen.wall, 2),
            "busy_elsewhere": round(busy, 2),
        }

    def _asked(self) -> int | None:
        return statements.asked(self.at, self.database)

    def _empty(self) -> None:
        """Until three questions in a row are answered at once; those who gave up are still being served before that."""
        deadline, quick = time.monotonic() + _EMPTY_WITHIN_S, 0
        while quick < 3:
            began = time.monotonic()
            quick = quick + 1 if answers(self.site.probe, timeout_s=30) and time.monotonic() - began < 0.3 else 0
            if time.monotonic() > deadline:
                raise RuntimeError(f"The {self.site.name} did not come to rest.")

    def ramp(self, per_s: float, seconds: float) -> Json:
        """Higher and higher rates until the site no longer serves nearly all of them well; then twice the knee."""
        self.serve(self.people(per_s, seconds, seed=2), per_s)  # caches, connections, plans
        steps: list[Json] = []
        for number in range(self.sizes.most_steps):
            steps.append(self.serve(self.people(per_s, seconds, seed=3 + number), per_s))
            if steps[-1]["good_per_s"] < _KEEPS_UP * steps[-1]["offered_per_s"]:
                break
            per_s *= _STEP_BY
        knee = max((s for s in steps if s["good_per_s"] >= _KEEPS_UP * s["offered_per_s"]), default=steps[0], key=_rate)
        best = max(step["good_per_s"] for step in steps)
        twice = self.serve(self.people(2 * _rate(knee), 2 * seconds, seed=99), 2 * _rate(knee))
        return {"steps": steps, "knee_per_s": _rate(knee), "best_good_per_s": best, "twice": twice}

    def costs(self) -> Json:
        """CPU and statements of each deed alone, at a rate the site carries with ease."""
        found: Json = {}
        for deed in PEAK_HOUR:
            per_s = self.sizes.costs_per_s
            found[deed] = self.serve(self.people(per_s, self.sizes.step_s, mix={deed: 1.0}, seed=7), per_s)
        return found

    def quiet(self) -> Json:
        """What the database is asked, and the processes spend, a second when nobody comes."""
        asked, before, began = self._asked(), target.cpu(self.at), time.monotonic()
        time.sleep(self.sizes.step_s)
        wall, more = time.monotonic() - began, self._asked()
        spent = target.since(before, target.cpu(self.at))
        a_second = None if asked is None or more is None else round((more - asked) / wall, 2)
        return {"statements_per_s": a_second, "cores": {name: round(s / wall, 4) for name, s in spent.items()}}


def _rate(step: Json) -> float:
    return float(step["per_s"])


def _as_json(seen: Seen, *, per_s: float, seconds: float, people: int) -> Json:
    def at(share: float, *deeds: str) -> float:
        ordered = seen.of(*deeds)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1) if ordered else 0.0

    return {
        "per_s": round(per_s, 2),
        "people": people,
        "requests": seen.requests,
        "offered_per_s": round(people / seconds, 2),
        "good_per_s": round(seen.good / seconds, 2),
        "page_ms": {str(share): at(share, *READS) for share in (0.5, 0.95, 0.99)},
        "week_ms": {str(share): at(share, "week") for share in (0.5, 0.95, 0.99)},
        "book_ms": {str(share): at(share, "book") for share in (0.5, 0.95, 0.99)},
        "failed": {"read": seen.failed(*READS), "book": seen.failed("book"), "change": seen.failed("change")},
        "ends": dict(sorted(seen.ends.items())),
        "wall_s": round(seen.wall, 2),
    }


def peak_hour(at: Target, sizes: Sizes) -> Json:
    """Everything, at the engine of `at` and at a monolith beside it with the same data."""
    clinics = sites.places(at)
    with legacy.started(at.database, partial(data.copied, at.database)) as monolith:
        engine = Bench(Engine(at, clinics), at, at.database, clinics, sizes)
        there = replace(at, pids={"monolith": monolith.pid, **{n: p for n, p in at.pids.items() if n == "postgres"}})
        old = Bench(Monolith(monolith), there, monolith.database, clinics, sizes)
        found: Json = {"quiet": engine.quiet(), "engine": engine.ramp(sizes.engine_from, sizes.step_s), "costs": engine.costs()}
        found["monolith"] = old.ramp(sizes.monolith_from, sizes.monolith_step_s)
        for name, times in (("calm", 0.5), ("face_off", sizes.overload)):
            per_s = times * found["monolith"]["knee_per_s"]
            people = old.people(per_s, sizes.face_off_s, seed=42)
            found[name] = {"monolith": old.serve(people, per_s), "engine": engine.serve(people, per_s)}
        found["double_bookings"] = {"monolith": data.double_bookings(monolith.database)}
    return found | {"clinics": len(clinics), "calendars": sum(map(len, clinics)), "verify": target.verify(at)}


def broken(found: Json) -> list[str]:
    """The promises that did not hold, as sentences."""
    runs = {"twice the knee": found["engine"]["twice"], "beside the monolith": found["face_off"]["engine"], **found["costs"]}
    faults = [
        f"{place}: {count} x {end}"
        for place, run in runs.items()
        for end, count in run["ends"].items()
        if end.split()[1].startswith("5") and end.split()[1] != "503"
    ]
    calm = found["face_off"]["engine"]["ends"]
    faults += [
        f"beside the monolith: {count} x {end}" for end, count in calm.items() if end.startswith("book ") and "done" not in end
    ]
    if found["verify"]["status"] != 0:
        faults.append("./manage.py engine verify found a broken promise")
    return faults


def main() -> int:
    options = _options()
    ends_within(_LONGEST_S)
    began = time.monotonic()
    with ExitStack() as stack:
        at = stack.enter_context(target.started()) if options.start else target.running(options.data)
        at = statements.counted(at, Path(at.variables["TOKEN_SIGNING_KEY_FILE"]).parents[1])
        stack.enter_context(target.alone(at))
        target.seeded(at, clinics=options.clinics, calendars=options.calendars, appointments=options.appointments)
        rested_s = target.at_rest(at)
        sizes = Sizes(
            options.clinics,
            options.calendars,
            options.appointments,
            step_s=Sizes.step_s * options.pace,
            monolith_step_s=Sizes.monolith_step_s * options.pace,
            face_off_s=Sizes.face_off_s * options.pace,
            patience_s=options.patience,
        )
        found = peak_hour(at, sizes)
    result = {
        **about("peak_hour", began=began),
        "load_average_before": options.load,
        "rested_s": rested_s,
        "appointments": options.appointments,
        "patience_s": options.patience,
        "broken": broken(found),
        "uncached": _uncached(),
        **found,
    }
    (RESULTS / "peak_hour.json").write_text(json.dumps(result, indent=1) + "\n")
    text = peak_report.as_markdown(result)
    (RESULTS / "peak_hour.md").write_text(text)
    print(text)
    return 1 if result["broken"] else 0


def _uncached() -> Json:
    """What a result says that was kept from before the engine had caches; statements do not depend on the machine."""
    if not UNCACHED.is_file():
        return {}
    result = json.loads(UNCACHED.read_text())
    runs = {"all": result["face_off"]["engine"], **result["costs"]}
    return {name: peak_report.statements_a_request(result, run, quiet=True) for name, run in runs.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peak_hour", description="The peak hour, and the monolith's.")
    parser.add_argument("--start", action="store_true", help="start a stack for this, and take it down at the end")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder of the stack that runs (.data)")
    for name in ("clinics", "calendars", "appointments"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Sizes, name))
    parser.add_argument("--patience", type=float, default=Sizes.patience_s, help="seconds after which people give up (10)")
    parser.add_argument("--pace", type=float, default=1.0, help="how long each measurement takes, as a factor (1.0)")
    parser.set_defaults(load=round(os.getloadavg()[0], 1))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
