"""What the monolith starts with: a small practice of its own, or all that an engine has."""

from contextlib import closing
from io import StringIO

import psycopg2
from psycopg2.extensions import cursor as Cursor

_PATIENTS_EACH = 4

# Three practitioners with fifteen appointments each in the ISO week 2031-W02 (Monday is January 6th), at 9:00, 10:00 and 11:00 UTC.
_SMALL = """
INSERT INTO legacy_practice (id, name, zone) VALUES (1, 'Harbor', 'UTC');
INSERT INTO legacy_visittype (id, practice_id, name, minutes) VALUES (1, 1, 'Visit', 30);
INSERT INTO legacy_practitioner (id, practice_id, name, specialty) SELECT n, 1, 'Dr. ' || n, '' FROM generate_series(1, 3) AS n;
INSERT INTO legacy_workinghours (practitioner_id, weekday, opens, closes)
SELECT n, weekday, '09:00', '17:00' FROM generate_series(1, 3) AS n, generate_series(0, 4) AS weekday;
INSERT INTO legacy_patient (id, name, email, phone)
SELECT n, 'Patient ' || n, 'patient' || n || '@example.org', '' FROM generate_series(1, 45) AS n;
INSERT INTO legacy_appointment (practitioner_id, patient_id, visit_type_id, start, "end", status, created_at)
SELECT n, day * 9 + hour * 3 + n, 1, at, at + interval '30 minutes', 'booked', now()
FROM generate_series(1, 3) AS n, generate_series(0, 4) AS day, generate_series(0, 2) AS hour,
     LATERAL (SELECT timestamptz '2031-01-06 09:00+00' + day * interval '1 day' + hour * interval '1 hour') AS t (at);
"""

# What the engine has of a table of the monolith. Held times and what was cancelled are not what a monolith would show.
_COPIED = {
    "legacy_practice (id, name, zone)": "SELECT id, name, zone FROM engine_clinic",
    "legacy_practitioner (id, practice_id, name, specialty)": "SELECT id, clinic_id, name, specialty FROM engine_calendar",
    "legacy_workinghours (practitioner_id, weekday, opens, closes)": (
        "SELECT calendar_id, weekday, opens, closes FROM engine_openinghours"
    ),
    "legacy_visittype (id, practice_id, name, minutes)": "SELECT id, clinic_id, name, duration FROM engine_visittype",
    "legacy_patient (id, name, email, phone)": (
        "SELECT n, 'Patient ' || n, 'patient' || n || '@example.org', '' FROM generate_series(1, {patients}) AS n"
    ),
    'legacy_appointment (practitioner_id, patient_id, visit_type_id, start, "end", status, created_at)': (
        "SELECT calendar_id, 1 + row_number() OVER () % {patients}, visit_type_id, starts, ends, 'booked', created_at"
        " FROM engine_appointment WHERE status NOT IN ('held', 'expired', 'cancelled')"
    ),
}


def small(legacy: str) -> None:
    """A practice with three practitioners, into the database of that address."""
    with closing(psycopg2.connect(legacy)) as target, target, target.cursor() as cursor:
        cursor.execute(_SMALL)
        _ready(cursor)


def copied(engine: str, legacy: str) -> None:
    """All that is in the engine's database, into the monolith's; keys of clinics, calendars and visit types are the same."""
    with (
        closing(psycopg2.connect(engine)) as source,
        closing(psycopg2.connect(legacy)) as target,
        source.cursor() as reading,
        target,
        target.cursor() as writing,
    ):
        reading.execute("SELECT greatest(1, count(*) / %s) FROM engine_appointment", [_PATIENTS_EACH])
        (patients,) = reading.fetchone() or (1,)
        for table, query in _COPIED.items():
            rows = StringIO()
            reading.copy_expert(f"COPY ({query.format(patients=patients)}) TO STDOUT", rows)
            rows.seek(0)
            writing.copy_expert(f"COPY {table} FROM STDIN", rows)
        _ready(writing)


def double_bookings(legacy: str) -> int:
    """Pairs of appointments that overlap with the same practitioner."""
    with closing(psycopg2.connect(legacy)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM legacy_appointment a JOIN legacy_appointment b USING (practitioner_id, status)"
            ' WHERE status = \'booked\' AND a.id < b.id AND a.start < b."end" AND b.start < a."end"'
        )
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def _ready(cursor: Cursor) -> None:
    """Sequences go on after what was given, and the planner knows what is there."""
    for table in ("practice", "practitioner", "visittype", "patient"):
        cursor.execute(f"SELECT setval('legacy_{table}_id_seq', (SELECT max(id) FROM legacy_{table}))")
    cursor.execute("ANALYZE")
