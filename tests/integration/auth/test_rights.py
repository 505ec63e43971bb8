"""Rights that ended: the database remembers them, whatever happens to Redis."""

import time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from redis import Redis

from apps.auth import rights
from apps.auth.models import Revocation
from apps.kernel import revocations
from apps.kernel.redis import connect


def listed(redis: "Redis") -> dict[str, int]:
    found: Any = redis.zrange(revocations.REVOKED, 0, -1, withscores=True)
    return {entry.decode(): int(until) for entry, until in found}


@pytest.fixture
def redis_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where auth looks for Redis."""
    monkeypatch.setattr(rights, "_redis", lambda: connect("redis://127.0.0.1:1", timeout_s=0.2))


def end(*entries: str) -> int:
    with transaction.atomic():
        return rights.end(*entries)


@pytest.mark.django_db(transaction=True)
def test_an_end_is_told_after_the_commit_and_never_without_it(redis: "Redis") -> None:
    with transaction.atomic():
        rights.end("subject ada")
        assert listed(redis) == {}
        transaction.set_rollback(True)
    assert (listed(redis), Revocation.objects.count()) == ({}, 0)
    until = end("subject ada", "session j1")
    assert listed(redis) == {"subject ada": until, "session j1": until}


@pytest.mark.django_db(transaction=True)
def test_what_redis_missed_while_it_was_away_is_told_at_the_next_tick(
    redis: "Redis", redis_away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = end("subject ada")
    assert rights.tell_again() == 0
    monkeypatch.undo()
    later = end("subject bob")
    assert rights.tell_again() == 2
    assert listed(redis) == {"subject ada": until, "subject bob": later}
    assert rights.tell_again() == 0


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_lost_its_memory_learns_everything_again_with_the_old_times(redis: "Redis") -> None:
    end("subject ada", "session j1", "member harbor bob")
    Revocation.objects.filter(entry="subject ada").update(until=int(time.time()) - 3000)
    redis.flushdb()
    end("session j2")
    assert rights.tell_again() == 4
    assert listed(redis)["subject ada"] < int(time.time()) - 2000  # who signed in anew since then stays signed in


@pytest.mark.django_db(transaction=True)
def test_an_end_that_comes_again_counts_from_the_later_time(redis: "Redis") -> None:
    end("subject ada")
    Revocation.objects.update(until=5)
    assert Revocation.objects.get().until < end("subject ada") == listed(redis)["subject ada"]
    assert Revocation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_no_token_can_remember_is_forgotten(redis: "Redis") -> None:
    end("subject ada", "subject bob")
    Revocation.objects.filter(entry="subject ada").update(until=int(time.time()) - revocations.KEPT_S - 1)
    rights.forget()
    assert [kept.entry for kept in Revocation.objects.all()] == ["subject bob"]


@pytest.mark.django_db(transaction=True)
def test_an_operator_s_revocation_needs_no_redis(redis: "Redis", redis_away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("revoke", subject="ada", clinic="harbor")
    monkeypatch.undo()
    assert rights.tell_again() == 1
    assert list(listed(redis)) == ["member harbor ada"]
