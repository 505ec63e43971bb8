"""What can be booked at a clinic and under which policy, as its administrators see and change it.

What changes slots is written under the locks of all calendars that offer or offered the visit type, with their next versions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from apps.kernel.ids import as_id, new_id
from apps.kernel.problems import NotFound, ValidationFailed
from engine import models, outbox, rows
from engine.clinics import Facts, changed
from engine.errors import CalendarBusy
from engine.locks import Statement, Transaction, calendars_locked, gate
from engine.rows import Actor, Once
from engine.scheduling.lifecycle import Event
from engine.stands import stands


@dataclass(frozen=True, slots=True)
class VisitType(Facts):
    """`calendars` are the ids of those that offer it."""

    id: str
    name: str
    duration_minutes: int | None
    step_minutes: int
    before_minutes: int
    after_minutes: int
    notice_minutes: int
    change_notice_minutes: int
    horizon_days: int
    modalities: tuple[str, ...]
    needs: tuple[str, ...]
    active: bool
    calendars: tuple[str, ...]


class Added(NamedTuple):
    """`replayed` when an earlier request with the same Idempotency-Key had made it."""

    visit_type: VisitType
    replayed: bool = False


_NOT_OF_SLOTS = frozenset({"name", "change_notice_minutes"})
"""What can change without any slot changing."""
_COLUMNS = (
    *("name", "duration", "step", "before", "after", "notice", "change_notice", "horizon", "modalities", "needs", "active"),
)
_SELECT = f"""
SELECT v.id, v.uid::text, {", ".join(f"v.{column}" for column in _COLUMNS)},
       (SELECT coalesce(array_agg(ARRAY[c.id::text, c.uid::text] ORDER BY c.id), '{{}}')
        FROM engine_visittype_calendars o JOIN engine_calendar c ON c.id = o.calendar_id WHERE o.visittype_id = v.id)
FROM engine_visittype v JOIN engine_clinic k ON k.id = v.clinic_id
"""
_INSERT = f"""
INSERT INTO engine_visittype (clinic_id, uid, revision, {", ".join(_COLUMNS)})
SELECT id, %s, 1, {", ".join(["%s"] * len(_COLUMNS))} FROM engine_clinic WHERE slug = %s
"""
_UPDATE = f"UPDATE engine_visittype SET {', '.join(f'{column} = %s' for column in _COLUMNS)}, revision = revision + 1 WHERE id = %s"
_WITHDRAW = "DELETE FROM engine_visittype_calendars WHERE visittype_id = %s"
_OFFER = """
INSERT INTO engine_visittype_calendars (calendar_id, visittype_id)
SELECT unnest(%s::integer[]), id FROM engine_visittype WHERE uid = %s
"""
_KEPT = """
SELECT floor(extract(epoch FROM clock_timestamp()))::bigint, k.fingerprint, k.result
FROM (SELECT 1) AS one LEFT JOIN engine_idempotencykey k ON k.scope = %s AND k.key = %s
"""


def visit_types(slug: str) -> list[VisitType]:
    """All visit types of a clinic, by name, also those that cannot be booked any more."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} WHERE k.slug = %s ORDER BY v.name, v.id", [slug])
        return [_from_row(row) for row in cursor.fetchall()]


def add(slug: str, facts: Mapping[str, Any], *, actor: Actor, once: Once | None) -> Added:
    """Raises NotFound, ValidationFailed, CalendarBusy, IdempotencyMismatch."""
    made = VisitType(id=str(new_id()), active=True, **facts)
    offered = _keys(slug, made.calendars, needs=made.needs)
    scope, key = (once.scope, once.key) if once else (None, None)
    with calendars_locked(offered) as transaction:
        [(now, fingerprint, result)] = transaction.ask(Statement(_KEPT, (scope, key)))
        if once and fingerprint is not None:
            known = str(rows.kept(once, fingerprint, result)[0])
            return Added(next(one for one in visit_types(slug) if one.id == known), replayed=True)
        transaction.commit(
            Statement(_INSERT, (made.id, *_values(made), slug)),
            Statement(_OFFER, (sorted(offered), made.id)),
            *_told(transaction, offered),
            rows.noted(actor, "visit_type.created", object=f"visit_type:{made.id}", details={"fields": sorted(facts)}),
            *rows.keep(once, [made.id], now),
        )
    stands.forget(calendars=offered)
    gate.ring()
    return Added(made)


def change(uid: UUID | None, changes: Mapping[str, Any], *, seen: str, actor: Actor) -> VisitType:
    """Raises NotFound, ValidationFailed, VersionConflict, CalendarBusy."""
    slug = actor.clinic or ""
    before = next((one for one in visit_types(slug) if one.id == str(uid)), None)
    if before is None:
        raise NotFound("No such visit type.", param="visit_type")
    after = replace(before, **changes)
    touched = _keys(slug, before.calendars) | (will := _keys(slug, after.calendars, needs=after.needs))
    with calendars_locked(touched) as transaction:
        [row] = transaction.ask(Statement(f"{_SELECT} WHERE v.uid = %s FOR UPDATE OF v", (before.id,)))
        # Another calendar offers it since the look: as rare as it is harmless to ask again.
        if not {int(calendar) for calendar, _ in row[-1]} <= touched:
            raise CalendarBusy()
        after, fields = changed(_from_row(row), changes, seen)
        if not fields:
            return after
        transaction.commit(
            Statement(_UPDATE, (*_values(after), row[0])),
            Statement(_WITHDRAW, (row[0],)),
            Statement(_OFFER, (sorted(will), after.id)),
            *_told(transaction, touched if set(fields) - _NOT_OF_SLOTS else ()),
            rows.noted(actor, "visit_type.changed", object=f"visit_type:{after.id}", details={"fields": fields}),
        )
    stands.forget(calendars=touched, visit_types=[row[0]])
    gate.ring()
    return after


def _told(transaction: Transaction, calendars: Collection[int]) -> list[Statement]:
    if not calendars:
        return []
    versions = transaction.ask(Statement("SELECT id, version FROM engine_calendar WHERE id = ANY(%s)", (sorted(calendars),)))
    return outbox.record(dict(versions), Event.HOURS_CHANGED, {}, appointment=None)


def _from_row(row: Sequence[Any]) -> VisitType:
    _, *values, calendars = row
    facts: list[Any] = [tuple(value) if isinstance(value, list) else value for value in (*values, [uid for _, uid in calendars])]
    return VisitType(**dict(zip((field.name for field in fields(VisitType)), facts, strict=True)))


def _values(visit_type: VisitType) -> tuple[Any, ...]:
    v = visit_type
    return (
        *(v.name, v.duration_minutes, v.step_minutes, v.before_minutes, v.after_minutes, v.notice_minutes),
        *(v.change_notice_minutes, v.horizon_days, list(v.modalities), list(v.needs), v.active),
    )


def _keys(slug: str, calendars: Collection[str], *, needs: Collection[str] | None = None) -> set[int]:
    """The database keys of calendars of the clinic, each of a kind that is needed. Raises NotFound, ValidationFailed."""
    wanted = {as_id(calendar) for calendar in calendars}
    found = models.Calendar.objects.filter(clinic__slug=slug, uid__in=[uid for uid in wanted if uid]).values_list(
        "id", "uid", "kind"
    )
    if wanted - {uid for _, uid, _ in found}:
        raise NotFound("No such calendar.", param="calendars")
    if needs is not None and any(kind not in needs for _, _, kind in found):
        raise ValidationFailed("A visit of this type needs no calendar of that kind.", param="calendars")
    return {key for key, _, _ in found}
