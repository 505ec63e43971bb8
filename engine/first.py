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
from engine.rules import know, visit_type_rules
from engine.scheduling.fairness import Candidate, Policy, arranged
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Event

_LOOKED_AT = 200
"""A search looks at no more calendars than that."""
_CHANGES = 1_000
"""If more has changed than that, the index is not asked what is free at a single clinic."""
_LARGEST_PAGE = 4_000
_KNOWN_AHEAD = 12
_MINUTE = 60
_A_DAY = 24 * 60
_FAIR_DAYS = 7
_FOR_EVER = 2**31 - 1
_TAKE_TIME = frozenset(
    {Event.HELD, Event.EXTENDED, Event.BOOKED, Event.ARRIVED, Event.ROOMED, Event.STARTED, Event.COMPLETED}
    | {Event.NO_SHOW, Event.LINKED, Event.REVERTED}
)
"""After these a calendar is free as before or later. All others may have given time back, and so may those that are new."""


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
    rules: int


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
SELECT calendar_id, type FROM (
  SELECT calendar_id, type FROM engine_outboxevent WHERE (txid, calendar_id, version) > (%s::text::xid8, %s, %s)
  ORDER BY txid, calendar_id, version LIMIT %s) AS told
UNION ALL
SELECT unnest(calendars), 'appointment.expired' FROM (
  SELECT calendars FROM engine_appointment WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT %s) AS overdue
"""
_FITS_CALENDAR = """
(%(specialty)s = '' OR lower(c.specialty) = lower(%(specialty)s) AND c.specialty <> '')
AND (%(state)s = '' OR cardinality(c.states) = 0 OR c.states @> ARRAY[%(state)s]::varchar[])
AND (%(language)s = '' OR c.languages @> ARRAY[%(language)s]::varchar[])
"""
_FITS_VISIT_TYPE = """
(%(visit_type)s = 0 OR v.id = %(visit_type)s) AND (%(modality)s = '' OR v.modalities @> ARRAY[%(modality)s]::varchar[])
"""
# Calendars by their keys and nothing else, or PostgreSQL goes through all of a specialty.
_OFFERED = f"""
WITH pair AS MATERIALIZED ({{pairs}}), c AS MATERIALIZED (
  SELECT id, uid, rules, kind FROM engine_calendar c
  WHERE c.id = ANY(ARRAY(SELECT calendar_id FROM pair)) AND c.active AND {_FITS_CALENDAR}
)
SELECT c.id, v.id, v.revision, c.uid, c.rules FROM c JOIN pair ON pair.calendar_id = c.id
JOIN engine_visittype v ON v.id = pair.visit_type_id AND v.active AND c.kind = v.needs[1] AND {_FITS_VISIT_TYPE}
JOIN engine_visittype_calendars o ON o.visittype_id = v.id AND o.calendar_id = c.id LIMIT %(most)s
"""
_THESE = "SELECT * FROM unnest(%(calendars)s::integer[], %(visit_types)s::integer[]) AS these (calendar_id, visit_type_id)"
_ALL = f"""
SELECT c.id AS calendar_id, v.id AS visit_type_id FROM engine_calendar c
JOIN engine_visittype_calendars o ON o.calendar_id = c.id
JOIN engine_visittype v ON v.id = o.visittype_id AND v.active AND c.kind = v.needs[1] AND {_FITS_VISIT_TYPE}
WHERE c.active AND {_FITS_CALENDAR} LIMIT %(most)s
"""
_FITS_LANE = """
(%(specialty)s = '' OR specialty = lower(%(specialty)s))
AND (%(state)s = '' OR cardinality(states) = 0 OR states @> ARRAY[%(state)s]::varchar[])
AND (%(language)s = '' OR languages @> ARRAY[%(language)s]::varchar[])
AND (%(modality)s = '' OR modalities @> ARRAY[%(modality)s]::varchar[])
"""
_ROW = "visit_type_id, calendar_id, first, last"
# The rows from now on, and those whose time has passed: there a run that has begun goes on; what comes after it is not known.
_BOUNDS = f"""
SELECT * FROM (
  SELECT CASE WHEN f.first >= t.since THEN f.first
              WHEN f.last >= t.since THEN f.first + (t.since - f.first + v.step - 1) / v.step * v.step
              ELSE t.since END AS bound, f.calendar_id, f.visit_type_id, least(%(until)s, %(now)s + v.horizon * {_A_DAY}) AS until
  FROM {{rows}} AS f JOIN engine_visittype v ON v.id = f.visit_type_id
  CROSS JOIN LATERAL (SELECT greatest(%(after)s, %(now)s + v.notice) AS since) AS t
) AS bounds WHERE bound <= until ORDER BY bound LIMIT %(size)s
"""
_BEHIND = f"SELECT {_ROW} FROM lane l JOIN engine_nextfree ON lane_id = l.id AND first < %(since)s"
# A full page says nothing of what comes after its last row, nor of the lanes that were not opened.
_OF_A_SPECIALTY = f"""
WITH lane AS MATERIALIZED (
  SELECT id, greatest(head, %(since)s) AS head FROM engine_lane WHERE head <= %(until)s AND {_FITS_LANE}
  ORDER BY 2 LIMIT %(size)s
), ahead AS MATERIALIZED (
  SELECT f.* FROM lane l CROSS JOIN LATERAL (
    SELECT {_ROW} FROM engine_nextfree WHERE lane_id = l.id AND first BETWEEN %(since)s AND %(until)s ORDER BY first LIMIT %(size)s
  ) AS f ORDER BY first LIMIT %(size)s
), rest AS (
  SELECT least((SELECT max(head) FROM lane HAVING count(*) = %(size)s),
               (SELECT max(first) FROM ahead HAVING count(*) = %(size)s)) AS rest
)
SELECT coalesce(rest, {_FOR_EVER}), bound, calendar_id, visit_type_id FROM rest LEFT JOIN (
  {_BOUNDS.format(rows=f"(TABLE ahead UNION ALL {_BEHIND})")}
) AS found ON true ORDER BY bound
"""
_OF_A_VISIT_TYPE = f"""
SELECT {_FOR_EVER}, bound, calendar_id, visit_type_id FROM (
  {_BOUNDS.format(rows=f"(SELECT {_ROW} FROM engine_nextfree WHERE visit_type_id = %(visit_type)s)")}
) AS found ORDER BY bound
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
    changed, few = _changed(standing)
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
        if self._looks % _KNOWN_AHEAD == 0:
            soon = [one, *heapq.nsmallest(_KNOWN_AHEAD - 1, self._candidates)]
            know({next_.calendar: next_.rules for next_ in soon}, {next_.visit_type: next_.revision for next_ in soon})
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


