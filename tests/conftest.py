"""What all tests share. The servers are real ones, started by `./manage.py test`, which sets the environment for us."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

REQUIRED = ("DATABASE_URL_ENGINE", "REDIS_URL", "TOKEN_JWKS_FILE")
_FEW_BYTES = 1_000_000
# Billing's guards let nobody delete a row of the ledger.
_MAY_DELETE = """
SELECT sum(pg_relation_size(name)) < %s
       AND NOT bool_or(EXISTS (SELECT FROM pg_trigger WHERE tgrelid = name AND NOT tgisinternal AND tgtype & 8 <> 0))
FROM unnest(%s::regclass[]) AS name
"""


def pytest_configure() -> None:
    missing = [name for name in REQUIRED if name not in os.environ]
    if missing:
        pytest.exit(f"{', '.join(missing)} not set: run the tests with ./manage.py test [pytest arguments]", returncode=2)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Tests whose transactions are really committed leave empty tables behind, by DELETE where that is possible and little.

    Django's TRUNCATE makes each file of each table and index anew, which takes 0.1 s, whatever is in them.
    """
    from django.db import connection

    truncate = connection.ops.sql_flush

    def emptied(style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_MAY_DELETE, [_FEW_BYTES, list(tables)])
            (may_delete,) = cursor.fetchone()
        return ["; ".join(f"DELETE FROM {table}" for table in tables)] if may_delete else truncate(style, tables, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection.ops, "sql_flush", emptied)
        yield
