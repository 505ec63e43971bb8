"""Rivals for one slot: on real connections, all let go at once. And what happens to the same rivals when a guard is missing.

Nothing here waits for time to pass. Rivals meet at a barrier, or at a lock that the test itself holds until PostgreSQL says
that all of them stand before it.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from django.db import connection
from django.test import Client

import apps
import engine
import realtime
from engine import bookings, models, openings
from engine.errors import CalendarBusy, HoldExpired, SlotTaken
from engine.locks import NAMESPACE_CALENDAR, gate
from engine.offers import Offer
from engine.rows import Done
from engine.scheduling.hours import OpeningException
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment
from tests.invariants import violations
from tests.practice import DAY, Practice, tomorrow
from tests.writes import DESK, HOUR, WRITES, ZOE, Write, make_overdue, offer

Rival = Callable[[], Any]
Take = Callable[[], Done]

STOP = 4711
"""A lock of these tests: rivals stand before it when they have decided and not yet written."""
PATIENCE_S = 30
POLLS = 20_000
"""How often PostgreSQL is asked until it says what a test waits for; some seconds, far more than it ever takes."""
PATIENT = "SET lock_timeout = '30s'; SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = 0"
"""Said by every connection here: that the machine is busy must not decide a race."""


@pytest.fixture(params=["with the gate", "without the gate"])
def either_gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without the gate":
        monkeypatch.setattr(gate, "claim", lambda *_args, **_kwargs: None)


@pytest.fixture
def no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "claim", lambda *_args, **_kwargs: None)


@pytest.fixture
def deadlocks(practice: Practice) -> Iterator[None]:
    """No deadlock was seen by PostgreSQL from the test's first line to its last."""
    before, others = _deadlocks()
    yield
    for _ in range(POLLS):
        now, left = _deadlocks()
        # Each connection tells of its own deadlocks when it goes.
        if left <= others:
            break
    assert left <= others
    assert now == before


# --- the tools of a race ------------------------------------------------------------------------------------------------


def start(rivals: Sequence[Rival]) -> Callable[[], list[Any]]:
    """Lets all rivals go at once, each on its own connection; answers what waits for their results, errors included."""
    results: list[Any] = [None] * len(rivals)
    line = threading.Barrier(len(rivals))

    def run(place: int, rival: Rival) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(PATIENT)
            line.wait(PATIENCE_S)
            results[place] = rival()
        except Exception as refused:  # noqa: BLE001 - what a rival got is what the test is about
            results[place] = refused
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=numbered, daemon=True) for numbered in enumerate(rivals)]
    for thread in threads:
        thread.start()

    def finish() -> list[Any]:
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)
        return results

    return finish


def race(rivals: Sequence[Rival]) -> list[Any]:
    return start(rivals)()


def winners(results: Iterable[Any]) -> list[Appointment]:
    return [result.appointment for result in results if isinstance(result, Done)]


def losers(results: Iterable[Any]) -> Counter[type]:
    return Counter(type(result) for result in results if not isinstance(result, Done))


def hold(wanted: Offer) -> Take:
    return lambda: bookings.hold(wanted, seconds=300, actor=DESK)


def book(wanted: Offer) -> Take:
    return lambda: bookings.book(wanted, patient=ZOE, state="", actor=DESK)


def rivals_for(offers: Sequence[Offer], count: int) -> list[Rival]:
    """So many rivals for the offers in turn, every other one holding, the rest booking at once."""
    return [take(wanted) for take, wanted in islice(zip(cycle([hold, book]), cycle(offers)), count)]


@contextmanager
def another_connection() -> Iterator[Any]:
    """A cursor beside Django's, in a transaction that ends with the block."""
    with closing(psycopg2.connect(**connection.get_connection_params())) as other, other, other.cursor() as cursor:
        cursor.execute(PATIENT)
        yield cursor


@contextmanager
def held_back(*calendars: models.Calendar) -> Iterator[None]:
    """Nobody else gets the locks of these calendars inside the block."""
    with another_connection() as cursor:
        for calendar in calendars:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [NAMESPACE_CALENDAR, calendar.id])
        yield


