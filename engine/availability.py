"""The answer to a search for slots, kept as the bytes that go out.

An answer follows from the question, from where the visit type and its calendars stand, and from the time. Redis is asked where
they stand (stands.py), the database where Redis does not know; if all is as it was and the answer's time has not come, the bytes
are the answer. If other days have changed than those that were asked for, only the versions in it are new.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from apps.kernel.api import as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound
from engine import answers, asked, queries, shapes
from engine.days import EPOCH, NOW, Moment
from engine.kept import Kept
from engine.rules import VisitTypeRules, calendar_rules, calendar_uid, visit_type_rules
from engine.scheduling.intervals import DAY_S, Interval
from engine.stands import Stand, Told, parsed, stands
from engine.statements import Statement, read

_ROOM = 64 * 2**20
_QUESTIONS_KEPT = 10_000
clock = time.time
"""Seconds since 1970."""


class Question(NamedTuple):
    clinic: str
    query: shapes.SlotsQuery


class _Offered(NamedTuple):
    """A visit type at a revision, and the keys of the calendars that offer it."""

    visit_type: int
    revision: int
    calendars: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """`head` and `tail`, which has the versions, are the answer from `made` up to, not including, `until`, for the same `basis`.

    `told` is what Redis said when the `tail` was made: the same bytes are the same facts.
    """

    within: Interval
    told: Told | None
    basis: tuple[Any, ...]
    made: int
    until: int
    head: bytes
    tail: bytes


_answers = Kept[_Answer](_ROOM, weigh=lambda answer: len(answer.head) + len(answer.tail) + 2000)
_questions = Kept[tuple[Question, str]](_QUESTIONS_KEPT)
_offered = Kept[_Offered](_QUESTIONS_KEPT)

_STANDS = f"""
SELECT {NOW}, {EPOCH}, v.id, v.revision, c.id, c.version, c.rules
FROM engine_visittype v JOIN engine_clinic k ON k.id = v.clinic_id
LEFT JOIN (engine_visittype_calendars o JOIN engine_calendar c ON c.id = o.calendar_id) ON o.visittype_id = v.id
WHERE v.uid = %s AND v.active AND k.slug = %s ORDER BY c.id
"""


class NotAtHand(Exception):
    """The answer would have to be made: from days, or from the database."""


def answer(question: Question, *, at_hand: bool = False) -> bytes:
    """The body of the answer; `at_hand`: only if it is the one that was given last, but for the versions in it.

    Raises NotFound, ValidationFailed, NotAtHand.
    """
    clinic, query = question
    within, now = asked.within(query.from_, query.to), int(clock())
    known, kept = _offered.get((clinic, query.visit_type)), _answers.get(question)
    told = stands.read(known.visit_type, known.calendars) if known else None
    if told and kept and (kept.told, kept.within) == (told, within) and kept.made <= now < kept.until:
        return kept.head + kept.tail
    from_redis = _as_told(known, told, now=now)
    if known and told and not from_redis:  # of before a restore, or of another revision
        stands.forget(calendars=known.calendars, visit_types=[known.visit_type])
    if at_hand and not from_redis:
        raise NotAtHand
    offered, seen = from_redis or _as_stored(question, known)
    rules = visit_type_rules(offered.visit_type, offered.revision)
    seen = seen._replace(stands=_bearing(rules, question, seen))
    basis, versions = _basis(offered, seen, queries.reached(rules, within)), {one.calendar: one.version for one in seen.stands}
    if kept is None or (kept.within, kept.basis) != (within, basis) or not kept.made <= seen.now < kept.until:
        if at_hand:
            raise NotAtHand
        head, until, found = _made(question, rules, within, seen=seen)
        if found != versions:  # somebody wrote meanwhile: true, but not of this basis
            return head + _tail(found)
        kept = _Answer(within, None, basis, seen.now, until, head, b"")
    kept = replace(kept, told=told if from_redis else None, tail=_tail(versions))
    _answers.put(question, kept)
    return kept.head + kept.tail


def _as_told(known: _Offered | None, told: Told | None, *, now: int) -> tuple[_Offered, Moment] | None:
    """What Redis says, if it says it of the visit type as we know it."""
    found = parsed(told, known.calendars) if known and told else None
    if known is None or found is None or found[1] != known.revision:
        return None
    return known, Moment(now, found[0], found[2])


def _as_stored(question: Question, known: _Offered | None) -> tuple[_Offered, Moment]:
    """What the database says, and Redis from now on. Raises NotFound."""
    clinic, query = question
    # Who has never asked for this visit type does not know yet of what to ask Redis.
    marks = stands.mark(known.visit_type, known.calendars) if known else {}
    uid = as_id(query.visit_type)
    rows = read(Statement(_STANDS, (str(uid), clinic))) if uid else []
    if not rows:
        queries.clinic_by_slug(clinic)
        raise NotFound("No such visit type.", param="visit_type")
    now, epoch, visit_type, revision = rows[0][:4]
    found = tuple(Stand(*row[4:]) for row in rows if row[4] is not None)
    offered = _Offered(visit_type, revision, tuple(stand.calendar for stand in found))
    _offered.put((clinic, query.visit_type), offered)
    stands.fill(marks, visit_type, revision, found, epoch=epoch)
    # Redis may know more: which days have changed.
    told = stands.read(visit_type, offered.calendars) if marks else None
    return _as_told(offered, told, now=now) or (offered, Moment(now, epoch, found))


def _bearing(visit_type: VisitTypeRules, question: Question, seen: Moment) -> tuple[Stand, ...]:
    """Of the calendars that are active, those that can bear on the answer. Raises NotFound."""
    active = [(stand, rules) for stand in seen.stands if (rules := calendar_rules(stand.calendar, stand.rules)).active]
    if not question.query.calendar:
        return tuple(stand for stand, _ in active)
    chosen = as_id(question.query.calendar)
    if all(rules.uid != chosen for _, rules in active):
        queries.calendar_by_uid(chosen, clinic=question.clinic)
    further = visit_type.needs[1:]
    return tuple(stand for stand, rules in active if rules.uid == chosen or rules.kind in further)


def _basis(offered: _Offered, seen: Moment, around: Interval) -> tuple[Any, ...]:
    days = range(around.start // DAY_S, (around.end - 1) // DAY_S + 1)
    each = ((stand.calendar, stand.rules, *map(stand.at, days)) for stand in seen.stands)
    return offered.revision, seen.epoch, *each


def _made(question: Question, rules: VisitTypeRules, within: Interval, *, seen: Moment) -> tuple[bytes, int, dict[int, int]]:
    """(the answer but for its versions, the instant until which it holds, the versions of what it was made of)."""
    query = question.query
    found = queries.slots(
        rules,
        within,
        calendar=as_id(query.calendar) if query.calendar else None,
        state=query.state,
        modality=query.modality,
        limit=query.limit,
        after=asked.place(query.cursor),
        seen=seen,
    )
    following = f"{found.next.start}.{found.next.calendar}" if found.next else None
    head = as_json({"items": answers.slots(found, query.tz), "next": following}).content[:-1]
    return head, found.until, {day.rules.id: day.version for day in found.days}


def _tail(versions: Mapping[int, int]) -> bytes:
    as_of = {str(calendar_uid(calendar)): version for calendar, version in versions.items()}
    return b',"as_of":' + as_json(as_of).content + b"}"


def forget() -> None:
    """Forgets all answers; the days they were made of stay."""
    _answers.clear()


# --- questions that were asked before -----------------------------------------------------------------------------------


def remember(meta: Mapping[str, Any], question: Question, *, route: str) -> None:
    """Keeps what was asked under the words it was asked in, once it is known to be a good question."""
    _questions.put(_words(meta), (question, route))


def remembered(meta: Mapping[str, Any]) -> tuple[Question, str] | None:
    """(the question, its route) if one in the same words was answered before."""
    return _questions.get(_words(meta))


def _words(meta: Mapping[str, Any]) -> tuple[str, str, str]:
    return meta["REQUEST_METHOD"], meta["PATH_INFO"], meta.get("QUERY_STRING", "")
