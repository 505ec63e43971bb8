"""What is kept of a live storm: figures as JSON, and a page to read on which each target stands beside what was measured."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from loadtests.frame import heading
from loadtests.target import Json

RESULTS = Path(__file__).resolve().parent / "results"
_NAMES = {"ours": "**ours**", "ws": "ws", "socketio": "Socket.IO", "channels": "stock Channels"}
_MEMORY_MIB = 400


class Target(NamedTuple):
    """A figure that is to be at most `most` (`least`: at least)."""

    what: str
    found: float
    most: float | None = None
    least: float | None = None

    def __str__(self) -> str:
        kept = (self.most is None or self.found <= self.most) and (self.least is None or self.found >= self.least)
        wanted = f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"
        return f"| {self.what} | {self.found:g} | {wanted} | {'yes' if kept else '**no**'} |"


def write(result: Json, *, name: str) -> str:
    """Writes `name`.json and `name`.md into results/; the page's text."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_markdown(result)
    (RESULTS / f"{name}.md").write_text(text)
    return text


def as_markdown(result: Json) -> str:
    lines = [
        *heading("Load on the live path", result),
        "CPU is of the server's process alone; `elsewhere` is how many cores other programs had.",
        "../README.md says how it is measured.",
    ]
    if "peers" in result:
        lines += ["", *_peers({name: found["median"] for name, found in result["peers"].items()})]
    if "idle" in result:
        lines += ["", *_idle(result["idle"])]
    lines += ["", "| target | found | wanted | kept |", "|---|---:|---:|---|", *map(str, _targets(result))]
    findings = [*_findings(result), *(f"Broken: {fault}." for fault in result["broken"])]
    return "\n".join([*lines, "", *(f"- {finding}" for finding in findings), ""])


