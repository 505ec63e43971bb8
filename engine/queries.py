"""The reads: slots, appointments (and first.py, snapshots.py). They take no locks and decide nothing.

What an answer says of a calendar, rows and version, is one moment: it comes from one statement, or is what one once said (days.py).
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from apps.kernel.problems import NotFound
from engine import models, replicas
from engine.days import Known, Moment, days, moment
from engine.offers import Offer
from engine.rows import COLUMNS, from_row
from engine.rules import CalendarRules, VisitTypeRules, calendar_rules, visit_type_rules, windows_around
from engine.scheduling.hours import covers
from engine.scheduling.intervals import DAY_S, Interval, clip
from engine.scheduling.lifecycle import Appointment, Status
from engine.scheduling.slots import Slot, Taken, free_unit, offered

LONGEST_SEARCH_S = 62 * DAY_S
FOR_EVER = 2**40


class Place(NamedTuple):
    """Where a page of slots ends: the next one starts after this start on this calendar."""

    start: int
    calendar: int


@dataclass(frozen=True, slots=True)
class Day:
    """What is known of one calendar at one moment: its rules, its version, and what takes its time in the searched range.

    `until`: when the first hold among it runs out.
    """

    rules: CalendarRules
    version: int
    taken: tuple[Taken, ...]
    until: int = FOR_EVER


@dataclass(frozen=True, slots=True)
class Found:
    """A page of slots. `days` are all calendars that were looked at, each at the version the answer rests on.

    Before the instant `until` the same question has the same answer, if nothing has taken another version.
    """

    offers: list[Offer]
    days: list[Day]
    next: Place | None
    until: int = FOR_EVER


# --- slots --------------------------------------------------------------------------------------------------------------


def clinic_by_slug(slug: str) -> models.Clinic:
    """Raises NotFound."""
    clinic = models.Clinic.objects.filter(slug=slug).first()
    if clinic is None:
        raise NotFound()
    return clinic


class Profile(NamedTuple):
    """All that a clinic's profile is made of: its own columns, and the keys and counters of what can be booked, each by name.

    `locations` is a JSON array as the profile has it.
    """

    slug: str
    name: str
    zone: str
    widget_origins: tuple[str, ...]
    visit_types: tuple[tuple[int, int], ...]
    calendars: tuple[tuple[int, int], ...]
    locations: str


_PROFILE = """
SELECT k.slug, k.name, k.zone, k.widget_origins,
       (SELECT array_agg(ARRAY[v.id, v.revision] ORDER BY v.name, v.id) FROM engine_visittype v
        WHERE v.clinic_id = k.id AND v.active),
       (SELECT array_agg(ARRAY[c.id, c.rules] ORDER BY c.name, c.id) FROM engine_calendar c WHERE c.clinic_id = k.id AND c.active),
       (SELECT json_agg(json_build_object(
          'id', l.uid, 'name', l.name, 'address', l.address, 'city', l.city, 'state', l.state, 'postal_code', l.postal_code,
          'phone', l.phone, 'zone', l.zone) ORDER BY l.name, l.id) FROM engine_location l WHERE l.clinic_id = k.id)::text
FROM engine_clinic k WHERE k.slug = %s
"""


def profile(slug: str) -> Profile:
    """What a clinic's profile is made of now. Raises NotFound."""
    with replicas.cursor() as cursor:
        cursor.execute(_PROFILE, [slug])
        row = cursor.fetchone()
    if row is None:
        raise NotFound()
    slug, name, zone, origins, types, calendars, locations = row
    keys = [tuple((key, counter) for key, counter in pairs or ()) for pairs in (types, calendars)]
    return Profile(slug, name, zone, tuple(origins), keys[0], keys[1], locations or "[]")


def visit_type_by_uid(uid: UUID | None, *, clinic: int | None = None) -> VisitTypeRules:
    """An active visit type. Raises NotFound."""
    rows = models.VisitType.objects.filter(uid=uid, active=True) if uid else models.VisitType.objects.none()
    row = (rows if clinic is None else rows.filter(clinic_id=clinic)).values_list("id", "revision").first()
    if row is None:
        raise NotFound("No such visit type.", param="visit_type")
    return visit_type_rules(*row)


def visit_type(key: int) -> VisitTypeRules:
    """A visit type by its database key, in use or not."""
    return visit_type_rules(key, models.VisitType.objects.values_list("revision", flat=True).get(id=key))


def calendar_by_uid(uid: UUID | None, *, clinic: str | None = None) -> CalendarRules:
    """A calendar, of that clinic only if one is named. Raises NotFound."""
    rows = models.Calendar.objects.filter(uid=uid) if uid else models.Calendar.objects.none()
    row = (rows if clinic is None else rows.filter(clinic__slug=clinic)).values_list("id", "rules").first()
    if row is None:
        raise NotFound("No such calendar.", param="calendar")
    return calendar_rules(*row)


