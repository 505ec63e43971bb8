"""What it costs to find the first available among half a million calendars: `python -m loadtests.first_available`.

Starts a PostgreSQL of its own, fills it with INSERT … SELECT generate_series, measures `engine.first` in this process, checks each
answer against a full scan of the index in SQL, writes results/first_available.md, and exits with 1 when a bar is missed.
"""

import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import django

from apps.local import servers

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

    from engine.first import Wish

SIZES = (100, 10_000, 500_000)
SEARCHES = 250
UNREAD = 300
"""Events that the keeper has not taken over yet: a second of them at 300 bookings a second."""
LIMIT_MS, LIMIT_BYTES = 20.0, 200.0
SPECIALTIES, STATES, A_CLINIC = 50, 50, 20
LATER = "specialty and state, after a week"
"""Of most calendars the index does not know when they are free then: the answer says that not all were looked at."""
RESULTS = Path(__file__).parent / "results" / "first_available.md"
# Each calendar opens some day soon, at some quarter of an hour, for eight hours: then it is free from its first moment on, as
# many days ahead as if it was booked out till then. Specialties and states are as uneven as in life, the rarest has a thousandth.
# What is known of a calendar or visit type is kept in the process by these counters, so each size has its own.
SEED = f"""
SELECT setseed(0.5);
CREATE TEMPORARY TABLE seeded AS
SELECT n, n / {A_CLINIC} AS clinic, ('specialty-' || floor({SPECIALTIES} * random() ^ 2))::varchar AS specialty,
       ARRAY(SELECT DISTINCT chr(65 + s / 26) || chr(65 + s %% 26) FROM (
         SELECT floor({STATES} * random() ^ 3)::integer AS s
         FROM generate_series(1, CASE WHEN n %% 100 < 85 THEN 1 WHEN n %% 100 < 97 THEN 2 ELSE 8 END)) AS drawn
         ORDER BY 1)::varchar[] AS states,
       CASE WHEN n %% 20 < 16 THEN '{{en}}' WHEN n %% 20 < 19 THEN '{{en,es}}'
            ELSE ARRAY['en', 'x' || chr(97 + floor(26 * random() ^ 2)::integer)] END::varchar[] AS languages,
       (now() AT TIME ZONE 'UTC')::date + 2 + floor(-4 * ln(1 - random()))::integer AS opens_on,
       make_interval(mins => 480 + 15 * floor(16 * random())::integer) AS opens
FROM generate_series(0, %(calendars)s - 1) AS n;
INSERT INTO engine_clinic (id, slug, name, zone)
SELECT 1 + n, 'clinic-' || n, 'Clinic', 'UTC' FROM generate_series(0, %(calendars)s / {A_CLINIC}) n;
INSERT INTO engine_calendar (id, clinic_id, kind, name, zone, specialty, states, languages, holidays, active, version, rules)
SELECT 1 + n, 1 + clinic, 'practitioner', 'Practitioner', 'UTC', specialty, states, languages, '', true, 0, %(calendars)s
FROM seeded;
INSERT INTO engine_openinghours (calendar_id, weekday, opens, closes, valid_from)
SELECT 1 + n, extract(isodow FROM opens_on) - 1, '00:00'::time + opens, '08:00'::time + opens, opens_on FROM seeded;
INSERT INTO engine_visittype
       (id, clinic_id, name, duration, step, before, after, notice, change_notice, horizon, modalities, needs, active, revision)
SELECT id, id, 'Visit', 30, CASE WHEN id %% 2 = 0 THEN 15 ELSE 30 END, 0, 0, (ARRAY[0, 60, 1440])[1 + id %% 3], 0, 180,
       CASE id %% 4 WHEN 0 THEN '{{in_person}}' WHEN 1 THEN '{{video}}' ELSE '{{in_person,video}}' END::varchar[],
       '{{practitioner}}', true, %(calendars)s FROM engine_clinic;
INSERT INTO engine_visittype_calendars (visittype_id, calendar_id) SELECT clinic_id, id FROM engine_calendar;
CREATE TEMPORARY TABLE indexed AS
SELECT v.id AS visit_type, 1 + n AS calendar, specialty, states, languages, modalities, step, notice,
       floor(extract(epoch FROM (opens_on + opens) AT TIME ZONE 'UTC') / 60)::integer AS first
FROM seeded JOIN engine_visittype v ON v.id = 1 + clinic;
INSERT INTO engine_lane (specialty, states, languages, modalities, digest, head)
SELECT specialty, states, languages, modalities, %(digest)s, min(first) FROM indexed GROUP BY 1, 2, 3, 4;
INSERT INTO engine_nextfree (visit_type_id, calendar_id, lane_id, first, last, notice)
SELECT i.visit_type, i.calendar, l.id, i.first, i.first + 480 - 30 - 450 %% i.step, notice
FROM indexed i JOIN engine_lane l USING (specialty, states, languages, modalities);
INSERT INTO engine_nextfreekept (id, epoch, txid, calendar_id, version, built_to)
SELECT 1, epoch, pg_current_xact_id(), 0, 0, NULL FROM engine_stream;
INSERT INTO engine_outboxevent (calendar_id, version, type, at, data)
SELECT DISTINCT ON (1) 1 + floor(random() * %(calendars)s)::integer, 1,
       'appointment.' || CASE WHEN n %% 5 = 0 THEN 'cancelled' ELSE 'booked' END, now(), '{{}}'::jsonb
FROM generate_series(1, %(unread)s) AS n;
DROP TABLE seeded, indexed
"""
# Nothing of the reader is in it but the meaning of the columns.
SCAN = """
SELECT f.first FROM engine_nextfree f
JOIN engine_calendar c ON c.id = f.calendar_id JOIN engine_visittype v ON v.id = f.visit_type_id
WHERE (%(visit_type)s = 0 OR v.id = %(visit_type)s) AND (%(specialty)s = '' OR c.specialty = %(specialty)s)
  AND (%(state)s = '' OR %(state)s = ANY(c.states)) AND (%(language)s = '' OR %(language)s = ANY(c.languages))
  AND (%(modality)s = '' OR %(modality)s = ANY(v.modalities)) ORDER BY 1 LIMIT %(limit)s
"""
SIZE = """
SELECT sum(pg_total_relation_size(name)) FROM unnest('{engine_nextfree,engine_lane,engine_nextfreekept}'::regclass[]) AS name
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of one kind of search: on the clock, of CPU of this thread and its database process, and of the thread alone.

    Nothing in a search waits but the one for the other, so on a machine with nothing else to do both are the same.
    """

    wall: list[float]
    cpu: list[float]
    own: list[float]

    @property
    def p99(self) -> float:
        return _p99(self.cpu)


