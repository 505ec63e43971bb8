"""What a search for free slots costs: kept, changed and unknown, beside the same bytes from a trivial view of the same server.

    .venv/bin/python -m loadtests.availability [--turns N] [--each N] [--page FILE]

Starts a PostgreSQL, a Valkey and one HTTP server of its own. Exits with 1 when an answer is not what it should be; speed never
fails it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Protocol

import django
from redis import Redis

from apps.kernel.tokens import SESSION_COOKIE
from apps.local import servers
from apps.local.environment import ROOT, free_ports
from apps.local.probes import answers
from loadtests.clients import somebody
from loadtests.target import machine

CALENDARS, APPOINTMENTS, DAYS, SLOTS = 10, 3000, 14, 50
TARGET_RATIO, TARGET_MS = 1.5, 5.0
PAGE = Path(__file__).parent / "results" / "availability.md"
Costs = dict[str, float]


class Get(Protocol):
    def __call__(self, path: str, cookie: str = "") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked for; what is done before each time; how many times less often it is asked."""

    path: str
    before: Callable[[], None] | None = None
    share: int = 1
    cookie: str = ""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--turns", type=int, default=11)
    asked.add_argument("--each", type=int, default=1000)
    asked.add_argument("--page", type=Path, default=PAGE)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="healthflow-load-") as folder, servers.running(Path(folder)) as variables:
        os.environ.update({**variables, "DJANGO_SETTINGS_MODULE": "engine.settings", "TRIVIAL_BODY": f"{folder}/body"})
        django.setup()
        path = _seeded()
        with _server() as (port, pid):
            pids = {"engine": pid, "postgres": _postmaster(Path(folder)), "valkey": _valkey()}
            found = measure(port, path, pids=pids, turns=options.turns, each=options.each)
    page = report(found, turns=options.turns, each=options.each)
    options.page.write_text(page)
    print(page)


# --- what is asked ------------------------------------------------------------------------------------------------------


