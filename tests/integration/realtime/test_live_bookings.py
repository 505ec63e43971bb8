"""From a write to the frames: the relay publishes what `changes` answers, and the public's half of it tells no secrets."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from engine import bookings, models, relay, snapshots
from engine.rows import Actor
from tests.practice import Practice
from tests.writes import ZOE

DESK = Actor("desk", "harbor")


@pytest.fixture
def redis() -> Iterator["Redis"]:
    with Redis.from_url(os.environ["REDIS_URL"]) as made:
        yield made


def test_frames_are_what_changes_answers_and_the_public_ones_name_nobody(practice: Practice, redis: "Redis") -> None:
    first, second = [offer for offer in practice.offers() if offer.calendar == practice.doctor.id][:2]
    held = bookings.hold(first, seconds=300, actor=DESK).appointment
    bookings.confirm(held.id, patient=ZOE, state="", actor=DESK)
    bookings.link(held.id, "p-canary")
    bookings.reschedule(held.id, second, by="clinic", actor=DESK)
    bookings.cancel(held.id, reason="Zoe Canary is ill", by="clinic", actor=DESK)

    sent = relay_all(redis)

    _, _, answered = snapshots.changes(practice.doctor.uid, since=0, limit=10, clinic=practice.slug)
    staff, public = frames(redis, practice.doctor)
    assert sent == 5
    assert staff == answered
    assert [frame["data"] for frame in public] == [
        interval(answered[0]) | {"free": False},
        interval(answered[1]) | {"free": False},
        {"start": answered[2]["data"]["start"], "end": answered[2]["data"]["start"], "free": False},
        {},
        interval(answered[4]) | {"free": True},
    ]
    assert {frame["event"] for frame in public} == {"slots.changed"}
    published = json.dumps(public)
    assert all(secret not in published for secret in (str(held.id), "Canary", "desk", "ill", str(practice.visit.uid)))
    assert "Canary" not in json.dumps(staff)


def test_nothing_is_sent_twice(practice: Practice, redis: "Redis") -> None:
    bookings.hold(practice.offers()[0], seconds=300, actor=DESK)
    assert [relay_all(redis), relay_all(redis)] == [1, 0]
    assert not models.OutboxEvent.objects.filter(sent_at=None).exists()


def relay_all(redis: "Redis") -> int:
    """How many rows were marked."""
    before = models.OutboxEvent.objects.filter(sent_at=None).count()
    while relay.relay(redis):
        pass
    return before - models.OutboxEvent.objects.filter(sent_at=None).count()


def frames(redis: "Redis", calendar: models.Calendar) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    entries: Any = redis.xrange(f"live:log:{calendar.uid}")
    return [json.loads(entry[b"staff"]) for _, entry in entries], [json.loads(entry[b"public"]) for _, entry in entries]


def interval(frame: dict[str, Any]) -> dict[str, str]:
    return {"start": frame["data"]["start"], "end": frame["data"]["end"]}