def await_waiting(count: int) -> list[int]:
    """Looks until so many connections stand before an advisory lock; answers their process ids."""
    waiting: list[int] = []
    with connection.cursor() as cursor:
        for _ in range(POLLS):
            cursor.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            waiting = [row[0] for row in cursor.fetchall()]
            if len(waiting) == count:
                return waiting
    raise AssertionError(f"{len(waiting)} of {count} are waiting")


def _deadlocks() -> tuple[int, int]:
    """How many deadlocks this database has seen, and how many others are connected to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT deadlocks, (SELECT count(*) FROM pg_stat_activity WHERE datid = d.datid AND pid <> pg_backend_pid())"
            " FROM pg_stat_database d WHERE datname = current_database()"
        )
        count, others = cursor.fetchone()
    return int(count), int(others)


# --- one slot -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("count", [2, 8, 64])
def test_of_all_rivals_for_one_slot_exactly_one_gets_it(practice: Practice, count: int) -> None:
    results = race(rivals_for([offer(practice, practice.doctor)], count))

    assert len(winners(results)) == 1
    assert losers(results).keys() == {SlotTaken}
    assert violations(practice.slug) == []
    practice.doctor.refresh_from_db()
    assert practice.doctor.version == 1


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("count", [2, 8, 64])
def test_of_rivals_for_overlapping_times_of_different_lengths_exactly_one_gets_it(practice: Practice, count: int) -> None:
    # Every two of these overlap around 9:30, the last one by its buffer alone; no two of them are equal.
    long = make_visit_type(practice, duration=45, step=15)
    buffered = make_visit_type(practice, duration=25, step=5, after=10)
    nine = tomorrow() + 9 * HOUR
    offers = [
        at(practice.visit, practice.doctor, nine + 30 * 60),
        *(at(long, practice.doctor, nine + minutes * 60) for minutes in (0, 15, 30)),
        at(buffered, practice.doctor, nine),
    ]

    results = race(rivals_for(offers, count))

    assert len(winners(results)) == 1
    assert losers(results).keys() == {SlotTaken}
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("count", [2, 8, 64])
def test_rivals_that_name_the_same_two_calendars_in_opposite_order_do_not_block_each_other(practice: Practice, count: int) -> None:
    from_the_room = make_visit_type(practice, duration=60, step=60, needs=["room", "practitioner"])
    offers = [
        offer(practice, practice.doctor, practice.room),
        offer(practice, practice.room, practice.doctor, visit_type=from_the_room),
    ]

    results = race(rivals_for(offers, count))

    (winner,) = winners(results)
    assert losers(results).keys() == {SlotTaken}
    assert allocated(winner.id) == {practice.doctor.id: 1, practice.room.id: 1}
    assert models.Allocation.objects.count() == 2
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("count", [8, 64])
def test_rivals_for_crossing_pairs_of_calendars_get_whole_pairs_or_nothing(practice: Practice, count: int) -> None:
    second_room = models.Calendar.objects.create(
        clinic_id=practice.doctor.clinic_id, kind="room", name="Second room", zone=practice.room.zone
    )
    openings.set_hours(second_room.id, [], actor=DESK)
    openings.add_exception(second_room.id, OpeningException(Interval(tomorrow(), tomorrow() + DAY), open=True), actor=DESK)
    practice.procedure.calendars.add(second_room)
    models.VisitType.objects.filter(id=practice.procedure.id).update(revision=practice.procedure.revision + 1)
    # Around the ring each pair shares a calendar with the next: two pairs can win, or one may stand in the way of two.
    ring = [practice.doctor, practice.room, practice.nurse, second_room]
    people = {practice.doctor.id, practice.nurse.id}
    pairs = [sorted(pair, key=lambda calendar: calendar.id not in people) for pair in zip(ring, [*ring[1:], ring[0]], strict=True)]

    results = race(rivals_for([offer(practice, *pair) for pair in pairs], count))

    won = [set(appointment.calendars) for appointment in winners(results)]
    assert losers(results).keys() == {SlotTaken}
    assert 1 <= len(won) <= 2
    assert len(set().union(*won)) == 2 * len(won)
    assert models.Allocation.objects.count() == 2 * len(won)
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("count", [2, 8])
def test_of_overrides_for_overlapping_times_exactly_one_gets_it(practice: Practice, count: int) -> None:
    openings.set_hours(practice.doctor.id, [], actor=DESK)
    nine = offer(practice, practice.doctor)
    wanted = [
        replace(nine, start=nine.start + place * 60, end=nine.end + place * 60, custom=place % 2 == 0, override="Walked in")
        for place in range(count)
    ]

    results = race([book(one) for one in wanted])

    assert len(winners(results)) == 1
    assert losers(results) == Counter({SlotTaken: count - 1})
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("no_gate", "deadlocks")
def test_two_visits_that_change_places_at_once_do_not_block_each_other(practice: Practice) -> None:
    for hour in (9, 11, 13, 15):
        with_doctor = book(offer(practice, practice.doctor, hour=hour))().appointment.id
        with_nurse = book(offer(practice, practice.nurse, hour=hour))().appointment.id

        results = race(
            [
                move_to(with_doctor, offer(practice, practice.nurse, hour=hour + 1)),
                move_to(with_nurse, offer(practice, practice.doctor, hour=hour + 1)),
            ]
        )

        assert len(winners(results)) == 2, results
        assert violations(practice.slug) == []


@pytest.mark.usefixtures("no_gate", "deadlocks")
def test_of_visits_that_want_to_move_to_one_slot_one_does_and_the_others_keep_their_time(practice: Practice) -> None:
    visits = [book(offer(practice, practice.doctor, hour=hour))().appointment for hour in range(8)]
    wanted = offer(practice, practice.nurse, hour=9)

    results = race([*(move_to(visit.id, wanted) for visit in visits), hold(wanted)])

    (winner,) = winners(results)
    assert losers(results).keys() == {SlotTaken}
    stayed = {visit.id for visit in visits} - {winner.id}
    assert set(models.Allocation.objects.filter(calendar=practice.doctor).values_list("appointment_id", flat=True)) == stayed
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("deadlocks")
def test_a_visit_that_moved_away_while_its_calendar_was_awaited_is_left_alone(practice: Practice) -> None:
    visit = book(offer(practice, practice.doctor))().appointment.id

    with held_back(practice.doctor):
        moving = start([move_to(visit, offer(practice, practice.nurse))])
        await_waiting(1)
        cancelling = start([lambda: bookings.cancel(visit, reason="", by="clinic", actor=DESK)])
        await_waiting(2)
    (moved,), (cancelled,) = moving(), cancelling()

    # The second has the lock of the calendar that the visit was on, and none on the one it is on now.
    assert (type(moved), type(cancelled)) == (Done, CalendarBusy)
    assert allocated(visit) == {practice.nurse.id: 1}
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
def test_a_group_session_takes_as_many_as_it_has_places(practice: Practice) -> None:
    session = group_session(practice, places=5)

    results = race(rivals_for([session], 64))

    assert len(winners(results)) == 5
    assert losers(results).keys() == {SlotTaken}
    units = models.Allocation.objects.filter(calendar=practice.doctor).values_list("unit", flat=True)
    assert sorted(units) == [1, 2, 3, 4, 5]
    assert violations(practice.slug) == []


def test_a_place_given_back_in_a_full_group_session_can_be_taken_again(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    # Somebody is refused after the last place was committed and before Redis heard of that.
    session = group_session(practice, places=2)
    first = hold(session)().appointment
    keep = gate.keep

    def late(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(gate, "keep", keep)
        with pytest.raises(SlotTaken):
            hold(session)()
        keep(*args, **kwargs)

    monkeypatch.setattr(gate, "keep", late)
    hold(session)()

    bookings.release(first.id, actor=DESK)

    assert hold(session)().appointment.start == session.start


# --- what each guard is worth ---------------------------------------------------------------------------------------------


@contextmanager
def _no_lock() -> Iterator[None]:
    # New connections find a function that does nothing where the lock should be: the engine itself is not touched.
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA no_lock")
        for keys in ("int, int", "bigint"):
            cursor.execute(f"CREATE FUNCTION no_lock.pg_advisory_xact_lock({keys}) RETURNS void LANGUAGE sql AS ''")
        cursor.execute(f"ALTER DATABASE {database} SET search_path = no_lock, public, pg_catalog")
        try:
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {database} RESET search_path")
            cursor.execute("DROP SCHEMA no_lock CASCADE")


@contextmanager
def _no_constraint(table: str, kind: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = %s",
            [table, kind],
        )
        ((name, definition),) = cursor.fetchall()
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        try:
            yield
        finally:
            cursor.execute("TRUNCATE engine_allocation, engine_appointment, engine_outboxevent")
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


GUARDS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "lock": _no_lock,
    "overlaps": partial(_no_constraint, "engine_allocation", "x"),
    # Two writers that read the same version cannot both commit: the outbox is a guard too, though not meant as one.
    "versions": partial(_no_constraint, "engine_outboxevent", "p"),
}


@contextmanager
def only(*guards: str) -> Iterator[None]:
    """Inside the block the other guards are missing."""
    with ExitStack() as missing:
        for name, removed in GUARDS.items():
            if name not in guards:
                missing.enter_context(removed())
        yield


@pytest.fixture
def stop_sign(practice: Practice) -> Iterator[None]:
    """Whoever has decided to write an appointment waits while somebody has the lock `STOP`, unless told to pass."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            CREATE FUNCTION stop_sign() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF current_setting('race.may_pass', true) IS DISTINCT FROM 'yes' THEN
                PERFORM pg_catalog.pg_advisory_xact_lock_shared({STOP});
              END IF;
              RETURN NEW;
            END $$;
            CREATE TRIGGER stop_sign BEFORE INSERT ON engine_appointment FOR EACH ROW EXECUTE FUNCTION stop_sign();
            """
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION stop_sign CASCADE")


@contextmanager
def stopped() -> Iterator[None]:
    with another_connection() as cursor:
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [STOP])
        yield


@pytest.mark.usefixtures("no_gate", "stop_sign")
@pytest.mark.parametrize(
    ("guards", "wins"), [(("lock", "overlaps", "versions"), 1), (("lock",), 1), ((), 8)], ids=["all", "the lock alone", "none"]
)
@pytest.mark.parametrize("contested", ["slot", "room", "buffer"])
def test_the_lock_alone_prevents_a_double_booking_and_without_guards_it_happens(
    practice: Practice, contested: str, guards: tuple[str, ...], wins: int
) -> None:
    buffered = make_visit_type(practice, duration=25, step=5, before=10, after=10)
    slot = offer(practice, practice.doctor)
    offers = {
        "slot": [slot],
        "room": [offer(practice, person, practice.room) for person in (practice.doctor, practice.nurse)],
        # Nothing but the time after the one and before the other overlaps, by five minutes.
        "buffer": [at(buffered, practice.doctor, slot.start + minutes * 60) for minutes in (0, 40)],
    }[contested]

    with only(*guards):
        with stopped():
            # Each has decided and is about to write, or stands before the calendar's lock.
            finish = start(rivals_for(offers, 8))
            await_waiting(8)
        results = finish()

        assert len(winners(results)) == wins
        assert losers(results) == ({SlotTaken: 7} if wins == 1 else {})
        assert models.Allocation.objects.count() == wins * len(offers[0].calendars)
        assert bool(violations(practice.slug)) == (wins > 1)


@pytest.mark.usefixtures("no_gate", "stop_sign")
@pytest.mark.parametrize(
    ("guards", "late"),
    [(("overlaps", "versions"), SlotTaken), (("overlaps",), SlotTaken), (("versions",), psycopg2.IntegrityError), ((), Done)],
    ids=["constraint and versions", "the constraint alone", "versions alone", "none"],
)
def test_without_the_lock_who_decided_too_early_is_refused_when_writing(
    practice: Practice, guards: tuple[str, ...], late: type
) -> None:
    wanted = offer(practice, practice.doctor, practice.room)

    with only(*guards):
        with stopped():
            finish = start([hold(wanted)])
            await_waiting(1)
            with connection.cursor() as cursor:
                cursor.execute("SET race.may_pass = 'yes'")
                first = book(wanted)()
                cursor.execute("RESET race.may_pass")
        (result,) = finish()

        assert isinstance(first, Done)
        assert isinstance(result, late), result
        assert models.Allocation.objects.count() == (4 if late is Done else 2)


@pytest.mark.usefixtures("no_gate")
@pytest.mark.parametrize("write", WRITES, ids=str)
def test_a_write_gets_its_calendars_before_it_looks_at_what_is_booked(practice: Practice, write: Write) -> None:
    by_id = write.module is bookings and write.function not in ("hold", "book")
    act = write.prepare(practice)

    with held_back(*(getattr(practice, name) for name in write.changes)):
        finish = start([act])
        (waiting,) = await_waiting(1)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                " WHERE l.pid = %s AND c.relkind = 'r' AND c.relname LIKE 'engine_%%'",
                [waiting],
            )
            touched = set(cursor.fetchall())
    (result,) = finish()

    # An appointment's calendars must be looked up before they can be locked; nothing is decided from that look.
    assert touched == ({("engine_appointment", "AccessShareLock")} if by_id else set())
    assert result is not None
    assert not isinstance(result, Exception), result


def test_no_lock_outlives_its_transaction() -> None:
    # A connection pooler hands a session's lock to the next client, or leaves it behind.
    folders = [Path(package.__file__ or "").parent for package in (engine, apps, realtime)]
    sources = [path.read_text() for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".sql")]

    assert {found for text in sources for found in re.findall(r"pg_\w*advisory\w*", text)} == {"pg_advisory_xact_lock"}


# --- the end of a hold ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("deadlocks")
@pytest.mark.parametrize("moment", ["- interval '1 s'", *["+ interval '1 ms'"] * 6, "+ interval '2 s'"])
def test_when_confirm_meets_the_end_of_the_hold_exactly_one_of_them_counts(practice: Practice, moment: str) -> None:
    held = hold(offer(practice, practice.doctor, practice.room))().appointment

    with held_back(practice.doctor):
        finish = start([lambda: bookings.confirm(held.id, patient=ZOE, state="", actor=DESK), lambda: bookings.expire(held.id)])
        await_waiting(2)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE engine_appointment SET expires_at = clock_timestamp() {moment} WHERE id = %s", [held.id])
    confirmed, expired = finish()

    if isinstance(confirmed, Done):
        assert expired is None
    else:
        assert isinstance(confirmed, HoldExpired)
        # Refused for being late, and the other came before the second was over: the hold ends the next time that anybody looks.
        assert isinstance(expired, Done) or expired is None
    status = models.Appointment.objects.get(id=held.id).status
    assert status == ("booked" if isinstance(confirmed, Done) else "expired" if expired else "held")
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
def test_an_overdue_hold_makes_way_for_exactly_one_of_those_who_want_its_time(practice: Practice) -> None:
    both = offer(practice, practice.doctor, practice.room)
    held = hold(both)().appointment
    make_overdue(held.id)

    confirm: Rival = lambda: bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)  # noqa: E731
    results = race([confirm, *rivals_for([both, offer(practice, practice.doctor)], 15)])

    assert isinstance(results[0], HoldExpired)
    (winner,) = winners(results)
    assert losers(results) == {HoldExpired: 1, SlotTaken: 14}
    assert models.Appointment.objects.get(id=held.id).status == "expired"
    assert set(allocated(winner.id)) == set(winner.calendars)
    assert violations(practice.slug) == []


# --- one request, many times ----------------------------------------------------------------------------------------------


def _requests(practice: Practice) -> dict[str, Callable[[], tuple[str, dict[str, Any]]]]:
    """Each request that takes an Idempotency-Key, made ready: its path and its body."""
    slot = offer(practice, practice.doctor, practice.room)
    zoe = {"patient": {"name": "Zoe Canary"}}

    def held() -> UUID:
        return hold(slot)().appointment.id

    def booked() -> UUID:
        return book(slot)().appointment.id

    return {
        "hold": lambda: ("holds", {"slot": slot.token()}),
        "hold by name": lambda: (
            "holds",
            {"visit_type": str(practice.procedure.uid), "calendar": str(practice.doctor.uid), "start": when(slot)},
        ),
        "extend": lambda: (f"holds/{held()}/extend", {"seconds": 60}),
        "confirm": lambda: (f"holds/{held()}/confirm", zoe),
        "book": lambda: ("appointments", {"slot": slot.token(), **zoe}),
        "reschedule": lambda: (
            f"appointments/{booked()}/reschedule",
            {"slot": offer(practice, practice.nurse, practice.room, hour=10).token()},
        ),
        "cancel": lambda: (f"appointments/{booked()}/cancel", {"by": "clinic"}),
        "arrive": lambda: (f"appointments/{booked()}/arrive", {}),
    }


@pytest.mark.usefixtures("either_gate", "deadlocks")
@pytest.mark.parametrize("name", ["hold", "hold by name", "extend", "confirm", "book", "reschedule", "cancel", "arrive"])
def test_one_request_sent_eight_times_at_once_has_one_effect_and_one_answer(
    practice: Practice, token: Callable[..., str], name: str
) -> None:
    path, body = _requests(practice)[name]()
    events = models.OutboxEvent.objects.filter(calendar_id=practice.room.id).count()

    answers = race([send(path, body, bearer=token(practice.slug), key="the-one")] * 8)

    done = [answer for answer in answers if answer.status_code < 300]
    assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
    assert {answer.content for answer in done} == {done[0].content}
    assert {code(answer) for answer in answers} - {""} <= {"idempotency_in_progress", "calendar_busy"}
    assert models.IdempotencyKey.objects.count() == 1
    assert models.Appointment.objects.count() == 1
    assert models.OutboxEvent.objects.filter(calendar_id=practice.room.id).count() == events + 1
    assert violations(practice.slug) == []


@pytest.mark.usefixtures("either_gate", "deadlocks")
def test_one_key_on_two_different_requests_at_once_serves_only_one_of_them(practice: Practice, token: Callable[..., str]) -> None:
    bearer = token(practice.slug)
    slots = [offer(practice, calendar) for calendar in (practice.doctor, practice.nurse)]

    answers = race([send("holds", {"slot": slot.token()}, bearer=bearer, key="the-one") for slot in slots])

    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert {code(answer) for answer in answers} == {"", "idempotency_mismatch"}
    assert models.Appointment.objects.count() == 1


def test_a_repeated_request_gets_its_first_answer_even_when_somebody_else_has_the_slot_by_now(
    practice: Practice, token: Callable[..., str]
) -> None:
    slot = offer(practice, practice.doctor)
    mine = send("holds", {"slot": slot.token()}, bearer=token(practice.slug), key="mine")
    first = mine()
    bookings.release(UUID(first.json()["id"]), actor=DESK)
    hold(slot)()

    again = mine()

    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert again.content == first.content


# --- small things ---------------------------------------------------------------------------------------------------------


def make_visit_type(practice: Practice, **fields: Any) -> models.VisitType:
    """Another visit type of the practice, offered by all its calendars."""
    made = models.VisitType.objects.create(
        clinic_id=practice.doctor.clinic_id, name="Other", **{"modalities": ["in_person"], "needs": ["practitioner"], **fields}
    )
    made.calendars.set([practice.doctor, practice.nurse, practice.room])
    return made


def at(visit_type: models.VisitType, calendar: models.Calendar, first: int) -> Offer:
    end = first + (visit_type.duration or 0) * 60
    return Offer(visit_type.clinic_id, visit_type.id, (calendar.id,), first, end, "in_person")


def group_session(practice: Practice, *, places: int) -> Offer:
    """A published session of the doctor's with so many places, as a search offers it."""
    kind = make_visit_type(practice, duration=None, step=15)
    during = Interval(tomorrow() + 9 * HOUR, tomorrow() + 10 * HOUR)
    openings.add_exception(practice.doctor.id, OpeningException(during, open=True, capacity=places, visit_type=kind.id), actor=DESK)
    return next(o for o in practice.offers(kind) if (o.calendar, o.start) == (practice.doctor.id, during.start))


def move_to(visit: UUID, wanted: Offer) -> Rival:
    return lambda: bookings.reschedule(visit, wanted, by="clinic", actor=DESK)


def allocated(visit: UUID) -> dict[int, int]:
    return dict(models.Allocation.objects.filter(appointment_id=visit).values_list("calendar_id", "unit"))


def when(wanted: Offer) -> str:
    return datetime.fromtimestamp(wanted.start, UTC).isoformat()


def send(path: str, body: dict[str, Any], *, bearer: str, key: str) -> Rival:
    """A POST through the door of the API."""
    headers = {"authorization": f"Bearer {bearer}", "idempotency-key": key}
    return lambda: Client(headers=headers).post(f"/api/engine/v1/{path}", body, content_type="application/json")


def code(answer: Any) -> str:
    return "" if answer.status_code < 300 else str(answer.json()["code"])
