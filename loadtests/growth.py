"""The same work on small and on large platforms: what is stored must not be paid for by who asks.

    .venv/bin/python -m loadtests.growth --sizes 100:1000 10000:100000 500000:10000000

A stack of its own for each size (calendars:appointments), the same deeds at all of them in turns, on the same number of calendars,
so that what differs is only what lies beside. Years.py fills the databases; with --keep they are there for the next time. The exit
status is 1 when `./manage.py engine verify` is not clean.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from apps.local import servers
from loadtests import sites, target
from loadtests.arrivals import DEEDS, Arrival, Deed, arrivals, crowd
from loadtests.clients import API
from loadtests.frame import about, ends_within, heading
from loadtests.sites import Ask, Engine, Failed, Place, Site
from loadtests.target import Json, Target

_CALENDARS_A_CLINIC, _CLINICS_ASKED = 10, 10
_PER_S, _SECONDS, _PATIENCE_S = 30.0, 5.0, 30.0
_DEEDS = ("slots", "week", "hold", "book", "first")
_SPECIALTIES = ("family medicine", "pediatrics", "dermatology", "cardiology", "psychiatry")
_LONGEST_S = 2 * 3600
RESULTS = Path(__file__).resolve().parent / "results"


async def _first(_site: Site, ask: Ask, _place: Place, luck: float) -> None:
    specialty = _SPECIALTIES[int(luck * len(_SPECIALTIES))].replace(" ", "%20")
    status, _ = await ask("GET", f"{API}/slots/first?specialty={specialty}")
    if status != 200:
        raise Failed(str(status))


@dataclass(frozen=True)
class Size:
    calendars: int
    appointments: int

    def __str__(self) -> str:
        return f"{self.calendars:,} calendars, {self.appointments:,} appointments"


@dataclass(frozen=True)
class Platform:
    """A stack with the engine alone, and the clinics that are asked."""

    at: Target
    site: Engine
    clinics: Sequence[Sequence[Place]]


@contextmanager
def _platform(size: Size, folder: Path) -> Iterator[Platform]:
    """In its own place in the folder, where it may be already."""
    data = folder / f"{size.calendars}-{size.appointments}"
    if not (data / "filled").is_file():
        shutil.rmtree(data, ignore_errors=True)
        _fill(data, size)
    with target.started(data) as at, target.alone(at):
        target.at_rest(at)
        clinics = sites.places(at)[:_CLINICS_ASKED]
        yield Platform(at, Engine(at, clinics), clinics)


def _fill(data: Path, size: Size) -> None:
    """Makes the engine's database in a new data folder: no other process is there, so nothing follows what is written."""
    clinics = max(1, size.calendars // _CALENDARS_A_CLINIC)
    each = size.appointments // (clinics * _CALENDARS_A_CLINIC)
    command = [sys.executable, "-m", "loadtests.years", *map(str, (clinics, _CALENDARS_A_CLINIC, each))]
    began = time.monotonic()
    with servers.running(data) as variables:
        subprocess.run(command, check=True, env={**os.environ, **variables})
    (data / "filled").touch()
    print(f"{size}: filled in {time.monotonic() - began:.0f} s", file=sys.stderr)


def growth(sizes: Sequence[Size], rounds: int, folder: Path) -> Json:
    """p50 and p99 of each deed at each size, medians over the rounds, and how many times the smallest the largest is."""
    runs: dict[tuple[str, Size], list[Json]] = {}
    with ExitStack() as stack:
        platforms = {size: stack.enter_context(_platform(size, folder)) for size in sizes}
        for number in range(rounds + 1):
            for deed in _DEEDS:
                for size, platform in platforms.items():
                    run = _measured(platform, deed=deed, seed=number)
                    if number:  # the first one warms up
                        runs.setdefault((deed, size), []).append(run)
        verified = {str(size): target.verify(platform.at)["status"] for size, platform in platforms.items()}
    found = {
        deed: {str(size): {name: statistics.median(run[name] for run in runs[deed, size]) for name in _FIGURES} for size in sizes}
        for deed in _DEEDS
    }
    return {"found": found, "ends": {f"{deed}, {size}": run[-1]["ends"] for (deed, size), run in runs.items()}, "verify": verified}


_FIGURES = ("p50_ms", "p99_ms", "engine_ms", "postgres_ms")


def _measured(platform: Platform, *, deed: str, seed: int) -> Json:
    at = platform.at
    people = arrivals(platform.clinics, per_s=_PER_S, seconds=_SECONDS, mix={deed: 1.0}, seed=seed)
    deeds = {**DEEDS, "first": _first, **({"hold": _hold(platform, people)} if deed == "hold" else {})}
    before = target.cpu(at)
    seen = asyncio.run(crowd(platform.site, people, patience_s=_PATIENCE_S, deeds=deeds))
    spent, times = target.since(before, target.cpu(at)), seen.of(deed)
    return {
        "p50_ms": round(times[len(times) // 2] * 1000, 1),
        "p99_ms": round(times[len(times) * 99 // 100] * 1000, 1),
        "engine_ms": round(spent["engine"] / len(people) * 1000, 3),
        "postgres_ms": round(spent["postgres"] / len(people) * 1000, 3),
        "ends": dict(seen.ends),
    }


def _hold(platform: Platform, people: Sequence[Arrival]) -> Deed:
    """A hold alone: what is free these people have seen before, and nobody else takes it."""
    free: dict[int, list[str]] = {}

    async def look(site: Site, ask: Ask, place: Place, _luck: float) -> None:
        free[place.calendar] = await site.slots(ask, place)

    async def hold(_site: Site, ask: Ask, place: Place, luck: float) -> None:
        slots = free[place.calendar]
        status, _ = await platform.site.hold(ask, place, slots.pop(int(luck * len(slots))))
        if status != 201:
            raise Failed(str(status))

    once = {person.place.calendar: replace(person, deed="look") for person in people}
    asyncio.run(crowd(platform.site, list(once.values()), patience_s=_PATIENCE_S, deeds={"look": look}))
    return hold


def main() -> int:
    options = _options()
    ends_within(_LONGEST_S)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="healthflow-load-") as new:
        found = growth(options.sizes, options.rounds, options.keep or Path(new))
    text = _as_markdown({**about("growth", began=began), **found}, options.sizes)
    (RESULTS / "growth.md").write_text(text)
    print(text)
    return 1 if any(found["verify"].values()) else 0


def _as_markdown(result: Json, sizes: Sequence[Size]) -> str:
    lines = [
        *heading("Growth", result),
        "Medians over the rounds; CPU in ms for one deed. A booking is a search, a hold and a confirmation; a hold is that alone.",
        "",
        "| deed | on | p50 ms | p99 ms | engine | PostgreSQL |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for deed, by_size in result["found"].items():
        for size, run in by_size.items():
            lines.append(f"| {deed} | {size} | " + " | ".join(str(run[name]) for name in _FIGURES) + " |")
    lines.append("")
    for deed, by_size in result["found"].items():
        few, many = by_size[str(sizes[0])], by_size[str(sizes[-1])]
        ratios = {name: many[name] / max(0.1, few[name]) for name in _FIGURES}
        lines.append(
            f"- {deed}: p99 {ratios['p99_ms']:.2f} x that of the smallest (target 1.5), p50 {ratios['p50_ms']:.2f} x, "
            f"CPU of the engine {ratios['engine_ms']:.2f} x, of PostgreSQL {ratios['postgres_ms']:.2f} x."
        )
    odd = [
        f"{place}: {count} x {end}" for place, ends in result["ends"].items() for end, count in ends.items() if " done" not in end
    ]
    lines += [f"- Not done: {', '.join(odd)}."] if odd else []
    lines.append(f"- `./manage.py engine verify` at the end: exit status {', '.join(map(str, result['verify'].values()))}.")
    return "\n".join([*lines, ""])


def _size(text: str) -> Size:
    calendars, _, appointments = text.partition(":")
    return Size(int(calendars), int(appointments))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.growth", description="The same work on ever larger platforms.")
    sizes = [Size(100, 1_000), Size(10_000, 100_000)]
    parser.add_argument("--sizes", type=_size, nargs="+", default=sizes, help="calendars:appointments, the smallest first")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--keep", type=Path, help="folder in which the platforms are kept, and taken from the next time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
