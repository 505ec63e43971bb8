"""A calendar file onto a calendar: what it says becomes busy times or weekly hours. First looked at, then done.

What a file says of an event takes the place of what an earlier one said of it; events that it does not mention stay. What is booked
stays booked: the answer names every visit that lies in a busy time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, time
from enum import StrEnum
from typing import Any, NamedTuple

from apps.kernel.problems import NotFound
from engine import outbox, rows
from engine.ics import PREFIX, BusyTimes, Refusal, Week
from engine.locks import Statement, Transaction, calendars_locked, gate
from engine.outbox import rfc3339
from engine.rows import Actor, Once
from engine.scheduling.hours import OpeningHours
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Event
from engine.stands import stands

_SHOWN = 500
_NOTE = "busy"


class Outcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class Plan(NamedTuple):
    """What is to be written, and what is to be said of it: `told` has one entry a time, each with its outcome."""

    told: list[dict[str, Any]]
    writes: list[Statement]
    collisions: list[dict[str, Any]]


class Imported(NamedTuple):
    """The answer as it goes out; `replayed` when an earlier request with the same Idempotency-Key had done it."""

    answer: dict[str, Any]
    replayed: bool = False


def busy(calendar: int, found: BusyTimes, *, apply: bool, actor: Actor, once: Once | None = None) -> Imported:
    """Closes a calendar at the busy times of a file. Raises NotFound, CalendarBusy, IdempotencyMismatch."""
    return _import(calendar, lambda locked: _busy(locked, calendar, found), found.refused, apply=apply, actor=actor, once=once)


def hours(calendar: int, week: Week, *, apply: bool, actor: Actor, once: Once | None = None) -> Imported:
    """Makes the weekly hours of a file those of a calendar, all of them. Raises NotFound, CalendarBusy, IdempotencyMismatch."""
    return _import(calendar, lambda locked: _hours(locked, calendar, week), week.refused, apply=apply, actor=actor, once=once)


def _import(
    calendar: int,
    plan: Callable[[Transaction], Plan],
    refused: Sequence[Refusal],
    *,
    apply: bool,
    actor: Actor,
    once: Once | None,
) -> Imported:
    scope, key = (once.scope, once.key) if once else (None, None)
    with calendars_locked([calendar]) as locked:
        seen = locked.ask(Statement(_CALENDAR, (scope, key, calendar)))
        if not seen:
            raise NotFound("No such calendar.")
        uid, now, version, fingerprint, result = seen[0]
        if once and fingerprint is not None:
            return Imported(rows.kept(once, fingerprint, result)[0], replayed=True)
        told, writes, collisions = plan(locked)
        changes = apply and bool(writes)
        answer = {
            "applied": apply,
            "version": version + changes,
            **{outcome.value: count for outcome, count in _counts(told).items()},
            "refused": [refusal._asdict() for refusal in refused],
            "items": told[:_SHOWN],
            "collisions": collisions,
        }
        if changes:
            locked.commit(
                *writes,
                Statement("UPDATE engine_calendar SET rules = rules + 1 WHERE id = %s", (calendar,)),
                *outbox.record({calendar: version}, Event.HOURS_CHANGED, {}, appointment=None),
                rows.noted(actor, "calendar.imported", object=f"calendar:{uid}", details=dict(Counter(_counts(told)))),
                *rows.keep(once, [answer], now),
            )
    stands.forget(calendars=[calendar])
    gate.ring()
    return Imported(answer)


def _counts(told: Sequence[dict[str, Any]]) -> dict[Outcome, int]:
    found = Counter(one["outcome"] for one in told)
    return {outcome: found[outcome] for outcome in Outcome}


_CALENDAR = """
SELECT c.uid, floor(extract(epoch FROM clock_timestamp()))::bigint, c.version, k.fingerprint, k.result
FROM engine_calendar c LEFT JOIN engine_idempotencykey k ON k.scope = %s AND k.key = %s WHERE c.id = %s
"""


# --- busy times ---------------------------------------------------------------------------------------------------------

_KNOWN_BUSY = """
SELECT source_id, extract(epoch FROM starts)::bigint, extract(epoch FROM ends)::bigint
FROM engine_openingexception WHERE calendar_id = %s AND starts_with(source_id, %s) AND ends > clock_timestamp()
"""
_CLOSE = """
INSERT INTO engine_openingexception (calendar_id, source_id, starts, ends, open, capacity, note)
SELECT %s, source_id, to_timestamp(starts), to_timestamp(ends), false, 1, %s
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS busy (source_id, starts, ends)
ON CONFLICT (calendar_id, source_id) DO UPDATE SET starts = excluded.starts, ends = excluded.ends
"""
_FREE = "DELETE FROM engine_openingexception WHERE calendar_id = %s AND source_id = ANY(%s)"
_COLLISIONS = """
SELECT a.id, extract(epoch FROM a.starts)::bigint, extract(epoch FROM a.ends)::bigint, a.status, v.uid
FROM engine_appointment a JOIN engine_visittype v ON v.id = a.visit_type_id
WHERE a.status IN ('booked', 'arrived', 'in_progress') AND EXISTS (
  SELECT FROM engine_allocation l JOIN unnest(%s::bigint[], %s::bigint[]) AS busy (starts, ends)
    ON l.during && tstzrange(to_timestamp(busy.starts), to_timestamp(busy.ends))
    AND a.starts < to_timestamp(busy.ends) AND to_timestamp(busy.starts) < a.ends
  WHERE l.appointment_id = a.id AND l.calendar_id = %s
) AND a.id IN (SELECT appointment_id FROM engine_allocation WHERE calendar_id = %s AND during && tstzrange(now(), NULL))
ORDER BY a.starts, a.id LIMIT %s
"""


def _busy(locked: Transaction, calendar: int, found: BusyTimes) -> Plan:
    known = {id_: Interval(start, end) for id_, start, end in locked.ask(Statement(_KNOWN_BUSY, (calendar, PREFIX)))}
    wanted = {one.source_id: one.during for one in found.busy}
    gone = [id_ for id_ in known if id_ not in wanted and ":".join(id_.split(":")[:2]) in found.events]
    changed = [(id_, *during) for id_, during in wanted.items() if known.get(id_) != during]
    told = [_time(_outcome(known.get(id_), during), during) for id_, during in wanted.items()]
    told += [_time(Outcome.REMOVED, known[id_]) for id_ in gone]
    writes = [Statement(_FREE, (calendar, gone))] if gone else []
    if changed:
        writes.append(Statement(_CLOSE, (calendar, _NOTE, *([row[n] for row in changed] for n in range(3)))))
    starts, ends = [during.start for during in wanted.values()], [during.end for during in wanted.values()]
    visits = locked.ask(Statement(_COLLISIONS, (starts, ends, calendar, calendar, _SHOWN)))
    return Plan(sorted(told, key=lambda one: str(one["start"])), writes, [_collision(row) for row in visits])


def _outcome(before: object, after: object) -> Outcome:
    if before is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if before == after else Outcome.UPDATED


def _time(outcome: Outcome, during: Interval) -> dict[str, Any]:
    return {"outcome": outcome.value, "start": rfc3339(during.start), "end": rfc3339(during.end)}


def _collision(row: Sequence[Any]) -> dict[str, Any]:
    id_, start, end, status, visit_type = row
    times = {"start": rfc3339(start), "end": rfc3339(end)}
    return {"appointment": str(id_), **times, "status": status, "visit_type": str(visit_type)}


# --- weekly hours -------------------------------------------------------------------------------------------------------

_KNOWN_HOURS = "SELECT weekday, opens, closes, valid_from, valid_until FROM engine_openinghours WHERE calendar_id = %s"
_FORGET = "DELETE FROM engine_openinghours WHERE calendar_id = %s"
_OPEN = """
INSERT INTO engine_openinghours (calendar_id, weekday, opens, closes, valid_from, valid_until)
SELECT %s, * FROM unnest(%s::smallint[], %s::time[], %s::time[], %s::date[], %s::date[])
"""


def _hours(locked: Transaction, calendar: int, week: Week) -> Plan:
    known = {OpeningHours(*row) for row in locked.ask(Statement(_KNOWN_HOURS, (calendar,)))}
    wanted = set(week.hours)
    told = [(Outcome.UNCHANGED if rule in known else Outcome.CREATED, rule) for rule in wanted]
    told += [(Outcome.REMOVED, rule) for rule in known - wanted]
    told.sort(key=lambda one: (one[1].weekday, one[1].opens, one[1].closes, one[0]))
    # A file without a single weekly event is no reason to close for good.
    if not wanted or known == wanted:
        return Plan([_rule(*one) for one in told if wanted], [], [])
    rules = [(r.weekday, r.opens, r.closes, r.valid_from, r.valid_until) for r in wanted]
    columns = ([rule[n] for rule in rules] for n in range(5))
    return Plan([_rule(*one) for one in told], [Statement(_FORGET, (calendar,)), Statement(_OPEN, (calendar, *columns))], [])


def _rule(outcome: Outcome, rule: OpeningHours) -> dict[str, Any]:
    return {
        "outcome": outcome.value,
        "weekday": rule.weekday,
        "opens": _text(rule.opens),
        "closes": _text(rule.closes),
        "valid_from": _text(rule.valid_from),
        "valid_until": _text(rule.valid_until),
    }


def _text(value: time | date | None) -> str | None:
    if isinstance(value, time):
        return value.strftime("%H:%M")
    return value.isoformat() if value else None
