"""Reads from replicas that cannot mislead. A door says which of its reads may be a moment old; all else is the primary's.

A replica answers such a read when it

- follows: it has all that the primary had written `replica_lag_s` ago. Positions in the log are compared, not clocks: a replica of
  an idle primary is not behind, however long ago the last write was. Each process looks for itself, several times a second.
- has what the reader wrote: the answer to a write carries a position (header `Freshness`), which the reader shows with what it
  asks next, and the replica is asked for it before the read.
- has what the reader names: an answer that is older than a version the reader knows (`enough`) is not given.

Whatever is missing, the primary answers: also when the replica fails or finds nothing. A reader waits for no replica: one that
does not answer a look in time is left out, and the reads under way there are cut off and asked again of the primary.
"""

import os
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeVar

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter
from psycopg2.extensions import POLL_OK, POLL_READ

from apps.kernel.problems import NotFound, ValidationFailed

READS = Counter("replica_reads", "Reads that a replica may answer, by how it ended: replica, or why it was the primary", ["ended"])

_LOOK_S, _ANSWERS_WITHIN_S = 0.2, 0.5
_WRITTEN = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
# Without a receiver it follows nobody: promoted, or left behind on a history that ended.
_REPLAYED = """SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint
               WHERE pg_is_in_recovery() AND EXISTS (SELECT FROM pg_stat_wal_receiver)"""
_POSITION = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
_BEYOND_ALL = "FFFFFFFF/FFFFFFFF"
_NEVER = float("-inf")

Found = TypeVar("Found")
_reading: ContextVar[str] = ContextVar("reading", default=DEFAULT_DB_ALIAS)


# --- at the door --------------------------------------------------------------------------------------------------------


def read(request: HttpRequest, what: Callable[[], Found], *, enough: Callable[[Found], bool] = lambda _: True) -> Found:
    """`fresh`, for a reader who may show up to where she must be shown everything. Raises ValidationFailed."""
    return fresh(what, enough=enough, known=_shown(request)) if settings.REPLICAS else what()


def fresh(what: Callable[[], Found], *, enough: Callable[[Found], bool], known: str | None = None) -> Found:
    """What `what` reads, from a replica that is fresh enough, else from the primary.

    `what` only reads, and may be called twice. `enough` says of an answer whether it is as new as is demanded; `known` is a
    position in the log that the replica must have reached.
    """
    if not settings.REPLICAS:
        return what()
    ended, alias = "left_out", watch.choose()
    if alias is not None:
        ended = "behind"
        try:
            with watch.reading(alias):
                if known is None or _has(alias, known):
                    found = what()
                    if enough(found):
                        READS.labels("replica").inc()
                        return found
        except NotFound:
            ended = "not_found"  # it may be too young to be there
        except Error:
            ended = "failed"
            watch.failed(alias)
    READS.labels(ended).inc()
    return what()


def cursor() -> Any:
    """A cursor for SQL that reads: on the replica inside of `read`, everywhere else on the primary."""
    return connections[_reading.get()].cursor()


def alias() -> str:
    """The database that is read from: the replica inside of `read`, everywhere else the primary."""
    return _reading.get()


class Router:
    """The same for the ORM's reads. Writes are the primary's, always."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return _reading.get()

    def db_for_write(self, model: object, **hints: object) -> str:
        return DEFAULT_DB_ALIAS

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return db == DEFAULT_DB_ALIAS


class Freshness:
    """Middleware: the answer to a write says up to where the primary's log has it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        # Of what was refused nothing was written; of what went wrong it is not known.
        if request.method not in ("GET", "HEAD", "OPTIONS") and not 400 <= response.status_code < 500:
            response["Freshness"] = _position()
        return response


def _position() -> str:
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as primary:
            primary.execute("SELECT pg_current_wal_flush_lsn()")
            return str(primary.fetchone()[0])
    except Error:
        return _BEYOND_ALL


def _shown(request: HttpRequest) -> str | None:
    known = request.headers.get("Freshness")
    if known is not None and _POSITION.fullmatch(known) is None:
        raise ValidationFailed("This is not a Freshness that an answer of ours carried.", param="Freshness")
    return known


