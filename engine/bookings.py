"""The writes of the booking core: hold, confirm, book, extend, release, cancel, reschedule, expire, link, and the visit's moves.

Each is one transaction of the same shape, and whoever knows `hold` knows them all:

    Redis gate → begin → lock the calendars → read what the decision needs → the pure kernel decides
    → write the appointment, its allocations, the outbox, the audit log, the idempotency key in one message → commit → ring the bell

Nothing is decided from what was read before the lock, and every comparison with the clock uses the database's.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection

from apps.kernel.ids import new_id
from apps.kernel.problems import IdempotencyInProgress, ValidationFailed
from engine import outbox, rows
from engine.deciding import check_change_notice, check_licence, decide
from engine.errors import (
    CalendarBusy,
    HoldExpired,
    IllegalTransition,
    SlotTaken,
)
from engine.locks import Statement, Transaction, appointment_locked, calendars_locked, gate, gate_keys
from engine.offers import Offer
from engine.rows import Actor, Done, Once, Overdue, Patient, SeenAppointment
from engine.scheduling.lifecycle import CAN_BE_MOVED, MOVES, TAKES_TIME, Appointment, Event, Status, moved, reverted
from engine.stands import days_around, stands

LONGEST_HOLD_S = 900
# How long Redis turns rivals away from a slot that was booked at once; after that the database does.
_BOOKED_S = 60
_EXPIRE_ATTEMPTS = 3


# --- taking a slot ------------------------------------------------------------------------------------------------------


def hold(offer: Offer, *, seconds: int, actor: Actor, once: Once | None = None) -> Done:
    """Holds a slot for `seconds`. Raises SlotTaken, OutsideOpeningHours, ValidationFailed, NotFound, CalendarBusy."""
    return _take(offer, actor=actor, once=once, seconds=seconds)


def book(offer: Offer, *, patient: Patient, state: str, actor: Actor, once: Once | None = None) -> Done:
    """Hold and confirm in one, for staff and programs. Raises what `hold` does, and NotLicensedInState."""
    return _take(offer, actor=actor, once=once, patient=patient, state=state)


def _take(
    offer: Offer, *, actor: Actor, once: Once | None, seconds: int = 0, patient: Patient | None = None, state: str = ""
) -> Done:
    hold_id, digest = new_id(), once.digest if once else ""
    if offer.special:
        # The gate turns away by starts; whether this one stands depends on more.
        done = _retry_after_expiry(
            lambda: _take_once(hold_id, offer, actor=actor, once=once, seconds=seconds, patient=patient, state=state)
        )
        gate.ring()
        return done
    keys = gate_keys(offer.clinic, offer.calendars, offer.start)
    in_the_way = gate.claim(keys, hold_id, digest=digest, capacities=[offer.capacity, *[1] * (len(keys) - 1)])
    repeated = in_the_way is not None and digest != "" and in_the_way.endswith(digest)
    if in_the_way is not None and not repeated:
        return _refused_at_the_gate(in_the_way, once)
    try:
        done = _retry_after_expiry(
            lambda: _take_once(hold_id, offer, actor=actor, once=once, seconds=seconds, patient=patient, state=state)
        )
    except SlotTaken:
        gate.refuse(keys, hold_id)
        raise
    except CalendarBusy:
        gate.release(keys, hold_id, committed=False)
        if repeated:  # what it waited for in vain is most likely itself
            raise IdempotencyInProgress() from None
        raise
    except BaseException:
        gate.release(keys, hold_id, committed=False)
        raise
    if done.replayed:
        gate.release(keys, hold_id, committed=False)
    else:
        gate.keep(keys, hold_id, digest=digest, seconds=seconds or _BOOKED_S)
    return done


def _refused_at_the_gate(in_the_way: str, once: Once | None) -> Done:
    # Where a hold is known to be committed nobody else can have the slot. Else this may be a repetition of a request that
    # won long ago, and its first answer counts.
    if once is not None and not in_the_way.startswith("held"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT fingerprint, result FROM engine_idempotencykey WHERE scope = %s AND key = %s", [once.scope, once.key]
            )
            row = cursor.fetchone()
        if row:
            return rows.as_replay(once, *row)
    raise SlotTaken()


def _retry_after_expiry(attempt: Callable[[], Done]) -> Done:
    for _ in range(_EXPIRE_ATTEMPTS):
        try:
            return attempt()
        except Overdue as overdue:
            for hold_id in overdue.holds:
                expire(hold_id)
    raise CalendarBusy()


def _take_once(
    hold_id: UUID, offer: Offer, *, actor: Actor, once: Once | None, seconds: int, patient: Patient | None, state: str
) -> Done:
    with calendars_locked(offer.calendars) as transaction:
        seen = rows.read_offer(transaction, offer, once)
        if seen.replay:
            return seen.replay
        decision = decide(offer, seen, actor, state=state if patient else None)
        appointment = Appointment(
            id=hold_id,
            clinic=seen.visit_type.clinic,
            visit_type=offer.visit_type,
            calendar=offer.calendar,
            calendars=tuple(sorted(offer.calendars)),
            status=Status.BOOKED if patient else Status.HELD,
            start=decision.slot.start,
            end=decision.slot.end,
            modality=offer.modality,
            state=state,
            expires_at=None if patient else seen.now + seconds,
            extended=False,
            patient_id=patient.id if patient else None,
            version=seen.versions[offer.calendar] + 1,
            created_at=seen.now,
        )
        event = Event.BOOKED if patient else Event.HELD
        transaction.commit(
            rows.insert(appointment, patient, rows.entry(event, seen.now, actor) | decision.note(offer)),
            rows.allocate(appointment, decision.blocked, decision.units),
            *rows.record(appointment, event, seen.versions, visit_type=seen.visit_type.uid, calendars=seen.calendars),
            rows.audited(actor, appointment, event, clinic=seen.calendars[0].clinic_slug, waived=decision.waived),
            *rows.remember(once, appointment, seen.now),
        )
        _tell(seen.versions, appointment)
    return Done(appointment)


# --- from hold to appointment -------------------------------------------------------------------------------------------


def confirm(hold_id: UUID, *, patient: Patient, state: str, actor: Actor, once: Once | None = None) -> Done:
    """Makes a hold an appointment. Raises HoldExpired, IllegalTransition, NotLicensedInState, NotFound, CalendarBusy."""
    with appointment_locked(hold_id) as transaction:
        seen = rows.read_appointment(transaction, hold_id, actor=actor, once=once)
        if seen.replay:
            return seen.replay
        if seen.appointment.status == Status.EXPIRED or rows.is_overdue(seen):
            raise HoldExpired(seen.appointment)
        check_licence(rows.rules_of(seen.appointment.calendar, seen), state, modality=seen.appointment.modality)
        changed = _change(
            transaction,
            seen,
            _moved(seen, "confirm", state=state, patient_id=patient.id),
            MOVES["confirm"].event,
            actor=actor,
            once=once,
            sealed=patient.kept,
        )
    gate.ring()
    return Done(changed)


def extend(hold_id: UUID, *, seconds: int, actor: Actor, once: Once | None = None) -> Done:
    """Gives a hold `seconds` more, once, up to `LONGEST_HOLD_S` in all. Raises HoldExpired, IllegalTransition, NotFound."""
    with appointment_locked(hold_id) as transaction:
        seen = rows.read_appointment(transaction, hold_id, actor=actor, once=once)
        if seen.replay:
            return seen.replay
        held = seen.appointment
        if held.status == Status.EXPIRED or rows.is_overdue(seen):
            raise HoldExpired(held)
        if held.status != Status.HELD or held.extended or held.expires_at is None:
            raise IllegalTransition("A hold can be extended once.", current=held.status.value)
        until = min(held.expires_at + seconds, held.created_at + LONGEST_HOLD_S)
        extended = replace(held, expires_at=max(until, held.expires_at), extended=True)
        changed = _change(transaction, seen, extended, Event.EXTENDED, actor=actor, once=once)
    gate.ring()
    return Done(changed)


def release(hold_id: UUID, *, actor: Actor) -> Done:
    """Gives a hold back before it runs out; giving it back twice is the same as once. Raises NotFound, IllegalTransition."""
    with appointment_locked(hold_id) as transaction:
        seen = rows.read_appointment(transaction, hold_id, actor=actor)
        if seen.appointment.status in (Status.CANCELLED, Status.EXPIRED):
            return Done(seen.appointment, replayed=True)
        changed = _change(transaction, seen, _moved(seen, "release"), MOVES["release"].event, actor=actor)
    _reopen_gate(changed)
    return Done(changed)


def expire(hold_id: UUID) -> Done | None:
    """Ends a hold that has run out; None when it has not, or is not a hold any more."""
    actor = Actor("system")
    with appointment_locked(hold_id) as transaction:
        seen = rows.read_appointment(transaction, hold_id, actor=actor)
        if not rows.is_overdue(seen):
            return None
        changed = _change(transaction, seen, _moved(seen, "expire"), MOVES["expire"].event, actor=actor)
    _reopen_gate(changed)
    return Done(changed)


# --- the life of an appointment -----------------------------------------------------------------------------------------


def move(appointment_id: UUID, name: str, *, actor: Actor, once: Once | None = None) -> Done:
    """One of the visit's moves: "arrive", "room", "start", "complete", "no-show". Raises IllegalTransition, NotFound."""
    with appointment_locked(appointment_id) as transaction:
        seen = rows.read_appointment(transaction, appointment_id, actor=actor, once=once)
        if seen.replay:
            return seen.replay
        changed = _change(transaction, seen, _moved(seen, name), MOVES[name].event, actor=actor, once=once)
    gate.ring()
    return Done(changed)


