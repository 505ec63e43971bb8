"""The peak hour in small: both sites serve the same people, and nothing of what the engine promises is broken."""

from django.core.management import call_command

from loadtests.peak_hour import SMALL, broken, peak_hour
from loadtests.target import Target


def test_both_sites_serve_the_same_peak_hour_and_nothing_is_broken(engine: Target) -> None:
    call_command("seed", clinics=SMALL.clinics, calendars=SMALL.calendars, appointments=SMALL.appointments, seed=1, json=True)

    found = peak_hour(engine, SMALL)

    assert broken(found) == []
    for site in ("engine", "monolith"):
        assert found["calm"][site]["failed"]["read"] == 0
