"""Nine o'clock in small: every slot of the hot clinic is sold once, and who lost was told what else is free."""

from django.core.management import call_command

from loadtests.hot_clinic import SMALL, broken, hot_clinic
from loadtests.target import Target


def test_every_slot_is_sold_once_and_every_loser_is_told(engine: Target) -> None:
    call_command("seed", clinics=2, calendars=12, appointments=200, seed=1, json=True)

    found = hot_clinic(engine, SMALL)

    assert broken(found) == []
    (run,) = found["runs"]
    assert (run["sold"], run["lost_and_told"]) == (SMALL.slots, SMALL.people - SMALL.slots)
