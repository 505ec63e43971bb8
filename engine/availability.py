"""The answer to a search for slots, kept as the bytes that go out.

An answer follows from the question, from where the visit type and its calendars stand, and from the time. One statement reads
the latter two with every question; if all is as it was and the answer's time has not come, the bytes are the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from apps.kernel.api import as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound
from engine import answers, asked, queries, shapes
from engine.days import EPOCH, NOW, as_moment
from engine.kept import Kept
from engine.rules import visit_type_rules
from engine.statements import Statement, read

_ROOM = 32 * 2**20
_QUESTIONS_KEPT = 10_000


class Question(NamedTuple):
    clinic: str
    query: shapes.SlotsQuery


@dataclass(frozen=True, slots=True)
class _Answer:
    """`body` is the answer from `made` up to, not including, `until`, to who finds the same `basis`."""

    basis: tuple[Any, ...]
    made: int
    until: int
    body: bytes


_answers = Kept[_Answer](_ROOM, weigh=lambda answer: len(answer.body) + 2000)
_questions = Kept[tuple[Question, str]](_QUESTIONS_KEPT)

_STANDS = f"""
SELECT {NOW}, {EPOCH}, c.id, c.version, c.rules, v.id, v.revision
FROM engine_visittype v JOIN engine_clinic k ON k.id = v.clinic_id
LEFT JOIN (engine_visittype_calendars o JOIN engine_calendar c ON c.id = o.calendar_id AND c.active) ON o.visittype_id = v.id
WHERE v.uid = %s AND v.active AND k.slug = %s ORDER BY c.id
"""


def answer(question: Question) -> bytes:
    """The body of the answer. Raises NotFound, ValidationFailed."""
    clinic, query = question
    uid = as_id(query.visit_type)
    rows = read(Statement(_STANDS, (str(uid), clinic))) if uid else []
    if not rows:
        queries.clinic_by_slug(clinic)
        raise NotFound("No such visit type.", param="visit_type")
    within = asked.within(query.from_, query.to)
    now, basis = rows[0][0], (within, [row[1:] for row in rows])
    kept = _answers.get(question)
    if kept is None or kept.basis != basis or not kept.made <= now < kept.until:
        kept = _made(question, rows, basis)
        _answers.put(question, kept)
    return kept.body


def _made(question: Question, rows: list[tuple[Any, ...]], basis: tuple[Any, ...]) -> _Answer:
    clinic, query = question
    seen = as_moment([row[:5] for row in rows])
    found = queries.slots(
        visit_type_rules(*rows[0][5:]),
        basis[0],
        calendar=queries.calendar_by_uid(as_id(query.calendar), clinic=clinic).uid if query.calendar else None,
        state=query.state,
        modality=query.modality,
        limit=query.limit,
        after=asked.place(query.cursor),
        seen=seen,
    )
    following = f"{found.next.start}.{found.next.calendar}" if found.next else None
    as_of = {str(day.rules.uid): day.version for day in found.days}
    body = as_json({"items": answers.slots(found, query.tz), "next": following, "as_of": as_of}).content
    return _Answer(basis, seen.now, found.until, body)


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
