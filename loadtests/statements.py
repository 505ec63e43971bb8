"""How many statements PostgreSQL was asked, by its own count (pg_stat_statements)."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from apps.local.probes import answers
from loadtests import target
from loadtests.target import Target

_BACK_WITHIN_S = 60
_STACK_BACK_WITHIN_S = 120


def counted(at: Target, data: Path) -> Target:
    """Has the stack in `data` count from now on, for which its PostgreSQL is started afresh; the stack with its new process.

    BEGIN, COMMIT, SET and their like are not counted, for neither site.
    """
    superuser = _superuser(at)
    with closing(psycopg2.connect(superuser)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        cursor.execute("ALTER SYSTEM SET pg_stat_statements.track_utility = off")
        cursor.execute("ALTER SYSTEM SET pg_stat_statements.max = 10000")
    old = at.pids["postgres"]
    os.kill(old, signal.SIGINT)  # its supervisor starts it again
    _until(lambda: not Path(f"/proc/{old}").exists() and answers(superuser), "PostgreSQL did not come back.", _BACK_WITHIN_S)
    with closing(psycopg2.connect(superuser)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    _until(lambda: answers(f"{at.urls['engine']}/readyz"), "The engine did not come back.", _STACK_BACK_WITHIN_S)
    return target.running(data)


def asked(at: Target, database: str) -> int | None:
    """Statements that the database of this address was asked so far; None where nobody counts."""
    try:
        connection = psycopg2.connect(_superuser(at))
    except (OSError, psycopg2.OperationalError):
        return None
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pg_stat_statements') IS NOT NULL")
        if cursor.fetchone() != (True,):
            return None
        cursor.execute(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
            " WHERE d.datname = %s AND s.toplevel",
            [urlsplit(database).path.lstrip("/")],
        )
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def _superuser(at: Target) -> str:
    # `./manage.py up` keeps all its secrets in one folder.
    password = (Path(at.variables["TOKEN_SIGNING_KEY_FILE"]).parent / "postgres-postgres").read_text().strip()
    parts = urlsplit(at.database)
    return parts._replace(netloc=f"postgres:{password}@{parts.hostname}:{parts.port}", path="/postgres").geturl()


def _until(holds: Callable[[], bool], otherwise: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.1)
