"""The reads of calendars: what they look like now, their rules, and their stream. They take no locks and decide nothing.

Each answer comes from one statement, so what it says of rows and versions is one moment.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from apps.kernel.problems import NotFound, VersionGone
from engine import models, outbox, replicas
from engine.rows import COLUMNS, SETTLED_S, from_row
from engine.rules import CalendarRules, calendar_rules, windows_around
from engine.scheduling.hours import OpeningHours
from engine.scheduling.intervals import DAY_S, Interval, clip, merge
from engine.scheduling.lifecycle import TAKES_TIME, Appointment
from engine.statements import Statement, read

_CHANGES_LIMIT = 500


@dataclass(frozen=True, slots=True)
class KeptException:
    """An exception of a calendar as people see it; `visit_type` is a database key."""

    uid: UUID
    during: Interval
    open: bool
    capacity: int
    visit_type: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A calendar's state at one version. `appointments` include holds; `open` is clipped to the asked range.

    `stand` names calendar, epoch and version in one: within the same range, what has the same stand is the same.
    """

    stand: str
    calendar: CalendarRules
    epoch: str
    version: int
    appointments: list[Appointment]
    open: list[Interval]
    exceptions: list[KeptException]
    join_url: str


Seen = TypeVar("Seen")

_EXCEPTION = """jsonb_build_array(e.uid, extract(epoch FROM e.starts)::bigint, extract(epoch FROM e.ends)::bigint, e.open,
                                  e.capacity, e.visit_type_id, e.note)"""
_NAMED = {"id": "a.id AS appointment", "extract(epoch FROM starts)::bigint": "extract(epoch FROM a.starts)::bigint AS starts"}
_SHOWN = ", ".join(_NAMED.get(column, f"a.{column}" if "(" not in column else column) for column in COLUMNS)
# What belongs to a calendar is read once for it, not once for each of its visits; and calendar by calendar (OFFSET 0), or else the
# planner, which counts a look into every partition, would rather read everybody's days. Of a calendar whose stand is known nothing
# else is read.
_SNAPSHOT = f"""
WITH asked AS MATERIALIZED (
  SELECT %s::text AS clinic, %s::text[]::uuid[] AS uids, %s::text[] AS known, to_timestamp(%s) AS since, to_timestamp(%s) AS until
), shown AS MATERIALIZED (
  SELECT c.id, c.rules, now.stand, now.stand = ANY(asked.known) AS is_known, s.epoch::text, c.version, c.join_url,
         CASE WHEN now.stand <> ALL(asked.known) THEN
           (SELECT jsonb_agg({_EXCEPTION} ORDER BY e.starts, e.id) FROM engine_openingexception e
            WHERE e.calendar_id = c.id AND e.ends > asked.since AND e.starts < asked.until)::text
         END AS exceptions
  FROM asked JOIN engine_clinic k ON k.slug = asked.clinic JOIN engine_calendar c ON c.clinic_id = k.id CROSS JOIN engine_stream s
       CROSS JOIN LATERAL (SELECT concat_ws(' ', c.uid, s.epoch, c.version) AS stand) AS now
  WHERE CASE WHEN asked.uids IS NULL THEN c.active ELSE c.uid = ANY(asked.uids) END
)
SELECT shown.*, {_SHOWN}
FROM asked CROSS JOIN shown LEFT JOIN LATERAL (
  SELECT a.* FROM engine_allocation l JOIN engine_appointment a ON a.id = l.appointment_id
  WHERE NOT shown.is_known AND l.calendar_id = shown.id AND l.during && tstzrange(asked.since, asked.until)
        AND a.ends > asked.since AND a.starts < asked.until OFFSET 0
) AS a ON true
"""
# Time that is history has no allocations any more; a visit is shorter than a day.
_HISTORY = f"""
UNION
SELECT shown.*, {_SHOWN}
FROM asked CROSS JOIN shown JOIN engine_appointment a
     ON a.calendar_id = ANY(ARRAY(SELECT c.id FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id
                                  WHERE k.slug = (SELECT clinic FROM asked)))
     AND a.starts > asked.since - interval '1 day' AND a.starts < asked.until AND a.ends > asked.since
     AND a.calendars @> ARRAY[shown.id] AND a.status IN ({", ".join(f"'{status.value}'" for status in sorted(TAKES_TIME))})
WHERE NOT shown.is_known
"""
_IN_ORDER = " ORDER BY id, starts, appointment"


def snapshot(uid: UUID | None, within: Interval, *, clinic: str) -> Snapshot:
    """What a calendar of this clinic looks like now, between two instants. Raises NotFound."""
    return snapshots([uid], within, clinic=clinic, known={}, see=lambda one: one)[0]


