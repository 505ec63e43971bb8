"""The relay: takes what the outbox holds and Redis has not seen yet to Redis, where the live sockets hear of it.

What lies in Redis (`realtime/hub.py` reads it; the two share these names and nothing else):

    live:epoch            the database's epoch. Written last: where it is missing or another one, nothing else counts.
    live:head:<calendar>  "<clinic> <version>": the last version that was published. Every calendar has one.
    live:log:<calendar>   stream of the last events: id <version>-0, fields `staff` and `public`, the frames as a socket
                          sends them. The last 512 or a few more; gone an hour after the last.
    live:staff:<calendar>, live:public:<calendar>      channels; a message is "<version> <at> <frame>", `at` being when it
                          happened, in ms since 1970: a socket process measures with it without reading the frame.
    live:epoch            as a channel: all heads are there and `live:epoch` is set; a message is the epoch.

Order: versions of a calendar are committed in order, because each is taken under the calendar's lock. So what is not sent
yet is, in any snapshot, the end of the calendar's versions without a hole, and taken in version order a batch goes on
where the last one stopped. A version that is not above the head is not published again. That makes it harmless to
be killed between publishing and marking, and to run two relays at once.

Rows are marked only after Redis took them. What Redis took and then lost with its memory is seen by the sockets as a gap.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from django.db import DatabaseError, connection
from prometheus_client import Counter, Gauge, Histogram
from redis import Redis, RedisError
from redis.client import PubSub

from engine import outbox, stands
from engine.scheduling.lifecycle import Event
from engine.stands import EPOCH as EPOCH

_BATCH = 500
_PAGE = 5_000
_POLL_S = 1.0
_BACK_OFF_S = (0.1, 2.0)
# Reading every calendar's head takes at most one hundredth of the relay's time, however many there are.
_HEADS_EVERY_S = 2.0
_HEADS_SHARE = 100

RELAYED = Counter("relay_events", "Events that Redis took")
LAG = Histogram(
    "relay_lag_seconds",
    "From the moment an event happened until Redis had it",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
UNSENT = Gauge("outbox_unsent", "Events that were not sent yet")
OLDEST = Gauge("outbox_oldest_unsent_seconds", "Age of the oldest event that was not sent yet")

log = logging.getLogger(__name__)

# All keys of one call must be on one Redis node. Heads stay exact: versions are below 2^53, what Lua can count.
_PUBLISH = """
if redis.call('GET', 'live:epoch') ~= ARGV[1] then return -1 end
local published = 0
for i = 2, #ARGV, 6 do
  local calendar, version, at, staff, public = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local head = redis.call('GET', 'live:head:' .. calendar)
  if not head or tonumber(version) > tonumber(string.match(head, '%d+$')) then
    local log = 'live:log:' .. calendar
    redis.call('XADD', log, 'MAXLEN', '~', 512, version .. '-0', 'staff', staff, 'public', public)
    redis.call('PEXPIRE', log, 3600000)
    redis.call('SET', 'live:head:' .. calendar, ARGV[i + 1] .. ' ' .. version)
    redis.call('PUBLISH', 'live:staff:' .. calendar, version .. ' ' .. at .. ' ' .. staff)
    redis.call('PUBLISH', 'live:public:' .. calendar, version .. ' ' .. at .. ' ' .. public)
    published = published + 1
  end
end
return published
"""
# Under another epoch than before the old heads and logs mean nothing; under the same one a head only rises.
_HEADS = """
if (redis.call('GET', 'live:epoch') or '') ~= ARGV[1] then return redis.error_reply('EPOCH changed meanwhile') end
for i = 3, #ARGV, 3 do
  local key = 'live:head:' .. ARGV[i]
  local head = ARGV[1] == ARGV[2] and redis.call('GET', key)
  if not head or tonumber(string.match(head, '%d+$')) < tonumber(ARGV[i + 2]) then
    redis.call('SET', key, ARGV[i + 1] .. ' ' .. ARGV[i + 2])
    if ARGV[1] ~= ARGV[2] then redis.call('DEL', 'live:log:' .. ARGV[i]) end
  end
end
"""


class Unsent(NamedTuple):
    """A row of the outbox that is not marked as sent, with its calendar's and clinic's public identifiers."""

    key: int
    version: int
    calendar: UUID
    clinic: str
    event: str
    at: datetime
    data: str


def run(redis: "Redis", bell: str, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Relays until `stop` is set. The Redis channel `bell` wakes it, a poll each second is the truth.

    `beat` is called after every round that went well. While Redis or PostgreSQL is away it tries again, ever more slowly.
    """
    back_off, lost = _BACK_OFF_S[0], False
    while not stop.is_set():
        try:
            with redis.pubsub() as bells:  # type: ignore[no-untyped-call]
                bells.subscribe(bell)
                heads_due = 0.0
                while not stop.is_set():
                    heads_due = _round(redis, stop, heads_due=heads_due)
                    beat()
                    if lost:
                        log.info("relay_back")
                    back_off, lost = _BACK_OFF_S[0], False
                    _wait(bells, stop)
        except (RedisError, DatabaseError) as failed:
            if not lost:
                log.warning("relay_lost", extra={"error": type(failed).__name__})
            lost = True
            connection.close()
            stop.wait(back_off)
            back_off = min(back_off * 2, _BACK_OFF_S[1])
    connection.close()


