"""Rate limits: so many requests in so many seconds for one caller, smooth (GCRA), counted in Redis for all processes.

Without Redis each process counts for itself: a limit that is too generous for a while, never a service that is down.
"""

import time
from dataclasses import dataclass
from math import ceil

from redis.connection import Connection

from apps.kernel.problems import RateLimited
from apps.kernel.redis import Circuit, evaluated

# The stored value is the time at which the caller's bucket is full again. Answers the wait in ms, 0 when allowed.
_GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + tonumber(ARGV[1])
local wait = full - now - tonumber(ARGV[2])
if wait > 0 then return wait end
redis.call('SET', KEYS[1], full, 'PX', math.max(1, full - now))
return 0
"""
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` in `seconds`, all of them at once if the caller likes."""

    name: str
    requests: int
    seconds: int


class Limiter:
    def __init__(self, redis: Circuit, *, enabled: bool) -> None:
        self._redis = redis
        self._enabled = enabled
        self._local: dict[str, float] = {}

    def check(self, limit: Limit, caller: str) -> None:
        """Counts one request of `caller`. Raises RateLimited with the seconds to wait."""
        if not self._enabled:
            return
        key = f"limit:{limit.name}:{caller}"
        interval = limit.seconds * 1000 / limit.requests
        burst = limit.seconds * 1000

        def count(mine: Connection) -> float:
            return float(evaluated(mine, _GCRA, [key], ceil(interval), burst))

        counted = self._redis.ask(count)
        wait = self._check_here(key, interval, burst) if counted is None else counted
        if wait > 0:
            refused = RateLimited(retry_after=ceil(wait / 1000))
            refused.policy = (limit.name, limit.requests, limit.seconds)
            raise refused

    def _check_here(self, key: str, interval: float, burst: float) -> float:
        now = time.monotonic() * 1000
        full = max(self._local.get(key, now), now) + interval
        if full - now > burst:
            return full - now - burst
        if len(self._local) >= _KEPT:
            self._local.clear()
        self._local[key] = full
        return 0
