"""The demo that lives: anything may happen in it, in any order, and every promise holds."""

import time
from collections import Counter
from datetime import UTC, datetime
from io import StringIO
from random import Random

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from engine import models, tasks
from engine.management import traffic
from engine.verification import verify
from tests.invariants import violations
from tests.practice import make_practice
from tests.writes import make_overdue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def demo() -> str:
    models.Stream.objects.get_or_create(id=1)
    call_command("seed_demo", json=True)
    return settings.ENV.demo_clinic or "demo"


def test_a_lively_hour_keeps_every_promise(demo: str) -> None:
    # As if it were ten in the morning of the first day with visits: there is somebody to arrive.
    first = models.Appointment.objects.filter(status="booked", starts__gt=datetime.now(UTC)).order_by("starts").first()
    assert first is not None
    starts = first.starts
    lively, said = traffic.Traffic(demo, Random(3), now=lambda: starts), Counter[str]()

    traffic.run(lively, steps=range(150), say=lambda text: said.update([text]), pause=lambda seconds: None)

    assert {"a time is held", "a visit is booked", "a time is held and left alone", "a visit: arrive", "a visit: room"} <= set(said)
    for hold in models.Appointment.objects.filter(status="held").values_list("id", flat=True):
        make_overdue(hold)
    tasks.expire_holds()
    assert models.Appointment.objects.filter(status="expired").exists()
    assert violations(demo) == []
    assert verify().ok


def test_only_the_demo_clinic_comes_to_life(demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"demo_clinic": demo}))
    make_practice("harbor")
    before = models.OutboxEvent.objects.count()

    with pytest.raises(CommandError):
        call_command("demo_traffic", clinic="harbor", minutes=1.0)
    call_command("demo_traffic", minutes=0.0)
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"demo_clinic": ""}))
    with pytest.raises(CommandError):
        call_command("demo_traffic", minutes=1.0)

    assert models.OutboxEvent.objects.count() == before


def test_it_ends_when_it_is_interrupted(demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"demo_clinic": demo}))

    def interrupt(seconds: float) -> None:
        assert 2 <= seconds <= 5
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    told = StringIO()
    call_command("demo_traffic", seed=1, stdout=told)

    assert len(told.getvalue().splitlines()) == 1
