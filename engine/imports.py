"""Facts from outside, by the same lock and outbox as every other write: new calendars and their published windows.

Used by the importer, the demo and the load seed. Writing the same facts again changes nothing and takes no version.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from django.db import transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from engine import models, outbox
from engine.errors import CalendarBusy
from engine.locks import Statement, calendars_locked
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Event
from engine.stands import stands

_BUSY_ATTEMPTS = 5
_BATCH = 1000


class Outcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Facts(NamedTuple):
    """What a source says of a calendar itself; `location` is a database key."""

    location: int | None
    name: str
    zone: str


class Window(NamedTuple):
    """An open window as its source publishes it. `source_id` is its identity on the calendar, `visit_type` a database key.

    `capacity` 0: it cannot be booked, so there must be none.
    """

    source_id: str
    during: Interval
    capacity: int
    visit_type: int


def create_calendars(cursor: CursorWrapper, calendars: Sequence[models.Calendar]) -> None:
    """Inserts new calendars, each at version 1 with the event that tells of it. Must be in a transaction.

    No lock: nobody can know their keys before the commit.
    """
    if not calendars:
        return
    models.Calendar.objects.bulk_create(calendars, batch_size=_BATCH)
    versions = {calendar.id: calendar.version for calendar in calendars}
    for statement in outbox.record(versions, Event.CALENDAR_CREATED, {}, appointment=None):
        cursor.execute(statement.sql, statement.params)
    for calendar in calendars:
        calendar.version += 1


def assign(wanted: Mapping[int, int], *, among: Iterable[int]) -> set[int]:
    """Makes each calendar offer the one visit type it is mapped to, and none else of `among`; answers those that changed.

    Database keys. Visit types that won or lost a calendar take a revision. Must be in a transaction.
    """
    through = models.VisitType.calendars.through.objects
    rows_of = through.filter(visittype_id__in=among, calendar_id__in=wanted)
    offered = {(row.calendar_id, row.visittype_id): row.id for row in rows_of}
    added, removed = wanted.items() - offered.keys(), offered.keys() - wanted.items()
    pairs = [models.VisitType.calendars.through(calendar_id=c, visittype_id=v) for c, v in sorted(added)]
    through.bulk_create(pairs, batch_size=_BATCH)
    through.filter(id__in=[offered[pair] for pair in removed]).delete()
    revised = {visit_type for _, visit_type in added | removed}
    models.VisitType.objects.filter(id__in=revised).update(revision=F("revision") + 1)
    transaction.on_commit(lambda: stands.forget(visit_types=revised))
    return {calendar for calendar, _ in added | removed}


def publish(calendar: int, windows: Sequence[Window], *, facts: Facts | None = None) -> list[Outcome]:
    """Makes a calendar's imported windows, and its own facts if they are given, what they are said to be.

    One transaction under the calendar's lock, which takes one version if anything changed. What is booked stays booked.
    No two windows may have the same `source_id`. Answers what became of each window, in order, and last of the facts.
    Raises CalendarBusy, Unavailable.
    """
    for _ in range(_BUSY_ATTEMPTS - 1):
        with suppress(CalendarBusy):
            return _publish_once(calendar, windows, facts)
    return _publish_once(calendar, windows, facts)


def _publish_once(calendar: int, windows: Sequence[Window], facts: Facts | None) -> list[Outcome]:
    with calendars_locked([calendar]) as locked:
        [(version, *found)] = locked.ask(Statement(_CALENDAR, (calendar,)))
        known = {row[0]: Window(row[0], Interval(*row[1:3]), *row[3:]) for row in locked.ask(_known_windows(calendar, windows))}
        outcomes = [_outcome(window, known.get(window.source_id)) for window in windows]
        changed = [window for window, outcome in zip(windows, outcomes, strict=True) if outcome != Outcome.UNCHANGED]
        if facts is not None:
            outcomes.append(Outcome.UNCHANGED if facts == Facts(*found) else Outcome.UPDATED)
        if set(outcomes) <= {Outcome.UNCHANGED}:
            return outcomes
        location, name, zone = facts or found
        locked.commit(
            _close(calendar, [window for window in changed if not window.capacity]),
            _open(calendar, [window for window in changed if window.capacity]),
            Statement(_CHANGE, (location, name, zone, calendar)),
            *outbox.record({calendar: version}, Event.HOURS_CHANGED, {}, appointment=None),
        )
    stands.forget(calendars=[calendar])
    return outcomes


_CALENDAR = """
SELECT version, location_id, name, zone FROM engine_calendar WHERE id = %s
"""
_CHANGE = "UPDATE engine_calendar SET rules = rules + 1, location_id = %s, name = %s, zone = %s WHERE id = %s"
_WINDOWS = """
SELECT source_id, extract(epoch FROM starts)::bigint, extract(epoch FROM ends)::bigint, capacity, visit_type_id
FROM engine_openingexception WHERE calendar_id = %s AND source_id = ANY(%s)
"""
_OPEN = """
INSERT INTO engine_openingexception (calendar_id, source_id, starts, ends, open, capacity, visit_type_id)
SELECT %s, source_id, to_timestamp(starts), to_timestamp(ends), true, capacity, visit_type_id
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::integer[])
     AS published (source_id, starts, ends, capacity, visit_type_id)
ON CONFLICT (calendar_id, source_id) DO UPDATE
SET starts = excluded.starts, ends = excluded.ends, capacity = excluded.capacity, visit_type_id = excluded.visit_type_id
"""
_CLOSE = "DELETE FROM engine_openingexception WHERE calendar_id = %s AND source_id = ANY(%s)"


def _outcome(window: Window, known: Window | None) -> Outcome:
    if not window.capacity:
        return Outcome.UPDATED if known else Outcome.UNCHANGED
    if known is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if window == known else Outcome.UPDATED


def _known_windows(calendar: int, windows: Sequence[Window]) -> Statement:
    return Statement(_WINDOWS, (calendar, [window.source_id for window in windows]))


def _open(calendar: int, windows: Sequence[Window]) -> Statement:
    rows = [(w.source_id, *w.during, w.capacity, w.visit_type) for w in windows]
    return Statement(_OPEN, (calendar, *([row[n] for row in rows] for n in range(5))))


def _close(calendar: int, windows: Sequence[Window]) -> Statement:
    return Statement(_CLOSE, (calendar, [window.source_id for window in windows]))