def measure(port: int, path: str, *, pids: dict[str, int], turns: int, each: int) -> dict[str, list[Costs]]:
    """Microseconds of CPU for one request by process, one for each turn, by kind."""
    get = _client(port)
    body = get(path)
    if len(json.loads(body)["items"]) != SLOTS:
        sys.exit("the answer is wrong")
    Path(os.environ["TRIVIAL_BODY"]).write_bytes(body)
    kinds = {
        "trivial view": Kind("/trivial"),
        "trivial view behind the rate limit": Kind("/limited"),
        "kept": Kind(path),
        "kept, through Django": Kind(path, cookie=f"{SESSION_COOKIE}="),
        "a booking since": Kind(path, _book, share=5),
        "nothing is known": Kind(path, _forget, share=5),
    }
    found: dict[str, list[Costs]] = {name: [] for name in kinds}
    for turn in range(turns + 1):
        for name, kind in kinds.items():
            cost = _cost(get, kind, pids=pids, times=max(1, each // kind.share))
            if turn:  # the first is to get warm
                found[name].append(cost)
        if _items(get(path)) != _items(body):
            sys.exit("the answers are not the same")
    return found


def _book() -> None:
    """One calendar of the ten has another version since something of tomorrow changed, and Redis is told as a writer tells it."""
    from django.db import connection

    from engine.stands import days_around, stands

    with connection.cursor() as cursor:
        one = "(SELECT min(id) FROM engine_calendar)"
        cursor.execute(f"UPDATE engine_calendar SET version = version + 1 WHERE id = {one} RETURNING id, version")
        calendar, version = cursor.fetchone()
    stands.tell({calendar: version}, days_around(int(time.time()) + 86_400))


def _forget() -> None:
    """Another epoch: what memory and Redis have is never asked for again. Opening hours and visit types stay known."""
    from django.db import connection

    from engine.stands import EPOCH

    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_stream SET epoch = uuidv7() RETURNING epoch::text")
        Redis.from_url(os.environ["REDIS_URL"]).set(EPOCH, cursor.fetchone()[0])


def _cost(get: Get, kind: Kind, *, pids: dict[str, int], times: int) -> Costs:
    before = {name: cpu(pid) for name, pid in pids.items()}
    for _ in range(times):
        if kind.before:
            kind.before()
        get(kind.path, kind.cookie)
    return {name: (cpu(pid) - before[name]) / times / 1000 for name, pid in pids.items()}


def _client(port: int) -> Get:
    """Asks over one connection, each time from another address, so that nobody comes to the rate limit."""
    connection, numbers = HTTPConnection("127.0.0.1", port), count()

    def get(path: str, cookie: str = "") -> bytes:
        connection.request("GET", path, headers=somebody(next(numbers)) | ({"Cookie": cookie} if cookie else {}))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status}")
        return body

    return get


def _items(body: bytes) -> object:
    return json.loads(body)["items"]


# --- the servers --------------------------------------------------------------------------------------------------------


def _seeded() -> str:
    """Makes the clinic; the address of the search."""
    from django.core.management import call_command

    from engine import models

    call_command("migrate", verbosity=0)
    call_command("seed", "--clinics", "1", "--calendars", str(CALENDARS), "--appointments", str(APPOINTMENTS), "--seed", "1")
    clinic = models.Clinic.objects.get()
    visit_type = models.VisitType.objects.filter(clinic=clinic).order_by("id")[0]
    if visit_type.calendars.count() != CALENDARS:
        sys.exit("the visit type is not that of all calendars")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    first, last = (f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in (midnight, midnight + timedelta(days=DAYS)))
    return f"/api/engine/v1/clinics/{clinic.slug}/slots?visit_type={visit_type.uid}&from={first}&to={last}&limit={SLOTS}"


@contextmanager
def _server() -> Iterator[tuple[int, int]]:
    """(port, pid) of the engine's HTTP server as the stack has it, with one worker."""
    port = free_ports(1)[0]
    command = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "loadtests.trivial:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", "8", "--no-ws"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("the server did not start")
            time.sleep(0.1)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(30)


def cpu(root: int) -> int:
    """Nanoseconds of CPU so far of a process and its descendants that live, by thread (/proc/<pid>/task/<tid>/schedstat)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended between the look and the read
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    return sum(_own(pid) for pid in _tree(root, parents))


def _tree(root: int, parents: dict[int, list[int]]) -> list[int]:
    return [root, *(pid for child in parents.get(root, []) for pid in _tree(child, parents))]


def _own(pid: int) -> int:
    spent = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            spent += int(task.read_text().split()[0])
    return spent


# --- the page -----------------------------------------------------------------------------------------------------------


def report(found: dict[str, list[Costs]], *, turns: int, each: int) -> str:
    engine = {name: [cost["engine"] for cost in costs] for name, costs in found.items()}
    medians = {name: statistics.median(values) for name, values in engine.items()}
    floor = engine["trivial view"]
    ratios = {name: statistics.median(a / b for a, b in zip(values, floor, strict=True)) for name, values in engine.items()}
    beside = {
        name: {server: statistics.median(cost[server] for cost in costs) for server in ("postgres", "valkey")}
        for name, costs in found.items()
    }
    rows = [
        f"| {name} | {medians[name]:.0f} | {min(engine[name]):.0f} to {max(engine[name]):.0f} | {ratios[name]:.2f} "
        f"| {beside[name]['postgres']:.0f} | {beside[name]['valkey']:.0f} |"
        for name in found
    ]
    kept, unknown = ratios["kept"], medians["nothing is known"] / 1000
    table = "\n".join(rows)
    return f"""# What a search for free slots costs

{datetime.now(UTC):%Y-%m-%d}, {", ".join(f"{name} {value}" for name, value in machine().items())}. Written by the
command itself:

    .venv/bin/python -m loadtests.availability

One clinic of {CALENDARS} practitioners with {APPOINTMENTS:,} appointments (`engine seed`), {DAYS} days, {SLOTS} slots an answer.
One granian worker as in the stack, rate limits on, one kept connection, each request from another address. {turns} turns of
{each} requests (a fifth of that for the last two kinds), one kind after the other; CPU of the server from `schedstat`, the median
of all turns; the ratio to the trivial view is that within one turn.

| what is asked for | median us | of all turns | ratio | PostgreSQL us | Valkey us |
|---|---|---|---|---|---|
{table}

The trivial view is a Django view of the same server that returns the same bytes. *Kept, through Django*: with a session's
cookie (an empty one) the door before Django leaves it to Django and ninja, which find the same kept answer. *A booking since*:
one of the calendars has another version and other days. *Nothing is known*: neither memory nor Redis has a day (another epoch
before each request); opening hours and visit types are known. For these two the others' parts include the write.

- Kept: {kept:.2f} times the trivial view (target {TARGET_RATIO}): {"kept" if kept <= TARGET_RATIO else "missed"}.
- Nothing is known: {unknown:.2f} ms (target {TARGET_MS:.0f}): {"kept" if unknown <= TARGET_MS else "missed"}.
"""


def _postmaster(data: Path) -> int:
    [file] = data.glob("**/postmaster.pid")
    return int(file.read_text().split()[0])


def _valkey() -> int:
    told = Redis.from_url(os.environ["REDIS_URL"]).info("server")
    return int(told["process_id"])


if __name__ == "__main__":
    main()
