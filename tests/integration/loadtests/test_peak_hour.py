"""The peak hour in small: both sites serve the same people, and what is said about them follows from what they did."""

import os

import pytest
from django.core.management import call_command
from django.db import connection

from loadtests import target
from loadtests.peak_hour import SMALL, broken, peak_hour
from loadtests.target import Target


@pytest.fixture
def address(transactional_db: None) -> str:
    given = connection.settings_dict
    return f"postgresql://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"


def test_both_sites_serve_the_same_peak_hour_and_nothing_is_broken(address: str) -> None:
    call_command("seed", clinics=SMALL.clinics, calendars=SMALL.calendars, appointments=SMALL.appointments, seed=1, json=True)
    variables = {**os.environ, "DATABASE_URL_ENGINE": address}

    with target.another_engine(Target({}, {}, variables), workers=1, threads=4) as at:
        found = peak_hour(at, SMALL)

    assert broken(found) == []
