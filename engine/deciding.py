"""What the core decides once it has the locks: whether an offer stands, which places it gets, and who may still change a visit.

All of it follows from what was read under the locks; nothing here reads or writes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from apps.kernel.problems import NotFound, Problem, ValidationFailed
from engine.errors import NotLicensedInState, OutsideOpeningHours, SlotTaken, TooLateToChange, refused
from engine.offers import Offer
from engine.rows import SETTLED_S, Actor, SeenAppointment, SeenOffer
from engine.rules import CalendarRules, windows_around
from engine.scheduling.hours import Window, covers
from engine.scheduling.intervals import DAY_S, Interval
from engine.scheduling.slots import Refusal, Slot, VisitRules, check, fitting, free_unit, shrunk, untimely

IN_PERSON = "in_person"
_SESSION = "A group session has its own length and places."
_NO_ROOM = "The room or device is not available then."


class Decision(NamedTuple):
    """What an offer gets: its slot, the time that takes, a place on each calendar; and, by reason, what stood against it."""

    slot: Slot
    blocked: Interval
    units: dict[int, int]
    waived: tuple[str, ...] = ()

    def note(self, offer: Offer) -> dict[str, Any]:
        """What the appointment's history says of an override that was needed."""
        return {"override": offer.override, "waived": list(self.waived)} if self.waived else {}


class Conflict(NamedTuple):
    """What stands against a time. `refusal` is what the caller is told; `during` and `appointment` are whose time it is in."""

    reason: str
    refusal: Problem
    calendar: int
    overridable: bool = True
    during: Interval | None = None
    appointment: UUID | None = None


def decide(offer: Offer, seen: SeenOffer, actor: Actor, *, state: str | None = None) -> Decision:
    """What the offer gets, or the reason why it gets nothing; without `state`, wherever the patient is."""
    if actor.clinic is not None and actor.clinic != seen.calendars[0].clinic_slug:
        raise NotFound()
    check_offered(offer, seen)
    if offer.special:
        return _decide_special(offer, seen, state=state)
    visit, primary = seen.visit_type.visit, seen.calendars[0]
    slot = check(windows_around(primary, offer.start), visit, now=seen.now, start=offer.start, end=offer.end)
    if isinstance(slot, Refusal):
        raise refused(slot)
    units = _places(slot, seen)
    if state is not None:
        check_licence(primary, state, modality=offer.modality)
    return Decision(slot, slot.blocked(visit), units)


def check_offered(offer: Offer, seen: SeenOffer) -> None:
    """Whether the clinic offers this at all. Raises OutsideOpeningHours, ValidationFailed."""
    visit = seen.visit_type
    if not visit.active or any(not c.active or c.id not in visit.calendars for c in seen.calendars):
        raise OutsideOpeningHours("This visit type is not offered there any more.", param="slot")
    if offer.modality not in visit.modalities:
        raise ValidationFailed("This visit type is not offered that way.", param="modality")


def _places(slot: Slot, seen: SeenOffer) -> dict[int, int]:
    primary, *others = seen.calendars
    blocked = slot.blocked(seen.visit_type.visit)
    if not all(covers(windows_around(other, slot.start), Interval(slot.start, slot.end)) for other in others):
        raise OutsideOpeningHours(_NO_ROOM, param="start")
    places = {other.id: free_unit(seen.taken[other.id], blocked, capacity=1) for other in others}
    places[primary.id] = free_unit(seen.taken[primary.id], blocked, capacity=slot.capacity)
    free = {calendar: unit for calendar, unit in places.items() if unit is not None}
    if len(free) < len(places):
        raise SlotTaken()
    return free


# --- what staff ask for themselves --------------------------------------------------------------------------------------


def _decide_special(offer: Offer, seen: SeenOffer, *, state: str | None) -> Decision:
    against = conflicts(offer, seen, state=state)
    if offer.override and _is_session(offer, seen):
        raise ValidationFailed(_SESSION, param="override")
    for conflict in against:
        if not (offer.override and conflict.overridable):
            raise conflict.refusal
    slot = Slot(offer.start, offer.end, 1)
    everyone = [taken for calendar in seen.calendars for taken in seen.taken[calendar.id]]
    blocked = shrunk(Interval(offer.start, offer.end), slot.blocked(seen.visit_type.visit), everyone)
    waived = tuple(dict.fromkeys(conflict.reason for conflict in against))
    return Decision(slot, blocked, {calendar.id: 1 for calendar in seen.calendars}, waived)


