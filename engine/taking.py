"""Taking a slot at the door: what is gone in one room may be free in another, and a refusal names what else is free."""

from collections.abc import Callable

from engine import answers, queries
from engine.errors import SlotTaken
from engine.offers import Offer
from engine.rows import Done


def taken(offer: Offer, take: Callable[[Offer], Done]) -> tuple[Done, Offer]:
    """Takes the slot, with another room than it names if that one is gone. Raises what `take` raises, with alternatives."""
    try:
        return take(offer), offer
    except SlotTaken as gone:
        other = queries.elsewhere(offer) if len(offer.calendars) > 1 else None
        if other is None:
            raise with_alternatives(gone, offer) from None
    try:
        return take(other), other
    except SlotTaken as gone:
        raise with_alternatives(gone, offer) from None


def with_alternatives(gone: SlotTaken, offer: Offer) -> SlotTaken:
    gone.alternatives = tuple(answers.slots(queries.alternatives(offer), "UTC"))
    return gone
