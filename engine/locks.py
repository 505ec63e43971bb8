"""The locks. Three guards, each with one job; the database decides, everything else advises.

1. Redis, `Gate.claim`: turns a crowd away before it costs a transaction. It may say no too early, never yes wrongly;
   without Redis it is skipped and only load rises.
2. `pg_advisory_xact_lock` on each calendar: puts the writers of a calendar in order.
3. The exclusion constraint `allocation_overlap` (models.py): an overlap cannot exist, whoever writes.

Rules, each bought with a measured failure (adr/0002):
- Transaction-scoped advisory locks only. A session's lock is left behind by a connection pooler, or held by two.
- A transaction begins with its locks, all of them, the keys sorted: no deadlocks (unsorted: 35 for 5 bookings).
  That is why there is no transaction here without locks, and no way to lock later.
- READ COMMITTED, said with BEGIN: under REPEATABLE READ the snapshot is older than the lock and 8 of 8 racers won.
- What the decision needs is read after the lock, in a statement of its own: only then does it see the last writer's rows.
- No network inside, no Celery, no ORM writes (Django would begin and commit a transaction of its own), nothing around it.
- The key is the calendar's own integer: no hashing, no collisions. The namespaces below are never reused or renumbered.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.errors
from django.conf import settings
from django.db import DatabaseError, connection
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from apps.kernel.problems import IdempotencyMismatch, Problem, Unavailable
from apps.kernel.redis import circuit, evaluated
from engine.errors import CalendarBusy, SlotTaken
from engine.statements import Statement as Statement
from engine.statements import send

NAMESPACE_CALENDAR = 1
"""First of the two integers of a calendar's lock; the second is the calendar's key.

