"""Years of a platform in minutes: clinics with calendars, and all that was and is booked on them, by INSERT … SELECT.

What is made keeps every promise that `verify` checks. Every fifth visit takes the clinic's room too, which has a place for each
practitioner. The last days of it lie ahead. `python -m loadtests.years` makes and fills the database of the engine that the
environment names.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import django
import psycopg2

_PARTS = 20
_LARGE = ("engine_appointment", "engine_allocation", "engine_outboxevent", "kernel_auditentry", "kernel_auditseal")


@dataclass(frozen=True, slots=True)
class Years:
    """How much of everything. A practitioner of the first clinic has `busy` appointments, one of the others `usual`.

    With `away` nobody is open for so many days; then practitioners begin on one of five days.
    """

    clinics: int
    practitioners: int
    busy: int
    usual: int
    a_day: int = 10
    ahead: int = 14
    away: int = 0


_CLINICS = """
INSERT INTO engine_clinic (slug, name, zone) SELECT 'years-' || n, 'Clinic ' || n, 'UTC' FROM generate_series(1, %(clinics)s) AS n;
INSERT INTO engine_location (clinic_id, name, zone, state, address, city, postal_code, phone)
SELECT id, name, zone, 'NY', '', '', '', '' FROM engine_clinic WHERE slug LIKE 'years-%%';
ANALYZE engine_clinic, engine_location;
INSERT INTO engine_calendar (clinic_id, location_id, kind, name, zone, specialty, states, holidays, active, version, rules)
SELECT l.clinic_id, l.id, CASE n WHEN 0 THEN 'room' ELSE 'practitioner' END, 'Calendar ' || n, 'UTC',
       ('{cardiology,dermatology,family medicine,pediatrics,psychiatry}'::text[])[1 + n %% 5],
       ARRAY[('{CA,FL,IL,NC,NJ,NY,OH,PA,TX,WA}'::text[])[1 + l.clinic_id %% 10]], '', true, 0, 0
FROM engine_location l, generate_series(0, %(practitioners)s) AS n WHERE l.name LIKE 'Clinic %%' ORDER BY l.id, n;
INSERT INTO engine_openinghours (calendar_id, weekday, opens, closes, valid_from)
SELECT c.id, weekday, '08:00', '20:00', CASE WHEN %(away)s > 0 THEN current_date + %(away)s + c.id %% 5 END
FROM engine_calendar c, generate_series(0, 6) AS weekday WHERE c.name LIKE 'Calendar %%';
INSERT INTO engine_visittype (clinic_id, name, duration, step, before, after, notice, change_notice, horizon, modalities, needs,
                              active, revision)
SELECT id, 'Visit', 30, 30, 0, 0, 0, 0, 180, '{in_person}', '{practitioner}', true, 1 FROM engine_clinic WHERE slug LIKE 'years-%%';
INSERT INTO engine_visittype_calendars (visittype_id, calendar_id)
SELECT v.id, c.id FROM engine_visittype v JOIN engine_calendar c ON c.clinic_id = v.clinic_id AND c.kind = 'practitioner'
WHERE c.name LIKE 'Calendar %%';
CREATE TEMPORARY TABLE booked AS
SELECT c.id, c.clinic_id, room.id AS room, v.id AS visit_type,
       CASE WHEN row_number() OVER (ORDER BY c.id) <= %(practitioners)s THEN %(busy)s ELSE %(usual)s END AS visits
FROM engine_calendar c JOIN engine_visittype v ON v.clinic_id = c.clinic_id
JOIN engine_calendar room ON room.clinic_id = c.clinic_id AND room.kind = 'room'
WHERE c.kind = 'practitioner' AND c.name LIKE 'Calendar %%';
ANALYZE engine_calendar, booked;
"""
# Some of each practitioner's at a time, so that rows lie roughly in the order of time and not calendar by calendar.
_VISITS = """
INSERT INTO engine_appointment (id, clinic_id, visit_type_id, calendar_id, calendars, status, starts, ends, modality, state,
                                extended, patient_id, version, history, created_at)