def revert(appointment_id: UUID, *, actor: Actor, once: Once | None = None) -> Done:
    """Takes the visit's last step back, be it that nobody came. Raises IllegalTransition, NotFound."""
    with appointment_locked(appointment_id) as transaction:
        seen = rows.read_appointment(transaction, appointment_id, actor=actor, once=once)
        if seen.replay:
            return seen.replay
        before = reverted(seen.appointment)
        if before is None:
            raise IllegalTransition("There is no step to take back.", current=seen.appointment.status.value)
        note = {"was": seen.appointment.status.value}
        changed = _change(transaction, seen, before, Event.REVERTED, actor=actor, once=once, note=note)
    gate.ring()
    return Done(changed)


def cancel(appointment_id: UUID, *, reason: str, by: str, actor: Actor, once: Once | None = None) -> Done:
    """Cancels for the "patient" or the "clinic". Raises TooLateToChange, IllegalTransition, NotFound.

    The reason stays in the appointment's history, which never leaves the engine's database but by its own API.
    """
    with appointment_locked(appointment_id) as transaction:
        seen = rows.read_appointment(transaction, appointment_id, actor=actor, once=once)
        if seen.replay:
            return seen.replay
        if by == "patient":
            check_change_notice(seen)
        note = {"by": by, "reason": reason}
        cancelled = _moved(seen, "cancel")
        changed = _change(transaction, seen, cancelled, MOVES["cancel"].event, actor=actor, once=once, note=note)
    _reopen_gate(changed)
    return Done(changed)


