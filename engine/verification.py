"""Proves the promises on the rows that are there. It trusts nothing that keeps them: not the code, not the constraints.

Each check is one statement, so it sees one moment and can run beside live traffic. It selects the name of every violator.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from engine.rows import SETTLED_S
from engine.scheduling.lifecycle import TAKES_TIME

_EXAMPLES = 5
# A sweep runs each second and a relay polls faster: later than this, one of them does not run.
_LATE = "interval '60 seconds'"
_TAKES_TIME = ", ".join(f"'{status.value}'" for status in sorted(TAKES_TIME))


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `examples` name the first few violators."""

    name: str
    violations: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found, and how much they looked at."""

    ok: bool
    checks: list[Finding]
    appointments: int
    allocations: int
    calendars: int
    seconds: float


class Check(NamedTuple):
    """`violators` is SQL for one text column; `promise` is what holds when it has no rows."""

    name: str
    promise: str
    violators: str


CHECKS = (
    Check(
        "no_overlap",
        "no two allocations of a calendar's place share a moment",
        """
        SELECT appointment_id || ' on calendar ' || calendar_id FROM (
          SELECT appointment_id, calendar_id, lower(during) AS starts, upper(during) AS ends,
                 max(upper(during)) OVER (PARTITION BY calendar_id, unit ORDER BY lower(during), upper(during)
                                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
          FROM engine_allocation) AS ordered
        WHERE starts < taken_until OR starts IS NULL OR ends IS NULL
        """,
    ),
    Check(
        "no_version_hole",
        "a calendar's events are numbered without a hole up to its version; the oldest may be gone",
        """
        SELECT 'calendar ' || coalesce(c.id, e.calendar_id)
        FROM (SELECT calendar_id, min(version) AS first, max(version) AS last, count(*) AS events
              FROM engine_outboxevent GROUP BY calendar_id) AS e
        FULL JOIN engine_calendar c ON c.id = e.calendar_id
        WHERE c.id IS NULL OR e.last <> c.version OR e.first < 1 OR e.events <> e.last - e.first + 1
        """,
    ),
    Check(
        "no_orphaned_allocation",
        "an allocation belongs to an appointment that takes time, on a calendar that it names",
        f"""
        SELECT l.appointment_id || ' on calendar ' || l.calendar_id
        FROM engine_allocation l LEFT JOIN engine_appointment a ON a.id = l.appointment_id
        WHERE a.id IS NULL OR a.status NOT IN ({_TAKES_TIME}) OR l.calendar_id <> ALL (a.calendars)
        """,
    ),
    Check(
        "no_missing_allocation",
        "an appointment that takes time has an allocation on each of its calendars, until it is history",
        f"""
        SELECT a.id::text
        FROM engine_appointment a
        LEFT JOIN (SELECT appointment_id, count(*) AS allocations FROM engine_allocation GROUP BY appointment_id) AS l
               ON l.appointment_id = a.id
        WHERE a.status IN ({_TAKES_TIME})
              AND a.ends > clock_timestamp() - interval '{SETTLED_S} seconds'
              AND (cardinality(a.calendars) = 0 OR a.calendar_id <> ALL (a.calendars)
              OR coalesce(l.allocations, 0) <> cardinality(a.calendars))
        """,
    ),
    Check(
        "allocation_covers_visit",
        "an allocation takes at least the time that people see",
        """
        SELECT l.appointment_id || ' on calendar ' || l.calendar_id
        FROM engine_allocation l JOIN engine_appointment a ON a.id = l.appointment_id
        WHERE lower(l.during) > a.starts OR upper(l.during) < a.ends OR isempty(l.during)
        """,
    ),
    Check(
        "holds_end",
        "a hold that has run out is ended within a minute",
        f"""
        SELECT id::text FROM engine_appointment
        WHERE status = 'held' AND (expires_at IS NULL OR expires_at < clock_timestamp() - {_LATE})
        """,
    ),
    Check(
        "no_version_ahead",
        "an appointment's version is one that its calendar has had",
        """
        SELECT a.id::text FROM engine_appointment a JOIN engine_calendar c ON c.id = a.calendar_id
        WHERE a.version > c.version OR a.version < 1
        """,
    ),
    Check(
        "stages_fit_status",
        "a visit's steps are such as lead to its status",
        """
        SELECT id::text FROM engine_appointment
        WHERE stages <> '{}' AND (status NOT IN ('arrived', 'in_progress', 'completed', 'cancelled')
              OR stages ? 'roomed' AND NOT stages ? 'arrived'
              OR stages ? 'started' AND status NOT IN ('in_progress', 'completed')
              OR stages ? 'completed' AND status <> 'completed')
        """,
    ),
    Check(
        "patient_details_sealed",
        "what patients told us is sealed",
        # Rows from before envelopes begin with \x01: sealed too, with a key that the engine does not have any more.
        r"""
        SELECT id::text FROM engine_appointment
        WHERE patient_details IS NOT NULL AND get_byte(patient_details || '\x00', 0) <> 1
              AND encode(patient_details, 'escape') !~ '^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}$'
        """,
    ),
    Check(
        "outbox_moves",
        "an event is sent within a minute",
        f"""
        SELECT 'calendar ' || calendar_id || ' version ' || version FROM engine_outboxevent
        WHERE sent_at IS NULL AND at < clock_timestamp() - {_LATE}
        """,
    ),
    Check(
        "constraints_in_place",
        "the database itself refuses an overlap, and the ranges that would escape it",
        """
        SELECT promised.name FROM (VALUES
          ('allocation_overlap', 'x', 'EXCLUDE USING gist (calendar_id WITH =, unit WITH =, during WITH &&)'),
          ('allocation_during', 'c', NULL),
          ('allocation_unit', 'c', NULL)) AS promised (name, type, definition)
        LEFT JOIN pg_constraint c ON c.conname = promised.name AND c.contype::text = promised.type AND c.convalidated
             AND c.conrelid = 'engine_allocation'::regclass
             AND (promised.definition IS NULL OR pg_get_constraintdef(c.oid) = promised.definition)
        LEFT JOIN pg_index i ON i.indexrelid = c.conindid
        WHERE c.oid IS NULL OR NOT coalesce(i.indisvalid AND i.indisready, true)
        """,
    ),
    Check(
        "idempotency_keys_forgotten",
        "the answer to an Idempotency-Key is kept for a day, not longer",
        "SELECT scope FROM engine_idempotencykey WHERE at < clock_timestamp() - interval '25 hours'",
    ),
)


def verify() -> Verdict:
    """Runs every check on the whole database. Reads only; a million appointments take seconds."""
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        # A check may run longer than any request may, and sorts every row there is.
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '256MB'; SET LOCAL enable_seqscan = on")
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 2")
        checks = [_run(cursor, check) for check in CHECKS]
        appointments, allocations, calendars = (
            _count(cursor, f"engine_{name}") for name in ("appointment", "allocation", "calendar")
        )
    return Verdict(
        ok=not any(check.violations for check in checks),
        checks=checks,
        appointments=appointments,
        allocations=allocations,
        calendars=calendars,
        seconds=round(time.monotonic() - began, 3),
    )


def _run(cursor: CursorWrapper, check: Check) -> Finding:
    cursor.execute(f"SELECT count(*), (array_agg(name ORDER BY name))[:%s] FROM ({check.violators}) AS found (name)", [_EXAMPLES])
    violations, examples = cursor.fetchone()
    return Finding(check.name, violations, examples or [])


def _count(cursor: CursorWrapper, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")
    return int(cursor.fetchone()[0])