def _table(heads: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def _peers(medians: Json) -> Iterator[str]:
    yield "Four viewers an event, 500 events/s, 2,000 sockets; one room of 1,000 viewers, 20 events/s; a burst of 2,000 events:"
    yield ""
    heads = [
        "server",
        "4 viewers, us",
        "p50 / p99 ms",
        "1,000 viewers, us",
        "p50 / p99 ms",
        "burst p99 ms",
        "burst lost",
        "elsewhere",
    ]
    yield from _table(heads, (_steady(name, median) for name, median in medians.items()))
    yield ""
    yield "What one process carries (p99 below 250 ms, nothing lost), opening a socket and subscribing, and the publisher's side:"
    yield ""
    heads = ["server", "deliveries/s", "us each", "stopped by", "open, ms", "KiB a socket", "client, cores"]
    heads += ["publisher, us/event", "Redis, us/event"]
    yield from _table(heads, (_most(name, median) for name, median in medians.items()))


def _steady(name: str, median: Json) -> Sequence[object]:
    four, room, burst = (median.get(part, {}) for part in ("four_viewers", "one_room", "burst"))
    latencies = [f"{part['p50_ms']} / {part['p99_ms']}" if part else "-" for part in (four, room)]
    cells = [four["cpu_us"], latencies[0], room.get("cpu_us", "-"), latencies[1], burst.get("p99_ms", "-"), burst.get("lost", "-")]
    return [_NAMES[name], *cells, four["busy_elsewhere"]]


def _most(name: str, median: Json) -> Sequence[object]:
    most, opened, four = median.get("most", {}), median["open"], median["four_viewers"]
    cells = [most.get(part, "-") for part in ("per_s", "cpu_us", "ended_by")]
    cells += [opened["cpu_ms"], opened["kib_each"], most.get("client_cores", "-")]
    return [_NAMES[name], *cells, four["publisher_us_per_event"], four["valkey_us_per_event"]]


def _idle(found: Json) -> Iterator[str]:
    yield "10,000 sockets in one process that say nothing:"
    yield ""
    heads = ["server", "MiB in all", "MiB before", "KiB a socket", "open, ms each", "idle, ms of CPU/s"]
    names = ("memory_mib", "fresh_mib", "kib_each", "cpu_ms", "idle_ms_per_s")
    yield from _table(heads, ([_NAMES[server], *(run[name] for name in names)] for server, run in found.items()))


def _targets(result: Json) -> Iterator[Target]:
    if "peers" in result:
        yield from _peer_targets({name: found["median"] for name, found in result["peers"].items()})
    if "idle" in result:
        ours = result["idle"]["ours"]
        yield Target("memory of an idle socket, KiB", ours["kib_each"], most=28)
        yield Target("10,000 sockets in one process, MiB", ours["memory_mib"], most=_MEMORY_MIB)
    if "stopped" in result:
        yield Target("one viewer stops reading: memory more at most, KiB", result["stopped"]["peak_more_kib"], most=1024)
        yield Target("one viewer stops reading: p99 of the others, ms", result["stopped"]["p99_ms"], most=5)
    if "lag" in result:
        yield Target("commit to client through the edge, p50 ms", result["lag"]["p50_ms"], most=10)
        yield Target("commit to client through the edge, p99 ms", result["lag"]["p99_ms"], most=50)
    if "comeback" in result:
        yield Target("5,000 sockets back with all they missed, s", result["comeback"]["all_recovered_s"], most=10)
        yield Target("push process meanwhile, MiB at most", max(result["comeback"]["peak_mib"].values()), most=_MEMORY_MIB)


def _peer_targets(medians: Json) -> Iterator[Target]:
    ours = medians["ours"]
    four, room, burst, most = (ours[part] for part in ("four_viewers", "one_room", "burst", "most"))
    yield Target("CPU per delivery, 4 viewers an event, us", four["cpu_us"], most=60)
    if "socketio" in medians:
        yield Target("the same, of Socket.IO's", round(four["cpu_us"] / medians["socketio"]["four_viewers"]["cpu_us"], 2), most=0.8)
    yield Target("CPU per delivery, 1,000 viewers, us", room["cpu_us"], most=13)
    if "ws" in medians:
        yield Target("the same, of plain ws's", round(room["cpu_us"] / medians["ws"]["one_room"]["cpu_us"], 2), most=1.1)
    yield Target("deliveries/s of one process", most["per_s"], least=60_000)
    yield Target("p99 at 2,000 deliveries/s, ms", four["p99_ms"], most=5)
    yield Target("burst of 2,000 events: lost", burst["lost"], most=0)
    yield Target("burst of 2,000 events: p99, ms", burst["p99_ms"], most=200)
    yield Target("connect and subscribe as the public, ms of CPU", ours["open_public"]["cpu_ms"], most=1.1)
    yield Target("connect and subscribe with a token, ms of CPU", ours["open"]["cpu_ms"], most=1.5)


def _said(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {how}" for how, count in refused.items()) or "none"


def _findings(result: Json) -> Iterator[str]:
    if "stopped" in result:
        run = result["stopped"]
        yield (
            f"One of five viewers stopped reading for 5,000 events of 4 KB: the others got {run['deliveries']} of 20000 deliveries,"
            f" and it was closed ({run['stopped_one_ended']})."
        )
    if "lag" in result:
        run = result["lag"]
        counts = f"{run['events']} events at {run['events_per_s']}/s, {run['deliveries']} deliveries"
        yield f"Lag: {counts}, {run['lost']} lost, longest {run['max_ms']} ms."
    if "comeback" in result:
        run = result["comeback"]
        yield (
            f"Come-back: {run['recovered']} of {run['sockets']} sockets recovered, {run['lost']} lost, {run['repeated']} twice;"
            f" {sum(run['refused'].values())} tries were refused before ({_said(run['refused'])})."
        )
        yield (
            f"The database saw {run['transactions_more']} transactions more than the stack does by itself"
            f" ({run['transactions_per_s_of_others']}/s) meanwhile; the push process has no address of it."
        )
    if "verify" in result:
        yield f"`./manage.py engine verify` at the end: exit status {result['verify']['status']}."
