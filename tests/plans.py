"""Every statement's real plan, from the server itself: whatever sends it, prepared or not, triggers included."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from django.core.management import call_command
from django.db import connection

_AUTO_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "client_min_messages": "log",
}
_PLAN = " plan:\n"
_PARTITION = re.compile(r"_\d+$")
# What is cached by key must not meet the same key of the other database.
_OTHER_KEYS = "SELECT setval(sequencename::regclass, 100000000) FROM pg_sequences WHERE sequencename LIKE 'engine%'"


@dataclass(frozen=True, slots=True)
class Look:
    """How a statement looked at one table: the kind of look, by which index if any, and how many rows it touched."""

    statement: str
    table: str
    kind: str
    index: str
    rows: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.table} {self.index}: {self.rows} rows for {' '.join(self.statement.split())[:300]}"


class Plans:
    """Takes the place of psycopg2's list of notices, and the plans out of them."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self._notices: list[str] = []

    def append(self, notice: str) -> None:
        _, found, plan = notice.partition(_PLAN)
        if not found:
            self._notices.append(notice)
            return
        told = json.loads(plan)
        self.looks += _looks(told["Query Text"], told["Plan"])

    def clear(self) -> None:
        self._notices.clear()

    def __len__(self) -> int:
        return len(self._notices)


def _looks(statement: str, node: Mapping[str, Any]) -> Iterator[Look]:
    kind = node["Node Type"]
    if "Relation Name" in node and "Scan" in kind:
        touched = sum(node.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Index Recheck")) + node["Actual Rows"]
        yield Look(
            statement,
            _PARTITION.sub("", node["Relation Name"]),
            kind,
            node.get("Index Name", ""),
            round(touched * node["Actual Loops"]),
        )
    for inner in node.get("Plans", ()):
        yield from _looks(statement, inner)


@contextmanager
def explained_database(name: str, fill: Callable[[], None]) -> Iterator[None]:
    """A database of its own in place of the other until the end. Once `fill` has been called every statement tells its plan."""
    usual = connection.settings_dict["NAME"]
    connection.close()
    with closing(psycopg2.connect(_superuser())) as server, server.cursor() as cursor:
        server.autocommit = True
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} OWNER engine")
        connection.settings_dict["NAME"] = name
        try:
            call_command("migrate", verbosity=0)
            with connection.cursor() as inside:
                inside.execute(_OTHER_KEYS)
            fill()
            connection.close()
            for setting, value in _AUTO_EXPLAIN.items():
                cursor.execute(f"ALTER DATABASE {name} SET {setting} = {value}")
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = usual
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def plans() -> Iterator[Plans]:
    """The plans of what this thread's connection is asked meanwhile."""
    connection.ensure_connection()
    raw, found = connection.connection, Plans()
    before, raw.notices = raw.notices, found
    try:
        yield found
    finally:
        raw.notices = before


def big_tables(least: int) -> set[str]:
    """The names of the tables with at least so many rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
        rows = Counter[str]()
        for name, count in cursor.fetchall():
            rows[_PARTITION.sub("", name)] += max(0, int(count))
    return {name for name, count in rows.items() if count >= least}


def _superuser() -> str:
    password = Path(os.environ["HEALTHFLOW_DATA"], "secrets", "postgres-postgres").read_text()
    at = urlsplit(os.environ["DATABASE_URL_ENGINE"])
    return f"postgresql://postgres:{password}@{at.hostname}:{at.port}/postgres"
