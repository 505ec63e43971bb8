"""When a calendar is next free for a visit type: by the search that everybody uses, over no more calendars and days than it takes.

Also which calendars a change may concern. The index of the first available is kept (next_free.py) and read (first.py) by both.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple

from engine import models, queries
from engine.days import from_rows
from engine.queries import Day, Found
from engine.rules import VisitTypeRules, know
from engine.scheduling.intervals import DAY_S, Interval

SEARCHED_S = 60 * DAY_S
"""How far after the time that is asked for somebody must be free."""
_PARTS_S = (0, DAY_S, 8 * DAY_S, 2 * SEARCHED_S)

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


class Asked(NamedTuple):
    """When this calendar is free for this visit type, which it offers, first: of the starts inside `within`."""

    visit_type: VisitTypeRules
    calendar: int
    within: Interval


def earliest(asked: Sequence[Asked], *, now: int, state: str = "", modality: str = "", limit: int = 1) -> list[Found]:
    """Of each, in order, the first slots that are free at the instant `now`, at most `limit`.

    Of more than one it finds only those that are near the first. It reads the primary, all calendars in one statement: a
    second and a third only for those that are not free soon.
    """
    found = [Found([], [], None)] * len(asked)
    for since, until in pairwise(_PARTS_S):
        left = {}
        for number, (visit_type, calendar, within) in enumerate(asked):
            part = Interval(within.start + since, min(within.start + until, within.end))
            if part.start < part.end and not found[number].offers:
                left[number] = Asked(visit_type, calendar, part)
        known = _known(left.values(), now=now)
        for number, (visit_type, calendar, part) in left.items():
            if calendar in known:
                needed = [known[key] for key in (calendar, *_further(visit_type)) if key in known]
                only = known[calendar].rules.uid
                free = queries.free(needed, visit_type, part, now=now, calendar=only, state=state, modality=modality)
                found[number] = Found(list(islice(free, limit)), needed, None)
    return found


def _known(asked: Collection[Asked], *, now: int) -> dict[int, Day]:
    """The calendars that these need, on all days that any of them asks for: they are asked for together if those are near."""
    if not asked:
        return {}
    calendars = sorted({key for one in asked for key in (one.calendar, *_further(one.visit_type))})
    reached = [queries.reached(one.visit_type, one.within) for one in asked]
    first, last = min(one.start for one in reached) // DAY_S, (max(one.end for one in reached) - 1) // DAY_S
    _, rows = from_rows(calendars, first=first, last=last)
    know({one.stand.calendar: one.stand.rules for one in rows}, {})
    return {one.stand.calendar: queries.as_day(one, now=now) for one in rows}


def _further(visit_type: VisitTypeRules) -> tuple[int, ...]:
    """The calendars that can be what the visit needs besides the one people choose."""
    return _of_kinds(visit_type.calendars, visit_type.needs[1:]) if len(visit_type.needs) > 1 else ()


@lru_cache(maxsize=2_000)
def _of_kinds(calendars: tuple[int, ...], kinds: tuple[str, ...]) -> tuple[int, ...]:
    """Those of the calendars that are of these kinds. A calendar never changes its kind."""
    rows = models.Calendar.objects.filter(id__in=calendars, kind__in=kinds)
    return tuple(rows.order_by("id").values_list("id", flat=True))
