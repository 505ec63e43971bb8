"""The first available across all clinics, from the index that next_free.py keeps, each slot looked at again before it is shown.

The index says of each calendar before which minute it is not free. Candidates are looked at in that order until as many are
found as are wanted and no other can be earlier: so what is too early in the index costs a look and is corrected. What may be
too late there has an event after the index's position, or a hold that ran out: those are candidates from the beginning.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from engine.earliest import AFFECTED, SEARCHED_S, Asked, earliest
from engine.offers import Offer
from engine.queries import Day, Found
from engine.rules import know, visit_type_rules
from engine.scheduling.fairness import Candidate, Policy, arranged, burden
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Event

_LOOKED_AT = 200
"""A search looks at no more calendars than that."""
_CHANGES = 1_000
"""If more has changed than that, the index is not asked what is free at a single clinic."""
_LARGEST_PAGE = 4_000
_SPARE = 10
"""So many candidates more are read than are wanted."""
_EQUALS, _GUESSED = 100, 30
"""So many are read at least where the index does not say who comes first: of equals by a policy; for a time that is ahead."""
_TOGETHER = 4
"""So many at least are looked at in one go, though fewer are missing."""
_MINUTE = 60
_A_DAY = 24 * 60
_A_WEEK = 7 * _A_DAY
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
    """A calendar that may offer a visit type. It is not free before the minute `bound`; in which order to look is the rest."""

    bound: int
    expected: int
    burden: float
    calendar: int
    visit_type: int


class _Page(NamedTuple):
    """Rows of the index, (calendar, visit type) → (bound, expected); all others are not free before the minute `rest`."""

    rows: dict[tuple[int, int], tuple[int, int]]
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
  SELECT id, kind FROM engine_calendar c
  WHERE c.id = ANY(ARRAY(SELECT calendar_id FROM pair)) AND c.active AND {_FITS_CALENDAR}
)
SELECT c.id, v.id, v.revision FROM c JOIN pair ON pair.calendar_id = c.id
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
# Of a run that has begun by the time that is asked for it is known how it goes on. Of one that has ended by then nothing is, but
# hours are weekly: when the calendar is free this week tells in which order to look for a later one.
_BOUNDS = f"""
SELECT bound, CASE WHEN known THEN bound ELSE since + mod(mod(first - since, {_A_WEEK}) + {_A_WEEK}, {_A_WEEK}) END AS expected,
       calendar_id, visit_type_id
