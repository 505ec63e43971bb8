"""Imports a SMART Scheduling Links publication: sites become locations, timetables calendars, slots open windows.

- A Schedule is a calendar of kind room: a site's bookable timeline. Its service is a visit type of the clinic, one for all
  its calendars, which lasts as long as the published window.
- A Slot is a window. Slot ids repeat (one publisher uses the schedule's id for all), so what identifies a slot is its
  schedule and its real start as published; nobody could book two windows of one timetable that start together.
- A slot that is busy or has no places left is no window: it takes away the one that was there.
- What a publication no longer mentions stays as it is, for one of its files may be missing; a slot is closed by being
  called busy.
- Rebased, a slot keeps its identity: another date moves the same windows there, none moves them back. What is booked
  stays booked where it is.
- Of two lines about the same thing the first counts; the second is unchanged if it says the same, or else refused.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import NamedTuple, TypeVar

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from engine import models, outbox
from engine.imports import Facts, Outcome, Window, assign, create_calendars, publish
from engine.locks import gate
from engine.scheduling.hours import local_date
from engine.scheduling.intervals import Interval
from engine.smart_scheduling.facts import Published, Refused, Site, Timetable, parse
from engine.smart_scheduling.files import Line, Publication, read_lines
from engine.smart_scheduling.times import real_time, shifted, weeks_until

_HORIZON_DAYS = 400
_NAME_LENGTH = 200

Fact = TypeVar("Fact")


class Refusal(NamedTuple):
    line: int
    file: str
    reason: str


@dataclass
class Report:
    """What became of the lines: the three counts and the refusals add up to the lines read.

    `reinterpreted` counts the slots whose offset was not believed (see `smart_scheduling.times.real_time`).
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    missing_files: list[str] = field(default_factory=list)
    reinterpreted: int = 0

    def refuse(self, line: Line, reason: object) -> None:
        self.refused.append(Refusal(line.number, line.file, str(reason)))

    def count(self, outcomes: Iterable[Outcome]) -> None:
        found = Counter(outcomes)
        self.created += found[Outcome.CREATED]
        self.updated += found[Outcome.UPDATED]
        self.unchanged += found[Outcome.UNCHANGED]


class _Calendar(NamedTuple):
    """What a slot needs to know of its timetable: database keys, and the zone of the place."""

    id: int
    zone: str
    visit_type: int


class _Slot(NamedTuple):
    timetable: str
    during: Interval
    capacity: int


@dataclass
class _Known:
    """The clinic's imported calendars by source id; `facts` are those that existed before and what they should be now.

    `reassigned` are keys of calendars that offer another visit type than before.
    """

    calendars: dict[str, _Calendar]
    facts: dict[str, Facts]
    reassigned: set[int]


def import_publication(publication: Publication, *, clinic: str, rebase: date | None = None) -> Report:
    """Brings the clinic with the slug `clinic` to what the publication says, and makes the clinic when it is new.

    One transaction for sites and new calendars, then one a calendar: interrupted, it is completed by the next import.
    `rebase` moves all slots by whole weeks, so that the earliest falls into the week from that date on. Raises CalendarBusy,
    Unavailable.
    """
    report = Report(missing_files=list(publication.missing))
    found = list(_read(publication, report))
    sites = _distinct(((line, fact) for line, fact in found if isinstance(fact, Site)), lambda s: s.id, report)
    timetables = _distinct(((line, fact) for line, fact in found if isinstance(fact, Timetable)), lambda t: t.id, report)
    with transaction.atomic(), connection.cursor() as cursor:
        known = _prepare(cursor, clinic, sites=sites, timetables=timetables, report=report)
    slots = ((line, fact) for line, fact in found if isinstance(fact, Published))
    windows = _windows(slots, known.calendars, rebase=rebase, report=report)
    for timetable in {**windows, **known.facts}:
        calendar, facts = known.calendars[timetable].id, known.facts.get(timetable)
        outcomes = publish(calendar, windows.get(timetable, []), facts=facts)
        if facts is not None and calendar in known.reassigned:
            outcomes[-1] = Outcome.UPDATED
        report.count(outcomes)
    gate.ring()
    order = [file.name for file in publication.files]
    report.refused.sort(key=lambda refusal: (order.index(refusal.file), refusal.line))
    return report


def _read(publication: Publication, report: Report) -> Iterator[tuple[Line, Site | Timetable | Published]]:
    for file in publication.files:
        for line, record in read_lines(file):
            try:
                if isinstance(record, Refused):
                    raise record
                fact = parse(record)
            except Refused as refused:
                report.refuse(line, refused)
            else:
                yield line, fact


def _distinct(
    found: Iterable[tuple[Line, Fact]], identity: Callable[[Fact], Hashable], report: Report
) -> dict[Hashable, tuple[Line, Fact]]:
    """The first line of each identity. Those that say the same again are unchanged, those that contradict it refused."""
    kept: dict[Hashable, tuple[Line, Fact]] = {}
    for line, fact in found:
        first, said = kept.setdefault(identity(fact), (line, fact))
        if first == line:
            continue
        if said == fact:
            report.count([Outcome.UNCHANGED])
        else:
            report.refuse(line, f"contradicts line {first.number} of {first.file}")
    return kept


# --- sites and timetables -----------------------------------------------------------------------------------------------


