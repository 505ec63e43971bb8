"""What the rows of a calendar and a visit type say, in the kernel's types.

Entries are immutable and kept in the process by (id, counter): a change makes a new counter, so nothing is ever
invalidated. The counter is read under the calendar's lock, so a decision never rests on old rules.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

import holidays

from engine import models, replicas
from engine.kept import Kept
from engine.scheduling.hours import LONGEST_OPENING, OpeningException, OpeningHours, Rules, Window, windows
from engine.scheduling.intervals import DAY_S, Interval
from engine.scheduling.slots import VisitRules
from engine.statements import Statement, read

_MINUTE = 60
_CALENDARS_KEPT, _VISIT_TYPES_KEPT, _WINDOWS_KEPT = 20_000, 5_000, 100_000


@dataclass(frozen=True, slots=True)
class CalendarRules:
    """A calendar as the core needs it. `counter` is the `rules` counter these facts belong to."""

    id: int
    uid: UUID
    clinic: int
    clinic_slug: str
    kind: str
    name: str
    states: frozenset[str]
    specialty: str
    location: UUID | None
    active: bool
    counter: int
    hours: Rules

    def may_see(self, state: str) -> bool:
        """Whether a patient in that state (none: not known) may be offered this calendar."""
        return not state or not self.states or state in self.states


@dataclass(frozen=True, slots=True)
class VisitTypeRules:
    """A visit type as the core needs it. `change_notice` in seconds; `calendars` are the keys of those that offer it."""

    id: int
    uid: UUID
    clinic: int
    name: str
    active: bool
    visit: VisitRules
    change_notice: int
    modalities: tuple[str, ...]
    needs: tuple[str, ...]
    calendars: tuple[int, ...]


_calendars: Kept[CalendarRules] = Kept(_CALENDARS_KEPT)
_visit_types: Kept[VisitTypeRules] = Kept(_VISIT_TYPES_KEPT)
_windows: Kept[tuple[Window, ...]] = Kept(_WINDOWS_KEPT)


def calendar_rules(calendar: int, counter: int) -> CalendarRules:
    """The rules of a calendar whose `rules` counter stands at `counter`."""
    return _calendars.made((calendar, counter), lambda: _load_calendar(calendar, counter))


def visit_type_rules(visit_type: int, revision: int) -> VisitTypeRules:
    """The rules of a visit type at `revision`."""
    return _visit_types.made((visit_type, revision), lambda: _load_visit_type(visit_type))


def windows_around(rules: CalendarRules, instant: int) -> tuple[Window, ...]:
    """The open windows that overlap the UTC day of `instant`, in full length."""
    day = instant - instant % DAY_S
    return _windows.made((rules.id, rules.counter, day), lambda: tuple(windows(rules.hours, Interval(day, day + DAY_S))))


@lru_cache(maxsize=200_000)
def calendar_uid(calendar: int) -> UUID:
    """The public id of a calendar. It never changes."""
    return models.Calendar.objects.values_list("uid", flat=True).get(id=calendar)


@lru_cache(maxsize=50_000)
def visit_type_uid(visit_type: int) -> UUID:
    """The public id of a visit type. It never changes."""
    return models.VisitType.objects.values_list("uid", flat=True).get(id=visit_type)


@lru_cache(maxsize=50_000)
def clinic_slug(clinic: int) -> str:
    """The slug of a clinic. It never changes."""
    return models.Clinic.objects.values_list("slug", flat=True).get(id=clinic)


@lru_cache(maxsize=128)
def public_holidays(region: str) -> Container[date]:
    """The public holidays of "US" or "US-NJ", and so on; none for the empty region or one that is not known."""
    country, _, subdivision = region.partition("-")
    if not country:
        return frozenset()
    try:
        return holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError:
        return frozenset()


@lru_cache(maxsize=1)
def regions() -> tuple[str, ...]:
    """All regions of `public_holidays`: countries, and each with its parts ("US", "US-AK", …)."""
    known = holidays.list_supported_countries()
    return tuple(name for country in sorted(known) for name in (country, *(f"{country}-{part}" for part in sorted(known[country]))))


def named_holidays(region: str, year: int) -> list[tuple[date, str]]:
    """The public holidays of a region in a year, each with its name; none for the empty region."""
    country, _, subdivision = region.partition("-")
    if not country:
        return []
    return sorted(holidays.country_holidays(country, subdiv=subdivision or None, years=year, expand=False).items())


def know(calendars: Mapping[int, int], visit_types: Mapping[int, int]) -> None:
    """Loads what is not kept of these, key → counter or revision, in one go: a search over many clinics meets new ones."""
    calendars = {key: counter for key, counter in calendars.items() if _calendars.get((key, counter)) is None}
    visit_types = {key: revision for key, revision in visit_types.items() if _visit_types.get((key, revision)) is None}
    for loaded in _load_calendars(calendars) if calendars else ():
        _calendars.put((loaded.id, loaded.counter), loaded)
    for known in _load_visit_types(visit_types) if visit_types else ():
        _visit_types.put((known.id, visit_types[known.id]), known)


# As plain SQL: a search over many clinics meets a dozen new ones each time, and the ORM takes longer than the database.
_CALENDARS = """
SELECT c.id, c.uid, c.clinic_id, k.slug, c.kind, c.name, c.states, c.specialty, l.uid, c.active, c.zone, c.holidays
FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id LEFT JOIN engine_location l ON l.id = c.location_id
WHERE c.id = ANY(%s)
"""
_HOURS = """
SELECT calendar_id, weekday, opens, closes, valid_from, valid_until FROM engine_openinghours WHERE calendar_id = ANY(%s) ORDER BY id
"""
# A past exception can still bound a window that is open now, but none that reaches further back than this.
_EXCEPTIONS = """
SELECT calendar_id, floor(extract(epoch FROM starts))::bigint, floor(extract(epoch FROM ends))::bigint,
       open, capacity, visit_type_id