2 seals the audit log (apps/kernel/chain.py); 3 and up are free."""

BELL = "engine:bell"
"""Redis channel that is rung after a commit, so that the relay need not wait for its next poll."""

log = logging.getLogger(__name__)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------


class Transaction:
    """A transaction that has its locks. Each call is one message to the database; every statement in it sees what those
    before it did and what others had committed by then.
    """

    def __init__(self, raw: Any, lock: Statement) -> None:
        self._raw = raw
        self._first = [Statement("BEGIN ISOLATION LEVEL READ COMMITTED"), lock]

    def ask(self, *statements: Statement) -> list[tuple[Any, ...]]:
        """The rows of the last statement. The first call begins the transaction and waits for the locks."""
        with self._raw.cursor() as cursor:
            send(self._raw, cursor, [*self._first, *statements])
            self._first = []
            return list(cursor.fetchall())

    def commit(self, *statements: Statement) -> None:
        """Writes and commits; nothing may follow.

        The server must have said nothing meanwhile: a notice tells that the wait for the standby was cancelled, and then
        the outcome is unknown (such commits were lost in 16 of 16 failovers).
        """
        self._raw.notices.clear()
        with self._raw.cursor() as cursor:
            send(self._raw, cursor, [*self._first, *statements, Statement("COMMIT")])
        if self._raw.notices:
            log.error("commit_unconfirmed")
            raise Unavailable("The outcome is not known yet; repeat with the same Idempotency-Key.", retry_after=1)


@contextmanager
def calendars_locked(calendars: Iterable[int]) -> Iterator[Transaction]:
    """A transaction that alone may write to these calendars. What was not committed by `commit` is rolled back.

    Raises what the database refuses as a Problem: CalendarBusy, SlotTaken, IdempotencyMismatch, Unavailable.
    """
    keys = sorted(set(calendars))
    with _transaction(lock_statement(keys)) as transaction:
        yield transaction


@contextmanager
def appointment_locked(appointment: UUID, *, and_calendars: Iterable[int] = ()) -> Iterator[Transaction]:
    """The same for the calendars of an appointment, and others; of none when there is no such appointment.

    The appointment may have been moved between the look and the lock: the caller compares its calendars with `LOCKED`.
    """
    keys = "SELECT DISTINCT key FROM engine_appointment, unnest(calendars || %s::integer[]) AS key WHERE id = %s ORDER BY key"
    locks = f"SELECT key, pg_advisory_xact_lock({NAMESPACE_CALENDAR}, key) FROM ({keys})"
    # The transaction itself remembers what it locked, so that look, locks and the read after them are one message.
    remembered = f"SELECT set_config('engine.locked', coalesce(array_agg(key), '{{}}')::text, true) FROM ({locks})"
    with _transaction(Statement(remembered, (list(and_calendars), appointment))) as transaction:
        yield transaction


LOCKED = "current_setting('engine.locked')::integer[]"
"""SQL: the keys of the calendars that `appointment_locked` locked in this transaction."""


def lock_statement(keys: Sequence[int]) -> Statement:
    """Waits for the locks of these calendars, in the order given."""
    return Statement("SELECT " + ", ".join([f"pg_advisory_xact_lock({NAMESPACE_CALENDAR}, %s)"] * len(keys)), keys)


@contextmanager
def _transaction(lock: Statement) -> Iterator[Transaction]:
    if connection.in_atomic_block:
        raise RuntimeError("a booking is a transaction of its own: one inside another could not be durable")
    try:
        connection.ensure_connection()
        raw = connection.connection
        try:
            yield Transaction(raw, lock)
        finally:
            if not raw.closed and raw.info.transaction_status != TRANSACTION_STATUS_IDLE:
                with raw.cursor() as cursor:
                    cursor.execute("ROLLBACK")
    except (DatabaseError, psycopg2.Error) as refused:
        raise _as_problem(refused) from refused


def _as_problem(refused: Exception) -> Problem:
    match refused.__cause__ if isinstance(refused, DatabaseError) else refused:
        case psycopg2.errors.ExclusionViolation():
            return SlotTaken()
        case psycopg2.errors.UniqueViolation() as cause if cause.diag.table_name == "engine_idempotencykey":
            return IdempotencyMismatch()
        case psycopg2.errors.LockNotAvailable() | psycopg2.errors.DeadlockDetected() | psycopg2.errors.SerializationFailure():
            return CalendarBusy()
        case psycopg2.OperationalError() | psycopg2.InterfaceError():
            connection.close()
            return Unavailable("The database cannot be reached; repeat with the same Idempotency-Key.", retry_after=1)
    raise refused


# --- Redis --------------------------------------------------------------------------------------------------------------

# Values are "try|held|full <hold id> <digest of the idempotency key>".
# A place in a group session is not claimed here: only "full", set when the database refused, turns people away.
# The last argument is a key that exists when a request with this Idempotency-Key was granted: repeated, it must get to the
# database, which has its first answer.
_CLAIM = """
for i, key in ipairs(KEYS) do
  local single = ARGV[2 + i] == '1'
  if not (single and redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) or not single and redis.call('EXISTS', key) == 0) then
    local found = redis.call('GET', key)
    for j = 1, i - 1 do
      if redis.call('GET', KEYS[j]) == ARGV[1] then redis.call('DEL', KEYS[j]) end
    end
    if ARGV[#ARGV] ~= '' and redis.call('EXISTS', ARGV[#ARGV]) == 1 then return false end
    return found
  end
end
return false
"""
# Replaces a value of this hold (or a refusal's "full") by ARGV[2] for ARGV[3] ms, or deletes it; then rings the bell.
_SETTLE = """
for _, key in ipairs(KEYS) do
  local found = redis.call('GET', key)
  if found and (string.find(found, ARGV[1], 1, true) or ARGV[2] == '' and string.sub(found, 1, 4) == 'full') then
    if ARGV[2] == '' then redis.call('DEL', key) else redis.call('SET', key, ARGV[2], 'PX', ARGV[3]) end
  elseif not found and string.sub(ARGV[2], 1, 4) == 'full' then
    redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
  end
end
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], '') end
if ARGV[5] then redis.call('SET', ARGV[5], '', 'PX', ARGV[6]) end
"""

# A process that dies between claim and commit blocks the slot this long.
_TRY_MS = 10_000
# How long a slot that the database refused is refused without asking it again.
_FULL_MS = 1_000
# How long it is remembered that a request was granted: as long as its Idempotency-Key is.
_GRANTED_MS = 24 * 3600 * 1000


class Gate:
    """The Redis lock on the start of a slot, for all calendars of one hold at once.

    Every failure of Redis opens the gate for a second.
    """

    def __init__(self, url: str) -> None:
        self._redis = circuit(url)

    def claim(self, keys: list[str], hold: UUID, *, digest: str, capacities: list[int]) -> str | None:
        """Claims all keys, or none: then the value in the way. None as well when Redis does not answer, and for a request
        that has been granted before.
        """
        found = self._call(_CLAIM, keys, [f"try {hold} {digest}", _TRY_MS, *capacities, granted_key(digest)])
        return found.decode() if isinstance(found, bytes) else None

    def keep(self, keys: list[str], hold: UUID, *, digest: str, seconds: int) -> None:
        """The hold is committed: its keys stay for its time. Rings the bell."""
        granted: list[str | int] = [granted_key(digest), _GRANTED_MS] if digest else []
        self._call(_SETTLE, keys, [str(hold), f"held {hold} {digest}", seconds * 1000, BELL, *granted])

    def refuse(self, keys: list[str], hold: UUID) -> None:
        """The database refused: others need not ask for a moment."""
        self._call(_SETTLE, keys, [str(hold), f"full {hold} ", _FULL_MS, ""])

    def release(self, keys: list[str], hold: UUID, *, committed: bool) -> None:
        """The hold's keys are deleted, those of others are not. Rings the bell if something was committed."""
        self._call(_SETTLE, keys, [str(hold), "", 0, BELL if committed else ""])

    def ring(self) -> None:
        """Rings the bell after a commit that touched no slot."""
        self._call(_SETTLE, [], ["", "", 0, BELL])

    def _call(self, script: str, keys: list[str], args: list[str | int]) -> object:
        return self._redis.ask(lambda mine: evaluated(mine, script, keys, *args))


def granted_key(digest: str) -> str:
    """The Redis key that exists when a request with this Idempotency-Key was granted; none without one."""
    return f"granted:{digest}" if digest else ""


def gate_keys(clinic: int, calendars: Iterable[int], start: int) -> list[str]:
    """The Redis keys of a slot's start on its calendars. The clinic in braces keeps them on one node of a cluster."""
    return [f"hold:{{{clinic}}}:{calendar}:{start}" for calendar in calendars]


gate = Gate(settings.ENV.redis_url.get_secret_value())