def _wait(bells: PubSub, stop: threading.Event) -> None:
    # One round answers all rings so far.
    if not stop.is_set() and bells.get_message(timeout=_POLL_S):
        while bells.get_message():
            pass


def _round(redis: "Redis", stop: threading.Event, *, heads_due: float) -> float:
    """Relays all there is, unless told to stop; answers when the heads are due again, in monotonic seconds."""
    began = time.monotonic()
    if began >= heads_due:
        refresh_heads(redis)
        measure()
        took = time.monotonic() - began
        heads_due = time.monotonic() + max(_HEADS_EVERY_S, _HEADS_SHARE * took)
    while relay(redis) and not stop.is_set():
        pass
    return heads_due


def relay(redis: "Redis") -> bool:
    """Publishes and marks one batch; whether there may be more. Raises RedisError, DatabaseError."""
    epoch, rows = _epoch(), unsent()
    if not publish(redis, rows, epoch=epoch):
        refresh_heads(redis)
        return True
    mark(rows)
    return len(rows) == _BATCH


def unsent() -> list[Unsent]:
    """The next batch: each calendar's oldest first, without a hole."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.calendar_id, o.version, c.uid, k.slug, o.type, o.at, o.data
            FROM engine_outboxevent o
            JOIN engine_calendar c ON c.id = o.calendar_id
            JOIN engine_clinic k ON k.id = c.clinic_id
            WHERE o.sent_at IS NULL ORDER BY o.calendar_id, o.version LIMIT %s
            """,
            [_BATCH],
        )
        return [Unsent._make(row) for row in cursor.fetchall()]


def publish(redis: "Redis", rows: list[Unsent], *, epoch: str) -> bool:
    """Gives the rows to Redis, in one step; False when Redis does not know this epoch, and then it takes nothing."""
    arguments: list[str | int] = [epoch]
    for row in rows:
        frame = outbox.frame(row.calendar, row.version, row.event, at=row.at, data=row.data)
        at_ms = int(row.at.timestamp() * 1000)
        arguments += (str(row.calendar), row.clinic, row.version, at_ms, _text(frame), _text(outbox.public_frame(frame)))
    if rows:
        _tell(redis, rows)  # first, so that who hears of an event finds no less
    published = int(redis.register_script(_PUBLISH)(args=arguments))
    if published < 0:
        return False
    now = time.time()
    for row in rows:
        LAG.observe(max(0.0, now - row.at.timestamp()))
    RELAYED.inc(published)
    return True


def _tell(redis: "Redis", rows: list[Unsent]) -> None:
    """What the writer has told already, unless it died (stands.py)."""
    changes = [stands.change(row.key, row.version, _days(row)) for row in rows]
    arguments = [text for _, version, days in changes for text in (version, days)]
    redis.register_script(stands.TELL)(keys=[key for key, _, _ in changes], args=arguments)


def _days(row: Unsent) -> set[int]:
    """The days that an event changes; none where it does not say."""
    if not row.event.startswith("appointment.") or row.event == Event.RESCHEDULED:
        return set()
    data = json.loads(row.data)
    return stands.days_around(*(int(datetime.fromisoformat(data[name]).timestamp()) for name in ("start", "end")))


def mark(rows: list[Unsent]) -> None:
    """Marks rows that Redis took."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE engine_outboxevent o SET sent_at = clock_timestamp()
            FROM unnest(%s::integer[], %s::bigint[]) AS sent (calendar_id, version)
            WHERE o.calendar_id = sent.calendar_id AND o.version = sent.version AND o.sent_at IS NULL
            """,
            [[row.key for row in rows], [row.version for row in rows]],
        )


def refresh_heads(redis: "Redis") -> None:
    """Makes Redis know every calendar and the last version of it that was sent, and the epoch.

    That is how Redis gets back what it lost, how a restored database is told, and how a calendar without events is found.
    """
    epoch, known = _epoch(), cast(bytes, redis.get(EPOCH) or b"").decode()
    script = redis.register_script(_HEADS)
    for page in _heads():
        script(args=[known, epoch, *page])
    if known != epoch:
        log.info("relay_epoch", extra={"epoch": epoch, "before": known})
        with redis.pipeline(transaction=True) as both:
            both.set(EPOCH, epoch)
            both.publish(EPOCH, epoch)
            both.execute()


def measure() -> None:
    """Brings the gauges up to date."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8"
            " FROM engine_outboxevent WHERE sent_at IS NULL"
        )
        count, oldest = cursor.fetchone()
    UNSENT.set(count)
    OLDEST.set(oldest)


def _heads() -> Iterator[list[str | int]]:
    """Calendar, clinic and last sent version of all calendars, flat, in pages."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT c.id, c.uid, k.slug, coalesce(
                    (SELECT min(o.version) - 1 FROM engine_outboxevent o WHERE o.calendar_id = c.id AND o.sent_at IS NULL),
                    c.version)
                FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id WHERE c.id > %s ORDER BY c.id LIMIT %s
                """,
                [last, _PAGE],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        yield [value for _, calendar, clinic, version in rows for value in (str(calendar), clinic, version)]
        last = rows[-1][0]


def _epoch() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT epoch FROM engine_stream")
        return str(cursor.fetchone()[0])


def _text(frame: dict[str, object]) -> str:
    return json.dumps(frame, separators=(",", ":"))
