"""Publishes events, in a process of its own, as the servers under test expect them.

    python -m loadtests.publisher <way> <redis address>

An order is a line of JSON on standard input, `{"calendars": [...], "events": n, "per_s": rate, "note": bytes}`: n events in
turn over the calendars, at that rate (0: all at once), with a note of that length in their data. The answer is a line:
what the calendars' versions are now, and what it took. Every event is stamped (`at`) just before it is sent.

The ways: `ours` runs the relay's own script on frames that the outbox made; `ws`, `channels` and `socketio` publish the same
frame as each of them does it; `outbox` commits rows as a booking does, and leaves the rest to the relay.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgpack  # type: ignore[import-untyped]
from redis import Redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings")

import django

django.setup()

from django.db import connection  # noqa: E402

from engine import outbox, relay  # noqa: E402
from engine.locks import calendars_locked, gate  # noqa: E402
from engine.scheduling.lifecycle import Event  # noqa: E402

CLINIC = "storm"
EPOCH = str(uuid4())
_BATCH = 500  # as the relay
_VERSION, _AT = 111_222_333, datetime(2001, 2, 3, 4, 5, 6, 7, UTC)


class Due(NamedTuple):
    """An event that is to be published. `note` is how many bytes it carries for nothing."""

    calendar: str
    version: int
    note: int


Publish = Callable[[Sequence[Due]], None]


# --- frames -------------------------------------------------------------------------------------------------------------


def _data(calendar: str, note: int) -> dict[str, Any]:
    appointment, visit_type = (str(UUID(int=UUID(calendar).int ^ number)) for number in (1, 2))
    data = {"id": appointment, "start": "2026-12-01T14:00:00Z", "end": "2026-12-01T14:30:00Z", "status": "booked"}
    return {**data, "visit_type": visit_type, "calendars": [calendar], **({"note": "-" * note} if note else {})}


@cache
def _frames(calendar: str, note: int) -> tuple[str, str]:
    """The texts of the outbox's two frames, staff's and public's, with places for version and time."""
    data = _data(calendar, note)
    staff = outbox.frame(UUID(calendar), _VERSION, Event.BOOKED, at=_AT, data=data)

    def template(frame: dict[str, Any]) -> str:
        text = json.dumps(frame, separators=(",", ":"))
        return text.replace(str(_VERSION), "%d").replace(staff["at"], "%s")

    return template(staff), template(outbox.public_frame(staff))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- ways ---------------------------------------------------------------------------------------------------------------


def _ours(redis: "Redis") -> Publish:
    script = redis.register_script(relay._PUBLISH)
    redis.set(relay.EPOCH, EPOCH)
    redis.publish(relay.EPOCH, EPOCH)

    def publish(events: Sequence[Due]) -> None:
        now, at_ms, arguments = _now(), str(int(time.time() * 1000)), [EPOCH]
        for calendar, version, note in events:
            staff, public = _frames(calendar, note)
            arguments += (calendar, CLINIC, str(version), at_ms, staff % (version, now), public % (version, now))
        if int(script(args=arguments)) != len(events):
            raise RuntimeError("Redis did not take what was published")

    return publish


def _plain(redis: "Redis", channel: str, message: Callable[[str, str], str | bytes]) -> Publish:
    def publish(events: Sequence[Due]) -> None:
        now = _now()
        with redis.pipeline(transaction=False) as pipeline:
            for calendar, version, note in events:
                pipeline.publish(channel % calendar, message(calendar, _frames(calendar, note)[0] % (version, now)))
            pipeline.execute()

    return publish


def _channels_message(_calendar: str, frame: str) -> bytes:
    return bytes(msgpack.packb({"type": "calendar.event", "text": frame}))


def _socketio_message(calendar: str, frame: str) -> bytes:
    packet = {"type": 2, "data": ["event", json.loads(frame)], "nsp": "/"}
    return bytes(msgpack.packb(["emitter", packet, {"rooms": [calendar], "except": [], "flags": {}}]))


def _outbox(_redis: "Redis") -> Publish:
    with connection.cursor() as cursor:
        cursor.execute("SELECT uid::text, id FROM engine_calendar")
        keys = dict(cursor.fetchall())

    def publish(events: Sequence[Due]) -> None:
        for calendar, version, note in events:
            rows = outbox.record({keys[calendar]: version - 1}, Event.BOOKED, _data(calendar, note), appointment=None)
            with calendars_locked([keys[calendar]]) as transaction:
                transaction.commit(*rows)
            gate.ring()

    return publish


WAYS: dict[str, Callable[["Redis"], Publish]] = {
    "ours": _ours,
    "ws": lambda redis: _plain(redis, "live:%s", lambda _calendar, frame: frame),
    "socketio": lambda redis: _plain(redis, "socket.io#/#%s#", _socketio_message),
    "channels": lambda redis: _plain(redis, "asgi__group__%s", _channels_message),
    "outbox": _outbox,
}


# --- orders -------------------------------------------------------------------------------------------------------------


def _follow(publish: Publish, order: dict[str, Any], versions: dict[str, int]) -> dict[str, Any]:
    spent, began, behind, done = time.process_time(), time.perf_counter(), 0.0, 0
    due = _in_turn(order, versions)
    while done < order["events"]:
        passed = time.perf_counter() - began
        count = min(_BATCH, order["events"] - done, int(passed * order["per_s"]) + 1 - done if order["per_s"] else _BATCH)
        if count > 0:
            publish([next(due) for _ in range(count)])
            done += count
        if order["per_s"]:
            wait = began + done / order["per_s"] - time.perf_counter()
            behind = max(behind, -wait)
            time.sleep(max(0.0, wait))
    return {
        "versions": {calendar: versions[calendar] for calendar in order["calendars"]},
        "took_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - spent,
        "behind_s": behind,
    }


def _in_turn(order: dict[str, Any], versions: dict[str, int]) -> Iterator[Due]:
    while True:
        for calendar in order["calendars"]:
            versions[calendar] += 1
            yield Due(calendar, versions[calendar], order.get("note", 0))


def main() -> None:
    way, address = sys.argv[1:]
    versions: dict[str, int] = {}
    with Redis.from_url(address) as redis:
        publish = WAYS[way](redis)
        print("{}", flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            new = [calendar for calendar in order["calendars"] if calendar not in versions]
            if new and way == "ours":  # the relay tells Redis of every calendar
                redis.mset({f"live:head:{calendar}": f"{CLINIC} 0" for calendar in new})
            versions.update(dict.fromkeys(new, 0))
            print(json.dumps(_follow(publish, order, versions)), flush=True)


if __name__ == "__main__":
    main()