def link(appointment_id: UUID, patient: str) -> Done:
    """Writes down which patient records found the visit to be for, and lets go of the envelope; twice is the same as once.

    Whatever became of the visit meanwhile: a cancelled one is somebody's too. Raises NotFound, CalendarBusy.
    """
    served = "DELETE FROM engine_patientlink WHERE appointment_id = %s AND patient_id = %s"
    envelope = "SELECT patient_details IS NOT NULL FROM engine_appointment WHERE id = %s"
    records = Actor("records")
    with appointment_locked(appointment_id) as transaction:
        seen = rows.read_appointment(transaction, appointment_id, actor=records)
        ((is_kept,),) = transaction.ask(Statement(served, (appointment_id, patient)), Statement(envelope, (appointment_id,)))
        if seen.appointment.patient_id == patient and not is_kept:
            transaction.commit()
            return Done(seen.appointment, replayed=True)
        linked = replace(seen.appointment, patient_id=patient)
        changed = _change(transaction, seen, linked, Event.LINKED, actor=records, sealed=rows.NOTHING)
    gate.ring()
    return Done(changed)


def reschedule(appointment_id: UUID, offer: Offer, *, by: str, actor: Actor, once: Once | None = None) -> Done:
    """Moves an appointment to another slot of the same visit type, in one transaction: refused, the old time stays.

    Raises SlotTaken, OutsideOpeningHours, TooLateToChange, IllegalTransition, NotFound, ValidationFailed.
    """
    return _retry_after_expiry(lambda: _reschedule_once(appointment_id, offer, by=by, actor=actor, once=once))


