"""The relay when things are killed around it: no event is lost, none comes twice, and none out of order."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from redis import Redis

from apps.kernel.tokens import sign
from engine import models, relay
from engine.locks import BELL
from tests.integration.realtime.live import CLINIC, Socket, Valkey, daphne, of_this_test, relaying, until

ROUNDS = 2


@pytest.fixture
def calendars(transactional_db: None) -> list[models.Calendar]:
    models.Stream.objects.get_or_create(id=1)  # emptied with all tables between tests
    clinic = models.Clinic.objects.create(slug=CLINIC, name="Harbor", zone="UTC")
    return [models.Calendar.objects.create(clinic=clinic, kind="room", name=name, zone="UTC") for name in "ABC"]


@pytest.fixture
def redis() -> Iterator["Redis"]:
    with Redis.from_url(os.environ["REDIS_URL"]) as made:
        yield made


class Ear:
    """Hears everything that is published, from the first moment on."""

    def __init__(self, redis: "Redis") -> None:
        self.redis = redis
        self.versions: dict[str, list[int]] = defaultdict(list)
        self._bells = redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._bells.psubscribe("live:staff:*")
        self._bells.get_message(timeout=5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            message = self._bells.get_message(timeout=0.1)
            if message:
                version, _, _ = message["data"].partition(b" ")
                self.versions[message["channel"].decode().rpartition(":")[2]].append(int(version))

    def heard(self, calendar: models.Calendar) -> list[int]:
        return self.versions[str(calendar.uid)]

    def has(self, calendar: models.Calendar, count: int) -> bool:
        return len(self.heard(calendar)) >= count

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._bells.close()


@pytest.fixture
def ear(redis: "Redis") -> Iterator[Ear]:
    made = Ear(redis)
    yield made
    made.close()


@pytest.fixture
def environ() -> dict[str, str]:
    return of_this_test()


def test_killed_between_publishing_and_marking(
    calendars: list[models.Calendar], ear: Ear, environ: dict[str, str], tmp_path: Path
) -> None:
    add_events(calendars, 400)
    with _row_locked(calendars[1], 50), relaying(tmp_path / "victim.log", probe="healthz", **environ) as victim:
        until(lambda: len(ear.heard(calendars[1])) >= 100 or None, what="a batch was published")
        victim.kill()
        _end_waiting()
    assert unsent() == 1_200, "killed before anything was marked"

    with relaying(tmp_path / "heir.log", **environ):
        until(lambda: unsent() == 0 or None, what="the heir has sent all")

    assert_heard_once_in_order(ear, calendars, 400)


def test_killed_again_and_again(calendars: list[models.Calendar], ear: Ear, environ: dict[str, str], tmp_path: Path) -> None:
    add_events(calendars, 4_000)
    for _ in range(ROUNDS):
        before = unsent()
        with relaying(tmp_path / "victim.log", probe="healthz", **environ) as victim:
            until(partial(_fewer_unsent, before), what="it works")
            victim.kill()
    assert unsent() > 0, "the rounds were too long to kill anything in the middle"

    with relaying(tmp_path / "heir.log", **environ):
        until(lambda: unsent() == 0 or None, what="the heir has sent all")

    assert_heard_once_in_order(ear, calendars, 4_000)


def test_two_at_once(calendars: list[models.Calendar], ear: Ear, environ: dict[str, str], tmp_path: Path) -> None:
    with relaying(tmp_path / "one.log", **environ), relaying(tmp_path / "two.log", **environ):
        for count in range(300, 3_001, 300):
            add_events(calendars, 300, after=count - 300)
        until(lambda: unsent() == 0 or None, what="all is sent")

    assert_heard_once_in_order(ear, calendars, 3_000)


def test_redis_killed_and_started_again_under_an_open_socket(
    calendars: list[models.Calendar], environ: dict[str, str], tmp_path: Path
) -> None:
    calendar = calendars[0]
    valkey = Valkey(tmp_path)
    valkey.start()
    environ = environ | {"REDIS_URL": valkey.url}
    try:
        with relaying(tmp_path / "relay.log", **environ), daphne(tmp_path / "daphne.log", **environ) as server:
            with Socket(server).signed_in(_token()) as socket:
                socket.subscribe(str(calendar.uid))
                add_events(calendars, 3)
                assert socket.versions(3) == [1, 2, 3]

                valkey.kill()
                add_events(calendars, 4, after=3)
                valkey.start()

                assert socket.versions(4) == [4, 5, 6, 7]
                add_events(calendars, 1, after=7)
                assert socket.versions(1) == [8]
            with Socket(server).signed_in(_token()) as late:
                # What Redis lost is lost: who missed it starts afresh, nobody gets a part.
                assert late.subscribe(str(calendar.uid), version=5)["recovered"] is True
                assert late.versions(3) == [6, 7, 8]
                assert late.subscribe(str(calendar.uid), version=2)["recovered"] is False
    finally:
        valkey.kill()


def test_redis_that_lost_its_memory_gets_all_heads_back(
    calendars: list[models.Calendar], redis: "Redis", environ: dict[str, str], tmp_path: Path
) -> None:
    add_events(calendars[:2], 5)
    with relaying(tmp_path / "relay.log", **environ):
        until(lambda: unsent() == 0 or None, what="all is sent")
        for key in redis.scan_iter("live:*"):
            redis.delete(key)
        until(lambda: redis.get(relay.EPOCH), what="the epoch is back")

    heads = [redis.get(f"live:head:{calendar.uid}") for calendar in calendars]
    assert heads == [f"{CLINIC} 5".encode(), f"{CLINIC} 5".encode(), f"{CLINIC} 0".encode()]


def test_a_restored_database_takes_back_what_redis_knew(
    calendars: list[models.Calendar], redis: "Redis", environ: dict[str, str], tmp_path: Path
) -> None:
    add_events(calendars, 5)
    with relaying(tmp_path / "relay.log", **environ), daphne(tmp_path / "daphne.log") as server:
        until(lambda: unsent() == 0 or None, what="all is sent")
        with Socket(server).signed_in(_token()) as socket:
            before = socket.subscribe(str(calendars[0].uid))
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM engine_outboxevent WHERE version > 3; UPDATE engine_calendar SET version = 3")
                cursor.execute("UPDATE engine_stream SET epoch = uuidv7()")
            after = socket.hear("subscribed")
            add_events(calendars, 1, after=3)
            assert socket.versions(1) == [4]

    assert (before["version"], after["version"], after["recovered"]) == (5, 3, False)
    assert before["epoch"] != after["epoch"]


def test_a_calendar_without_events_is_found(
    calendars: list[models.Calendar], redis: "Redis", environ: dict[str, str], tmp_path: Path
) -> None:
    with relaying(tmp_path / "relay.log", **environ):
        made = models.Calendar.objects.create(clinic=calendars[0].clinic, kind="room", name="D", zone="UTC")
        models.Calendar.objects.filter(id=made.id).update(version=7)  # filled in bulk, its events already marked
        found = until(lambda: redis.get(f"live:head:{made.uid}"), what="the head of the new calendar")
    assert found in (f"{CLINIC} 0".encode(), f"{CLINIC} 7".encode())


def test_a_lost_database_connection_is_made_anew(
    calendars: list[models.Calendar], ear: Ear, environ: dict[str, str], tmp_path: Path
) -> None:
    with relaying(tmp_path / "relay.log", **environ):
        add_events(calendars, 1)
        until(lambda: unsent() == 0 or None, what="it works")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        add_events(calendars, 1, after=1)
        until(lambda: unsent() == 0 or None, what="it works again")
    assert_heard_once_in_order(ear, calendars, 2)


def test_it_stops_when_it_is_told_to(calendars: list[models.Calendar], environ: dict[str, str], tmp_path: Path) -> None:
    add_events(calendars, 20_000)
    with relaying(tmp_path / "relay.log", probe="healthz", **environ) as busy:
        began = time.monotonic()
        busy.process.send_signal(signal.SIGTERM)
        assert busy.process.wait(10) == 0
        assert time.monotonic() - began < 2


def test_the_bell_makes_it_prompt(calendars: list[models.Calendar], ear: Ear, environ: dict[str, str], tmp_path: Path) -> None:
    with relaying(tmp_path / "relay.log", **environ):
        took = []
        for version in range(10):
            add_events(calendars[:1], 1, after=version)
            began = time.monotonic()
            ear.redis.publish(BELL, "")
            until(partial(ear.has, calendars[0], version + 1), what="the event")
            took.append(time.monotonic() - began)
    assert sorted(took)[5] < 0.5, "by the bell, not by the poll each second"


def add_events(calendars: list[models.Calendar], count: int, *, after: int = 0) -> None:
    """`count` more committed changes of each calendar, as `bookings` leaves them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH changed AS (UPDATE engine_calendar SET version = %(last)s WHERE id = ANY(%(calendars)s) RETURNING id, uid)
            INSERT INTO engine_outboxevent (calendar_id, version, type, at, data)
            SELECT id, version, 'appointment.booked', clock_timestamp(), jsonb_build_object(
                'id', gen_random_uuid(), 'start', '2026-12-01T14:00:00Z', 'end', '2026-12-01T14:30:00Z', 'status', 'booked',
                'visit_type', gen_random_uuid(), 'calendars', jsonb_build_array(uid))
            FROM changed, generate_series(%(first)s, %(last)s) AS version
            """,
            {"calendars": [calendar.id for calendar in calendars], "first": after + 1, "last": after + count},
        )


def unsent() -> int:
    return models.OutboxEvent.objects.filter(sent_at=None).count()


def _fewer_unsent(than: int) -> bool:
    return unsent() < than


def assert_heard_once_in_order(ear: Ear, calendars: list[models.Calendar], count: int) -> None:
    for calendar in calendars:
        until(partial(ear.has, calendar, count), what="everything was heard")
    assert [ear.heard(calendar) for calendar in calendars] == [list(range(1, count + 1))] * len(calendars)


@contextmanager
def _row_locked(calendar: models.Calendar, version: int) -> Iterator[None]:
    """Nobody can mark this event meanwhile."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute(
                "SELECT 1 FROM engine_outboxevent WHERE calendar_id = %s AND version = %s FOR UPDATE", [calendar.id, version]
            )
            yield
        other.rollback()
    finally:
        other.close()


def _end_waiting() -> None:
    """PostgreSQL would finish the statement of a client that is gone, once the row is free."""
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connection.cursor() as cursor:

        def ended() -> bool:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
            cursor.execute(f"SELECT count(*) = 0 {waiting}")
            return bool(cursor.fetchone()[0])

        until(lambda: ended() or None, what="nobody waits for the row")


def _token() -> str:
    return sign(Path(os.environ["TOKEN_SIGNING_KEY_FILE"]), subject="test", clinic=CLINIC, role="front_desk", seconds=300)
