"""The hub: what this process knows of calendars, and who here watches them.

One Redis connection listens for all sockets (`link.py`). A room is one calendar with one audience; an event comes in
once, is framed once, and is handed to every outlet in the room as it is. A message on `live:staff:<calendar>` or
`live:public:<calendar>` is "<version> <at> <frame>", `at` being when it happened, in ms; one on `live:epoch` says that the
relay has put everything back.

Pub/sub delivers at most once, so every room knows its last version. An event that is the next one is handed out; an
older one is known; a later one means that some are missing, and they are fetched from the log. The same is done for all
rooms when the connection has come back, when the relay says that Redis has its memory again, and before each
heartbeat. Where the log does not hold all that is missing, nobody gets a part: the room's sockets are told to start afresh.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, cast

from prometheus_client import Counter, Gauge, Histogram
from redis.asyncio import Redis
from redis.exceptions import RedisError

from apps.kernel.redis import connect_async
from realtime import protocol
from realtime.link import Link, connect
from realtime.outlet import Outlet, framed
from realtime.positions import EPOCH, Audience, Position, ask, head_of, position
from realtime.rooms import UNKNOWN, Arrived, Room

_TIMEOUT_S = 2.0
_JOIN_WITHIN_S = 3.0
_CONFIRMED_WITHIN_S = 5.0
_EPOCH_POLL_S = 0.1
_BACK_OFF_S = (0.1, 2.0)
_AT_ONCE = 500
# At the worst each answer is 512 events, 0.4 MB.
_QUESTIONS_AT_ONCE = 200

SUBSCRIPTIONS = Gauge("live_subscriptions", "Calendars watched, counted once for each socket")
RECOVERIES = Counter("live_recoveries", "Sockets that came back with a version, by whether nothing was missing", ["recovered"])
GAPS = Counter("live_gaps", "Times that events were missing in a room and were fetched from the log")
CONNECTED = Gauge("live_redis_connected", "Whether this process hears from Redis")
PUSH_LAG = Histogram(
    "live_push_lag_seconds",
    "From the moment an event happened until it was written to the last of its sockets here; once an event and audience",
    buckets=(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5),
)

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Redis cannot be asked now."""


