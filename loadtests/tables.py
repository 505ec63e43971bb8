"""What years of data cost: bytes an appointment, and the time of the hot statements, as the tables grow.

`python -m loadtests.tables` starts a PostgreSQL of its own for each size, fills it (years.py), measures in one thread, and writes
results/tables.json and .md. The core's own functions are called, with prepared statements, as the server does; no HTTP. The CPU is
that of the connection's backend, in nanoseconds from /proc/<pid>/schedstat. Beside it, in turns on the same rows: one table of
allocations without partitions; and afterwards the same once history has left (tasks.settle).
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import django

from apps.local import servers

SIZES = (100_000, 1_000_000, 5_000_000)
OF_A_PRACTITIONER, PRACTITIONERS, A_DAY = 2_500, 10, 4
AHEAD = 14
_WARM = 5
RESULTS = Path(__file__).parent / "results" / "tables.md"
TABLES = ("engine_appointment", "engine_allocation", "engine_outboxevent", "kernel_auditentry")
_NOT_RUNNING = ("outbox_moves", "holds_end")
"""What a relay and a worker would keep."""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="measure one size and print it as JSON")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=60, help="of each case in a round")
    options = parser.parse_args()
    if options.size:
        with tempfile.TemporaryDirectory(prefix="healthflow-load-") as folder, servers.running(Path(folder)) as variables:
            os.environ.update({**variables, "DJANGO_SETTINGS_MODULE": "engine.settings"})
            django.setup()
            print(json.dumps(measure(options.size, variables, rounds=options.rounds, times=options.times)))
        return
    # Sizes that are measured one by one make one page.
    kept = RESULTS.with_suffix(".json")
    found = {one["appointments"]: one for one in json.loads(kept.read_text())} if kept.is_file() else {}
    for size in options.sizes:
        command = [sys.executable, "-m", "loadtests.tables", "--size", str(size)]
        command += ["--rounds", str(options.rounds), "--times", str(options.times)]
        asked = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[size] = json.loads(asked.stdout.splitlines()[-1])
        in_order = [found[number] for number in sorted(found)]
        kept.write_text(json.dumps(in_order, indent=1) + "\n")
        RESULTS.write_text(page(in_order, repeated=f"{options.rounds} times {options.times}"))


def measure(size: int, variables: Mapping[str, str], *, rounds: int, times: int) -> dict[str, Any]:
    from django.core.management import call_command

    from engine import tasks
    from engine.verification import verify
    from loadtests.years import Years, fill, unchecked

    call_command("migrate", verbosity=0)
    clinics = size // OF_A_PRACTITIONER // PRACTITIONERS
    began = time.monotonic()
    with unchecked(variables):
        fill(Years(clinics, PRACTITIONERS, busy=OF_A_PRACTITIONER, usual=OF_A_PRACTITIONER, a_day=A_DAY, ahead=AHEAD))
    filled = time.monotonic() - began
    before = sizes(size)
    _do(
        "CREATE TABLE whole (LIKE engine_allocation INCLUDING ALL)",
        "INSERT INTO whole SELECT * FROM engine_allocation",
        "ALTER TABLE whole ADD CONSTRAINT whole_overlap EXCLUDE USING gist (calendar_id WITH =, unit WITH =, during WITH &&)",
        *(f"ALTER TABLE whole ADD FOREIGN KEY ({name}_id) REFERENCES engine_{name}" for name in ("appointment", "calendar")),
        "VACUUM ANALYZE whole",
    )
    cases = list(_cases())
    found: dict[str, dict[str, list[tuple[float, float]]]] = {"four parts": {}, "one table": {}}
    for _ in range(rounds):
        for layout, timed in found.items():
            if layout == "one table":
                _exchange()
            _time(cases, timed, times=times)
            if layout == "one table":
                _exchange()
    # What was booked there meanwhile is booked here.
    _do(
        "INSERT INTO engine_allocation SELECT * FROM whole ON CONFLICT (appointment_id, calendar_id) DO NOTHING", "DROP TABLE whole"
    )
    began = time.monotonic()
    for tick in range(144):
        tasks.settle(tick)
    settled = time.monotonic() - began
    _do("VACUUM ANALYZE engine_allocation")
    _do("REINDEX TABLE engine_allocation")
    found["settled"] = {}
    for _ in range(rounds):
        _time(cases, found["settled"], times=times)
    verdict = verify()
    return {
        "appointments": size,
        "calendars": verdict.calendars,
        "filled_s": filled,
        "settled_s": settled,
        "verified_s": verdict.seconds,
        "broken": [check.name for check in verdict.checks if check.violations and check.name not in _NOT_RUNNING],
        "sizes": before,
        "settled": sizes(size),
        "times": {layout: {name: _figures(some) for name, some in timed.items()} for layout, timed in found.items()},
    }


def _do(*statements: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET maintenance_work_mem = '256MB'; SET enable_seqscan = on")
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def _exchange() -> None:
    """The two tables of allocations change places."""
    _do(
        "ALTER TABLE engine_allocation RENAME TO kept",
        "ALTER TABLE whole RENAME TO engine_allocation",
        "ALTER TABLE kept RENAME TO whole",
    )


def sizes(appointments: int) -> dict[str, float]:
    """Bytes an appointment: each table's rows and each of its indexes, partitions taken together."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, coalesce(i.relname, 'rows'), sum(pg_relation_size(coalesce(part_i.oid, part.oid)))"
            " FROM pg_class c CROSS JOIN LATERAL (SELECT c.oid UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)"
            " AS part (oid) LEFT JOIN LATERAL (SELECT indexrelid AS oid FROM pg_index WHERE indrelid = part.oid"
            " UNION ALL SELECT NULL) AS part_i ON true"
            " LEFT JOIN pg_inherits p ON p.inhrelid = part_i.oid LEFT JOIN pg_class i ON i.oid = coalesce(p.inhparent, part_i.oid)"
            " WHERE c.relname = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2 DESC",
            [list(TABLES)],
        )
        return {f"{table} {name}": round(float(size) / appointments, 1) for table, name, size in cursor.fetchall()}