@dataclass(frozen=True, slots=True)
class Measured:
    calendars: int
    lanes: int
    fresh_bytes: float
    churned_bytes: float
    struck_bytes: float
    refreshed_a_s: float
    moved_a_s: float
    searches: dict[str, Timed]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="healthflow-load-") as folder, servers.running(Path(folder)) as variables:
        os.environ.update({**variables, "DJANGO_SETTINGS_MODULE": "engine.settings"})
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        found = [measure(size) for size in SIZES]
    report, kept = written(found)
    RESULTS.write_text(report)
    print(report)
    sys.exit(0 if kept else 1)


_TABLES = ", ".join(
    f"engine_{table}" for table in ("clinic", "calendar", "visittype", "outboxevent", "lane", "nextfree", "nextfreekept")
)


def measure(calendars: int) -> Measured:
    from django.db import connection

    with connection.cursor() as cursor:
        emptied(cursor)
        fill(cursor, calendars=calendars, unread=UNREAD)
        cursor.execute("SELECT count(*) FROM engine_lane")
        lanes = cursor.fetchone()[0]
        fresh = _bytes(cursor) / calendars
    searches = {name: _timed(wish) for name, wish in kinds(calendars)}
    refreshed = _refreshed_a_s(calendars)
    with connection.cursor() as cursor:
        churned = _churned(cursor) / calendars
    moved = _moved_a_s(calendars)
    with connection.cursor() as cursor:
        struck = _bytes(cursor) / calendars
    return Measured(calendars, lanes, fresh, churned, struck, refreshed, moved, searches)


def emptied(cursor: "CursorWrapper") -> None:
    cursor.execute("SET statement_timeout = 0")
    cursor.execute("SET work_mem = '64MB'")
    cursor.execute(f"TRUNCATE {_TABLES} CASCADE")