def _has(alias: str, position: str) -> bool:
    with connections[alias].cursor() as replica:
        replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])
        return bool(replica.fetchone()[0])


# --- the look at the servers --------------------------------------------------------------------------------------------


class Watch:
    """Knows until when each replica has everything. A thread a server, from the first read on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._turn = count()
        self._knows = dict.fromkeys(settings.REPLICAS, _NEVER)
        # (when, what the primary had written by then), the newest last.
        self._written: deque[tuple[float, int]] = deque(maxlen=500)
        self._busy: dict[str, set[Any]] = {alias: set() for alias in settings.REPLICAS}

    def choose(self) -> str | None:
        """A replica that follows, the next in turn; None when there is none."""
        self._start()
        since = time.monotonic() - settings.ENV.replica_lag_s
        usable = [alias for alias, until in self._knows.items() if until >= since]
        return usable[next(self._turn) % len(usable)] if usable else None

    @contextmanager
    def reading(self, alias: str) -> Iterator[None]:
        """Reads of this thread go to the replica inside the block, and can be cut off."""
        wrapper = connections[alias]
        wrapper.ensure_connection()
        raw = wrapper.connection
        with self._lock:
            self._busy[alias].add(raw)
        place = _reading.set(alias)
        try:
            yield
        finally:
            _reading.reset(place)
            with self._lock:
                self._busy[alias].discard(raw)

    def failed(self, alias: str) -> None:
        """A read failed there. If that was the connection, the replica is left out until the next look finds it well."""
        wrapper = connections[alias]
        if wrapper.connection is None or wrapper.connection.closed:
            self._knows[alias] = _NEVER
        wrapper.close()

    def _start(self) -> None:
        if self._started:
            return
        with self._lock:
            if not self._started:
                threading.Thread(target=self._look_at_primary, name="watch-primary", daemon=True).start()
                for alias in settings.REPLICAS:
                    threading.Thread(target=self._look_at, args=(alias,), name=f"watch-{alias}", daemon=True).start()
                self._started = True

    def _look_at_primary(self) -> None:
        line = _Line(DEFAULT_DB_ALIAS)
        while True:
            asked_at = time.monotonic()
            if (written := line.ask(_WRITTEN)) is not None:
                self._written.append((asked_at, written))
            time.sleep(_LOOK_S)

    def _look_at(self, alias: str) -> None:
        line = _Line(alias)
        while True:
            replayed = line.ask(_REPLAYED)
            self._knows[alias] = self._complete_until(replayed)
            if line.is_dead:
                self._cut(alias)
            time.sleep(_LOOK_S)

    def _complete_until(self, replayed: int | None) -> float:
        if replayed is None:
            return _NEVER
        return next((when for when, written in reversed(tuple(self._written)) if written <= replayed), _NEVER)

    def _cut(self, alias: str) -> None:
        """Ends what is asked of a server that does not answer: the kernel at its other end may acknowledge for ever."""
        with self._lock:
            for raw in self._busy[alias]:
                if not raw.closed:
                    with socket.socket(fileno=os.dup(raw.fileno())) as doomed:
                        doomed.shutdown(socket.SHUT_RDWR)


class _Line:
    """A connection for looking, on which nothing waits longer than it may."""

    def __init__(self, alias: str) -> None:
        self._params = connections[alias].get_connection_params()
        self._raw: Any = None
        self.is_dead = True

    def ask(self, sql: str) -> int | None:
        """The one number that `sql` finds; None when it finds none, or the server does not answer in time."""
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        try:
            if self._raw is None:
                self._raw = psycopg2.connect(**self._params, async_=True)
                self._wait(deadline)
            with self._raw.cursor() as looking:
                looking.execute(sql)
                self._wait(deadline)
                row = looking.fetchone()
        except (psycopg2.Error, OSError):
            self.is_dead = True
            if self._raw is not None:
                self._raw.close()
            self._raw = None
            return None
        self.is_dead = False
        return row[0] if row else None

    def _wait(self, deadline: float) -> None:
        while (state := self._raw.poll()) != POLL_OK:
            waiting = select.poll()
            waiting.register(self._raw.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError


watch = Watch()
