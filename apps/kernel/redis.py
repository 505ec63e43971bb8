"""Redis connections that fail fast: for us Redis is advice, and advice must not be waited for."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from typing import Any, TypeVar

from redis import BlockingConnectionPool, Redis, RedisError, asyncio, exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry

log = logging.getLogger(__name__)

Value = TypeVar("Value")
_SKIPPED_S = 1.0
_TIMEOUT_S = 0.1
_UNREACHABLE = (exceptions.ConnectionError, exceptions.TimeoutError)


def connect(url: str, *, timeout_s: float, connections: int = 32) -> "Redis":
    """A client whose every call ends within about `timeout_s`, without retries. Answers are bytes."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


def connect_async(url: str, *, timeout_s: float, connections: int) -> "asyncio.Redis":
    """The same for an event loop, but whoever finds all connections taken waits for one; how long is for the caller to say.

    The time-outs are explicit: redis-py's own once closed every idle subscriber after 5 s.
    """
    pool = asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=asyncio.retry.Retry(NoBackoff(), 0),
    )
    return asyncio.Redis(connection_pool=pool)


def connection(url: str, *, timeout_s: float) -> Connection:
    """One connection, not yet open, for one thread: no pool, no retries; every answer within about `timeout_s`."""
    given = parse_url(url)  # type: ignore[no-untyped-call] # redis-py leaves it untyped
    options: dict[str, Any] = {**given, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    kind: type[Connection] = options.pop("connection_class", Connection)
    return kind(**options, retry=Retry(NoBackoff(), 0))


class Circuit:
    """Redis for who can do without it: after a failure nobody asks it for a second, so that nobody waits for advice.

    Each thread keeps a connection of its own, because the client's pool and command layer cost more than the command (107
    against 43 us of CPU).
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._mine = threading.local()
        self._skip_until = 0.0

    def ask(self, work: Callable[[Connection], Value]) -> Value | None:
        """What `work` makes of this thread's connection; None when that fails, or Redis was not to be reached a moment ago."""
        if time.monotonic() < self._skip_until:
            return None
        mine: Connection = getattr(self._mine, "connection", None) or connection(self._url, timeout_s=_TIMEOUT_S)
        self._mine.connection = mine
        try:
            return work(mine)
        except RedisError as failed:
            mine.disconnect()  # type: ignore[no-untyped-call] # the same
            if isinstance(failed, _UNREACHABLE):  # else it is the command's fault
                self._skip_until = time.monotonic() + _SKIPPED_S
            log.warning("redis_skipped", extra={"error": type(failed).__name__})
            return None

    def reset(self) -> None:
        """Asks Redis again at once."""
        self._skip_until = 0.0


@cache
def circuit(url: str) -> Circuit:
    """This process's one for that Redis: what one part of it finds out, that Redis is away, all others need not."""
    return Circuit(url)


def told(mine: Connection, *command: str | int | bytes) -> Any:
    """The answer to one command. Raises RedisError."""
    mine.send_command(*command)  # type: ignore[no-untyped-call] # redis-py leaves it untyped
    return mine.read_response()


def evaluated(mine: Connection, script: str, keys: Sequence[str], *args: str | int | bytes) -> Any:
    """What a script answers, which is sent in full only to a server that does not have it. Raises RedisError."""
    try:
        return told(mine, "EVALSHA", _digest(script), len(keys), *keys, *args)
    except exceptions.NoScriptError:
        return told(mine, "EVAL", script, len(keys), *keys, *args)


@lru_cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