SELECT uuidv7(starts - interval '9 days' - now()), b.clinic_id, b.visit_type, b.id,
       CASE WHEN n %% 5 = 0 THEN ARRAY[b.room, b.id] ELSE ARRAY[b.id] END,
       CASE WHEN n %% 10 = 3 THEN 'cancelled' WHEN starts > now() THEN 'booked'
            WHEN n %% 20 = 7 THEN 'no_show' ELSE 'completed' END,
       starts, starts + interval '30 minutes', 'in_person', '', false, 'patient-' || b.clinic_id || '-' || n %% 97, 1,
       '[{"event": "appointment.booked", "at": "2026-01-01T08:00:00Z", "by": "seed"}]', starts - interval '9 days'
FROM booked b, generate_series(%(last)s, %(first)s, -1) AS n,
LATERAL (SELECT date_trunc('day', now()) + interval '9 hours' + make_interval(days => %(ahead)s - n / %(a_day)s)
                + make_interval(mins => 30 * (n %% %(a_day)s)) AS starts) AS at
WHERE n < b.visits
"""
# The places of a room are as many as there are practitioners, so that nobody waits for it.
_TAKEN = """
ANALYZE engine_appointment;
INSERT INTO engine_allocation (appointment_id, calendar_id, unit, during)
SELECT a.id, c.id, CASE c.kind WHEN 'room' THEN a.calendar_id - c.id ELSE 1 END, tstzrange(a.starts, a.ends)
FROM engine_appointment a, unnest(a.calendars) AS key JOIN engine_calendar c ON c.id = key
WHERE a.status NOT IN ('cancelled', 'expired');
INSERT INTO engine_outboxevent (calendar_id, version, type, appointment_id, at, data, sent_at)
SELECT key, row_number() OVER (PARTITION BY key ORDER BY a.created_at, a.id), 'appointment.booked', a.id, now(),
       jsonb_build_object('id', a.id, 'start', a.starts, 'end', a.ends, 'status', 'booked', 'visit_type', v.uid,
                          'calendars', '[]'::jsonb), now()
