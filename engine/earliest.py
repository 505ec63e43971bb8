"""When a calendar is next free for a visit type: by the search that everybody uses, over no more calendars and days than it takes.

Also which calendars a change may concern. The index of the first available is kept (next_free.py) and read (first.py) by both.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from uuid import UUID

from engine import models, queries
from engine.queries import Found
from engine.rules import VisitTypeRules
from engine.scheduling.intervals import DAY_S, Interval

SEARCHED_S = 60 * DAY_S
"""How far after the time that is asked for somebody must be free."""
_PARTS_S = (DAY_S, 8 * DAY_S)

AFFECTED = """
SELECT calendar_id, visittype_id AS visit_type_id FROM engine_visittype_calendars WHERE calendar_id = ANY(%(changed)s)
UNION
SELECT p.calendar_id, v.id FROM engine_visittype_calendars o
JOIN engine_visittype v ON v.id = o.visittype_id AND cardinality(v.needs) > 1
JOIN engine_calendar changed ON changed.id = o.calendar_id AND changed.kind = ANY(v.needs[2:])
JOIN engine_visittype_calendars p ON p.visittype_id = v.id
WHERE o.calendar_id = ANY(%(changed)s)
"""
"""SQL: the (calendar, visit type) whose next free time a change of these calendars can bear on; with a room, all that need one."""


def earliest(
    visit_type: VisitTypeRules, calendar: int, uid: UUID, within: Interval, *, state: str = "", modality: str = "", limit: int = 1
) -> Found:
    """The first slots of this calendar that start inside `within` and are free now, at most `limit`; `uid` is the calendar's.

    Of more than one it finds only those that are near the first.
    """
    only = replace(visit_type, calendars=(calendar, *_further(visit_type)))
    for part in _parts(within):
        found = queries.slots(only, part, calendar=uid, state=state, modality=modality, limit=limit)
        if found.offers:
            return found
    return Found([], [], None)


def _parts(within: Interval) -> Iterator[Interval]:
    ends = [within.start + part for part in _PARTS_S if within.start + part < within.end]
    for start, end in pairwise([within.start, *ends, within.end]):
        if start < end:
            yield Interval(start, end)


@lru_cache(maxsize=2_000)
def _further(visit_type: VisitTypeRules) -> tuple[int, ...]:
    """The calendars that can be what the visit needs besides the one people choose. A calendar never changes its kind."""
    if len(visit_type.needs) == 1:
        return ()
    rows = models.Calendar.objects.filter(id__in=visit_type.calendars, kind__in=visit_type.needs[1:])
    return tuple(rows.order_by("id").values_list("id", flat=True))