def _changed(standing: _Standing) -> tuple[list[int], bool]:
    """The calendars that may be free earlier than the index knows; and whether these are all."""
    if not standing.built:
        return [], True
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [*standing.position, _CHANGES, _CHANGES])
        rows = cursor.fetchall()
    return sorted({calendar for calendar, event in rows if event not in _TAKE_TIME}), len(rows) < _CHANGES


def _candidates(wish: Wish, pairs: str, given: dict[str, Any]) -> list[_Candidate]:
    """Those of `pairs` (SQL) that are offered now and fit the wish; one more than are looked at, if there are so many."""
    if given.get("changed") == []:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OFFERED.format(pairs=pairs), {"most": _LOOKED_AT + 1, **_asked(wish), **given})
        return [_Candidate(wish.after // _MINUTE, *row) for row in cursor.fetchall()]


def _page(wish: Wish, *, now: int, size: int) -> _Page:
    after, minute = wish.after // _MINUTE, now // _MINUTE
    times = {"after": after, "now": minute, "since": max(after, minute), "until": after + SEARCHED_S // _MINUTE, "size": size}
    with connection.cursor() as cursor:
        cursor.execute(_OF_A_VISIT_TYPE if wish.visit_type else _OF_A_SPECIALTY, _asked(wish) | times)
        found = cursor.fetchall()
    rows = [row[1:] for row in found if row[1] is not None]
    return _Page(rows, min([*(row[0] for row in found[:1]), *(row[0] for row in rows[size - 1 :])], default=_FOR_EVER))


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