def snapshots(
    uids: Sequence[UUID | None] | None,
    within: Interval,
    *,
    clinic: str,
    known: Mapping[str, Seen],
    see: Callable[[Snapshot], Seen],
) -> list[Seen]:
    """What `see` makes of several calendars at one moment, in the order given; without `uids` of all that are active, by name.

    Of a calendar that stands as one in `known` (stand → what was made of it, within this range) that is the answer. Raises
    NotFound, also for a clinic that has none.
    """
    if uids is not None and None in uids:
        raise NotFound("No such calendar.")
    named = None if uids is None else list(map(str, uids))
    # A day too early costs a second look, nothing else.
    is_history = within.start < time.time() - SETTLED_S + DAY_S
    statement = _SNAPSHOT + (_HISTORY if is_history else "") + _IN_ORDER
    of: dict[int, list[tuple[Any, ...]]] = {}
    for row in read(Statement(statement, (clinic, named, list(known), *within)), using=replicas.alias()):
        of.setdefault(row[0], []).append(row)
    rules = {key: calendar_rules(key, rows[0][1]) for key, rows in of.items()}
    found = {one.uid: of[one.id] for one in sorted(rules.values(), key=lambda one: (one.name, one.id))}
    if not found or not all(uid in found for uid in uids or ()):
        raise NotFound("No such calendar.")
    shown = [found[uid] for uid in (found if uids is None else dict.fromkeys(uids)) if uid is not None]
    return [known[rows[0][2]] if rows[0][3] else see(_snapshot(rows, within)) for rows in shown]


def _snapshot(rows: list[tuple[Any, ...]], within: Interval) -> Snapshot:
    calendar, counter, stand, _, epoch, version, join_url, exceptions = rows[0][:8]
    rules = calendar_rules(calendar, counter)
    return Snapshot(
        stand=stand,
        calendar=rules,
        epoch=epoch,
        version=version,
        appointments=[from_row(row[8:]) for row in rows if row[8] is not None],
        open=open_intervals(rules, within),
        exceptions=_exceptions(exceptions),
        join_url=join_url,
    )


def _exceptions(text: str | None) -> list[KeptException]:
    return [_exception(columns) for columns in json.loads(text)] if text else []


def _exception(columns: list[Any]) -> KeptException:
    uid, start, end, *rest = columns
    return KeptException(UUID(uid), Interval(start, end), *rest)


def open_intervals(rules: CalendarRules, within: Interval) -> list[Interval]:
    """When a calendar is open, for any visit, clipped to `within`."""
    first = within.start - within.start % DAY_S
    found = (w.during for day in range(first, within.end, DAY_S) for w in windows_around(rules, day))
    return merge(clip(found, within))


def changes(uid: UUID | None, *, since: int, limit: int, clinic: str) -> tuple[UUID, int, list[dict[str, Any]]]:
    """(epoch, version, the events after `since` in order) of a calendar of this clinic. Raises NotFound, VersionGone."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.epoch, c.version, o.version, o.type, o.at, o.data
            FROM engine_calendar c CROSS JOIN engine_stream s JOIN engine_clinic k ON k.id = c.clinic_id AND k.slug = %s
            LEFT JOIN LATERAL (SELECT * FROM engine_outboxevent WHERE calendar_id = c.id AND version > %s
                               ORDER BY version LIMIT %s) AS o ON true
            WHERE c.uid = %s ORDER BY o.version
            """,
            [clinic, since, min(limit, _CHANGES_LIMIT), uid],
        )
        rows = cursor.fetchall()
    if not rows:
        raise NotFound("No such calendar.")
    epoch, version = rows[0][:2]
    known = [row[2:] for row in rows if row[2] is not None]
    if since > version or (since < version and (not known or known[0][0] != since + 1)):
        raise VersionGone()
    return epoch, version, [outbox.frame(uid, number, event, at=at, data=data) for number, event, at, data in known]


@dataclass(frozen=True, slots=True)
class Week:
    """A calendar's weekly rules, its zone and whose holidays close it too, at one version."""

    hours: list[OpeningHours]
    zone: str
    holidays: str
    version: int


def week(uid: UUID | None, *, clinic: str) -> Week:
    """The weekly hours of a calendar of this clinic. Raises NotFound."""
    # A calendar without hours is one row without a rule.
    mine = models.Calendar.objects.filter(uid=uid, clinic__slug=clinic) if uid else models.Calendar.objects.none()
    rows = list(
        mine.order_by("openinghours__weekday", "openinghours__opens", "openinghours__id").values_list(
            "zone", "holidays", "version", *(f"openinghours__{field.name}" for field in fields(OpeningHours))
        )
    )
    if not rows:
        raise NotFound("No such calendar.")
    zone, holidays, version = rows[0][:3]
    return Week([OpeningHours(*row[3:]) for row in rows if row[3] is not None], zone, holidays, version)


def exceptions(calendar: int, within: Interval, *, limit: int, after: tuple[int, int]) -> tuple[list[KeptException], str | None]:
    """(a calendar's exceptions that overlap `within`, by start, after (start, key); the place of the last, if there are more)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT e.id, {_EXCEPTION}::text FROM engine_openingexception e
            WHERE e.calendar_id = %s AND e.ends > to_timestamp(%s) AND e.starts < to_timestamp(%s)
                  AND (e.starts, e.id) > (to_timestamp(%s), %s)
            ORDER BY e.starts, e.id LIMIT %s
            """,
            [calendar, within.start, within.end, *after, limit + 1],
        )
        rows = cursor.fetchall()
    found = [_exception(json.loads(text)) for _, text in rows[:limit]]
    return found, f"{found[-1].during.start}.{rows[limit - 1][0]}" if len(rows) > limit else None
