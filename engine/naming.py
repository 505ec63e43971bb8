"""A time that is named instead of chosen from a search: which rooms it takes, the offer for it, and what stands against that.

Read without locks, so all of it is advice: the core decides again under them.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection

from engine import deciding, rows
from engine.deciding import Conflict
from engine.errors import OutsideOpeningHours, refused
from engine.offers import Offer
from engine.rows import SeenOffer
from engine.rules import CalendarRules, VisitTypeRules, calendar_rules, visit_type_rules, windows_around
from engine.scheduling.hours import covers
from engine.scheduling.intervals import Interval
from engine.scheduling.slots import Refusal, Slot, Taken, check, fitting

_NO_END_S = 60


@dataclass(frozen=True, slots=True)
class Named:
    """The wish. `seconds` and `override` are staff's alone (`Offer`); `end` is given to be sure; `moving` is who is to be moved."""

    visit_type: VisitTypeRules
    calendar: CalendarRules
    start: int
    end: int | None = None
    seconds: int | None = None
    modality: str = ""
    override: str = ""
    moving: UUID | None = None


def offer(named: Named) -> Offer:
    """The offer for it, with the rooms and devices that suit best. Raises OutsideOpeningHours where it is not offered at all."""
    return _look(named)[0]


def offered(named: Named) -> Offer:
    """The offer for it, if it is one of those that are offered. Raises what a hold of it would, without its locks."""
    found, seen = _look(named)
    visit, windows = seen.visit_type.visit, windows_around(named.calendar, named.start)
    slot = check(windows, visit, now=seen.now, start=found.start, end=found.end)
    if isinstance(slot, Refusal):
        raise refused(slot)
    return found


def conflicts(named: Named, *, state: str) -> list[Conflict]:
    """What stands against it now. Raises OutsideOpeningHours, ValidationFailed where it is not offered at all."""
    found, seen = _look(named)
    deciding.check_offered(found, seen)
    return deciding.conflicts(found, seen, state=state)


def _look(named: Named) -> tuple[Offer, SeenOffer]:
    """The offer, and what is seen of its calendars."""
    visit, windows = named.visit_type, windows_around(named.calendar, named.start)
    slot = fitting(windows, visit.visit, start=named.start)
    length = named.seconds or visit.visit.duration or _NO_END_S
    if named.seconds is None and isinstance(slot, Slot):
        length = slot.end - slot.start
    wish = Offer(
        clinic=visit.clinic,
        visit_type=visit.id,
        calendars=(named.calendar.id,),
        start=named.start,
        end=named.start + length,
        modality=named.modality or visit.modalities[0],
        capacity=slot.capacity if isinstance(slot, Slot) else 1,
        custom=named.seconds is not None,
        override=named.override,
    )
    seen = _see(wish, visit, moving=named.moving)
    calendars = _choose(wish, seen, primary=named.calendar)
    end = named.end if named.end is not None and named.seconds is None else wish.end
    return replace(wish, calendars=tuple(c.id for c in calendars), end=end), replace(seen, calendars=calendars)


def _see(wish: Offer, visit_type: VisitTypeRules, *, moving: UUID | None) -> SeenOffer:
    """What is seen of all calendars that offer this visit type and are in use; holds that have run out are gone."""
    with connection.cursor() as cursor:
        cursor.execute(rows.OFFER, [visit_type.id, None, None, wish.start, wish.end, list(visit_type.calendars)])
        found = cursor.fetchall()
    calendars = {row[4]: calendar_rules(row[4], row[6]) for row in sorted(found, key=lambda row: row[4])}
    taken: dict[int, list[Taken]] = {calendar: [] for calendar in calendars}
    for row in found:
        if row[7] is not None and row[10] != moving and not row[11]:
            taken[row[4]].append(Taken(row[7], Interval(row[8], row[9]), row[10]))
    return SeenOffer(
        now=found[0][0] if found else 0,
        visit_type=visit_type_rules(visit_type.id, found[0][1]) if found else visit_type,
        calendars=[rules for rules in calendars.values() if rules.active],
        versions={},
        taken=taken,
        replay=None,
    )


def _choose(wish: Offer, seen: SeenOffer, *, primary: CalendarRules) -> list[CalendarRules]:
    """The calendar that was named, and for each further need one that is open and free then, or else least in the way."""
    needs = seen.visit_type.needs
    chosen = [calendar for calendar in seen.calendars if calendar.id == primary.id and calendar.kind == needs[0]]
    if not chosen:
        raise OutsideOpeningHours("This calendar does not offer this visit type.", param="calendar")
    during = Interval(wish.start, wish.end)
    blocked = Slot(wish.start, wish.end, 1).blocked(seen.visit_type.visit)

    def in_the_way(calendar: CalendarRules) -> tuple[bool, bool, bool]:
        busy = [taken.during for taken in seen.taken[calendar.id]]
        closed = not covers(windows_around(calendar, wish.start), during)
        return any(b.overlaps(during) for b in busy), closed, any(b.overlaps(blocked) for b in busy)

    for kind in needs[1:]:
        of_kind = [calendar for calendar in seen.calendars if calendar.kind == kind and calendar not in chosen]
        if not of_kind:
            raise OutsideOpeningHours("There is no room or device for this visit.", param="calendar")
        chosen.append(min(of_kind, key=in_the_way))
    return chosen
