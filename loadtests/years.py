"""Years of a platform in moments: clinics with calendars, and all that was and is booked on them, by INSERT … SELECT.

What is made keeps every promise that `verify` checks. Every fifth visit takes the clinic's room too, which has a place for each
practitioner. The last days of it lie ahead.
"""

from dataclasses import asdict, dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Years:
    """How much of everything. A practitioner of the first clinic has `busy` appointments, one of the others `usual`."""

    clinics: int
    practitioners: int
    busy: int
    usual: int
    a_day: int = 10
    ahead: int = 14


_CLINICS = """
INSERT INTO engine_clinic (slug, name, zone) SELECT 'years-' || n, 'Clinic ' || n, 'UTC' FROM generate_series(1, %(clinics)s) AS n;
INSERT INTO engine_location (clinic_id, name, zone, state, address, city, postal_code, phone)
SELECT id, name, zone, 'NY', '', '', '', '' FROM engine_clinic WHERE slug LIKE 'years-%%';
ANALYZE engine_clinic, engine_location;
INSERT INTO engine_calendar (clinic_id, location_id, kind, name, zone, specialty, states, holidays, active, version, rules)
SELECT l.clinic_id, l.id, CASE n WHEN 0 THEN 'room' ELSE 'practitioner' END, 'Calendar ' || n, 'UTC', 'cardiology', '{}', '', true,
       0, 0
FROM engine_location l, generate_series(0, %(practitioners)s) AS n WHERE l.name LIKE 'Clinic %%' ORDER BY l.id, n;
INSERT INTO engine_openinghours (calendar_id, weekday, opens, closes)
SELECT c.id, weekday, '08:00', '20:00' FROM engine_calendar c, generate_series(0, 6) AS weekday WHERE c.name LIKE 'Calendar %%';
INSERT INTO engine_visittype (clinic_id, name, duration, step, before, after, notice, change_notice, horizon, modalities, needs,
                              active, revision)
SELECT id, 'Visit', 30, 30, 0, 0, 0, 0, 180, '{in_person}', '{practitioner}', true, 1 FROM engine_clinic WHERE slug LIKE 'years-%%';
INSERT INTO engine_visittype_calendars (visittype_id, calendar_id)
SELECT v.id, c.id FROM engine_visittype v JOIN engine_calendar c ON c.clinic_id = v.clinic_id AND c.kind = 'practitioner'
WHERE c.name LIKE 'Calendar %%';
"""
# The places of a room are as many as there are practitioners, so that nobody waits for it.
_VISITS = """
INSERT INTO engine_appointment (id, clinic_id, visit_type_id, calendar_id, calendars, status, starts, ends, modality, state,
                                extended, patient_id, version, history, created_at)
SELECT uuidv7(at.starts - interval '9 days' - now()), c.clinic_id, v.id, c.id,
       CASE WHEN n %% 5 = 0 THEN ARRAY[room.id, c.id] ELSE ARRAY[c.id] END,
       CASE WHEN n %% 10 = 3 THEN 'cancelled' WHEN at.starts > now() THEN 'booked'
            WHEN n %% 20 = 7 THEN 'no_show' ELSE 'completed' END,
       at.starts, at.starts + interval '30 minutes', 'in_person', '', false, 'patient-' || c.clinic_id || '-' || n %% 97, 1,
       '[{"event": "appointment.booked", "at": "2026-01-01T08:00:00Z", "by": "seed"}]', at.starts - interval '9 days'
FROM (SELECT c.*, row_number() OVER (ORDER BY c.id) AS number FROM engine_calendar c
      WHERE c.kind = 'practitioner' AND c.name LIKE 'Calendar %%') AS c
JOIN engine_visittype v ON v.clinic_id = c.clinic_id
JOIN engine_calendar room ON room.clinic_id = c.clinic_id AND room.kind = 'room',
generate_series(0, (CASE WHEN number <= %(practitioners)s THEN %(busy)s ELSE %(usual)s END) - 1) AS n,
LATERAL (SELECT date_trunc('day', now()) + interval '9 hours' + make_interval(days => %(ahead)s - n / %(a_day)s::int)
                + make_interval(mins => 30 * (n %% %(a_day)s::int)) AS starts) AS at;
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
ANALYZE engine_outboxevent;
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


def fill(years: Years) -> None:
    """Adds it to an empty database."""
    values = asdict(years)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET enable_seqscan = on; SET work_mem = '128MB'")
        for statement in (_CLINICS, _VISITS, _KEPT):
            cursor.execute(statement, values)
        cursor.execute("VACUUM ANALYZE")
    connection.close()
