"""Many clients of the live socket, which keep to the protocol as live.js does, and note every promise that is not kept to them.

Each keeps a screen of its calendar (`tests/reducer.py`): it subscribes with the version it has, applies what is next, takes a
snapshot when it is told to, and comes back when it loses the connection. Within a connection the versions of a calendar must
come one after the other, without a hole, none twice.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.reducer import Screen, follow

_BACK_OFF_S = (0.1, 1.0)
_AT_ONCE = 50

Load = Callable[[str], Screen]
"""A snapshot of a calendar. Is called on one thread, which is always the same."""


class Viewer:
    """One client with one calendar."""

    def __init__(self, fleet: "Fleet", calendar: str) -> None:
        self._fleet, self._calendar = fleet, calendar
        self.screen: Screen | None = None
        self._epoch: str | None = None
        self._next: int | None = None
        self._hint_s: float | None = None

    async def live(self) -> None:
        attempt = 0
        while True:
            with suppress(OSError, WebSocketException):
                async with self._fleet.connecting, asyncio.timeout(10):
                    socket = await connect(
                        self._fleet.address, subprotocols=cast(Any, ["healthflow.v1"]), ping_interval=None, close_timeout=0.5
                    )
                attempt = 0
                try:
                    await self._watch(socket)
                except ConnectionClosed as closed:
                    self._fleet.closes[closed.rcvd.code if closed.rcvd else 0] += 1
                finally:
                    self._next = None
                    await socket.close()
            first, most = _BACK_OFF_S
            pause_s = self._hint_s if self._hint_s is not None else random.uniform(0, min(most, first * 2**attempt))
            self._hint_s, attempt = None, attempt + 1
            await asyncio.sleep(pause_s)

    @property
    def is_in(self) -> bool:
        """Whether it has a subscription at this moment, and something to show."""
        return self._next is not None and self.screen is not None

    async def _watch(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"type": "auth", "token": self._fleet.token}))
        async for text in socket:
            frame = json.loads(text)
            match frame["type"]:
                case "ready":
                    had = {"version": self.screen.version, "epoch": self._epoch} if self.screen is not None else {}
                    await socket.send(json.dumps({"type": "subscribe", "calendar": self._calendar, **had}))
                case "subscribed":
                    await self._subscribed(frame)
                case "event":
                    self._event(frame)
                case "reconnect":
                    self._hint_s = frame["after_ms"] / 1000
                    self._fleet.hints.append((time.monotonic(), frame["after_ms"]))
                case "heartbeat":
                    known = self._next - 1 if self._next is not None else 0
                    self._fleet.expect(frame["versions"].get(self._calendar, 0) <= known, f"behind: {frame} at {known}")
                case _:
                    self._fleet.faults.append(f"unexpected: {frame}")

    async def _subscribed(self, frame: dict[str, Any]) -> None:
        self._fleet.answers.append((time.monotonic(), frame["recovered"]))
        if frame["recovered"] and self.screen is not None:
            self._next = self.screen.version + 1
            return
        self._next, self._epoch = frame["version"] + 1, frame["epoch"]
        screen = await asyncio.get_running_loop().run_in_executor(self._fleet.snapshots, self._fleet.load, self._calendar)
        self._fleet.expect(screen.version >= frame["version"], f"a snapshot at {screen.version} after {frame}")
        self.screen = screen

    def _event(self, frame: dict[str, Any]) -> None:
        self._fleet.expect(frame["version"] == self._next, f"{frame['version']} came where {self._next} is next")
        self._next = frame["version"] + 1
        if self.screen is not None:
            self.screen = follow(self.screen, [frame], fresh_open=list)


class Fleet:
    """Runs its viewers on a thread of their own for as long as the block runs; at its end no promise may have been broken."""

    def __init__(self, address: str, *, token: str, calendars: list[str], load: Load) -> None:
        self.address, self.token, self.load = address, token, load
        self.viewers = [Viewer(self, calendar) for calendar in calendars]
        self.faults: list[str] = []
        self.closes: Counter[int] = Counter()
        self.hints: list[tuple[float, int]] = []
        self.answers: list[tuple[float, bool]] = []
        """Of every subscription: when, and whether it was recovered."""
        self.connecting = asyncio.Semaphore(_AT_ONCE)
        self.snapshots = ThreadPoolExecutor(1)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._stop = asyncio.Event()

    def __enter__(self) -> "Fleet":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        self.snapshots.shutdown()
        if kind is None:
            assert self.faults == []

    def expect(self, kept: bool, fault: str) -> None:
        if not kept:
            self.faults.append(fault)

    def all_are_in(self) -> bool:
        return all(viewer.is_in for viewer in self.viewers)

    def all_know(self, versions: Mapping[str, int]) -> bool:
        """Whether every viewer has got as far as this version of its calendar."""
        screens = [viewer.screen for viewer in self.viewers]
        return all(screen is not None and screen.version >= versions[screen.calendar] for screen in screens)

    async def _run(self) -> None:
        living = [asyncio.create_task(viewer.live()) for viewer in self.viewers]
        await self._stop.wait()
        for one in living:
            one.cancel()
        for result in await asyncio.gather(*living, return_exceptions=True):
            if not isinstance(result, asyncio.CancelledError):
                self.faults.append(repr(result))
