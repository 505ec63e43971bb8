"""The writes to opening hours: under the same lock, with the same versions, as the bookings that depend on them.

What is booked stays booked; a screen shows the conflict, and people decide.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from apps.kernel.ids import new_id
from apps.kernel.problems import NotFound, ValidationFailed
from engine import outbox, rows
from engine.locks import Statement, Transaction, calendars_locked, gate
from engine.rows import Actor, Once
from engine.scheduling.hours import LONGEST_OPENING, OpeningException, OpeningHours
from engine.scheduling.lifecycle import Event
from engine.stands import stands


class Added(NamedTuple):
    """An exception's id and the calendar's version with it; `replayed` when an earlier request with the same key had added it."""

    uid: UUID
    version: int
    replayed: bool = False


class _Seen(NamedTuple):
    """A calendar under its lock, and what was kept of an earlier request with the same Idempotency-Key."""

    uid: UUID
    now: int
    version: int
    kept: list[Any]


_CALENDAR = """
SELECT c.uid, floor(extract(epoch FROM clock_timestamp()))::bigint, c.version, k.fingerprint, k.result
FROM engine_calendar c LEFT JOIN engine_idempotencykey k ON k.scope = %s AND k.key = %s WHERE c.id = %s
"""


def set_hours(calendar: int, hours: Sequence[OpeningHours], *, actor: Actor) -> int:
    """Replaces the weekly hours; answers the calendar's new version. Raises NotFound, CalendarBusy."""
    week = [(calendar, h.weekday, h.opens, h.closes, h.valid_from, h.valid_until) for h in hours]
    values = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(week))
    columns = "calendar_id, weekday, opens, closes, valid_from, valid_until"
    insert = Statement(f"INSERT INTO engine_openinghours ({columns}) VALUES {values}", [value for rule in week for value in rule])
    delete = Statement("DELETE FROM engine_openinghours WHERE calendar_id = %s", (calendar,))
    with calendars_locked([calendar]) as transaction:
        seen = _read(transaction, calendar)
        _commit(transaction, calendar, seen, delete, *([insert] if week else []), _noted(actor, "calendar.hours_changed", seen))
    gate.ring()
    return seen.version + 1


def add_exception(calendar: int, exception: OpeningException, *, actor: Actor, note: str = "", once: Once | None = None) -> Added:
    """Opens or closes one interval. Raises NotFound, ValidationFailed, CalendarBusy, IdempotencyMismatch."""
    if exception.open and exception.during.end - exception.during.start > LONGEST_OPENING:
        raise ValidationFailed("An opening is at most 24 hours long; what is longer is hours.", param="end")
    uid, (start, end) = new_id(), exception.during
    insert = Statement(
        "INSERT INTO engine_openingexception (uid, calendar_id, starts, ends, open, capacity, visit_type_id, note)"
        " VALUES (%s, %s, to_timestamp(%s), to_timestamp(%s), %s, %s, %s, %s)",
        (uid, calendar, start, end, exception.open, exception.capacity, exception.visit_type, note),
    )
    with calendars_locked([calendar]) as transaction:
        seen = _read(transaction, calendar, once)
        if seen.kept:
            return Added(UUID(seen.kept[0]), seen.kept[1], replayed=True)
        version = seen.version + 1
        noted = _noted(actor, "calendar.exception_added", seen, exception=uid)
        _commit(transaction, calendar, seen, insert, noted, *rows.keep(once, [uid, version], seen.now))
    gate.ring()
    return Added(uid, version)


def remove_exception(calendar: int, exception: UUID, *, actor: Actor) -> int:
    """Takes an exception back; answers the calendar's new version. Raises NotFound, CalendarBusy."""
    mine = (calendar, exception)
    with calendars_locked([calendar]) as transaction:
        if not transaction.ask(Statement("SELECT 1 FROM engine_openingexception WHERE calendar_id = %s AND uid = %s", mine)):
            raise NotFound("No such exception.")
        seen = _read(transaction, calendar)
        delete = Statement("DELETE FROM engine_openingexception WHERE calendar_id = %s AND uid = %s", mine)
        _commit(transaction, calendar, seen, delete, _noted(actor, "calendar.exception_removed", seen, exception=exception))
    gate.ring()
    return seen.version + 1


def _read(transaction: Transaction, calendar: int, once: Once | None = None) -> _Seen:
    scope, key = (once.scope, once.key) if once else (None, None)
    found = transaction.ask(Statement(_CALENDAR, (scope, key, calendar)))
    if not found:
        raise NotFound("No such calendar.")
    uid, now, version, fingerprint, result = found[0]
    return _Seen(uid, now, version, rows.kept(once, fingerprint, result) if once and fingerprint is not None else [])


def _noted(actor: Actor, action: str, seen: _Seen, *, exception: UUID | None = None) -> Statement:
    return rows.noted(actor, action, object=f"calendar:{seen.uid}", details={"exception": str(exception)} if exception else {})


def _commit(transaction: Transaction, calendar: int, seen: _Seen, *writes: Statement) -> None:
    transaction.commit(
        *writes,
        Statement("UPDATE engine_calendar SET rules = rules + 1 WHERE id = %s", (calendar,)),
        *outbox.record({calendar: seen.version}, Event.HOURS_CHANGED, {}, appointment=None),
    )
    stands.forget(calendars=[calendar])
