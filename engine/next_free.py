"""Keeps the index of the first available: for each calendar and visit type when it is next free.

What is due is found in rows, so nothing is lost when this dies: the calendars with events after the position that is written down
in the same transaction as what became of them, and the rows whose time has passed. Whoever reads (first.py) looks at the events
after that position too, so being late here makes a search slower and not wrong.

A row is a lower bound. It can become too early by itself, as time passes and slots are taken; too late only by an event.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from engine.earliest import AFFECTED, SEARCHED_S, Asked, earliest
from engine.rules import know, visit_type_rules
from engine.scheduling.intervals import DAY_S, Interval

_CALENDARS, _EVENTS, _ENDED, _MOVED = 200, 100, 200, 5_000
"""How much one transaction does at most: calendars of the first pass, events, rows looked at anew, rows moved along."""
_LONGEST_RUN = 48
_MINUTE = 60
_NEVER = 2**31 - 1
_AHEAD_S = 2 * DAY_S


class Pair(NamedTuple):
    calendar: int
    visit_type: int


class Lane(NamedTuple):
    """As in the table, without its head."""

    specialty: str
    states: tuple[str, ...]
    languages: tuple[str, ...]
    modalities: tuple[str, ...]


class _Offered(NamedTuple):
    """A calendar that offers a visit type now."""

    pair: Pair
    revision: int
    notice: int
    lane: Lane


class _Row(NamedTuple):
    offered: _Offered
    first: int
    last: int


# The first of all positions is one that every transaction which is not seen yet comes after.
_BEGIN = """
INSERT INTO engine_nextfreekept (id, epoch, txid, calendar_id, version, built_to)
SELECT 1, epoch, pg_snapshot_xmin(pg_current_snapshot()), 0, 0, 0 FROM engine_stream
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, txid = excluded.txid, calendar_id = 0, version = 0, built_to = 0
WHERE engine_nextfreekept.epoch <> excluded.epoch
"""
# One keeper at a time; one that was killed holds nothing.
_CLAIM = """
SELECT txid::text, calendar_id, version, built_to, floor(extract(epoch FROM clock_timestamp()))::bigint
FROM engine_nextfreekept WHERE id = 1 FOR UPDATE SKIP LOCKED
"""
_NEXT_EVENTS = """
SELECT txid::text, calendar_id, version FROM engine_outboxevent
WHERE (txid, calendar_id, version) > (%s::text::xid8, %s, %s) AND txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY txid, calendar_id, version LIMIT %s
"""
_OFFERED = """
SELECT c.id, v.id, v.revision, v.notice, lower(c.specialty), c.states, c.languages, v.modalities
FROM unnest(%s::integer[], %s::integer[]) AS pair (calendar_id, visit_type_id)
JOIN engine_visittype v ON v.id = pair.visit_type_id AND v.active
JOIN engine_calendar c ON c.id = pair.calendar_id AND c.active AND c.kind = v.needs[1]
JOIN engine_visittype_calendars o ON o.visittype_id = v.id AND o.calendar_id = c.id
"""
DIGEST = "('x' || left(md5((specialty, states, languages, modalities)::text), 16))::bit(64)::bigint"
"""SQL: of a lane's facts, the arrays sorted."""
# Not ON CONFLICT: it takes a number of the sequence each time, and there are only two billion.
_LANE = f"""
WITH given (specialty, states, languages, modalities, head) AS (
  VALUES (%s, %s::varchar[], %s::varchar[], %s::varchar[], %s::integer)
), facts AS (
  SELECT specialty, states, languages, modalities, {DIGEST} AS digest, head FROM given
), known AS (
  SELECT l.id, facts.head FROM engine_lane l JOIN facts USING (digest)
), lowered AS (
  UPDATE engine_lane l SET head = known.head FROM known WHERE l.id = known.id AND known.head < l.head
), made AS (
  INSERT INTO engine_lane (specialty, states, languages, modalities, digest, head)
  SELECT * FROM facts WHERE NOT EXISTS (SELECT FROM known) RETURNING id
)
SELECT id FROM known UNION ALL SELECT id FROM made
"""
# A lane that a row has left may begin later now.
_WRITE = """
INSERT INTO engine_nextfree AS f (visit_type_id, calendar_id, lane_id, first, last, notice)
SELECT * FROM unnest(%s::integer[], %s::integer[], %s::integer[], %s::integer[], %s::integer[], %s::integer[])
ON CONFLICT (visit_type_id, calendar_id) DO UPDATE
SET lane_id = excluded.lane_id, first = excluded.first, last = excluded.last, notice = excluded.notice
WHERE (f.lane_id, f.first, f.last, f.notice) <> (excluded.lane_id, excluded.first, excluded.last, excluded.notice)
RETURNING coalesce(old.lane_id, new.lane_id)
"""
_DROP = """
DELETE FROM engine_nextfree f USING engine_calendar c, engine_visittype v
WHERE c.id = ANY(%s) AND v.clinic_id = c.clinic_id AND f.visit_type_id = v.id AND f.calendar_id = c.id
      AND NOT (v.active AND c.active AND c.kind = v.needs[1] AND EXISTS (
        SELECT FROM engine_visittype_calendars o WHERE o.visittype_id = v.id AND o.calendar_id = c.id))
RETURNING f.lane_id
"""
# Only what has changed: a lane is a wide row with three indexes.
_HEADS = f"""
UPDATE engine_lane l SET head = now.head FROM (
  SELECT id, coalesce((SELECT min(first) FROM engine_nextfree f WHERE f.lane_id = id), {_NEVER}) AS head
  FROM unnest(%s::integer[]) AS lane (id)
) AS now WHERE l.id = now.id AND l.head <> now.head
"""
_DUE = """
SELECT f.visit_type_id, f.calendar_id, v.step, %(now)s + f.notice AS since
FROM engine_nextfree f JOIN engine_visittype v ON v.id = f.visit_type_id WHERE f.first - f.notice < %(now)s
"""
_MOVE = f"""
WITH due AS ({_DUE} AND f.last >= %(now)s + f.notice LIMIT {_MOVED})
UPDATE engine_nextfree f SET first = f.first + (due.since - f.first + due.step - 1) / due.step * due.step
FROM due WHERE f.visit_type_id = due.visit_type_id AND f.calendar_id = due.calendar_id RETURNING f.lane_id
"""
_ENDED_RUNS = f"{_DUE} AND f.last < %(now)s + f.notice LIMIT {_ENDED}"
_NOTHING_FOUND = f"""
SELECT visit_type_id, calendar_id FROM engine_nextfree WHERE last < first AND last < %(now)s ORDER BY last LIMIT {_ENDED}
"""