FROM engine_openingexception WHERE calendar_id = ANY(%s) AND ends > now() - make_interval(secs => %s) ORDER BY id
"""
_VISIT_TYPES = """
SELECT id, uid, clinic_id, name, active, duration, step, before, after, notice, horizon, change_notice, modalities, needs,
       ARRAY(SELECT calendar_id FROM engine_visittype_calendars WHERE visittype_id = v.id ORDER BY 1)
FROM engine_visittype v WHERE id = ANY(%s)
"""


def _rows(sql: str, keys: Iterable[int], *more: int) -> list[tuple[Any, ...]]:
    return read(Statement(sql, (list(keys), *more)), using=replicas.alias())


def _load_calendar(calendar: int, counter: int) -> CalendarRules:
    [loaded] = _load_calendars({calendar: counter})
    return loaded


def _load_calendars(counters: Mapping[int, int]) -> list[CalendarRules]:
    hours, exceptions = defaultdict[int, list[OpeningHours]](list), defaultdict[int, list[OpeningException]](list)
    for calendar, *rule in _rows(_HOURS, counters):
        hours[calendar].append(OpeningHours(*rule))
    for calendar, start, end, *rest in _rows(_EXCEPTIONS, counters, 4 * LONGEST_OPENING):
        exceptions[calendar].append(OpeningException(Interval(start, end), *rest))
    loaded = []
    for key, uid, clinic, slug, kind, name, states, specialty, location, active, zone, region in _rows(_CALENDARS, counters):
        rules = Rules(zone, tuple(hours[key]), tuple(exceptions[key]), public_holidays(region))
        loaded.append(
            CalendarRules(
                id=key,
                uid=uid,
                clinic=clinic,
                clinic_slug=slug,
                kind=kind,
                name=name,
                states=frozenset(states),
                specialty=specialty,
                location=location,
                active=active,
                counter=counters[key],
                hours=rules,
            )
        )
    return loaded


def _load_visit_type(visit_type: int) -> VisitTypeRules:
    [loaded] = _load_visit_types([visit_type])
    return loaded


def _load_visit_types(keys: Iterable[int]) -> list[VisitTypeRules]:
    loaded = []
    for key, uid, clinic, name, active, *times, change_notice, modalities, needs, calendars in _rows(_VISIT_TYPES, keys):
        duration, step, before, after, notice, horizon = times
        visit = VisitRules(
            id=key,
            duration=None if duration is None else duration * _MINUTE,
            step=step * _MINUTE,
            before=before * _MINUTE,
            after=after * _MINUTE,
            notice=notice * _MINUTE,
            horizon=horizon * DAY_S,
        )
        loaded.append(
            VisitTypeRules(
                id=key,
                uid=uid,
                clinic=clinic,
                name=name,
                active=active,
                visit=visit,
                change_notice=change_notice * _MINUTE,
                modalities=tuple(modalities),
                needs=tuple(needs),
                calendars=tuple(calendars),
            )
        )
    return loaded
