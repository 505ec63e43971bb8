"""Taking a slot at the door: what is gone in one room may be free in another, and a refusal names what else is free."""

from collections.abc import Callable

from apps.kernel.problems import ValidationFailed
from engine import answers, naming, queries
from engine.errors import NotLicensedInState, OutsideOpeningHours, SlotTaken
from engine.naming import Named
from engine.offers import Offer
from engine.rows import Done


def taken(offer: Offer, take: Callable[[Offer], Done], *, state: str = "") -> tuple[Done, Offer]:
    """Takes the slot, with another room than it names if that one is gone. Raises what `take` raises, with alternatives.

    `state` is where the patient is, if that is known.
    """
    try:
        return take(offer), offer
    except SlotTaken as gone:
        other = queries.elsewhere(offer) if len(offer.calendars) > 1 and not offer.special else None
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
        refused.beside = {"conflicts": against, "alternatives": answers.slots(queries.alternatives(offer, state=state), "UTC")}
        raise


def with_alternatives(gone: SlotTaken, offer: Offer, *, state: str = "") -> SlotTaken:
    gone.alternatives = tuple(answers.slots(queries.alternatives(offer, state=state), "UTC"))
    return gone
