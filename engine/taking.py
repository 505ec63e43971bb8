"""Taking a slot at the door: what is gone in one room may be free in another, and a refusal names what else is free."""

import heapq
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, close_old_connections

from apps.kernel.problems import NotFound, ValidationFailed
from engine import answers, naming, queries
from engine.errors import NotLicensedInState, OutsideOpeningHours, SlotTaken
from engine.kept import Kept
from engine.naming import Named
from engine.offers import Offer
from engine.rows import Done
from engine.scheduling.intervals import DAY_S, Interval
from engine.waiting_room import waiting_room

_ALTERNATIVES = 5
_NEARBY_AGE_S = 1.0
_NEARBY_KEPT = 200

log = logging.getLogger(__name__)


def admit(offer: Offer, *, ticket: str, address: str, digest: str, state: str) -> None:
    """One of the public passes the clinic's waiting room. Raises what `enter` does, SlotTaken with alternatives."""
    try:
        waiting_room().enter(offer, ticket=ticket, address=address, digest=digest)
    except SlotTaken as gone:
        try:
            with_alternatives(gone, offer, state=state)
        except (DatabaseError, ObjectDoesNotExist, NotFound) as failed:
            log.warning("no_alternatives", extra={"error": type(failed).__name__})
            close_old_connections()  # as Django does where a request ends, which this one may not be to it
        raise gone from None


def taken(offer: Offer, take: Callable[[Offer], Done], *, state: str = "") -> tuple[Done, Offer]:
    """Takes the slot, with another room than it names if that one is gone. Raises what `take` raises, with alternatives.

    `state` is where the patient is, if that is known.
    """
    try:
        return take(offer), offer
    except SlotTaken as gone:
        other = _elsewhere(offer) if len(offer.calendars) > 1 and not offer.special else None
        if other is None:
            raise with_alternatives(gone, offer, state=state) from None
    try:
        return take(other), other
    except SlotTaken as gone:
        raise with_alternatives(gone, offer, state=state) from None


def taken_as_named(named: Named, take: Callable[[Offer], Done], *, state: str) -> Done:
    """Takes a time that staff named. Raises what `take` raises; a refusal says what stands against it, and what else is free."""
    offer = naming.offer(named)
    try:
        try:
            return taken(offer, take, state=state)[0]
        except SlotTaken:
            other = naming.offer(named)
            if other.calendars == offer.calendars:
                raise
            return taken(other, take, state=state)[0]
    except (SlotTaken, OutsideOpeningHours, NotLicensedInState, ValidationFailed) as refused:
        against = [answers.conflict(one) for one in naming.conflicts(named, state=state)]
        refused.beside = {"conflicts": against, "alternatives": list(_alternatives(offer, state=state))}
        raise


def with_alternatives(gone: SlotTaken, offer: Offer, *, state: str = "") -> SlotTaken:
    gone.alternatives = _alternatives(offer, state=state)
    return gone


# --- what else is free --------------------------------------------------------------------------------------------------


class _Nearby(NamedTuple):
    """What was free around a day when somebody looked, and when the next one is to look, both in seconds of the process's clock."""

    found: queries.Found
    made: float
    until: float


_nearby: dict[tuple[int, int], _Nearby] = {}
_said = Kept[tuple[dict[str, Any], ...]](2_000)


def _alternatives(offer: Offer, *, state: str) -> tuple[dict[str, Any], ...]:
    """Free slots of the same visit type near a refused one, the nearest first, of those who may see a patient in that state."""
    near = _looked(offer)
    return _said.made((near.made, offer, state), lambda: tuple(answers.slots(_nearest(near.found, offer, state=state), "UTC")))


def _nearest(near: queries.Found, offer: Offer, *, state: str) -> queries.Found:
    may = {day.rules.id for day in near.days if day.rules.may_see(state)}
    others = (o for o in near.offers if o.calendar in may and (o.calendar, o.start) != (offer.calendar, offer.start))
    nearest = heapq.nsmallest(
        _ALTERNATIVES, others, key=lambda o: (abs(o.start - offer.start), o.calendar != offer.calendar, o.calendar)
    )
    return queries.Found([replace(o, modality=offer.modality) for o in nearest], near.days, None)


def _elsewhere(offer: Offer) -> Offer | None:
    """The same start on the same calendar, but with another room or device than the refused offer had; None if there is none."""
    for anew in (False, True):
        same = (o for o in _looked(offer, anew=anew).found.offers if (o.calendar, o.start) == (offer.calendar, offer.start))
        found = next(same, None)
        if found is None:
            return None
        if found.calendars != offer.calendars:  # else it is of before the refusal
            return replace(found, modality=offer.modality)
    return None


def _looked(offer: Offer, *, anew: bool = False) -> _Nearby:
    """A second old, or two, so that a crowd costs about one search a second: while one looks, the others have what was."""
    key, now = (offer.visit_type, offer.start // DAY_S), time.monotonic()
    kept = None if anew else _nearby.get(key)
    if kept is not None and now < kept.made + 2 * _NEARBY_AGE_S:
        if now < kept.until:
            return kept
        _nearby[key] = kept._replace(until=now + _NEARBY_AGE_S)
    day = offer.start - offer.start % DAY_S
    found = queries.slots(queries.visit_type(offer.visit_type), Interval(day, day + 3 * DAY_S), limit=500)
    if len(_nearby) >= _NEARBY_KEPT:
        _nearby.clear()
    fresh = _nearby[key] = _Nearby(found, now, now + _NEARBY_AGE_S)
    return fresh