def _prepare(
    cursor: CursorWrapper,
    slug: str,
    *,
    sites: dict[Hashable, tuple[Line, Site]],
    timetables: dict[Hashable, tuple[Line, Timetable]],
    report: Report,
) -> _Known:
    clinic = _clinic(slug, [site for _, site in sites.values()])
    places = _write_sites(clinic, [site for _, site in sites.values()], report)
    visit_types = _visit_types(clinic, [timetable for _, timetable in timetables.values()])
    keys = dict(models.Calendar.objects.filter(clinic=clinic, source_id__isnull=False).values_list("source_id", "id"))
    wanted: dict[str, tuple[models.Calendar, int]] = {}
    for line, timetable in timetables.values():
        place = places.get(timetable.site)
        if place is None:
            report.refuse(line, f"its Location/{timetable.site} is not known")
        else:
            wanted[timetable.id] = (_as_calendar(timetable, place), visit_types[timetable.service])
    new = [calendar for source, (calendar, _) in wanted.items() if source not in keys]
    create_calendars(cursor, new)
    report.count([Outcome.CREATED] * len(new))
    offers = {calendar.id or keys[source]: visit_type for source, (calendar, visit_type) in wanted.items()}
    reassigned = assign(offers, among=visit_types.values())
    facts = {
        source: Facts(calendar.location_id, calendar.name, calendar.zone)
        for source, (calendar, _) in wanted.items()
        if source in keys
    }
    return _Known(_known(clinic, facts), facts, reassigned)


def _clinic(slug: str, sites: list[Site]) -> models.Clinic:
    zones = Counter(site.zone for site in sites).most_common(1)
    fresh = {"name": slug.replace("-", " ").title(), "zone": zones[0][0] if zones else "UTC"}
    models.Clinic.objects.get_or_create(slug=slug, defaults=fresh)
    # One import of a clinic at a time; bookings, which only refer to its key, do not wait.
    return models.Clinic.objects.select_for_update(no_key=True).get(slug=slug)


def _write_sites(clinic: models.Clinic, sites: list[Site], report: Report) -> dict[str | None, models.Location]:
    known = {row.source_id: row for row in models.Location.objects.filter(clinic=clinic, source_id__isnull=False)}
    for site in sites:
        facts = asdict(site)
        source = facts.pop("id")
        if source in known:
            report.count([_update(known[source], facts)])
        else:
            known[source] = models.Location.objects.create(clinic=clinic, source_id=source, **facts)
            report.count([Outcome.CREATED])
    return known


def _update(place: models.Location, facts: dict[str, str]) -> Outcome:
    if all(getattr(place, name) == value for name, value in facts.items()):
        return Outcome.UNCHANGED
    for name, value in facts.items():
        setattr(place, name, value)
    place.save(update_fields=list(facts))
    return Outcome.UPDATED


def _visit_types(clinic: models.Clinic, timetables: list[Timetable]) -> dict[str | None, int]:
    known = dict(models.VisitType.objects.filter(clinic=clinic, source_id__isnull=False).values_list("source_id", "id"))
    for timetable in timetables:
        if timetable.service not in known:
            known[timetable.service] = models.VisitType.objects.create(
                clinic=clinic,
                source_id=timetable.service,
                name=timetable.service_name,
                duration=None,
                horizon=_HORIZON_DAYS,
                modalities=["in_person"],
                needs=["room"],
            ).id
    return known


def _as_calendar(timetable: Timetable, place: models.Location) -> models.Calendar:
    return models.Calendar(
        clinic_id=place.clinic_id,
        source_id=timetable.id,
        kind=models.Calendar.Kind.ROOM,
        location=place,
        name=", ".join(filter(None, [place.name, place.address]))[:_NAME_LENGTH],
        zone=place.zone,
    )


def _known(clinic: models.Clinic, facts: dict[str, Facts]) -> dict[str, _Calendar]:
    offered = models.VisitType.calendars.through.objects.filter(
        visittype__clinic=clinic, visittype__source_id__isnull=False, calendar__source_id__isnull=False
    ).values_list("calendar__source_id", "calendar_id", "calendar__zone", "visittype_id")
    return {
        source: _Calendar(key, facts[source].zone if source in facts else zone, visit_type)
        for source, key, zone, visit_type in offered
        if source is not None
    }


# --- slots --------------------------------------------------------------------------------------------------------------


def _windows(
    slots: Iterable[tuple[Line, Published]], calendars: dict[str, _Calendar], *, rebase: date | None, report: Report
) -> dict[str, list[Window]]:
    """The windows of each timetable, in the order of their lines."""
    distinct = _distinct(_real_slots(slots, calendars, report), lambda s: (s.timetable, s.during.start), report)
    weeks = _weeks((slot for _, slot in distinct.values()), calendars, rebase)
    found: defaultdict[str, list[Window]] = defaultdict(list)
    for line, slot in distinct.values():
        calendar = calendars[slot.timetable]
        try:
            during = shifted(slot.during, calendar.zone, weeks) if weeks else slot.during
        except Refused as refused:
            report.refuse(line, f"{refused}, once moved by {weeks} weeks")
            continue
        identity = outbox.rfc3339(slot.during.start)
        found[slot.timetable].append(Window(identity, during, slot.capacity, calendar.visit_type))
    return found


def _real_slots(
    slots: Iterable[tuple[Line, Published]], calendars: dict[str, _Calendar], report: Report
) -> Iterator[tuple[Line, _Slot]]:
    for line, slot in slots:
        calendar = calendars.get(slot.timetable)
        try:
            if calendar is None:
                raise Refused(f"its Schedule/{slot.timetable} is not known")
            during, reinterpreted = real_time(slot, calendar.zone)
        except Refused as refused:
            report.refuse(line, refused)
            continue
        report.reinterpreted += reinterpreted
        yield line, _Slot(slot.timetable, during, slot.capacity)


def _weeks(slots: Iterable[_Slot], calendars: dict[str, _Calendar], rebase: date | None) -> int:
    earliest = min(slots, key=lambda slot: slot.during.start, default=None)
    if rebase is None or earliest is None:
        return 0
    return weeks_until(local_date(calendars[earliest.timetable].zone, earliest.during.start), rebase)