# --- the hot statements ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What is timed, and what is done before and after it without being timed."""

    name: str
    act: Callable[[Any], object]
    before: Callable[[], Any]


def _cases() -> Iterator[Case]:
    from engine import bookings, models, queries, snapshots
    from engine.offers import Offer
    from engine.rows import Actor, Patient
    from engine.scheduling.intervals import Interval

    chance, actor, patient = random.Random(1), Actor("load"), Patient("p1")
    midnight = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    places = list(models.Calendar.objects.filter(kind="practitioner").values_list("id", "clinic_id", "uid", "clinic__slug"))
    kinds = dict(models.VisitType.objects.values_list("clinic_id", "id"))
    taken = Counter[int]()

    def offer() -> Offer:
        id_, clinic, _, _ = chance.choice(places)
        day, hour = divmod(taken[id_], 6)
        taken[id_] += 1
        # On days after those that are seeded.
        start = midnight + (AHEAD + 1 + day) * 86_400 + (14 + hour) * 3600
        return Offer(clinic, kinds[clinic], (id_,), start, start + 1800, "in_person")

    def held() -> UUID:
        return bookings.hold(offer(), seconds=300, actor=actor).appointment.id

    def booked() -> UUID:
        return bookings.book(offer(), patient=patient, state="", actor=actor).appointment.id

    week, fortnight = Interval(midnight, midnight + 7 * 86_400), Interval(midnight, midnight + 14 * 86_400)
    yield Case("hold", lambda wish: bookings.hold(wish, seconds=300, actor=actor), offer)
    yield Case("confirm", lambda id_: bookings.confirm(id_, patient=patient, state="", actor=actor), held)
    yield Case("cancel", lambda id_: bookings.cancel(id_, reason="", by="clinic", actor=actor), booked)

    def place() -> Any:
        return chance.choice(places)

    yield Case("slots, 14 days of a clinic", lambda p: queries.slots(queries.visit_type(kinds[p[1]]), fortnight, limit=50), place)
    whole = partial(snapshots.snapshots, known={}, see=lambda one: one)
    yield Case("snapshot, a week", lambda p: snapshots.snapshot(p[2], week, clinic=p[3]), place)
    yield Case("snapshot, a clinic's week", lambda p: whole(None, week, clinic=p[3]), place)
    yield Case(
        "changes, the last 20", lambda p: snapshots.changes(p[2], since=p[4], limit=500, clinic=p[3]), lambda: _near(place())
    )
    yield Case("appointments from today on", lambda p: _listed(queries.appointments, p[3], Interval(midnight, 2**32)), place)


