"""The fixtures of this folder: one Daphne for all its tests, before the Redis of the test run."""

import os
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, daphne
from tests.practice import gate_open, practice, token

__all__ = ["gate_open", "practice", "token"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with daphne(tmp_path_factory.mktemp("live") / "daphne.log") as started:
        yield started


@pytest.fixture
def feed() -> Iterator[Feed]:
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        made = Feed(redis)
        made.begin()
        yield made


@pytest.fixture
def staff(server: Server, token: Callable[..., str]) -> Iterator[Socket]:
    """A socket of the clinic's front desk."""
    with Socket(server) as socket:
        yield socket.signed_in(token(CLINIC))


@pytest.fixture
def public(server: Server) -> Iterator[Socket]:
    with Socket(server) as socket:
        yield socket.public()
