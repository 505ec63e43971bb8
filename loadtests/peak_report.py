"""What the peak hour came to, for people: the rates, the two sites beside each other, the targets."""

from collections.abc import Iterator

from loadtests.arrivals import PEAK_HOUR, READS
from loadtests.frame import heading
from loadtests.target import Json


def as_markdown(result: Json) -> str:
    size = f"{result['clinics']} clinics, {result['calendars']} calendars, {result['appointments']} appointments"
    return "\n".join(
        [
            *heading("The peak hour", result, size=size),
            f"Load average before it began: {result['load_average_before']}; `elsewhere` is how many cores other programs had.",
            "../README.md says how it is measured. `good` are people who were served within three seconds, waiting included.",
            "",
            *_ramps(result),
            "",
            *_beside(result),
            "",
            *_costs(result),
            "",
            *(f"- {finding}" for finding in [*findings(result), *(f"Broken: {fault}." for fault in result["broken"])]),
            "",
        ]
    )


def _ramps(result: Json) -> Iterator[str]:
    yield "| site | people/s | good/s | page p50 ms | p95 | p99 | week p95 | failed bookings | client, cores | elsewhere |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name in ("engine", "monolith"):
        for run in result[name]["steps"]:
            yield _step(name, run)
        yield _step(f"{name}, twice the knee", result[name]["twice"])


def _step(name: str, run: Json) -> str:
    page = run["page_ms"]
    cells = [name, run["offered_per_s"], run["good_per_s"], page["0.5"], page["0.95"], page["0.99"], run["week_ms"]["0.95"]]
    return _row(*cells, _percent(run["failed"]["book"]), run["client_cores"], run["busy_elsewhere"])


def _beside(result: Json) -> Iterator[str]:
    yield "The same people, one after the other, at half of what the monolith carries and at more than that:"
    yield ""
    columns = "people/s | site | page p50 ms | p95 | p99 | week p95 | booking p95 | failed reads | failed bookings"
    yield f"| {columns} | statements a request |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name in ("calm", "face_off"):
        for site in ("monolith", "engine"):
            run = result[name][site]
            page, failed = run["page_ms"], run["failed"]
            asked = statements_a_request(result, run, quiet=site == "engine")
            cells = [
                run["offered_per_s"],
                site,
                page["0.5"],
                page["0.95"],
                page["0.99"],
                run["week_ms"]["0.95"],
                run["book_ms"]["0.95"],
            ]
            yield _row(*cells, _percent(failed["read"]), _percent(failed["book"]), asked)


def _costs(result: Json) -> Iterator[str]:
    yield "What one of each costs at the engine, in ms of CPU (what the stack does when nobody comes is taken off):"
    yield ""
    yield "| deed | engine | PostgreSQL | Redis | statements a request | p50 ms | p95 ms |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for deed in result["costs"]:
        run, cost = result["costs"][deed], cpu_ms(result, deed)
        times = run["book_ms"] if deed == "book" else run["page_ms"]
        asked = statements_a_request(result, run, quiet=True)
        yield _row(deed, cost["engine"], cost["postgres"], cost["valkey"], asked, times["0.5"] or "", times["0.95"] or "")


def cpu_ms(result: Json, deed: str) -> dict[str, float]:
    """ms of CPU that one such deed costs, by process, less what the process spends on nobody."""
    run, cores = result["costs"][deed], result["quiet"]["cores"]
    return {
        name: round(max(0.0, each - cores.get(name, 0) * run["wall_s"] / max(1, run["people"]) * 1000), 3)
        for name, each in run["cpu_ms_by_process"].items()
    }


def statements_a_request(result: Json, run: Json, *, quiet: bool) -> float | None:
    """How many statements a request had PostgreSQL asked; what the stack asks by itself is taken off."""
    if run["statements"] is None:
        return None
    own = (result["quiet"]["statements_per_s"] or 0) * run["wall_s"] if quiet else 0
    return float(round((run["statements"] - own) / max(1, run["requests"]), 2))


def findings(result: Json) -> Iterator[str]:
    """The targets, each beside what was measured."""
    engine, monolith = result["face_off"]["engine"], result["face_off"]["monolith"]
    faster = monolith["page_ms"]["0.95"] / max(0.1, engine["page_ms"]["0.95"])
    yield f"Beside each other at {engine['offered_per_s']} people/s: p95 page {faster:.0f} x faster (target 40)."
    calm = result["calm"]["monolith"]["page_ms"]["0.95"] / max(0.1, result["calm"]["engine"]["page_ms"]["0.95"])
    yield f"At half of what the monolith carries: p95 page {calm:.0f} x faster."
    failed = [_percent(each["failed"]["book"]) for each in (engine, monolith)]
    yield f"Failed bookings: {failed[0]} against {failed[1]} (target 0 against more than 10 %)."
    double = result["double_bookings"]["monolith"]
    yield f"Double bookings: 0 (the constraint, and verify) against {double} pairs, all runs of the monolith together."
    of, asked = (statements_a_request(result, run, quiet=run is engine) for run in (monolith, engine))
    if of and asked:
        yield f"Statements a request: {asked} against {of}, {asked / of:.1%} of the monolith's."
    yield from _caches(result)
    ramp = result["engine"]
    kept = ramp["twice"]["good_per_s"] / max(0.1, ramp["best_good_per_s"])
    yield f"The engine's knee: {ramp['knee_per_s']:.0f} people/s; at twice that {kept:.0%} of the best goodput (target 90 %)."
    ratio = ramp["knee_per_s"] / max(0.1, result["monolith"]["knee_per_s"])
    yield f"The monolith's knee: {result['monolith']['knee_per_s']:.1f} people/s; the engine carries {ratio:.0f} x as many."
    yield f"`./manage.py engine verify` at the end: exit status {result['verify']['status']}."


def _caches(result: Json) -> Iterator[str]:
    """`uncached` are statements a request of the whole mix ("all") and of each deed, before there were caches."""
    before = result["uncached"]
    runs = {"all": result["face_off"]["engine"], **result["costs"]}
    now = {name: statements_a_request(result, run, quiet=True) or 0.0 for name, run in runs.items()}
    if not before or not now["all"]:
        yield "Statements without the caches: there is no earlier result to compare with (target: with them at most 5 % of that)."
        return
    reads, reads_before = (sum(PEAK_HOUR[name] * each[name] for name in READS) for each in (now, before))
    yield f"Statements of the reads: {reads / reads_before:.1%} of those before there were caches (target 5 %)."
    share = now["all"] / before["all"]
    yield f"Statements a request, writes included: {now['all']} against {before['all']} before there were caches, {share:.1%}."


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
