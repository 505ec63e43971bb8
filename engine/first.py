"""The first available across all clinics, from the index that next_free.py keeps, each slot looked at again before it is shown.

The index says of each calendar before which minute it is not free. Candidates are looked at in that order until as many are
found as are wanted and no other can be earlier: so what is too early in the index costs a look and is corrected. What may be
too late there has an event after the index's position, or a hold that ran out: those are candidates from the beginning.
"""

import heapq
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from engine.earliest import AFFECTED, SEARCHED_S, earliest
from engine.offers import Offer
from engine.queries import Day, Found
from engine.rules import visit_type_rules
from engine.scheduling.fairness import Candidate, Policy, arranged
from engine.scheduling.intervals import Interval

_LOOKED_AT = 200
"""A search looks at no more calendars than that."""
_CHANGES = 1_000
"""If more has changed than that, the index is not asked what is free at a single clinic."""
_LARGEST_PAGE = 4_000
_MINUTE = 60
_A_DAY = 24 * 60
_FAIR_DAYS = 7
_FOR_EVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: a visit type by its database key, or a specialty, or both; `after` is an instant in seconds."""

    visit_type: int | None = None
    specialty: str = ""
    state: str = ""
    modality: str = ""
    language: str = ""
    after: int = 0
    limit: int = 10
    policy: Policy = Policy.EARLIEST


class First(NamedTuple):
    """The slots, one a calendar, in order. Not `complete`: not all were looked at that could have been earlier."""

    found: Found
    complete: bool


class _Candidate(NamedTuple):
    """A calendar that offers a visit type, and the minute before which it is not free."""

    bound: int
    calendar: int
    visit_type: int
    revision: int
    uid: UUID


class _Page(NamedTuple):
    """Rows of the index, (bound, calendar, visit type); all others are not free before the minute `rest`."""

    rows: list[tuple[int, int, int]]
    rest: int


class _Standing(NamedTuple):
    """The index's: whether the first pass is through, its position, and the database's clock."""

    built: bool
    position: tuple[str, int, int]
    now: int


_STANDING = """
SELECT coalesce(k.epoch = s.epoch AND k.built_to IS NULL, false), k.txid::text, k.calendar_id, k.version,
       floor(extract(epoch FROM clock_timestamp()))::bigint
FROM engine_stream s LEFT JOIN engine_nextfreekept k ON k.id = 1
"""
_CHANGED = """
SELECT calendar_id FROM (
  SELECT calendar_id FROM engine_outboxevent WHERE (txid, calendar_id, version) > (%s::text::xid8, %s, %s)
  ORDER BY txid, calendar_id, version LIMIT %s) AS told
UNION ALL
SELECT unnest(calendars) FROM (
  SELECT calendars FROM engine_appointment WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT %s) AS overdue
"""
_FITS_CALENDAR = """
(%(specialty)s = '' OR lower(c.specialty) = lower(%(specialty)s) AND c.specialty <> '')
AND (%(state)s = '' OR cardinality(c.states) = 0 OR c.states @> ARRAY[%(state)s]::varchar[])
AND (%(language)s = '' OR c.languages @> ARRAY[%(language)s]::varchar[])
"""
_OFFERED = f"""
SELECT pair.calendar_id, v.id, v.revision, c.uid FROM ({{pairs}}) AS pair
JOIN engine_visittype v ON v.id = pair.visit_type_id AND v.active
JOIN engine_calendar c ON c.id = pair.calendar_id AND c.active AND c.kind = v.needs[1]
JOIN engine_visittype_calendars o ON o.visittype_id = v.id AND o.calendar_id = c.id
WHERE (%(visit_type)s = 0 OR v.id = %(visit_type)s)
AND (%(modality)s = '' OR v.modalities @> ARRAY[%(modality)s]::varchar[]) AND {_FITS_CALENDAR} LIMIT %(most)s
"""
_THESE = "SELECT * FROM unnest(%(calendars)s::integer[], %(visit_types)s::integer[]) AS these (calendar_id, visit_type_id)"
_ALL = "SELECT calendar_id, visittype_id AS visit_type_id FROM engine_visittype_calendars"
# In a lane, whose time begins at `since`: a run that has begun goes on, and what comes after it is not known.
_BOUND = """
CASE WHEN f.first >= l.since THEN f.first WHEN f.last >= l.since THEN f.first + (l.since - f.first + l.step - 1) / l.step * l.step
ELSE l.since END
"""
_FITS_LANE = """
(%(specialty)s = '' OR specialty = lower(%(specialty)s))
AND (%(state)s = '' OR cardinality(states) = 0 OR states @> ARRAY[%(state)s]::varchar[])
AND (%(language)s = '' OR languages @> ARRAY[%(language)s]::varchar[])
AND (%(modality)s = '' OR modalities @> ARRAY[%(modality)s]::varchar[])
"""
_LANES = f"""
SELECT id, step, greatest(%(after)s, %(now)s + notice) AS since, greatest(head, %(after)s, %(now)s + notice) AS head,
       least(%(until)s, %(now)s + horizon * {_A_DAY}) AS until