def slots(
    visit_type: VisitTypeRules,
    within: Interval,
    *,
    calendar: UUID | None = None,
    state: str = "",
    modality: str = "",
    limit: int,
    after: Place | None = None,
    seen: Moment | None = None,
) -> Found:
    """The slots of a visit type that start inside `within` and are free now, by start, then calendar.

    `seen` is where its calendars stand, if the caller has just asked.
    """
    seen = moment(visit_type.calendars) if seen is None else seen
    known = [as_day(one, now=seen.now) for one in days.known(seen, reached(visit_type, within), clinic=visit_type.clinic)]
    offers: list[Offer] = []
    following: Place | None = None
    for offer in free(known, visit_type, within, now=seen.now, calendar=calendar, state=state, modality=modality):
        if after is not None and (offer.start, offer.calendar) <= after:
            continue
        if len(offers) == limit:
            following = Place(offers[-1].start, offers[-1].calendar)
            break
        offers.append(offer)
    return Found(offers, known, following, _until(visit_type, within, now=seen.now, offers=offers, known=known))


def free(
    known: Sequence[Day],
    visit_type: VisitTypeRules,
    within: Interval,
    *,
    now: int,
    calendar: UUID | None,
    state: str,
    modality: str,
) -> Iterator[Offer]:
    """All such slots, from what is `known` of the calendars: what takes their time wherever it is in `reached`."""
    if modality and modality not in visit_type.modalities:
        return
    primaries = [
        day
        for day in known
        if day.rules.kind == visit_type.needs[0] and (calendar is None or day.rules.uid == calendar) and day.rules.may_see(state)
    ]
    streams = [_free_slots(day, visit_type, within, now=now, days=known) for day in primaries]
    chosen = modality or visit_type.modalities[0]
    for _, _, slot, calendars in heapq.merge(*streams):
        yield Offer(visit_type.clinic, visit_type.id, calendars, slot.start, slot.end, chosen, slot.capacity)


def _until(visit_type: VisitTypeRules, within: Interval, *, now: int, offers: Sequence[Offer], known: Sequence[Day]) -> int:
    """When time alone makes the answer another one: the first slot gets too close, a hold runs out, or the horizon moves on."""
    visit = visit_type.visit
    if now + visit.horizon < within.end - 1:
        return now + 1
    too_close = offers[0].start - visit.notice + 1 if offers else FOR_EVER
    return min([too_close, *(day.until for day in known)])


def _free_slots(
    day: Day, visit_type: VisitTypeRules, within: Interval, *, now: int, days: Sequence[Day]
) -> Iterator[tuple[int, int, Slot, tuple[int, ...]]]:
    first = within.start - within.start % DAY_S
    for start_of_day in range(first, within.end, DAY_S):
        part = clip([Interval(start_of_day, start_of_day + DAY_S)], within)[0]
        taken = _near_to(part, day.taken, visit_type)
        for slot in offered(windows_around(day.rules, start_of_day), visit_type.visit, now=now, within=part):
            if free_unit(taken, slot.blocked(visit_type.visit), capacity=slot.capacity) is None:
                continue
            others = _others(slot, visit_type, days)
            if others is not None:
                yield slot.start, day.rules.id, slot, (day.rules.id, *others)


def _near_to(part: Interval, taken: Sequence[Taken], visit_type: VisitTypeRules) -> list[Taken]:
    """What can be in the way of a visit that starts within `part`."""
    visit = visit_type.visit
    reached = Interval(part.start - visit.before, part.end + (visit.duration or DAY_S) + visit.after)
    return [one for one in taken if one.during.overlaps(reached)]


def _others(slot: Slot, visit_type: VisitTypeRules, days: Sequence[Day]) -> list[int] | None:
    """A free calendar for each further need; None when one of them has none."""
    chosen: list[int] = []
    blocked = slot.blocked(visit_type.visit)
    for kind in visit_type.needs[1:]:
        free = (
            day.rules.id
            for day in days
            if day.rules.kind == kind
            and day.rules.id not in chosen
            and free_unit(day.taken, blocked, capacity=1) is not None
            and covers(windows_around(day.rules, slot.start), Interval(slot.start, slot.end))
        )
        found = next(free, None)
        if found is None:
            return None
        chosen.append(found)
    return chosen


