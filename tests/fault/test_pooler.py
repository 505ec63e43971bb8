"""Behind PgBouncer, which gives a server connection to another client after each transaction, bookings stay what they are."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from apps.local import servers
from apps.local.environment import free_ports, write_private
from apps.local.processes import Process
from engine.locks import NAMESPACE_CALENDAR
from tests.integration.realtime.live import of_this_test
from tests.invariants import violations
from tests.practice import Practice
from tests.standby import serving, tell

RIVALS, POOL = 12, 2
NOBODYS = 4711
"""Second integer of a lock that no calendar has."""


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer in transaction mode before the database of this test."""

    url: str
    console: str

    @contextmanager
    def client(self) -> Iterator[psycopg2.extensions.cursor]:
        with closing(psycopg2.connect(self.url)) as client, client.cursor() as cursor:
            client.autocommit = True
            yield cursor


@pytest.fixture
def pooler(practice: Practice, tmp_path: Path) -> Iterator[Pooler]:
    url, port = of_this_test()["DATABASE_URL_ENGINE"], free_ports(1)[0]
    found = re.fullmatch(r"postgresql://(\w+):([^@]+)@127.0.0.1:(\d+)/(\w+)", url)
    assert found is not None
    user, password, server_port, name = found.groups()
    # What the engine says of itself when it connects, a pooler does not pass on: it has to say so for each connection.
    options = settings.DATABASES["default"]["OPTIONS"]["options"]
    session = "; ".join(f"SET {name} = ''{value}''" for name, value in _settings(options))
    database = f"{name} = host=127.0.0.1 port={server_port} dbname={name} pool_size={POOL} connect_query='{session}'"
    users, file = tmp_path / "users.txt", tmp_path / "pgbouncer.ini"
    write_private(users, f'"{user}" "{password}"\n')
    lines = [
        f"[databases]\n{database}\n[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
        f"auth_type = scram-sha-256\nauth_file = {users}\nadmin_users = {user}",
        "pool_mode = transaction\nignore_startup_parameters = options\nmax_client_conn = 100",
    ]
    write_private(file, "\n".join(lines) + "\n")
    own = f"postgresql://{user}:{password}@127.0.0.1:{port}"
    command = (os.environ["PGBOUNCER"], str(file))
    process = Process("pgbouncer", command=command, privileges=servers.unprivileged(), probe=f"{own}/{name}")
    with servers.running_process(process, log=tmp_path / "pgbouncer.log"):
        yield Pooler(f"{own}/{name}", f"{own}/pgbouncer")


def test_more_rivals_than_connections_and_nobody_books_twice(pooler: Pooler, practice: Practice, tmp_path: Path) -> None:
    offers = practice.offers()[:6]
    environ = {"DATABASE_URL_ENGINE": pooler.url, "PREPARED_STATEMENTS": "off", "REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(tmp_path / "engine.log", **environ) as server, ThreadPoolExecutor(RIVALS) as rivals:
        line = threading.Barrier(RIVALS)

        def take(slot: str) -> int:
            with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as http:
                line.wait(20)
                key = {"Idempotency-Key": uuid4().hex}
                return http.post("/api/engine/v1/holds", json={"slot": slot}, headers=key).status_code

        for offer in offers:
            answers = Counter(rivals.map(take, [offer.token()] * RIVALS))
            assert answers[201] == 1, answers
            assert answers.keys() <= {201, 409, 503}, answers
        assert _most_used(pooler) == POOL

    assert violations(practice.slug) == []
    assert _locks_left() == 0


def test_a_lock_of_the_transaction_is_held_by_one_and_not_left_behind(pooler: Pooler) -> None:
    with pooler.client() as one, pooler.client() as other:
        one.execute("BEGIN")
        assert _takes(one, "pg_try_advisory_xact_lock")
        assert not _takes(other, "pg_try_advisory_xact_lock")
        one.execute("COMMIT")
        assert _locks_left() == 0


def test_a_lock_of_the_session_is_held_by_two_and_left_behind(pooler: Pooler) -> None:
    """Why there is none: this is what would happen to bookings."""
    with pooler.client() as one, pooler.client() as other:
        assert _takes(one, "pg_try_advisory_lock")
        assert _takes(other, "pg_try_advisory_lock")
    assert _locks_left() > 0


def _settings(options: str) -> list[tuple[str, str]]:
    """(name, value) of each `-c name=value`; a space in a value is written with a backslash before it."""
    return [(name, value.replace("\\ ", " ")) for name, value in re.findall(r"-c (\w+)=((?:\\ |\S)+)", options)]


def _takes(client: psycopg2.extensions.cursor, lock: str) -> bool:
    client.execute(f"SELECT {lock}({NAMESPACE_CALENDAR}, {NOBODYS})")
    row = client.fetchone()
    return row is not None and bool(row[0])


def _locks_left() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


def _most_used(pooler: Pooler) -> int:
    """How many connections to PostgreSQL the pooler has for us."""
    name = pooler.url.rpartition("/")[2]
    return sum(row[2] == name for row in tell(pooler.console, "SHOW SERVERS"))