FROM engine_lane WHERE {_FITS_LANE}
"""
_OF_A_SPECIALTY = f"""
WITH lane AS MATERIALIZED (
  SELECT * FROM ({_LANES}) AS l WHERE head <= until ORDER BY head LIMIT %(size)s)
SELECT CASE WHEN (SELECT count(*) FROM lane) = %(size)s THEN (SELECT max(head) FROM lane) ELSE {_FOR_EVER} END,
       f.bound, f.calendar_id, f.visit_type_id
FROM lane l CROSS JOIN LATERAL (
  (SELECT f.first AS bound, f.calendar_id, f.visit_type_id FROM engine_nextfree f
   WHERE f.lane_id = l.id AND f.first BETWEEN l.since AND l.until ORDER BY f.first LIMIT %(size)s)
  UNION ALL
  (SELECT {_BOUND} AS bound, f.calendar_id, f.visit_type_id FROM engine_nextfree f
   WHERE f.lane_id = l.id AND f.first < l.since ORDER BY 1 LIMIT %(size)s)
) AS f ORDER BY f.bound LIMIT %(size)s
"""
_OF_A_VISIT_TYPE = f"""
SELECT {_FOR_EVER}, {_BOUND} AS bound, f.calendar_id, f.visit_type_id
FROM engine_nextfree f JOIN ({_LANES}) AS l ON l.id = f.lane_id
WHERE f.visit_type_id = %(visit_type)s AND f.first <= l.until ORDER BY bound LIMIT %(size)s
"""
_BURDENS = """
SELECT c.id, c.weight, floor(extract(epoch FROM max(a.created_at)))::bigint,
       count(a.id) FILTER (WHERE a.starts > to_timestamp(%(now)s))
FROM engine_calendar c LEFT JOIN engine_appointment a ON a.calendar_id = c.id AND a.status NOT IN ('cancelled', 'expired')
     AND a.starts > to_timestamp(%(now)s) - make_interval(days => %(days)s)
     AND a.starts < to_timestamp(%(now)s) + make_interval(days => %(days)s)