def _reschedule_once(appointment_id: UUID, offer: Offer, *, by: str, actor: Actor, once: Once | None) -> Done:
    with appointment_locked(appointment_id, and_calendars=offer.calendars) as transaction:
        old = rows.read_appointment(transaction, appointment_id, actor=actor, once=once)
        if old.replay:
            return old.replay
        if old.appointment.status not in CAN_BE_MOVED:
            raise IllegalTransition(current=old.appointment.status.value)
        if offer.visit_type != old.appointment.visit_type:
            raise ValidationFailed("The slot is for another visit type.", param="slot")
        if by == "patient":
            check_change_notice(old)
        new = rows.read_offer(transaction, offer, None, leaving=appointment_id)
        decision = decide(offer, new, actor, state=old.appointment.state)
        changed = replace(
            old.appointment,
            calendar=offer.calendar,
            calendars=tuple(sorted(offer.calendars)),
            start=decision.slot.start,
            end=decision.slot.end,
            modality=offer.modality,
            version=old.versions[offer.calendar] + 1,
        )
        was = {"from": outbox.rfc3339(old.appointment.start)}
        transaction.commit(
            Statement("DELETE FROM engine_allocation WHERE appointment_id = %s", (appointment_id,)),
            rows.allocate(changed, decision.blocked, decision.units),
            rows.update(changed, rows.entry(Event.RESCHEDULED, new.now, actor) | was | decision.note(offer)),
            *rows.record(changed, Event.RESCHEDULED, old.versions, visit_type=new.visit_type.uid, calendars=new.calendars),
            rows.audited(actor, changed, Event.RESCHEDULED, clinic=new.calendars[0].clinic_slug, waived=decision.waived),
            *rows.remember(once, changed, new.now),
        )
        _tell(old.versions, old.appointment, changed)
    _reopen_gate(old.appointment)
    return Done(changed)


# --- writing ----------------------------------------------------------------------------------------------------------


def _moved(seen: SeenAppointment, name: str, **changes: Any) -> Appointment:
    appointment, move_ = seen.appointment, MOVES[name]
    if not appointment.allows(move_):
        raise IllegalTransition(f"{name} is not possible from {appointment.status.value}.", current=appointment.status.value)
    return replace(moved(appointment, move_, now=seen.now), **changes)


def _change(
    transaction: Transaction,
    seen: SeenAppointment,
    changed: Appointment,
    event: Event,
    *,
    actor: Actor,
    once: Once | None = None,
    note: dict[str, str] | None = None,
    sealed: bytes | None = None,
) -> Appointment:
    """Writes what became of an appointment that keeps its calendars; its allocations go when it takes no time any more."""
    changed = replace(changed, version=seen.versions[changed.calendar] + 1)
    ends = changed.status not in TAKES_TIME
    transaction.commit(
        rows.update(changed, rows.entry(event, seen.now, actor) | (note or {}), sealed),
        *([Statement("DELETE FROM engine_allocation WHERE appointment_id = %s", (changed.id,))] if ends else []),
        *rows.record(
            changed,
            event,
            seen.versions,
            visit_type=seen.visit_type.uid,
            calendars=[rows.rules_of(calendar, seen) for calendar in changed.calendars],
        ),
        rows.audited(actor, changed, event, clinic=rows.rules_of(changed.calendar, seen).clinic_slug),
        *rows.remember(once, changed, seen.now),
    )
    _tell(seen.versions, changed)
    return changed


def _tell(before: dict[int, int], *changed: Appointment) -> None:
    """Of what is committed, to whoever looks (stands.py). `before` are the versions that were read under the locks."""
    days = days_around(*(moment for one in changed for moment in (one.start, one.end)))
    stands.tell({calendar: version + 1 for calendar, version in before.items()}, days)


def _reopen_gate(ended: Appointment) -> None:
    gate.release(gate_keys(ended.clinic, ended.calendars, ended.start), ended.id, committed=True)