def keep(*, seconds: float) -> int:
    """Brings the index up to date, for about so long at most; answers how many rows were due.

    Reads and writes the database that is written to: a replica that is behind would leave a row too late, which nobody notices.
    """
    until, done = time.monotonic() + seconds, 0
    while worked := _round():
        done += worked
        if time.monotonic() >= until:
            break
    return done


def _round() -> int:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM engine_nextfreekept JOIN engine_stream USING (epoch))")
        if not cursor.fetchone()[0]:
            cursor.execute(_BEGIN)
        cursor.execute(_CLAIM)
        row = cursor.fetchone()
        if row is None:
            return 0
        *position, built_to, now = row
        if built_to is not None:
            return _build(cursor, built_to, now=now)
        return _follow(cursor, position, now=now) or _move_on(cursor, now=now)


def _build(cursor: CursorWrapper, built_to: int, *, now: int) -> int:
    """The first pass, a page of calendars at a time."""
    cursor.execute("SELECT id FROM engine_calendar WHERE id > %s ORDER BY id LIMIT %s", [built_to, _CALENDARS])
    calendars = [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT calendar_id, visittype_id FROM engine_visittype_calendars WHERE calendar_id = ANY(%s)", [calendars])
    _refresh(cursor, [Pair(*row) for row in cursor.fetchall()], now=now)
    _drop(cursor, calendars)
    reached = calendars[-1] if calendars else None
    cursor.execute("UPDATE engine_nextfreekept SET built_to = %s WHERE id = 1", [reached])
    return max(1, len(calendars))


def _follow(cursor: CursorWrapper, position: Sequence[Any], *, now: int) -> int:
    """The next events."""
    cursor.execute(_NEXT_EVENTS, [*position, _EVENTS])
    events = cursor.fetchall()
    if not events:
        return 0
    changed = sorted({calendar for _, calendar, _ in events})
    cursor.execute(AFFECTED, {"changed": changed})
    _refresh(cursor, [Pair(*row) for row in cursor.fetchall()], now=now)
    _drop(cursor, changed)
    cursor.execute(
        "UPDATE engine_nextfreekept SET txid = %s::text::xid8, calendar_id = %s, version = %s WHERE id = 1", [*events[-1]]
    )
    return len(events)


def _move_on(cursor: CursorWrapper, *, now: int) -> int:
    """Rows whose time has passed: along the run that is free as was known, or else looked at anew."""
    minute = {"now": now // _MINUTE}
    cursor.execute(_MOVE, minute)
    moved: int = cursor.rowcount
    _set_heads(cursor, {row[0] for row in cursor.fetchall()})
    ended: set[Pair] = set()
    for due in (_ENDED_RUNS, _NOTHING_FOUND):
        cursor.execute(due, minute)
        ended |= {Pair(calendar, visit_type) for visit_type, calendar, *_ in cursor.fetchall()}
    _refresh(cursor, sorted(ended), now=now)
    _drop(cursor, {pair.calendar for pair in ended})
    return moved + len(ended)


def _refresh(cursor: CursorWrapper, pairs: Sequence[Pair], *, now: int) -> None:
    """Looks when each is next free, if it is still offered, and writes it down."""
    if not pairs:
        return
    cursor.execute(_OFFERED, [[pair.calendar for pair in pairs], [pair.visit_type for pair in pairs]])
    rows = _rows([_offered(row) for row in cursor.fetchall()], now=now)
    if not rows:
        return
    heads: dict[Lane, int] = {}
    for row in rows:
        heads[row.offered.lane] = min(row.first, heads.get(row.offered.lane, _NEVER))
    keys: dict[Lane, int] = {}
    for lane, head in sorted(heads.items()):
        cursor.execute(_LANE, [lane.specialty, *map(list, lane[1:]), head])
        keys[lane] = cursor.fetchone()[0]
    written = [(one.pair.visit_type, one.pair.calendar, keys[one.lane], first, last, one.notice) for one, first, last in rows]
    cursor.execute(_WRITE, [list(column) for column in zip(*written, strict=True)])
    _set_heads(cursor, {row[0] for row in cursor.fetchall()} | set(keys.values()))


def _set_heads(cursor: CursorWrapper, lanes: set[int]) -> None:
    if lanes:
        cursor.execute(_HEADS, [sorted(lanes)])


def _offered(row: Sequence[Any]) -> _Offered:
    calendar, visit_type, revision, notice, specialty, *sets = row
    states, languages, modalities = (tuple(sorted(values)) for values in sets)
    return _Offered(Pair(calendar, visit_type), revision, notice, Lane(specialty, states, languages, modalities))


def _rows(offered: list[_Offered], *, now: int) -> list[_Row]:
    """What is to be written of these, all looked at together."""
    know({}, {one.pair.visit_type: one.revision for one in offered})
    asked = []
    for one in offered:
        rules = visit_type_rules(one.pair.visit_type, one.revision)
        # It looks further than anybody may book yet, and again after half of that: so in between the row says enough.
        further = replace(rules, visit=replace(rules.visit, horizon=rules.visit.horizon + _AHEAD_S))
        asked.append(Asked(further, one.pair.calendar, Interval(now, now + min(SEARCHED_S, rules.visit.horizon) + _AHEAD_S)))
    return [
        _row(one, look, [offer.start for offer in found.offers], now=now)
        for one, look, found in zip(offered, asked, earliest(asked, now=now, limit=_LONGEST_RUN), strict=True)
    ]


def _row(offered: _Offered, look: Asked, starts: list[int], *, now: int) -> _Row:
    visit = look.visit_type.visit
    if not starts:
        first = max(look.within.end, now + visit.notice) // _MINUTE
        return _Row(offered, first, (now + _AHEAD_S // 2) // _MINUTE)
    last = starts[0]
    for start in starts[1:]:
        if start != last + visit.step:
            break
        last = start
    return _Row(offered, starts[0] // _MINUTE, last // _MINUTE)


def _drop(cursor: CursorWrapper, calendars: Iterable[int]) -> None:
    """Deletes the rows of what these calendars do not offer any more."""
    cursor.execute(_DROP, [list(calendars)])
    _set_heads(cursor, {row[0] for row in cursor.fetchall()})
