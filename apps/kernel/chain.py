"""The chain over the audit log: each entry is sealed with a hash that covers it and all before it.

An entry is written with its cause, and sealed within seconds after its commit. A chain written in the request would need the hash
of the entry before it, so all writers of a service would wait for each other's commits. Until an entry is sealed, the rights
alone guard it; what guards a sealed one is the next day's export (engine/adr/0013-audit-chain.md).

hash = SHA-256(hash before it ‖ the entry as `_CANONICAL` writes it, in UTF-8); before the first there are 32 zero bytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from django.db import connection, transaction

START = bytes(32)
_LOCK = 2
"""First of the two integers of the sealer's advisory lock; 1 is the engine's calendars (engine/locks.py)."""
_BATCH = 5_000
_WALKED_AT_ONCE = 20_000
UNSEALED_AFTER = "2 minutes"
_MOST_FINDINGS = 20

# The same text for the same row whatever the session's settings are: JSON in a fixed order, the time in microseconds.
_CANONICAL = """
json_build_object('id', e.id, 'txid', e.txid::text, 'at', (extract(epoch FROM e.at) * 1000000)::bigint, 'clinic', e.clinic,
    'actor', e.actor, 'role', e.role, 'session', e.session, 'action', e.action, 'object', e.object, 'patient', e.patient,
    'outcome', e.outcome, 'request_id', e.request_id, 'address', e.address, 'details', e.details)::text
"""
# Below the oldest transaction that still runs nothing can be committed any more, so no place is taken before its turn.
_NEXT = f"""
SELECT e.id, e.txid::text, {_CANONICAL} FROM kernel_auditentry e
WHERE (e.txid, e.id) > (%s::text::xid8, %s) AND e.txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.txid, e.id LIMIT %s
"""  # noqa: S608 - made of constants
_SEAL = """
INSERT INTO kernel_auditseal (position, entry, txid, hash)
SELECT %s + number, entry, txid::xid8, hash
FROM unnest(%s::bigint[], %s::text[], %s::bytea[]) WITH ORDINALITY AS u(entry, txid, hash, number)
"""
_WALK = f"""
SELECT s.position, s.entry, s.txid::text, s.hash, CASE WHEN e.txid = s.txid THEN {_CANONICAL} END
FROM kernel_auditseal s LEFT JOIN kernel_auditentry e ON e.id = s.entry
WHERE s.position > %s AND s.position <= %s ORDER BY s.position
"""  # noqa: S608 - made of constants
_UNSEALED = """
SELECT e.id FROM kernel_auditentry e
WHERE (e.txid, e.id) > (%s::text::xid8, %s) AND (e.txid, e.id) < (%s::text::xid8, %s) AND e.at < clock_timestamp() - %s::interval
      AND NOT EXISTS (SELECT FROM kernel_auditseal s WHERE s.entry = e.id)
ORDER BY e.txid, e.id LIMIT 1
"""

Place = tuple[int, int]
"""Transaction and id of an entry: the order in which entries are sealed."""
_FIRST, _LAST = (0, 0), (2**63 - 1, 0)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry in its position; `line` is its canonical text, None when the entry is gone."""

    position: int
    place: Place
    hash: bytes
    line: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the log, and where: `kind` is removed, changed, reordered, inserted, truncated or unsealed."""

    kind: str
    position: int | None
    entry: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The log from its beginning to `head`; `findings` in the chain's order, the first of them first."""

    entries: int
    head: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        return not self.findings


@contextmanager
def sealing() -> Iterator[None]:
    """A transaction in which nobody else seals."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
        yield


def seal() -> int:
    """Seals what was committed since; how many entries."""
    count = 0
    while True:
        with sealing():
            sealed = _seal_batch()
        count += sealed
        if sealed < _BATCH:
            return count


def _seal_batch() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT position, txid::text, entry, hash FROM kernel_auditseal ORDER BY position DESC LIMIT 1")
        position, txid, entry, last = cursor.fetchone() or (0, "0", 0, START)
        cursor.execute(_NEXT, [txid, entry, _BATCH])
        entries, txids, hashes, previous = [], [], [], bytes(last)
        for entry, txid, line in cursor.fetchall():
            previous = following(previous, line)
            entries.append(entry)
            txids.append(txid)
            hashes.append(previous)
        cursor.execute(_SEAL, [position, entries, txids, hashes])
    return len(entries)


def following(previous: bytes, line: str) -> bytes:
    """The hash of an entry with this canonical text, after one with hash `previous`."""
    return sha256(previous + line.encode()).digest()


def head() -> tuple[int, bytes]:
    """The last position and its hash."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position, hash FROM kernel_auditseal ORDER BY position DESC LIMIT 1")
        position, hash_ = cursor.fetchone() or (0, START)
    return position, bytes(hash_)


def walk(*, after: int = 0, last: int) -> Iterator[list[Sealed]]:
    """What is sealed from position `after` + 1 to `last`, as it is found, in batches."""
    for start in range(after, last, _WALKED_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(_WALK, [start, min(start + _WALKED_AT_ONCE, last)])
            rows = cursor.fetchall()
        yield [Sealed(position, (int(txid), entry), bytes(hash_), line) for position, entry, txid, hash_, line in rows]


def verify(known: Mapping[int, str] | None = None) -> Verdict:
    """Walks the whole log. `known` are hashes kept elsewhere, in hexadecimal by position: with them a chain that was cut off, or
    written anew from some place on, is found too.
    """
    known = known or {}
    last, hash_ = head()
    findings = list[Finding]()
    previous = Sealed(0, _FIRST, START, "")
    for batch in walk(last=last):
        begin = previous.place
        for one in batch:
            findings += _faults(one, previous, known.get(one.position, ""))
            previous = one
        findings += _unsealed("inserted", begin, previous.place, older_than="0")
        if len(findings) >= _MOST_FINDINGS:
            return Verdict(last, hash_.hex(), findings[:_MOST_FINDINGS])
    findings += [Finding("truncated", position, None) for position in sorted(known) if position > last][:1]
    findings += _unsealed("unsealed", previous.place, _LAST, older_than=UNSEALED_AFTER)
    return Verdict(last, hash_.hex(), findings)


def _faults(one: Sealed, previous: Sealed, known: str) -> list[Finding]:
    """What is wrong with one entry, seen from the one before it."""
    if one.position != previous.position + 1:
        return [Finding("removed", previous.position + 1, None)]
    if one.line is None:
        kind = "removed"
    elif one.place <= previous.place:
        kind = "reordered"
    elif following(previous.hash, one.line) != one.hash or (known and known != one.hash.hex()):
        kind = "changed"
    else:
        return []
    return [Finding(kind, one.position, one.place[1])]


def _unsealed(kind: str, after: Place, before: Place, *, older_than: str) -> list[Finding]:
    """The first entry between two places that is not in the chain."""
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED, [str(after[0]), after[1], str(before[0]), before[1], older_than])
        return [Finding(kind, None, entry) for (entry,) in cursor.fetchall()]
