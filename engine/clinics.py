"""What a clinic is made of, as its administrators see and change it: its settings, its places, its calendars.

What is booked stays booked. A change that bears on what can be booked is made under the lock of the calendar it touches, with its
next version, so that every open page asks again. Who changes something says which revision they saw: a digest of it as it was read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, transaction

from apps.kernel.ids import as_id, new_id
from apps.kernel.problems import NotFound, VersionConflict
from engine import models, outbox, rows
from engine.imports import create_calendars
from engine.locks import Statement, calendars_locked, gate
from engine.rows import Actor
from engine.scheduling.lifecycle import Event
from engine.stands import stands


@dataclass(frozen=True, slots=True)
class Facts:
    """Something of a clinic as its administrators see it."""

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def revision(self) -> str:
        """Another one for anything that is different."""
        said = json.dumps(self.asdict(), sort_keys=True)
        return blake2b(said.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Settings(Facts):
    slug: str
    name: str
    zone: str
    widget_origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place(Facts):
    id: str
    name: str
    zone: str
    state: str
    address: str
    city: str
    postal_code: str
    phone: str


@dataclass(frozen=True, slots=True)
class Timeline(Facts):
    """A calendar. `location` is the id of its place, or empty."""

    id: str
    kind: str
    name: str
    zone: str
    location: str
    specialty: str
    states: tuple[str, ...]
    languages: tuple[str, ...]
    weight: int
    holidays: str
    join_url: str
    active: bool


Changed = TypeVar("Changed", bound=Facts)


def changed(before: Changed, changes: Mapping[str, Any], seen: str) -> tuple[Changed, list[str]]:
    """It after the changes, and the names of what is different. Raises VersionConflict."""
    if before.revision != seen:
        raise VersionConflict()
    after = replace(before, **changes)
    was, now = asdict(before), asdict(after)
    return after, [name for name in was if was[name] != now[name]]


# --- settings and places ------------------------------------------------------------------------------------------------


def settings(slug: str) -> Settings:
    """Raises NotFound."""
    return _settings(models.Clinic.objects.filter(slug=slug).first())


def _settings(row: models.Clinic | None) -> Settings:
    if row is None:
        raise NotFound("No such clinic.")
    return Settings(row.slug, row.name, row.zone, tuple(row.widget_origins))


def change_settings(slug: str, changes: Mapping[str, Any], *, seen: str, actor: Actor) -> Settings:
    """Raises NotFound, VersionConflict."""
    with transaction.atomic(durable=True):
        row = models.Clinic.objects.select_for_update().filter(slug=slug).first()
        after, fields = changed(_settings(row), changes, seen)
        models.Clinic.objects.filter(slug=slug).update(name=after.name, zone=after.zone, widget_origins=list(after.widget_origins))
        _note(actor, "settings.changed", f"clinic:{slug}", fields)
    return after


def places(slug: str) -> list[Place]:
    """The places of a clinic, by name."""
    return [_place(row) for row in models.Location.objects.filter(clinic__slug=slug).order_by("name", "id")]


def _place(row: models.Location) -> Place:
    return Place(str(row.uid), row.name, row.zone, row.state, row.address, row.city, row.postal_code, row.phone)


def add_place(slug: str, facts: Mapping[str, Any], *, actor: Actor) -> Place:
    """Needs a transaction."""
    clinic = models.Clinic.objects.get(slug=slug)
    row = models.Location.objects.create(uid=new_id(), clinic=clinic, **facts)
    _note(actor, "location.created", f"location:{row.uid}", sorted(facts))
    return _place(row)


def change_place(uid: UUID | None, changes: Mapping[str, Any], *, seen: str, actor: Actor) -> Place:
    """Raises NotFound, VersionConflict."""
    with transaction.atomic(durable=True):
        row = models.Location.objects.select_for_update().filter(uid=uid, clinic__slug=actor.clinic).first() if uid else None
        if row is None:
            raise NotFound("No such location.", param="location")
        after, fields = changed(_place(row), changes, seen)
        models.Location.objects.filter(id=row.id).update(**changes)
        _note(actor, "location.changed", f"location:{uid}", fields)
    return after


def _note(actor: Actor, action: str, object_: str, fields: Sequence[str]) -> None:
    if fields:
        noted = rows.noted(actor, action, object=object_, details={"fields": list(fields)})
        with connection.cursor() as cursor:
            cursor.execute(noted.sql, noted.params)


# --- calendars ----------------------------------------------------------------------------------------------------------

_TIMELINES = """
SELECT c.id, c.version, c.uid::text, c.kind, c.name, c.zone, coalesce(l.uid::text, ''), c.specialty, c.states,
       c.languages, c.weight, c.holidays, c.join_url, c.active
FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id LEFT JOIN engine_location l ON l.id = c.location_id
"""


def timelines(slug: str) -> list[Timeline]:
    """All calendars of a clinic, by name, also those that cannot be booked any more."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_TIMELINES} WHERE k.slug = %s ORDER BY c.name, c.id", [slug])
        return [_timeline(row) for row in cursor.fetchall()]


def _timeline(row: Sequence[Any]) -> Timeline:
    _, _, uid, kind, name, zone, location, specialty, states, languages, *rest = row
    return Timeline(uid, kind, name, zone, location, specialty, tuple(states), tuple(languages), *rest)


def add_timeline(slug: str, facts: Mapping[str, Any], *, actor: Actor) -> Timeline:
    """A new calendar, without opening hours, with the event that begins its stream. Needs a transaction. Raises NotFound."""
    given = {**facts, "location": _location(slug, facts["location"])}
    calendar = models.Calendar(uid=new_id(), clinic=models.Clinic.objects.get(slug=slug), **given)
    with connection.cursor() as cursor:
        create_calendars(cursor, [calendar])
    _note(actor, "calendar.created", f"calendar:{calendar.uid}", sorted(facts))
    transaction.on_commit(gate.ring)
    lists = {name: tuple(facts[name]) for name in ("states", "languages")}
    return Timeline(id=str(calendar.uid), active=True, **{**facts, **lists})


def change_timeline(calendar: int, changes: Mapping[str, Any], *, seen: str, actor: Actor) -> Timeline:
    """`calendar` is a database key of the actor's clinic. Raises NotFound, VersionConflict, CalendarBusy."""
    place = _location(actor.clinic or "", changes["location"]) if "location" in changes else None
    with calendars_locked([calendar]) as locked:
        [row] = locked.ask(Statement(f"{_TIMELINES} WHERE c.id = %s", (calendar,)))
        after, fields = changed(_timeline(row), changes, seen)
        if fields:
            locked.commit(
                Statement(
                    "UPDATE engine_calendar SET name = %s, zone = %s, specialty = %s, states = %s, languages = %s, weight = %s,"
                    " holidays = %s, join_url = %s, active = %s,"
                    " location_id = CASE WHEN %s THEN %s ELSE location_id END, rules = rules + 1 WHERE id = %s",
                    (
                        *(after.name, after.zone, after.specialty, list(after.states), list(after.languages), after.weight),
                        *(after.holidays, after.join_url, after.active),
                        *("location" in changes, place.id if place else None, calendar),
                    ),
                ),
                *outbox.record({calendar: row[1]}, Event.HOURS_CHANGED, {}, appointment=None),
                rows.noted(actor, "calendar.changed", object=f"calendar:{after.id}", details={"fields": fields}),
            )
    stands.forget(calendars=[calendar])
    gate.ring()
    return after


def _location(slug: str, uid: str) -> models.Location | None:
    if not uid:
        return None
    known = as_id(uid)
    found = models.Location.objects.filter(clinic__slug=slug, uid=known).first() if known else None
    if found is None:
        raise NotFound("No such location.", param="location")
    return found


def visits_to_come(slug: str) -> dict[str, int]:
    """How many booked visits each calendar of a clinic has that have not begun: id → number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.uid::text, count(*) FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id AND k.slug = %s"
            " JOIN engine_allocation l ON l.calendar_id = c.id AND l.during && tstzrange(now(), NULL)"
            " JOIN engine_appointment a ON a.id = l.appointment_id AND a.starts > now()"
            " WHERE a.status IN ('booked', 'arrived') GROUP BY c.uid",
            [slug],
        )
        return dict(cursor.fetchall())