def fill(cursor: "CursorWrapper", *, calendars: int, unread: int) -> None:
    """A platform of so many calendars, and its index as the keeper would have left it."""
    from engine.next_free import DIGEST

    cursor.execute(SEED.replace("%(digest)s", DIGEST), {"calendars": calendars, "unread": unread})
    cursor.execute(f"VACUUM ANALYZE {_TABLES}, engine_openinghours, engine_visittype_calendars")
    cursor.execute("RESET statement_timeout")
    cursor.execute("RESET work_mem")


def kinds(calendars: int) -> list[tuple[str, Callable[[], "Wish"]]]:
    """What is asked for, each drawn at random; the first kind meets empty caches, as what it draws is rarely the same."""
    from engine.first import Wish
    from engine.scheduling.fairness import Policy

    def somebody(*, rare: bool = False) -> Wish:
        specialty = f"specialty-{int(SPECIALTIES * random.random() ** 2)}"
        state = STATES - 1 - random.randrange(10) if rare else int(STATES * random.random() ** 3)
        return Wish(specialty=specialty, state=chr(65 + state // 26) + chr(65 + state % 26), after=int(time.time()))

    return [
        ("specialty and state", somebody),
        ("specialty and state again", somebody),
        ("specialty and rare state", lambda: somebody(rare=True)),
        ("specialty", lambda: replace(somebody(), state="")),
        ("specialty, state, language, video", lambda: replace(somebody(), language="es", modality="video")),
        ("specialty and rare language", lambda: replace(somebody(), state="", language=f"x{chr(97 + random.randrange(26))}")),
        ("visit type of a clinic", lambda: Wish(visit_type=1 + random.randrange(calendars // A_CLINIC), after=int(time.time()))),
        ("specialty and state of nobody", lambda: replace(somebody(), state="ZZ")),
        ("specialty and state, 50 wanted", lambda: replace(somebody(), limit=50)),
        ("specialty and state, least booked", lambda: replace(somebody(), policy=Policy.LEAST_BOOKED)),
        (LATER, lambda: replace(somebody(), after=int(time.time()) + 7 * 86_400)),
    ]


def _timed(draw: Callable[[], "Wish"]) -> Timed:
    from django.db import connection

    from engine.first import first_available

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        spent = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    timed = Timed([], [], [])
    for number in range(SEARCHES):
        wish = draw()
        started, used, theirs = time.perf_counter(), time.thread_time(), int(spent.read_text().split()[0])
        first_available(wish)
        timed.own.append((time.thread_time() - used) * 1e3)
        timed.wall.append((time.perf_counter() - started) * 1e3)
        timed.cpu.append(timed.own[-1] + (int(spent.read_text().split()[0]) - theirs) / 1e6)
        if number % 20 == 0:
            check(wish)
    return timed


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def check(wish: "Wish") -> None:
    """Raises RuntimeError for an answer that is not the one of a full scan. After a time of its own there is none to compare."""
    from django.db import connection

    from engine.first import first_available

    if wish.after > time.time():
        return
    shown = [offer.start // 60 for offer in first_available(wish).found.offers]
    asked = {name: getattr(wish, name) for name in ("specialty", "state", "language", "modality", "limit")}
    with connection.cursor() as cursor:
        cursor.execute(SCAN, {**asked, "visit_type": wish.visit_type or 0})
        if shown != [row[0] for row in cursor.fetchall()]:
            raise RuntimeError(f"{wish}: the answer is wrong")


def _bytes(cursor: "CursorWrapper") -> float:
    cursor.execute(SIZE)
    return float(cursor.fetchone()[0])


def _refreshed_a_s(calendars: int) -> float:
    """How many calendars a second the keeper looks at anew; they must come out as they were filled in."""
    from django.db import connection

    from engine.next_free import keep

    rows = "SELECT md5(string_agg((calendar_id, lane_id, first)::text, ',' ORDER BY calendar_id)) FROM engine_nextfree f"
    with connection.cursor() as cursor:
        cursor.execute(rows)
        before = cursor.fetchone()
        started = time.perf_counter()
        done = 0
        while worked := keep(seconds=5):
            done += worked
        took = time.perf_counter() - started
        cursor.execute(rows)
        if cursor.fetchone() != before:
            raise RuntimeError("the keeper finds other times than were filled in")
    return done / took


def _moved_a_s(calendars: int) -> float:
    """How many rows a second are moved along when their time has come; a fifth of all, as at the stroke of an hour."""
    from django.db import connection

    from engine.next_free import keep

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            "UPDATE engine_nextfree SET first = first - 1440 * 40 WHERE calendar_id % 5 = 0",
        )
        cursor.execute(
            "UPDATE engine_lane l SET head = new.head"
            " FROM (SELECT lane_id, min(first) AS head FROM engine_nextfree GROUP BY 1) AS new"
            " WHERE l.id = new.lane_id AND l.head <> new.head"
        )
        cursor.execute("VACUUM engine_nextfree, engine_lane")
        cursor.execute("RESET statement_timeout")
    started, done = time.perf_counter(), 0
    while worked := keep(seconds=5):
        done += worked
    return done / (time.perf_counter() - started)


def _churned(cursor: "CursorWrapper") -> float:
    """The size after every row has changed twice, with a VACUUM after each tenth, as autovacuum would."""
    cursor.execute("SET statement_timeout = 0")
    for turn in range(20):
        cursor.execute("UPDATE engine_nextfree SET first = first + 15 WHERE calendar_id %% 10 = %s", [turn % 10])
        cursor.execute("VACUUM engine_nextfree, engine_lane")
    return _bytes(cursor)


def written(found: list[Measured]) -> tuple[str, bool]:
    """The report, and whether all bars were met."""
    smallest, largest = found[0], found[-1]
    slowest = max(timed.p99 for timed in largest.searches.values())
    bytes_ = max(largest.fresh_bytes, largest.churned_bytes)
    kept = slowest <= LIMIT_MS and bytes_ <= LIMIT_BYTES
    cpu = f"{os.cpu_count()} cores, {platform.machine()}, python {platform.python_version()}"
    sizes = " | ".join(f"{one.calendars:,}" for one in found)
    report = f"""# First available

`python -m loadtests.first_available`: {cpu}. Its own PostgreSQL,
filled by `generate_series`; {SEARCHES} searches of each kind, drawn at random, by `engine.first.first_available` in one thread, 10
wanted unless it says otherwise, {UNREAD} events that the index does not know yet, a fifth of which give time back. Milliseconds of
CPU of this thread and its database process (in brackets the first alone), then those on the clock, which on a machine that others
use too say little. Every 20th answer was compared with a full scan in SQL.

| search | {" | ".join(f"{one.calendars:,}: median, p99; clock" for one in found)} | p99 to {smallest.calendars:,} |
|---|{"---|" * (len(found) + 1)}
{chr(10).join(_lines(found))}

| calendars | {sizes} |
|---|{"---|" * len(found)}
| lanes | {" | ".join(f"{one.lanes:,}" for one in found)} |
| bytes a calendar, fresh | {" | ".join(f"{one.fresh_bytes:.0f}" for one in found)} |
| bytes a calendar, each row changed twice | {" | ".join(f"{one.churned_bytes:.0f}" for one in found)} |
| bytes a calendar, after that a fifth at once, there and back | {" | ".join(f"{one.struck_bytes:.0f}" for one in found)} |
| keeper: calendars looked at anew a second | {" | ".join(f"{one.refreshed_a_s:,.0f}" for one in found)} |
| keeper: rows moved along a second | {" | ".join(f"{one.moved_a_s:,.0f}" for one in found)} |

- p99 of the slowest kind at {largest.calendars:,}: {slowest:.1f} ms (target {LIMIT_MS:.0f}): {_kept(met=slowest <= LIMIT_MS)}.
- Who asks for a time that is ahead is shown the first of those who are looked at; the answer says that it is not `complete`.
- Growth: at {smallest.calendars:,} a search finds fewer than it wants, and looks at fewer; that is most of the last column.
- Memory: {bytes_:.0f} bytes a calendar (target {LIMIT_BYTES:.0f}): {_kept(met=bytes_ <= LIMIT_BYTES)}.
"""
    return report, kept


def _lines(found: list[Measured]) -> Iterator[str]:
    for name in found[0].searches:
        some = [one.searches[name] for one in found]
        cells = [
            f"{statistics.median(one.cpu):.1f} ({statistics.median(one.own):.1f}), {one.p99:.1f};"
            f" {statistics.median(one.wall):.1f}, {_p99(one.wall):.1f}"
            for one in some
        ]
        yield f"| {name} | {' | '.join(cells)} | {some[-1].p99 / some[0].p99:.2f} |"


def _kept(*, met: bool) -> str:
    return "kept" if met else "missed"


if __name__ == "__main__":
    main()