def _near(place: tuple[Any, ...]) -> tuple[Any, ...]:
    from engine import models

    return (*place, max(0, models.Calendar.objects.values_list("version", flat=True).get(id=place[0]) - 20))


def _listed(ask: Callable[..., object], clinic: str, within: object) -> object:
    return ask(clinic=clinic, calendar=None, patient="", status="", within=within, limit=100, after=None)


def _time(cases: Sequence[Case], into: dict[str, list[tuple[float, float]]], *, times: int) -> None:
    """Adds (seconds, the backend's CPU seconds) of each case, done some times."""
    from django.conf import settings
    from django.db import connection

    from apps.kernel.redis import circuit

    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        spent = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    circuit(settings.ENV.redis_url.get_secret_value()).reset()
    for case in cases:
        for number in range(times + _WARM):
            given = case.before()
            cpu, began = int(spent.read_text().split()[0]), time.perf_counter()
            case.act(given)
            took = time.perf_counter() - began
            if number >= _WARM:  # the first prepare their statements
                into.setdefault(case.name, []).append((took, (int(spent.read_text().split()[0]) - cpu) / 1e9))


def _figures(some: Sequence[tuple[float, float]]) -> dict[str, float]:
    times = sorted(took * 1000 for took, _ in some)
    cpu = statistics.median(spent * 1000 for _, spent in some)
    return {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)], "cpu": cpu}


# --- the page -------------------------------------------------------------------------------------------------------------


def page(found: Sequence[dict[str, Any]], *, repeated: str) -> str:
    """What was found, as Markdown."""
    heads = [f"{one['appointments']:,}" for one in found]
    lines = [
        "# Tables for years of data",
        "",
        f"`python -m loadtests.tables`, {datetime.now(UTC):%Y-%m-%d}. A practitioner has {OF_A_PRACTITIONER:,} appointments,"
        f" {A_DAY} a day, from {OF_A_PRACTITIONER // A_DAY - AHEAD} days back to {AHEAD} ahead; one thread, no HTTP; {repeated}"
        f" of each, the two layouts in turns. Settled: once `tasks.settle` has removed what is over for 400 days.",
        "",
        "## Milliseconds: p50 / p99 / CPU of PostgreSQL (median)",
        "",
    ]
    for layout in ("four parts", "one table", "settled"):
        lines += [f"| {layout} | {' | '.join(heads)} | last : first, CPU |", "|---|" + "---|" * (len(heads) + 1)]
        for name in found[0]["times"][layout]:
            figures = [one["times"][layout][name] for one in found]
            cells = [f"{f['p50']:.2f} / {f['p99']:.2f} / {f['cpu']:.3f}" for f in figures]
            lines.append(f"| {name} | {' | '.join(cells)} | {figures[-1]['cpu'] / figures[0]['cpu']:.2f} |")
        lines.append("")
    lines += ["## Bytes an appointment", "", f"| | {' | '.join(heads)} | settled |", "|---|" + "---|" * (len(heads) + 1)]
    for name in found[-1]["sizes"]:
        cells = [f"{one['sizes'].get(name, 0):.1f}" for one in found]
        lines.append(f"| {name} | {' | '.join(cells)} | {found[-1]['settled'].get(name, 0):.1f} |")
    lines += ["", "## Seconds", "", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name, text in (("filled_s", "fill"), ("settled_s", "settle, all turns of a day"), ("verified_s", "verify")):
        lines.append(f"| {text} | {' | '.join(f'{one[name]:.1f}' for one in found)} |")
    lines.append(f"| verify clean | {' | '.join('no' if one['broken'] else 'yes' for one in found)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
