"""The fixtures of this folder. The kernel is tested in the engine's process: any service would do."""

import pytest
from django.db import connection, transaction

from tests.practice import desk, gate_open, http, practice, token

__all__ = ["desk", "gate_open", "http", "practice", "token"]

_TABLES = ("kernel_auditentry", "kernel_auditseal")


def as_owner(*statements: str) -> None:
    """What somebody with the owner's rights can do to the audit log: give the rights back, take the trigger away, write."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"GRANT ALL ON {table} TO CURRENT_USER; ALTER TABLE {table} DISABLE TRIGGER append_only")
        for statement in statements:
            cursor.execute(statement)
        for table in _TABLES:
            cursor.execute(
                f"ALTER TABLE {table} ENABLE TRIGGER append_only; REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER"
            )


@pytest.fixture
def log(transactional_db: None) -> None:
    """An audit log without entries; between tests only this empties it."""
    as_owner(f"TRUNCATE {', '.join(_TABLES)}")