FROM engine_appointment a JOIN engine_visittype v ON v.id = a.visit_type_id, unnest(a.calendars) AS key;
UPDATE engine_calendar c SET version = e.version
FROM (SELECT calendar_id, max(version) AS version FROM engine_outboxevent GROUP BY calendar_id) AS e WHERE c.id = e.calendar_id;
"""
# Of the answers to Idempotency-Keys there is a day's worth at most.
_KEPT = """
INSERT INTO engine_idempotencykey (scope, key, fingerprint, result, at)
SELECT 'public', n::text, '\\x00', '[]', now() FROM generate_series(1, %(clinics)s * 10) AS n;
INSERT INTO kernel_auditentry (clinic, actor, role, session, action, object, patient, outcome, request_id, address, details)
SELECT 'years-' || clinic_id, 'seed', '', '', 'appointment.booked', 'appointment:' || id, patient_id, 'done', '', '', '{}'
FROM engine_appointment;
INSERT INTO kernel_auditseal (position, entry, txid, hash) SELECT id, id, txid, sha256('') FROM kernel_auditentry ORDER BY id;
"""
# Indexes that are not a constraint's, and overlaps: how each goes and comes.
_GUARDS = """
SELECT format('DROP INDEX %%s', indexrelid::regclass), pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = ANY(%(tables)s::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
UNION ALL
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = ANY(%(tables)s::regclass[]) AND contype = 'x'
"""
# As the keeper would have left it: free from the first opening on, until the first visit of that day or the evening.
_FIRST = """
CREATE TEMPORARY TABLE indexed AS
SELECT v.id AS visit_type, c.id AS calendar, lower(c.specialty) AS specialty, c.states, c.languages, v.modalities, v.notice,
       extract(epoch FROM open.starts)::bigint / 60 AS first,
       extract(epoch FROM coalesce(taken.starts, open.ends))::bigint / 60 - v.duration AS last
FROM engine_visittype_calendars o JOIN engine_calendar c ON c.id = o.calendar_id JOIN engine_visittype v ON v.id = o.visittype_id
CROSS JOIN LATERAL (SELECT (valid_from + opens) AT TIME ZONE 'UTC' AS starts, (valid_from + closes) AT TIME ZONE 'UTC' AS ends
                    FROM engine_openinghours WHERE calendar_id = c.id LIMIT 1) AS open
LEFT JOIN LATERAL (SELECT min(lower(during)) AS starts FROM engine_allocation
                   WHERE calendar_id = c.id AND during && tstzrange(open.starts, open.ends)) AS taken ON true;
INSERT INTO engine_lane (specialty, states, languages, modalities, digest, head)
SELECT specialty, states, languages, modalities, %(digest)s, min(first) FROM indexed GROUP BY 1, 2, 3, 4;
INSERT INTO engine_nextfree (visit_type_id, calendar_id, lane_id, first, last, notice)
SELECT i.visit_type, i.calendar, l.id, i.first, i.last, i.notice
FROM indexed i JOIN engine_lane l USING (specialty, states, languages, modalities);
INSERT INTO engine_nextfreekept (id, epoch, txid, calendar_id, version, built_to)
SELECT 1, epoch, pg_current_xact_id(), 0, 0, NULL FROM engine_stream;
DROP TABLE indexed;
"""


def fill(years: Years) -> None:
    """Adds it to an empty database."""
    from django.db import connection

    values, most = asdict(years), max(years.busy, years.usual)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET enable_seqscan = on; SET work_mem = '128MB'")
        cursor.execute(_CLINICS, values)
        for first in reversed(range(0, most, 1 + most // _PARTS)):
            cursor.execute(_VISITS, {**values, "first": first, "last": first + most // _PARTS})
        cursor.execute(_TAKEN, values)
        cursor.execute(_KEPT, values)
        cursor.execute("DROP TABLE booked")
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def find_first() -> None:
    """The index of the first available, as the keeper would have left it; for years with practitioners that are `away`.

    In place of the keeper's first pass, which goes through the calendars one by one.
    """
    from django.db import connection

    from engine.next_free import DIGEST

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET enable_seqscan = on; SET work_mem = '128MB'")
        cursor.execute(_FIRST.replace("%(digest)s", DIGEST))
        cursor.execute("VACUUM ANALYZE engine_lane, engine_nextfree, engine_nextfreekept")
    connection.close()


@contextmanager
def unchecked(variables: Mapping[str, str]) -> Iterator[None]:
    """While the block runs rows go in without a look at references, overlaps and indexes; at the end all of these are there again.

    For a server whose superuser's password is where `variables` say, and which nobody else uses.
    """
    from django.db import connection

    password = Path(variables["HEALTHFLOW_DATA"], "secrets", "postgres-postgres").read_text()
    at = urlsplit(variables["DATABASE_URL_ENGINE"])
    with psycopg2.connect(f"postgresql://postgres:{password}@{at.hostname}:{at.port}/engine") as server, server.cursor() as cursor:
        cursor.execute("GRANT SET ON PARAMETER session_replication_role TO engine")
    with connection.cursor() as cursor:
        cursor.execute(_GUARDS, {"tables": list(_LARGE)})
        guards = cursor.fetchall()
        for drop, _ in guards:
            cursor.execute(drop)
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET enable_seqscan = on; SET maintenance_work_mem = '1GB'")
        for _, make in guards:
            cursor.execute(make)
    connection.close()


def main() -> None:
    options = _options()
    os.environ["DJANGO_SETTINGS_MODULE"] = "engine.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with unchecked(os.environ):
        fill(Years(options.clinics, options.practitioners, busy=options.each, usual=options.each, a_day=1, away=2))
    find_first()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.years", description="Makes and fills the engine's database.")
    for name, what in (("clinics", ""), ("practitioners", "of a clinic"), ("each", "appointments of a practitioner, one a day")):
        parser.add_argument(name, type=int, help=what)
    return parser.parse_args()


if __name__ == "__main__":
    main()
