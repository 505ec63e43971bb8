-- The bare pair of transactions that a booking cannot do without: take the time under the lock, then make it an appointment.
-- Each client walks calendars of its own, so nobody waits; `n` counts its bookings.
\set calendar :client_id * :share + mod(:n, :share) + 1
\set slot :n / :share
\set id :client_id * 1000000000 + :n
\set start 1900000000 + :slot * 900
\set n :n + 1
BEGIN;
SELECT pg_advisory_xact_lock(1, :calendar);
INSERT INTO allocation (appointment_id, calendar_id, unit, during, status)
    VALUES (:id, :calendar, 1, tstzrange(to_timestamp(:start), to_timestamp(:start + 900)), 'held');
INSERT INTO outbox (calendar_id, version, type, at, data)
    VALUES (:calendar, 2 * :slot + 1, 'appointment.held', now(), '{"id":"01920000-0000-7000-8000-000000000000","start":"2030-03-17T17:45:00Z","end":"2030-03-17T18:00:00Z","status":"held","visit_type":"01920000-0000-7000-8000-000000000001","calendars":["01920000-0000-7000-8000-000000000002"]}');
COMMIT;
BEGIN;
SELECT pg_advisory_xact_lock(1, :calendar);
UPDATE allocation SET status = 'booked' WHERE appointment_id = :id AND calendar_id = :calendar;
INSERT INTO outbox (calendar_id, version, type, at, data)
    VALUES (:calendar, 2 * :slot + 2, 'appointment.booked', now(), '{"id":"01920000-0000-7000-8000-000000000000","start":"2030-03-17T17:45:00Z","end":"2030-03-17T18:00:00Z","status":"booked","visit_type":"01920000-0000-7000-8000-000000000001","calendars":["01920000-0000-7000-8000-000000000002"]}');
COMMIT;
