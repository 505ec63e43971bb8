"""Every promise broken by hand in the rows of a real clinic, and found; and nothing found where all is well."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from engine import bookings, envelopes, models
from engine.offers import Offer
from engine.rows import Actor, Patient
from engine.verification import CHECKS, verify
from tests.practice import Practice

DESK = Actor("desk", clinic="harbor")


@pytest.fixture
def booked(practice: Practice) -> Practice:
    """A visit that is booked, another that is cancelled, a procedure on two calendars, and a hold; every event sent."""
    visits, procedures = at_the_doctor(practice, practice.visit), at_the_doctor(practice, practice.procedure)
    bookings.book(visits[0], patient=Patient(sealed=envelopes.seal({"name": "A"})), state="", actor=DESK)
    cancelled = bookings.book(visits[1], patient=Patient(id="b"), state="", actor=DESK)
    bookings.cancel(cancelled.appointment.id, reason="", by="clinic", actor=DESK)
    bookings.book(procedures[-1], patient=Patient(id="c"), state="", actor=DESK)
    bookings.hold(next(o for o in practice.offers() if o.calendar == practice.nurse.id), seconds=600, actor=DESK)
    return practice


def at_the_doctor(practice: Practice, visit_type: models.VisitType) -> list[Offer]:
    return [offer for offer in practice.offers(visit_type) if offer.calendar == practice.doctor.id]


def broken() -> dict[str, int]:
    """What is broken, with the number of violators."""
    return {check.name: check.violations for check in verify().checks if check.violations}


def test_a_clinic_in_use_breaks_no_promise(booked: Practice) -> None:
    verdict = verify()
    assert [(check.name, check.violations, check.examples) for check in verdict.checks] == [(check.name, 0, []) for check in CHECKS]
    assert (verdict.ok, verdict.appointments, verdict.allocations, verdict.calendars) == (True, 4, 4, 3)


def test_an_empty_database_breaks_no_promise(transactional_db: None) -> None:
    assert verify().ok


ANY_BOOKED = "(SELECT id FROM engine_appointment WHERE status = 'booked' ORDER BY id LIMIT 1)"
WITHOUT_EXCLUSION = "ALTER TABLE engine_allocation DROP CONSTRAINT allocation_overlap; "
WITHOUT_FOREIGN_KEYS = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'engine_allocation'::regclass AND contype = 'f' LOOP
    EXECUTE format('ALTER TABLE engine_allocation DROP CONSTRAINT %I', name);
  END LOOP;
END $$; """


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        pytest.param(
            f"{WITHOUT_EXCLUSION} UPDATE engine_allocation SET during = tstzrange('2026-01-01', '2099-01-01')",
            {"no_overlap": 1, "constraints_in_place": 1},
            id="two_allocations_of_a_calendar_overlap",
        ),
        pytest.param(
            f"{WITHOUT_EXCLUSION} UPDATE engine_allocation SET unit = 2, during = tstzrange('2026-01-01', '2099-01-01')"
            f" WHERE appointment_id = {ANY_BOOKED}",
            {"constraints_in_place": 1},
            id="two_places_of_a_calendar_may_be_taken_at_once",
        ),
        pytest.param(
            f"{WITHOUT_EXCLUSION} UPDATE engine_allocation SET during = tstzrange(lower(during), '2099-01-01')"
            f" WHERE appointment_id = {ANY_BOOKED};"
            " INSERT INTO engine_allocation (appointment_id, calendar_id, unit, during)"
            " SELECT id, calendar_id, 1, tstzrange('2098-01-01', '2098-02-01') FROM engine_appointment WHERE status = 'cancelled'",
            {"no_overlap": 2, "no_orphaned_allocation": 1, "allocation_covers_visit": 1, "constraints_in_place": 1},
            id="a_long_allocation_overlaps_one_that_is_not_its_neighbour",
        ),
        pytest.param(
            "ALTER TABLE engine_allocation DROP CONSTRAINT allocation_during; UPDATE engine_allocation SET during = 'empty'"
            f" WHERE appointment_id = {ANY_BOOKED}",
            {"no_overlap": 1, "allocation_covers_visit": 1, "constraints_in_place": 1},
            id="an_empty_allocation_takes_no_time",
        ),
        pytest.param(
            "UPDATE engine_allocation SET during = tstzrange(lower(during) + interval '1 minute', upper(during))",
            {"allocation_covers_visit": 4},
            id="a_visit_begins_before_its_allocation",
        ),
        pytest.param(
            "UPDATE engine_allocation SET during = tstzrange(lower(during), upper(during) - interval '1 minute')",
            {"allocation_covers_visit": 4},
            id="a_visit_ends_after_its_allocation",
        ),
        pytest.param(
            "UPDATE engine_allocation SET during = tstzrange(lower(during) - interval '5 minutes', upper(during))",
            {},
            id="a_buffer_is_no_fault",
        ),
        pytest.param(
            f"DELETE FROM engine_allocation WHERE appointment_id = {ANY_BOOKED}",
            {"no_missing_allocation": 1},
            id="a_booked_visit_takes_no_time",
        ),
        pytest.param(
            "DELETE FROM engine_allocation WHERE calendar_id = (SELECT id FROM engine_calendar WHERE kind = 'room')",
            {"no_missing_allocation": 1},
            id="a_procedure_does_not_take_its_room",
        ),
        pytest.param(
            "UPDATE engine_allocation SET calendar_id = (SELECT id FROM engine_calendar WHERE kind = 'room')"
            f" WHERE appointment_id = {ANY_BOOKED}",
            {"no_orphaned_allocation": 1},
            id="a_visit_takes_time_elsewhere",
        ),
        pytest.param(
            "UPDATE engine_appointment SET status = 'cancelled', expires_at = NULL WHERE status = 'held'",
            {"no_orphaned_allocation": 1},
            id="a_cancelled_hold_still_takes_time",
        ),
        pytest.param(
            WITHOUT_FOREIGN_KEYS + f"DELETE FROM engine_appointment WHERE id = {ANY_BOOKED}",
            {"no_orphaned_allocation": 1},
            id="an_allocation_of_nothing",
        ),
        pytest.param(
            "UPDATE engine_appointment SET calendars = '{}' WHERE status = 'cancelled'",
            {},
            id="what_takes_no_time_need_not_say_where",
        ),
        pytest.param(
            "DELETE FROM engine_outboxevent WHERE version = 2",
            {"no_version_hole": 1},
            id="an_event_in_the_middle_is_gone",
        ),
        pytest.param(
            "DELETE FROM engine_outboxevent o WHERE version = (SELECT version FROM engine_calendar WHERE id = o.calendar_id)"
            " AND version > 1",
            {"no_version_hole": 1},
            id="the_newest_event_is_gone",
        ),
        pytest.param("DELETE FROM engine_outboxevent WHERE version = 1", {}, id="the_oldest_event_may_be_gone"),
        pytest.param("DELETE FROM engine_outboxevent", {}, id="all_events_may_be_gone"),
        pytest.param(
            "UPDATE engine_calendar SET version = version + 1 WHERE version > 0",
            {"no_version_hole": 3},
            id="a_version_without_an_event",
        ),
        pytest.param(
            "INSERT INTO engine_outboxevent (calendar_id, version, type, at, data, sent_at)"
            " VALUES (0, 1, 'calendar.created', now(), '{}', now())",
            {"no_version_hole": 1},
            id="an_event_of_no_calendar",
        ),
        pytest.param(
            "UPDATE engine_appointment SET version = 99 WHERE status = 'held'",
            {"no_version_ahead": 1},
            id="an_appointment_is_ahead_of_its_calendar",
        ),
        pytest.param(
            """UPDATE engine_appointment SET stages = '{"arrived": 1}'""",
            {"stages_fit_status": 3},
            id="who_is_expected_has_arrived",
        ),
        pytest.param(
            """UPDATE engine_appointment SET stages = '{"roomed": 1}' WHERE status = 'cancelled'""",
            {"stages_fit_status": 1},
            id="who_is_in_a_room_never_came",
        ),
        pytest.param(
            """UPDATE engine_appointment SET stages = '{"arrived": 1, "started": 2}' WHERE status = 'cancelled'""",
            {"stages_fit_status": 1},
            id="a_visit_that_was_called_off_had_begun",
        ),
        pytest.param(
            """UPDATE engine_appointment SET stages = '{"arrived": 1, "roomed": 2}' WHERE status = 'cancelled'""",
            {},
            id="a_patient_may_leave_before_the_visit",
        ),
        pytest.param(
            "UPDATE engine_appointment SET expires_at = now() - interval '61 seconds' WHERE status = 'held'",
            {"holds_end": 1},
            id="a_hold_that_nobody_ended",
        ),
        pytest.param(
            "UPDATE engine_appointment SET expires_at = now() - interval '50 seconds' WHERE status = 'held'",
            {},
            id="a_hold_that_may_be_ended_any_moment",
        ),
        pytest.param(
            "ALTER TABLE engine_appointment DROP CONSTRAINT appointment_expiry; UPDATE engine_appointment SET expires_at = NULL",
            {"holds_end": 1},
            id="a_hold_without_end",
        ),
        pytest.param(
            "UPDATE engine_appointment SET patient_details = convert_to('{}', 'UTF8') WHERE patient_details IS NOT NULL",
            {"patient_details_sealed": 1},
            id="patient_details_in_clear",
        ),
        pytest.param(
            "UPDATE engine_appointment SET patient_details = ''::bytea WHERE patient_details IS NOT NULL",
            {"patient_details_sealed": 1},
            id="patient_details_empty",
        ),
        pytest.param(
            "UPDATE engine_appointment SET patient_details = '\\x01'::bytea || patient_details WHERE patient_details IS NOT NULL",
            {},
            id="patient_details_from_before_envelopes",
        ),
        pytest.param(
            "UPDATE engine_outboxevent SET at = now() - interval '61 seconds'",
            {"outbox_moves": 6},
            id="events_that_nobody_sends",
        ),
        pytest.param(
            "UPDATE engine_outboxevent SET at = now() - interval '61 seconds', sent_at = now()",
            {},
            id="events_that_were_sent",
        ),
        pytest.param(WITHOUT_EXCLUSION, {"constraints_in_place": 1}, id="no_exclusion_constraint"),
        pytest.param(
            WITHOUT_EXCLUSION + "ALTER TABLE engine_allocation ADD CONSTRAINT allocation_overlap EXCLUDE USING gist"
            " (calendar_id WITH =, unit WITH =, appointment_id WITH =, during WITH &&)",
            {"constraints_in_place": 1},
            id="a_weaker_exclusion_constraint",
        ),
        pytest.param(
            "ALTER TABLE engine_allocation DROP CONSTRAINT allocation_unit;"
            " ALTER TABLE engine_allocation ADD CONSTRAINT allocation_unit CHECK (unit > 0) NOT VALID",
            {"constraints_in_place": 1},
            id="a_check_that_was_never_checked",
        ),
        pytest.param(
            "INSERT INTO engine_idempotencykey (scope, key, fingerprint, result, at) VALUES"
            " ('s', 'old', '', '{}', now() - interval '26 hours'), ('s', 'new', '', '{}', now() - interval '24 hours 30 minutes')",
            {"idempotency_keys_forgotten": 1},
            id="an_idempotency_key_kept_too_long",
        ),
    ],
)
def test_a_broken_promise_is_found_and_nothing_else(booked: Practice, sql: str, found: dict[str, int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
        seen = broken()
        # What was dropped comes back, so that the tests after this one have it.
        transaction.set_rollback(True)
    assert seen == found


def test_every_check_is_broken_by_some_test() -> None:
    [parameters] = [m for m in test_a_broken_promise_is_found_and_nothing_else.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert {name for parameter in parameters.args[1] for name in parameter.values[1]} == {check.name for check in CHECKS}


def test_examples_name_at_most_five_violators(booked: Practice) -> None:
    for offer in at_the_doctor(booked, booked.visit)[5:9]:
        bookings.book(offer, patient=Patient(id="d"), state="", actor=DESK)
    models.OutboxEvent.objects.update(at="2026-01-01T00:00:00Z")
    [outbox] = [check for check in verify().checks if check.name == "outbox_moves"]
    assert outbox.violations == models.OutboxEvent.objects.count() == 10
    assert len(outbox.examples) == 5
    assert outbox.examples[0].startswith("calendar ")


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command_answers_in_json(booked: Practice) -> None:
    output = StringIO()
    call_command("verify", "--json", stdout=output)
    verdict = json.loads(output.getvalue())
    assert verdict["ok"] is True
    assert verdict["checks"][0] == {"name": "no_overlap", "violations": 0, "examples": []}
    assert {"appointments", "allocations", "calendars", "seconds"} <= verdict.keys()


def test_a_broken_promise_ends_the_command_with_status_1_and_a_name(booked: Practice) -> None:
    models.Allocation.objects.filter(appointment__status="held").delete()
    held = models.Appointment.objects.get(status="held").id
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify", stdout=output)
    assert ended.value.code == 1
    assert f"1 against no_missing_allocation: {held}" in output.getvalue()
    assert "NOT ALL HOLDS" in output.getvalue()
    with pytest.raises(SystemExit):
        call_command("verify", "--json", stdout=output)
