"""SQL as text that goes out as one message, prepared once a connection."""

import re
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connections


class Statement(NamedTuple):
    """A piece of SQL and its parameters."""

    sql: str
    params: Sequence[Any] = ()


def send(raw: Any, cursor: Any, statements: Sequence[Statement]) -> None:
    """Executes them all in one message; the cursor is left at the rows of the last."""
    if _PREPARED:
        statements = [_prepared(raw, cursor, s) if s.params else s for s in statements]
    cursor.execute("; ".join(s.sql for s in statements), [value for s in statements for value in s.params])


_PREPARED = settings.ENV.prepared_statements
# The names of the statements that a connection has prepared.
_names: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()


def _prepared(raw: Any, cursor: Any, statement: Statement) -> Statement:
    """The statement by its name on this connection: parsed and planned once, not 500 times a second (adr/0006)."""
    names = _names.setdefault(raw, {})
    if statement.sql not in names:
        name, numbers = f"s{len(names)}", count(1)
        cursor.execute(f"PREPARE {name} AS {re.sub('%s', lambda _: f'${next(numbers)}', statement.sql)}")
        names[statement.sql] = name
    values = ", ".join(["%s"] * len(statement.params))
    return Statement(f"EXECUTE {names[statement.sql]}({values})", statement.params)


def read(statement: Statement, *, using: str = "default") -> list[tuple[Any, ...]]:
    """The rows of one statement, outside any transaction. Raises what Django's database layer does."""
    door = connections[using]
    door.ensure_connection()
    with door.wrap_database_errors, door.connection.cursor() as cursor:
        send(door.connection, cursor, [statement])
        return list(cursor.fetchall())
