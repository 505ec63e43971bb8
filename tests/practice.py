"""A small clinic for tests of the engine, in a real PostgreSQL, with every transaction really committed: pytest fixtures."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from apps.kernel.redis import circuit, connect
from apps.kernel.tokens import sign
from engine import models, queries
from engine.offers import Offer
from engine.rules import VisitTypeRules
from engine.scheduling.intervals import Interval

DAY = 24 * 3600


@dataclass(frozen=True)
class Practice:
    """A clinic with two practitioners, a room, and two visit types; open around the clock, so that now is always bookable."""

    slug: str
    doctor: models.Calendar
    nurse: models.Calendar
    room: models.Calendar
    visit: models.VisitType
    procedure: models.VisitType
    """Needs a practitioner and a room."""

    def offers(self, visit_type: models.VisitType | None = None, *, days: int = 3, limit: int = 500) -> list[Offer]:
        """What a search offers from tomorrow's midnight (UTC) on."""
        start = tomorrow()
        found = queries.slots(self.rules(visit_type), Interval(start, start + days * DAY), limit=limit)
        return found.offers

    def rules(self, visit_type: models.VisitType | None = None) -> VisitTypeRules:
        return queries.visit_type_by_uid((visit_type or self.visit).uid)


def tomorrow() -> int:
    """Tomorrow's midnight, UTC, as an instant."""
    now = datetime.now(UTC)
    return int((now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)).timestamp())


@pytest.fixture(autouse=True)
def gate_open() -> None:
    # A test before this one may have made Redis fail, and have asked as often as one address may.
    url = settings.ENV.redis_url.get_secret_value()
    circuit(url).reset()
    connect(url, timeout_s=5).delete("limit:read:127.0.0.1", "limit:write:127.0.0.1")


@pytest.fixture
def practice(transactional_db: None) -> Practice:
    models.Stream.objects.get_or_create(id=1)  # emptied with all tables between tests
    return make_practice("harbor")


def make_practice(slug: str) -> Practice:
    clinic = models.Clinic.objects.create(slug=slug, name=slug.title(), zone="America/New_York")
    kinds = {"doctor": "practitioner", "nurse": "practitioner", "room": "room"}
    calendars = {
        name: models.Calendar.objects.create(clinic=clinic, kind=kind, name=name.title(), zone="America/New_York")
        for name, kind in kinds.items()
    }
    for calendar in calendars.values():
        open_around_the_clock(calendar)
    visit = models.VisitType.objects.create(
        clinic=clinic, name="Visit", duration=30, step=30, modalities=["in_person", "video"], needs=["practitioner"]
    )
    visit.calendars.set([calendars["doctor"], calendars["nurse"]])
    procedure = models.VisitType.objects.create(
        clinic=clinic, name="Procedure", duration=60, step=60, modalities=["in_person"], needs=["practitioner", "room"]
    )
    procedure.calendars.set(calendars.values())
    return Practice(slug, calendars["doctor"], calendars["nurse"], calendars["room"], visit, procedure)


def open_around_the_clock(calendar: models.Calendar) -> None:
    models.OpeningHours.objects.bulk_create(
        models.OpeningHours(calendar=calendar, weekday=day, opens=time(), closes=time()) for day in range(7)
    )


@pytest.fixture
def token() -> Callable[..., str]:
    """token(clinic, role="front_desk", seconds=300, second_factor=True, subject="test:<role>", calendar="") -> a bearer token."""

    def make(
        clinic: str,
        *,
        role: str = "front_desk",
        seconds: int = 300,
        second_factor: bool = True,
        subject: str = "",
        calendar: str = "",
    ) -> str:
        key = Path(os.environ["TOKEN_SIGNING_KEY_FILE"])
        who = subject or f"test:{role}"
        return sign(key, subject=who, clinic=clinic, role=role, seconds=seconds, second_factor=second_factor, calendar=calendar)

    return make


@pytest.fixture
def http(practice: Practice) -> Client:
    """The public at the door."""
    return Client(headers={"accept": "application/json"})


@pytest.fixture
def desk(practice: Practice, token: Callable[..., str]) -> Client:
    """The front desk at the door."""
    return Client(headers={"authorization": f"Bearer {token(practice.slug)}"})