WHERE c.id = ANY(%(calendars)s) GROUP BY c.id
"""


def first_available(wish: Wish) -> First:
    """The earliest free slots across all clinics, one a calendar; equals in the order of the policy."""
    standing = _standing()
    changed = _changed(standing)
    few = len(changed) < _CHANGES
    if not standing.built or (not few and wish.visit_type):
        suspects, indexed = _candidates(wish, _ALL, {}), False
    else:
        suspects, indexed = _candidates(wish, AFFECTED, {"changed": changed}), True
    search = _Search(wish, now=standing.now)
    search.add(suspects[:_LOOKED_AT])
    through = search.run(indexed=indexed)
    return First(search.result(), through and len(suspects) <= _LOOKED_AT and (few or not indexed))


class _Search:
    """One search: the candidates by their bounds, and what was found. The best of a calendar is its earliest slot."""

    def __init__(self, wish: Wish, *, now: int) -> None:
        self._wish, self._now = wish, now
        self._candidates: list[_Candidate] = []
        self._known: set[tuple[int, int]] = set()
        self._best: dict[int, Offer] = {}
        self._days: dict[int, Day] = {}
        self._looks = 0

    def add(self, candidates: list[_Candidate]) -> None:
        for one in candidates:
            self._known.add((one.calendar, one.visit_type))
            heapq.heappush(self._candidates, one)

    def run(self, *, indexed: bool) -> bool:
        """Looks at candidates until no other can be earlier; whether it came so far."""
        size = 2 * self._wish.limit + 10
        while True:
            page = self._page(size) if indexed else _Page([], _FOR_EVER)
            while self._candidates and self._candidates[0].bound <= page.rest:
                if self._settled(self._candidates[0].bound):
                    return True
                if self._looks == _LOOKED_AT:
                    return False
                self._look(heapq.heappop(self._candidates))
            if self._settled(page.rest):
                return True
            if size >= _LARGEST_PAGE:
                return False
            size *= 4

    def result(self) -> Found:
        wish, facts = self._wish, list[Candidate]()
        burdens = {} if wish.policy == Policy.EARLIEST else _burdens(list(self._best), now=self._now)
        for calendar, offer in self._best.items():
            facts.append(Candidate(offer.start, calendar, *burdens.get(calendar, ())))
        offers = [self._best[one.calendar] for one in arranged(facts, wish.policy)[: wish.limit]]
        return Found(offers, [self._days[key] for offer in offers for key in offer.calendars], None)

    def _page(self, size: int) -> _Page:
        """Reads on in the index; what is new there becomes a candidate, if it is still offered."""
        page = _page(self._wish, now=self._now, size=size)
        bounds = {(calendar, visit_type): bound for bound, calendar, visit_type in page.rows}
        new = [pair for pair in bounds if pair not in self._known]
        self._known |= bounds.keys()
        these = {"calendars": [pair[0] for pair in new], "visit_types": [pair[1] for pair in new], "most": size}
        offered = _candidates(self._wish, _THESE, these) if new else []
        self.add([one._replace(bound=bounds[one.calendar, one.visit_type]) for one in offered])
        return page

    def _settled(self, bound: int) -> bool:
        """Whether nothing that is not free before the minute `bound` could change the answer."""
        at, wish = bound * _MINUTE, self._wish
        if at >= wish.after + SEARCHED_S:
            return True
        if len(self._best) < wish.limit:
            return False
        last = heapq.nsmallest(wish.limit, (offer.start for offer in self._best.values()))[-1]
        # Where it is not all the same which of equals is shown, all of them must be known.
        return last <= at if wish.policy == Policy.EARLIEST else last < at

    def _look(self, one: _Candidate) -> None:
        wish, best = self._wish, self._best.get(one.calendar)
        start = max(wish.after, one.bound * _MINUTE)
        if best is not None and best.start <= start:
            return
        self._looks += 1
        rules, within = visit_type_rules(one.visit_type, one.revision), Interval(start, wish.after + SEARCHED_S)
        found = earliest(rules, one.calendar, one.uid, within, state=wish.state, modality=wish.modality)
        if found.offers and (best is None or found.offers[0].start < best.start):
            self._best[one.calendar] = found.offers[0]
            self._days |= {day.rules.id: day for day in found.days}


def _standing() -> _Standing:
    with connection.cursor() as cursor:
        cursor.execute(_STANDING)
        built, txid, calendar, version, now = cursor.fetchone()
    return _Standing(built, (txid, calendar, version), now)


def _changed(standing: _Standing) -> list[int]:
    """The calendars of which the index may not know all yet, at most `_CHANGES` from each source."""
    if not standing.built:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [*standing.position, _CHANGES, _CHANGES])
        return [row[0] for row in cursor.fetchall()]


def _candidates(wish: Wish, pairs: str, given: dict[str, Any]) -> list[_Candidate]:
    """Those of `pairs` (SQL) that are offered now and fit the wish; any number may be too many by one."""
    if given.get("changed") == []:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OFFERED.format(pairs=pairs), {"most": _LOOKED_AT + 1, **_asked(wish), **given})
        return [_Candidate(wish.after // _MINUTE, *row) for row in cursor.fetchall()]


def _page(wish: Wish, *, now: int, size: int) -> _Page:
    minutes = {"after": wish.after // _MINUTE, "now": now // _MINUTE, "size": size}
    minutes["until"] = minutes["after"] + SEARCHED_S // _MINUTE
    with connection.cursor() as cursor:
        cursor.execute(_OF_A_VISIT_TYPE if wish.visit_type else _OF_A_SPECIALTY, _asked(wish) | minutes)
        rows = cursor.fetchall()
    # A full page says nothing of what comes after its last row, nor of lanes that were not opened.
    read_to = rows[-1][1] if len(rows) == size else _FOR_EVER
    return _Page([row[1:] for row in rows], min(rows[0][0], read_to) if rows else _FOR_EVER)


def _asked(wish: Wish) -> dict[str, Any]:
    return {
        "visit_type": wish.visit_type or 0,
        "specialty": wish.specialty,
        "state": wish.state,
        "modality": wish.modality,
        "language": wish.language,
    }


def _burdens(calendars: list[int], *, now: int) -> dict[int, tuple[int, int | None, int]]:
    """What the policies look at: visits of the next days, when the last one was given, weight."""
    with connection.cursor() as cursor:
        cursor.execute(_BURDENS, {"now": now, "days": _FAIR_DAYS, "calendars": calendars})
        return {calendar: (booked, given, weight) for calendar, weight, given, booked in cursor.fetchall()}
