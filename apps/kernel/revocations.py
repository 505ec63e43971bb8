"""Rights that end before their token does: a list in Redis of what was taken back, and each process's own copy of it.

    auth:revoked   sorted set: what was taken back, by when (whole seconds). As a channel: rung after each change.

An entry is `subject <S>`, `member <clinic> <S>` or `session <J>`; tokens of that subject, of that subject for that clinic, or
with that `jti`, are void when they were issued in that second or before. A copy is read again every 2 s and when the channel
rings (a ring may be lost, the next reading is not). What a copy has learnt it keeps, also when Redis is gone or has lost its
memory, until no token that it could void is good any more.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Literal, cast

from redis import Redis, RedisError

from apps.kernel.redis import connect
from apps.kernel.tokens import LONGEST_S, Claims

REVOKED = "auth:revoked"
EVERY_S = 2.0
# An entry may come late: from a clock that is behind, or told again after Redis was away. Longer than a token of 5 min is good.
_OVERLAP_S = 600
# Verifiers allow for clocks that differ, so that a token is good a little longer than it says.
KEPT_S = LONGEST_S + 60
"""So long an entry can matter."""
_TIMEOUT_S = 0.5

Reason = Literal["session ended", "clinic left"]


def subject(name: str) -> str:
    """Everything that a person or program may do, in every clinic."""
    return f"subject {name}"


def member(name: str, *, clinic: str) -> str:
    """What a person or program may do in one clinic: a role was taken away, or the clinic was left."""
    return f"member {clinic} {name}"


def session(token_id: str) -> str:
    """One session, by its token's `jti`."""
    return f"session {token_id}"


def revoke(redis: "Redis", entry: str) -> int:
    """Voids what `entry` (made by one of the three above) says; until which second tokens are void. Raises RedisError."""
    now = int(time.time())
    publish(redis, {entry: now})
    return now


def publish(redis: "Redis", entries: Mapping[str, int]) -> None:
    """Puts entries on the list, each with the second until which tokens are void, and rings. Raises RedisError."""
    with redis.pipeline(transaction=True) as all_at_once:
        all_at_once.zadd(REVOKED, dict(entries), gt=True)
        all_at_once.zremrangebyscore(REVOKED, "-inf", int(time.time()) - KEPT_S)
        all_at_once.expire(REVOKED, KEPT_S)
        all_at_once.publish(REVOKED, "")
        all_at_once.execute()


class Revocations:
    """A process's copy of the list."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}
        self._newest = 0

    @property
    def unread(self) -> int:
        """From which score on the list may hold something that is not known here."""
        return max(0, self._newest - _OVERLAP_S)

    def learn(self, entries: Iterable[tuple[bytes, float]]) -> bool:
        """Takes in entries as Redis gives them, the oldest first; whether any of them was news."""
        news = False
        for entry, until in entries:
            if self._until.get(entry.decode(), 0) < until:
                self._until.pop(entry.decode(), None)
                self._until[entry.decode()] = int(until)
                self._newest, news = max(self._newest, int(until)), True
        while self._until and self._until[oldest := next(iter(self._until))] < time.time() - KEPT_S:
            del self._until[oldest]
        return news

    def reason(self, claims: Claims) -> Reason | None:
        """Why the claims are void; None while they are good."""
        if self._is_void(claims, session(claims.token_id)) or self._is_void(claims, subject(claims.subject)):
            return "session ended"
        return "clinic left" if self._is_void(claims, member(claims.subject, clinic=claims.clinic)) else None

    def _is_void(self, claims: Claims, entry: str) -> bool:
        return claims.issued_at <= self._until.get(entry, -1)


@cache
def watched(url: str) -> Revocations:
    """This process's copy of the list in the Redis at `url`, which a thread keeps up to date: asking it costs no round trip."""
    copy, redis = Revocations(), connect(url, timeout_s=_TIMEOUT_S, connections=1)

    def read() -> None:
        with suppress(RedisError):
            found = redis.zrange(REVOKED, copy.unread, "+inf", byscore=True, withscores=True)
            copy.learn(cast(list[tuple[bytes, float]], found))

    def keep_reading() -> None:
        while True:
            time.sleep(EVERY_S)
            read()

    read()
    threading.Thread(target=keep_reading, name="revocations", daemon=True).start()
    return copy
