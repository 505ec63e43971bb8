"""Redis connections that fail fast: for us Redis is advice, and advice must not be waited for."""

from typing import Any

from redis import BlockingConnectionPool, Redis, asyncio
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry


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