def reached(visit_type: VisitTypeRules, within: Interval) -> Interval:
    """Where what takes time can be in the way of a visit that starts inside `within`."""
    # A slot that starts inside may block time outside; a visit is shorter than a day, a buffer than half of one.
    visit = visit_type.visit
    reach = (visit.duration or DAY_S) + visit.before + visit.after
    return Interval(within.start - reach, within.end + reach)


def as_day(known: Known, *, now: int) -> Day:
    """Holds that have run out take no time, and the first of the others to run out is what the answer depends on."""
    taken = tuple(Taken(unit, Interval(start, end)) for unit, start, end, expires in known.claims if expires == 0 or expires > now)
    until = min((claim.expires for claim in known.claims if claim.expires > now), default=FOR_EVER)
    return Day(calendar_rules(known.stand.calendar, known.stand.rules), known.stand.version, taken, until)


# --- appointments -------------------------------------------------------------------------------------------------------


def appointment(appointment_id: UUID | None, *, clinic: str) -> tuple[Appointment, list[dict[str, str]]]:
    """(appointment, history) of this clinic. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT a.history::text, {', '.join(COLUMNS)} FROM engine_appointment a"
            " WHERE a.id = %s AND clinic_id = (SELECT id FROM engine_clinic WHERE slug = %s)",
            [appointment_id, clinic],
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound("No such appointment.")
    history, *columns = row
    return from_row(columns), json.loads(history)


@dataclass(frozen=True, slots=True)
class Managed:
    """An appointment with all that its patient may know. `changed_at` is when it was booked, moved or cancelled last."""

    appointment: Appointment
    changed_at: int
    visit_type: VisitTypeRules
    calendar: CalendarRules
    clinic: models.Clinic
    location: models.Location | None
    phone: str


def managed(appointment_id: UUID) -> Managed:
    """An appointment for whoever holds its patient's link. Raises NotFound, also for what is only held or was never booked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(entry ->> 'at') FROM jsonb_array_elements(history) entry), "
            f"{', '.join(COLUMNS)} FROM engine_appointment a WHERE id = %s AND status <> ALL(%s)"
            """ AND history @> '[{"event": "appointment.booked"}]'""",
            [appointment_id, [Status.HELD.value, Status.EXPIRED.value]],
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound("No such appointment.")
    a = from_row(row[1:])
    calendar = models.Calendar.objects.select_related("location", "clinic").get(id=a.calendar)
    place = calendar.location
    called = (
        place.phone
        if place
        else models.Location.objects.filter(clinic=a.clinic)
        .exclude(phone="")
        .order_by("id")
        .values_list("phone", flat=True)
        .first()
    )
    return Managed(
        appointment=a,
        changed_at=int(datetime.fromisoformat(row[0]).timestamp()),
        visit_type=visit_type(a.visit_type),
        calendar=calendar_rules(a.calendar, calendar.rules),
        clinic=calendar.clinic,
        location=place,
        phone=called or "",
    )


_LISTED = """
SELECT {columns} FROM engine_appointment a
WHERE a.clinic_id = %(clinic)s AND a.ends > %(start)s AND a.starts < %(end)s {conditions} ORDER BY a.id LIMIT %(limit)s
"""
# One index has a calendar's visits by time, one a clinic's by id. Whichever is meant, it is that one: a plan made without the
# values does not know which days are few. A visit is shorter than a day.
_BY_TIME = """AND a.calendar_id = ANY(ARRAY(SELECT id FROM engine_calendar WHERE clinic_id = %(clinic)s))
              AND a.starts > %(start)s - interval '1 day'"""


def appointments(
    *, clinic: str, calendar: UUID | None, patient: str, status: str, within: Interval, limit: int, after: UUID | None
) -> list[Appointment]:
    """Appointments of this clinic, oldest id first, at most `limit`, after the id `after`."""
    asked: dict[str, Any] = {
        "clinic": clinic_by_slug(clinic).id,
        "start": _at(within.start),
        "end": _at(within.end),
        "limit": limit,
    }
    asked |= {"patient": patient, "status": status, "after": after}
    conditions = [_BY_TIME] if within.start and not patient else []
    if calendar is not None:
        key = models.Calendar.objects.filter(uid=calendar, clinic__slug=clinic).values_list("id", flat=True).first()
        conditions.append("AND a.calendars @> %(calendars)s::integer[]")
        asked |= {"calendars": [key or 0]}
    if patient:
        conditions.append("AND a.patient_id = %(patient)s")
    if status:
        conditions.append("AND a.status = %(status)s")
    if after is not None:
        conditions.append("AND a.id > %(after)s")
    with connection.cursor() as cursor:
        cursor.execute(_LISTED.format(columns=", ".join(COLUMNS), conditions=" ".join(conditions)), asked)
        return [from_row(row) for row in cursor.fetchall()]


def _at(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)