FROM (
  SELECT f.*, since, f.first >= since OR f.last >= since AS known,
         CASE WHEN f.first >= since THEN f.first
              WHEN f.last >= since THEN f.first + (since - f.first + v.step - 1) / v.step * v.step
              ELSE since END AS bound, least(%(until)s, %(now)s + v.horizon * {_A_DAY}) AS until
  FROM {{rows}} AS f JOIN engine_visittype v ON v.id = f.visit_type_id
  CROSS JOIN LATERAL (SELECT greatest(%(after)s, %(now)s + v.notice) AS since) AS t
) AS bounds WHERE bound <= until ORDER BY 1, 2 LIMIT %(size)s
"""
# Rows are opened from `week` on: from the time that is asked for, so many weeks before it as there are until then. A full page
# says nothing of what comes after its last row, nor of the lanes that were not opened.
_OF_A_SPECIALTY = f"""
WITH lane AS MATERIALIZED (
  SELECT id, head FROM engine_lane WHERE head <= %(until)s AND {_FITS_LANE} ORDER BY engine_lane.head LIMIT %(size)s
), ahead AS MATERIALIZED (
  SELECT f.* FROM lane l CROSS JOIN LATERAL (
    SELECT {_ROW} FROM engine_nextfree WHERE lane_id = l.id AND first BETWEEN %(week)s AND %(until)s ORDER BY first LIMIT %(size)s
  ) AS f ORDER BY first LIMIT %(size)s
), behind AS MATERIALIZED (
  SELECT {_ROW} FROM lane l JOIN engine_nextfree ON lane_id = l.id AND first < %(week)s LIMIT %(size)s
), rest AS (
  SELECT least((SELECT max(head) FROM lane HAVING count(*) = %(size)s),
               (SELECT max(first) FROM ahead HAVING count(*) = %(size)s),
               (SELECT min(first) FROM behind HAVING count(*) = %(size)s)) AS rest
)
SELECT greatest(coalesce(rest, {_FOR_EVER}), %(since)s), bound, expected, calendar_id, visit_type_id FROM rest LEFT JOIN (
  {_BOUNDS.format(rows="(TABLE ahead UNION ALL TABLE behind)")}
) AS found ON true ORDER BY bound, expected
"""
_OF_A_VISIT_TYPE = f"""
SELECT {_FOR_EVER}, bound, expected, calendar_id, visit_type_id FROM (
  {_BOUNDS.format(rows=f"(SELECT {_ROW} FROM engine_nextfree WHERE visit_type_id = %(visit_type)s)")}
) AS found ORDER BY bound, expected
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
        suspects, indexed = _offered(wish, _ALL, {}), False
    else:
        suspects, indexed = _offered(wish, AFFECTED, {"changed": changed}), True
    search = _Search(wish, now=standing.now)
    soonest = wish.after // _MINUTE
    search.add({(calendar, visit_type): (soonest, soonest) for calendar, visit_type, _ in suspects[:_LOOKED_AT]})
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
        self._burdens: dict[int, tuple[int, int | None, int]] = {}
        self._looks = 0

    def add(self, bounds: dict[tuple[int, int], tuple[int, int]]) -> None:
        """Makes candidates of these that are new: (calendar, visit type) → (bound, expected)."""
        policy, new = self._wish.policy, bounds.keys() - self._known
        self._known |= new
        if policy != Policy.EARLIEST:
            self._burdens |= _burdens(list({calendar for calendar, _ in new}), now=self._now)
        for pair in new:
            one = _Candidate(*bounds[pair], burden(self._fact(0, pair[0]), policy), *pair)
            heapq.heappush(self._candidates, one)

    def run(self, *, indexed: bool) -> bool:
        """Looks at candidates until no other can be earlier; whether it came so far."""
        wish, soonest = self._wish, max(self._wish.after, self._now) // _MINUTE
        size = self._first_size()
        while True:
            page = _page(wish, now=self._now, size=size) if indexed else _Page({}, _FOR_EVER)
            self.add(page.rows)
            while self._candidates and self._candidates[0].bound <= page.rest:
                if self._settled(self._candidates[0].bound, self._candidates[0].burden):
                    return True
                if self._looks >= _LOOKED_AT:
                    return False
                self._look(page.rest)
            if self._settled(page.rest, math.inf):
                return True
            # If a page proves nothing of who is not on it, the next one will not either.
            if size >= _LARGEST_PAGE or (page.rest <= soonest and len(self._best) >= wish.limit):
                return False
            size *= 4

    def _first_size(self) -> int:
        """How many rows to read at first: no more than are looked at, but where the index does not say who comes first."""
        wish = self._wish
        if wish.policy != Policy.EARLIEST:
            return max(wish.limit + _SPARE, _EQUALS)
        return max(wish.limit + _SPARE, _GUESSED) if wish.after // _MINUTE > self._now // _MINUTE else wish.limit + _SPARE

    def result(self) -> Found:
        offers = [self._best[one.calendar] for one in self._arranged()[: self._wish.limit]]
        return Found(offers, [self._days[key] for offer in offers for key in offer.calendars], None)

    def _settled(self, bound: int, weight: float) -> bool:
        """Whether nothing that is not free before the minute `bound`, and then has this burden, could change the answer."""
        at, wish = bound * _MINUTE, self._wish
        if at >= wish.after + SEARCHED_S:
            return True
        if len(self._best) < wish.limit:
            return False
        last = self._arranged()[wish.limit - 1]
        return (last.start, burden(last, wish.policy)) <= (at, weight)

    def _look(self, rest: int) -> None:
        """Looks at the next candidates: as many as are missing, or as were looked at so far."""
        wish, together = self._wish, list[_Candidate]()
        most = max(wish.limit - len(self._best), min(self._looks, _LOOKED_AT - self._looks), _TOGETHER)
        while self._candidates and self._candidates[0].bound <= rest and len(together) < most:
            together.append(heapq.heappop(self._candidates))
        self._looks += len(together)
        bounds = {(one.calendar, one.visit_type): one.bound * _MINUTE for one in together}
        these = {"calendars": [one.calendar for one in together], "visit_types": [one.visit_type for one in together]}
        offered = _offered(wish, _THESE, these)
        know({}, {visit_type: revision for _, visit_type, revision in offered})
        asked = []
        for calendar, visit_type, revision in offered:
            within = Interval(max(wish.after, bounds[calendar, visit_type]), wish.after + SEARCHED_S)
            asked.append(Asked(visit_type_rules(visit_type, revision), calendar, within))
        for one, found in zip(asked, earliest(asked, now=self._now, state=wish.state, modality=wish.modality), strict=True):
            best = self._best.get(one.calendar)
            if found.offers and (best is None or found.offers[0].start < best.start):
                self._best[one.calendar] = found.offers[0]
                self._days |= {day.rules.id: day for day in found.days}

    def _arranged(self) -> list[Candidate]:
        return arranged((self._fact(offer.start, calendar) for calendar, offer in self._best.items()), self._wish.policy)

    def _fact(self, start: int, calendar: int) -> Candidate:
        return Candidate(start, calendar, *self._burdens.get(calendar, ()))


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


def _offered(wish: Wish, pairs: str, given: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(calendar, visit type, revision) of those of `pairs` (SQL) that are offered now and fit the wish.

    One more than are looked at, if there are so many.
    """
    if given.get("changed") == []:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OFFERED.format(pairs=pairs), {"most": _LOOKED_AT + 1, **_asked(wish), **given})
        return [(calendar, visit_type, revision) for calendar, visit_type, revision in cursor.fetchall()]


def _page(wish: Wish, *, now: int, size: int) -> _Page:
    after, minute = wish.after // _MINUTE, now // _MINUTE
    since, until = max(after, minute), after + SEARCHED_S // _MINUTE
    week = since - (since - minute) // _A_WEEK * _A_WEEK
    times = {"after": after, "now": minute, "since": since, "until": until, "week": week, "size": size}
    with connection.cursor() as cursor:
        cursor.execute(_OF_A_VISIT_TYPE if wish.visit_type else _OF_A_SPECIALTY, _asked(wish) | times)
        found = cursor.fetchall()
    rows = {(calendar, visit_type): (bound, expected) for _, bound, expected, calendar, visit_type in found if bound is not None}
    return _Page(rows, min(found[0][0] if found else _FOR_EVER, found[-1][1] if len(rows) == size else _FOR_EVER))


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