def conflicts(offer: Offer, seen: SeenOffer, *, state: str | None) -> list[Conflict]:
    """All that stands against the offer, the weightiest first. Nothing can be waived for a group session."""
    primary, *others = seen.calendars
    visit, during = seen.visit_type.visit, Interval(offer.start, offer.end)
    found: list[Conflict] = []
    session = _is_session(offer, seen)
    if session and offer.custom:
        found.append(Conflict("duration", ValidationFailed(_SESSION, param="duration_minutes"), primary.id))
    if (early_or_late := untimely(visit, now=seen.now, start=offer.start)) is not None:
        # Where allocations may be gone nobody could tell who was there. A buffer is shorter than a day.
        is_history = offer.start < seen.now - SETTLED_S + DAY_S
        found.append(Conflict(early_or_late.name.lower(), refused(early_or_late), primary.id, overridable=not is_history))
    slot = _opening(offer, primary, visit)
    if isinstance(slot, Refusal):
        found.append(Conflict(slot.name.lower(), refused(slot), primary.id, during=during))
    for other in others:
        if not covers(_windows(other, during), during):
            found.append(Conflict("room", OutsideOpeningHours(_NO_ROOM, param="start"), other.id, during=during))
    found += _in_the_way(offer, seen, capacity=slot.capacity if isinstance(slot, Slot) else 1)
    if state is not None and (unlicensed := _unlicensed(primary, state, modality=offer.modality)) is not None:
        found.append(Conflict("licence", unlicensed, primary.id))
    return [conflict._replace(overridable=False) for conflict in found] if session else found


def _is_session(offer: Offer, seen: SeenOffer) -> bool:
    """Whether the time is that of a group session, in which the visit would have one of many places."""
    visit, during = seen.visit_type.visit, Interval(offer.start, offer.end)
    return visit.duration is None or any(
        window.capacity > 1 and window.visit_type in (None, visit.id) and window.during.overlaps(during)
        for window in _windows(seen.calendars[0], during)
    )


def _opening(offer: Offer, calendar: CalendarRules, visit: VisitRules) -> Slot | Refusal:
    if not offer.custom:
        return fitting(windows_around(calendar, offer.start), visit, start=offer.start, end=offer.end)
    during = Interval(offer.start, offer.end)
    own = [window for window in _windows(calendar, during) if window.visit_type in (None, visit.id)]
    return Slot(offer.start, offer.end, 1) if covers(own, during) else Refusal.CLOSED


def _in_the_way(offer: Offer, seen: SeenOffer, *, capacity: int) -> Iterator[Conflict]:
    during = Interval(offer.start, offer.end)
    blocked = Slot(offer.start, offer.end, capacity).blocked(seen.visit_type.visit)
    primary = seen.calendars[0].id
    if capacity > 1 and free_unit(seen.taken[primary], blocked, capacity=capacity) is None:
        yield Conflict("taken", SlotTaken(), primary, overridable=False, during=during)
    for calendar in seen.calendars:
        if calendar.id == primary and capacity > 1:
            continue
        for taken in sorted(seen.taken[calendar.id], key=lambda taken: taken.during):
            if taken.during.overlaps(during):
                yield Conflict("taken", SlotTaken(), calendar.id, overridable=False, during=taken.during, appointment=taken.by)
            elif taken.during.overlaps(blocked):
                yield Conflict("buffer", SlotTaken(), calendar.id, during=taken.during, appointment=taken.by)


def _windows(calendar: CalendarRules, during: Interval) -> list[Window]:
    """The open windows around a visit that may go on after midnight."""
    return [*windows_around(calendar, during.start), *windows_around(calendar, during.end - 1)]


# --- licences and notice ------------------------------------------------------------------------------------------------


def check_licence(calendar: CalendarRules, state: str, *, modality: str) -> None:
    """Whether who is visited may treat a patient who is in that state. Raises NotLicensedInState, ValidationFailed."""
    if (unlicensed := _unlicensed(calendar, state, modality=modality)) is not None:
        raise unlicensed


def _unlicensed(calendar: CalendarRules, state: str, *, modality: str) -> NotLicensedInState | ValidationFailed | None:
    # Who comes in person is where the practitioner is; of everybody else we must be told.
    if calendar.states and not state and modality != IN_PERSON:
        return ValidationFailed("Say in which state the patient is: licences depend on it.", param="state")
    if calendar.states and state and state not in calendar.states:
        return NotLicensedInState(param="state")
    return None


def check_change_notice(seen: SeenAppointment) -> None:
    if seen.now + seen.visit_type.change_notice > seen.appointment.start:
        raise TooLateToChange()
