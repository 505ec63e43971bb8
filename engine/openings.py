"""The writes to opening hours: under the same lock, with the same versions, as the bookings that depend on them.

What is booked stays booked; a screen shows the conflict, and people decide.
"""

from collections.abc import Sequence
from uuid import UUID

from apps.kernel.ids import new_id
from apps.kernel.problems import NotFound, ValidationFailed
from engine import outbox
from engine.locks import Statement, Transaction, calendars_locked, gate
from engine.scheduling.hours import LONGEST_OPENING, OpeningException, OpeningHours
from engine.scheduling.lifecycle import Event


def set_hours(calendar: int, hours: Sequence[OpeningHours]) -> int:
    """Replaces the weekly hours; answers the calendar's new version. Raises NotFound, CalendarBusy."""
    rows = [(calendar, h.weekday, h.opens, h.closes, h.valid_from, h.valid_until) for h in hours]
    values = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(rows))
    columns = "calendar_id, weekday, opens, closes, valid_from, valid_until"
    insert = Statement(f"INSERT INTO engine_openinghours ({columns}) VALUES {values}", [value for row in rows for value in row])
    delete = Statement("DELETE FROM engine_openinghours WHERE calendar_id = %s", (calendar,))
    with calendars_locked([calendar]) as transaction:
        version = _change(transaction, calendar, delete, *([insert] if rows else []))
    gate.ring()
    return version


def add_exception(calendar: int, exception: OpeningException) -> tuple[UUID, int]:
    """Opens or closes one interval; answers (id, the calendar's new version). Raises NotFound, ValidationFailed, CalendarBusy."""
    if exception.open and exception.during.end - exception.during.start > LONGEST_OPENING:
        raise ValidationFailed("An opening is at most 24 hours long; what is longer is hours.", param="end")
    uid, (start, end) = new_id(), exception.during
    insert = Statement(
        "INSERT INTO engine_openingexception (uid, calendar_id, starts, ends, open, capacity, visit_type_id)"
        " VALUES (%s, %s, to_timestamp(%s), to_timestamp(%s), %s, %s, %s)",
        (uid, calendar, start, end, exception.open, exception.capacity, exception.visit_type),
    )
    with calendars_locked([calendar]) as transaction:
        version = _change(transaction, calendar, insert)
    gate.ring()
    return uid, version


def remove_exception(calendar: int, exception: UUID) -> int:
    """Takes an exception back; answers the calendar's new version. Raises NotFound, CalendarBusy."""
    mine = (calendar, exception)
    with calendars_locked([calendar]) as transaction:
        if not transaction.ask(Statement("SELECT 1 FROM engine_openingexception WHERE calendar_id = %s AND uid = %s", mine)):
            raise NotFound("No such exception.")
        delete = Statement("DELETE FROM engine_openingexception WHERE calendar_id = %s AND uid = %s", mine)
        version = _change(transaction, calendar, delete)
    gate.ring()
    return version


def _change(transaction: Transaction, calendar: int, *writes: Statement) -> int:
    rows = transaction.ask(Statement("SELECT version FROM engine_calendar WHERE id = %s", (calendar,)))
    if not rows:
        raise NotFound("No such calendar.")
    version = int(rows[0][0])
    transaction.commit(
        *writes,
        Statement("UPDATE engine_calendar SET rules = rules + 1 WHERE id = %s", (calendar,)),
        *outbox.record({calendar: version}, Event.HOURS_CHANGED, {}, appointment=None),
    )
    return version + 1