class Hub:
    """One per process. Everything runs on the event loop that `start` was first called on."""

    def __init__(self, url: str, *, positions_every_s: float) -> None:
        self._url, self._positions_every_s = url, positions_every_s
        self._redis = connect_async(url, timeout_s=_TIMEOUT_S, connections=16)
        self._inquiry = _Inquiry(self._redis)
        self._bells: dict[bytes, Callable[[], object]] = {EPOCH.encode(): self._put_back}
        self._rooms: dict[bytes, Room] = {}
        self._epoch = ""
        self._link: Link | None = None
        self._usable = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def usable(self) -> bool:
        """Whether this process hears from Redis."""
        return self._usable.is_set()

    def start(self) -> None:
        """Connects and stays connected; calling it again does nothing."""
        if not self._tasks:
            self._spawn(self._stay_connected())
            self._spawn(self._keep_positions())

    def on_bell(self, channel: str, ring: Callable[[], object]) -> None:
        """Calls `ring` for each message on a channel that is no calendar's. To be said before `start`."""
        self._bells[channel.encode()] = ring

    # --- who watches what -----------------------------------------------------------------------------------------------

    async def join(
        self, outlet: Outlet, *, clinic: str, audience: Audience, calendar: str, version: int | None, epoch: str | None
    ) -> Room | None:
        """Lets a socket watch a calendar of a clinic, and hands it what it missed; None when the clinic has no such calendar.

        Without a `version` there is nothing to go on from: the answer is `"recovered": false`, as when events are missing.
        Raises Unavailable.
        """
        try:
            async with asyncio.timeout(_JOIN_WITHIN_S):
                await self._usable.wait()
                room = await self._enter(calendar, audience, clinic=clinic)
                if room is None:
                    return None
                with room.arriving() as arrived:
                    await room.confirmed.wait()
                    found = await self._catch(room, arrived, after=version)
        except (RedisError, OSError) as failed:
            raise Unavailable from failed
        if found is None:
            return None
        self._admit(room, outlet, found, arrived, version=version, epoch=epoch)
        return room

    def leave(self, outlet: Outlet, room: Room) -> None:
        """The socket no longer watches the room."""
        if room.viewers.pop(outlet, None) is not None:
            SUBSCRIPTIONS.dec()

    async def _enter(self, calendar: str, audience: Audience, *, clinic: str) -> Room | None:
        new = Room(calendar, audience, clinic)
        room = self._rooms.get(new.channel)
        if room is None or room.clinic != clinic:
            found = await self._position(calendar)
            if found is None or found.clinic != clinic:
                return None
            room = self._rooms.setdefault(new.channel, new)
            if room is new and self._link is not None:
                self._link.subscribe([room.channel])
        return room

    async def _catch(self, room: Room, arrived: Arrived, *, after: int | None) -> Position | None:
        """A position, and in `arrived` just what the room was handed after it; None when there is no such calendar any more.

        The two connections know nothing of each other. But what was heard before the question is in the answer, and what is
        handed out after it arrives here; it is asked again only when the room has started afresh in between.
        """
        while True:
            arrived.clear()
            found = await self._position(room.calendar, after=after, audience=room.audience)
            if found is None:
                return None
            self._note_epoch(found.epoch)
            arrived[:] = [event for event in arrived if event[0] > found.version]
            reached = found.version + len(arrived)
            if reached >= room.heard and [event[0] for event in arrived] == list(range(found.version + 1, reached + 1)):
                return found

    def _admit(
        self, room: Room, outlet: Outlet, found: Position, arrived: Arrived, *, version: int | None, epoch: str | None
    ) -> None:
        # From the look at `arrived` until here nothing else ran, so that no event can fall between the answer and the room.
        if room.version == UNKNOWN:
            room.start_afresh(found)
        recovered = version is not None and epoch in (None, found.epoch) and found.holds_all_after(version)
        outlet.push(framed(protocol.subscribed(room.calendar, epoch=found.epoch, version=found.version, recovered=recovered)))
        if recovered:
            for _, text in found.events:
                outlet.push(framed(text))
        for _, frame in arrived:
            outlet.push(frame)
        if version is not None:
            RECOVERIES.labels(str(recovered).lower()).inc()
        if outlet not in room.viewers:
            SUBSCRIPTIONS.inc()
        room.viewers[outlet] = found.version + len(arrived)

    # --- what Redis says ------------------------------------------------------------------------------------------------

    def heard(self, channel: bytes, message: bytes) -> None:
        """A published message."""
        room = self._rooms.get(channel)
        if room is None:
            if channel in self._bells:
                self._bells[channel]()
            return
        number, at_ms, text = message.split(b" ", 2)
        version = int(number)
        if version == room.version + 1 or (room.version == UNKNOWN and not room.viewers):
            room.hand_out(version, text)
            PUSH_LAG.observe(max(0.0, time.time() - int(at_ms) / 1000))
        elif version > room.version:
            room.heard = max(room.heard, version)
            if room.version != UNKNOWN and not room.filling:
                room.filling = True
                GAPS.inc()
                self._spawn(self._fill(room))

    def _put_back(self) -> None:
        self._spawn(self._catch_up(list(self._rooms.values())))

    def confirmed(self, channel: bytes) -> None:
        """Redis sends what is published on the channel from now on."""
        room = self._rooms.get(channel)
        if room is not None:
            room.confirmed.set()

    async def _fill(self, room: Room) -> None:
        try:
            before = UNKNOWN
            while before != room.version < room.heard:
                before = room.version
                await self._catch_up([room])
        finally:
            room.filling = False

    async def _catch_up(self, rooms: Sequence[Room]) -> None:
        """Brings rooms to what Redis knows. Raises RedisError."""
        for first in range(0, len(rooms), _AT_ONCE):
            some = rooms[first : first + _AT_ONCE]
            epoch, *heads = cast(
                list[bytes | None], await self._redis.mget([EPOCH, *(f"live:head:{room.calendar}" for room in some)])
            )
            if epoch is None:  # the relay rings when it has put everything back
                return
            self._note_epoch(epoch.decode())
            behind = [room for room, head in zip(some, heads, strict=True) if head and head_of(head)[1] > room.version]
            async with self._redis.pipeline(transaction=False) as pipeline:
                for room in behind:
                    ask(pipeline, room.calendar, after=None if room.version == UNKNOWN else room.version)
                answers = await pipeline.execute()
            for room, answer in zip(behind, zip(*[iter(answers)] * 3, strict=True), strict=True):
                found = position(answer, room.audience)
                if found is not None:
                    room.catch_up(found)

    def _note_epoch(self, epoch: str) -> None:
        if self._epoch not in ("", epoch):
            # Another history: no version known here means anything in it.
            for room in self._rooms.values():
                room.forget()
            self._spawn(self._catch_up(list(self._rooms.values())))
        self._epoch = epoch

    async def _position(self, calendar: str, *, after: int | None = None, audience: Audience = "staff") -> Position | None:
        """None when there is no such calendar. Waits while Redis has no epoch: then it does not know its calendars."""
        while True:
            answer = await self._inquiry.answer(calendar, after=after)
            if answer[0] is not None:
                return position(answer, audience)
            await asyncio.sleep(_EPOCH_POLL_S)

    # --- staying in touch -----------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        back_off = _BACK_OFF_S[0]
        while True:
            try:
                self._link = await connect(self._url, listener=self)
                await self._resume(self._link)
                back_off = _BACK_OFF_S[0]
                await self._link.lost
            except (OSError, RedisError) as failed:
                log.debug("redis_refused", extra={"error": type(failed).__name__})
            if self._link is not None:
                self._link.close()
                self._link = None
            if self.usable:
                log.warning("redis_lost")
            self._usable.clear()
            CONNECTED.set(0)
            for room in self._rooms.values():
                room.confirmed.clear()
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, _BACK_OFF_S[1])

    async def _resume(self, link: Link) -> None:
        rooms = list(self._rooms.values())
        link.subscribe([*self._bells, *(room.channel for room in rooms)])
        async with asyncio.timeout(_CONFIRMED_WITHIN_S):
            for room in rooms:
                await room.confirmed.wait()
        await self._catch_up(rooms)
        self._usable.set()
        CONNECTED.set(1)
        log.info("redis_connected")

    async def _keep_positions(self) -> None:
        while True:
            await asyncio.sleep(self._positions_every_s)
            if self._link is None or not self.usable:
                continue
            empty = [room.channel for room in self._rooms.values() if room.is_empty and room.confirmed.is_set()]
            self._link.unsubscribe(empty)
            for channel in empty:
                del self._rooms[channel]
            with suppress(RedisError):
                await self._catch_up(list(self._rooms.values()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failed := task.exception()) is not None and not isinstance(failed, RedisError):
            log.error("hub_task_failed", exc_info=failed)


class _Inquiry:
    """Asks Redis for positions: what comes up while it answers goes there together afterwards, and alike questions once.

    Each by itself, over a pool of connections, 5,000 sockets that came back at once got nowhere: an answer took a turn of the
    busy loop, only so many were under way, the others timed out and came back, and so on for minutes.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._waiting: dict[tuple[str, int | None], asyncio.Future[Sequence[Any]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, calendar: str, *, after: int | None) -> Sequence[Any]:
        """What `position` understands; all that Redis knew before this call is in it. Raises RedisError, OSError."""
        answered = self._waiting.setdefault((calendar, after), asyncio.get_running_loop().create_future())
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(answered)  # it may be others' answer too

    async def _ask(self) -> None:
        try:
            while self._waiting:
                some = dict(islice(self._waiting.items(), _QUESTIONS_AT_ONCE))
                for question in some:
                    del self._waiting[question]
                try:
                    async with self._redis.pipeline(transaction=False) as pipeline:
                        for calendar, after in some:
                            ask(pipeline, calendar, after=after)
                        answers = await pipeline.execute()
                except (RedisError, OSError) as failed:
                    for answered in some.values():
                        answered.set_exception(failed)
                else:
                    for answered, answer in zip(some.values(), zip(*[iter(answers)] * 3, strict=True), strict=True):
                        answered.set_result(answer)
        finally:
            self._asking = None
