"""What each write does, alone: the rows, the versions, the refusals."""

import pytest

from engine import bookings
from engine.errors import SlotTaken
from engine.rows import Actor
from engine.scheduling.lifecycle import Status
from tests.practice import Practice
from tests.writes import ZOE

DESK = Actor("desk", "harbor")


def test_a_hold_takes_the_slot_until_it_is_confirmed(practice: Practice) -> None:
    offer = practice.offers()[0]

    held = bookings.hold(offer, seconds=300, actor=DESK).appointment

    assert (held.status, held.start, held.end, held.version) == (Status.HELD, offer.start, offer.end, 1)
    assert offer.start not in [o.start for o in practice.offers() if o.calendar == offer.calendar]
    with pytest.raises(SlotTaken):
        bookings.hold(offer, seconds=300, actor=DESK)
    booked = bookings.confirm(held.id, patient=ZOE, state="", actor=DESK).appointment
    assert (booked.status, booked.version, booked.expires_at) == (Status.BOOKED, 2, None)
