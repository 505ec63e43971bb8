"""A room: the sockets of this process that watch one calendar, and what they have been handed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import Counter

from realtime import protocol
from realtime.outlet import Frame, Outlet, framed
from realtime.positions import Audience, Position

UNKNOWN = -1

Arrived = list[tuple[int, Frame]]
"""Events with their versions."""

DELIVERIES = Counter("live_deliveries", "Events handed to sockets")
RESYNCS = Counter("live_resyncs", "Rooms whose sockets were told to start afresh")


@dataclass(eq=False)
class Room:
    """The sockets here that watch one calendar as one audience.

    All of them have been handed everything up to `version`; `heard` is the last one anybody spoke of. `viewers` gives with
    each outlet the version it had when it came.
    """

    calendar: str
    audience: Audience
    clinic: str
    version: int = UNKNOWN
    heard: int = UNKNOWN
    filling: bool = False
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    viewers: dict[Outlet, int] = field(default_factory=dict)
    _arriving: dict[int, Arrived] = field(default_factory=dict)

    @property
    def channel(self) -> bytes:
        return f"live:{self.audience}:{self.calendar}".encode()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, nor on the way in."""
        return not self.viewers and not self._arriving

    @contextmanager
    def arriving(self) -> Iterator[Arrived]:
        """Keeps what is handed out for one who is on the way in."""
        arrived: Arrived = []
        self._arriving[id(arrived)] = arrived
        try:
            yield arrived
        finally:
            del self._arriving[id(arrived)]

    def forget(self) -> None:
        """Another history has begun: no version that is known here means anything in it."""
        self.version = self.heard = UNKNOWN
        for arrived in self._arriving.values():
            arrived.clear()

    def hand_out(self, version: int, text: bytes) -> None:
        self.version = version
        self.heard = max(self.heard, version)
        frame = framed(text)
        for outlet, had in self.viewers.items():
            if version > had:
                outlet.push(frame)
        for arrived in self._arriving.values():
            arrived.append((version, frame))
        DELIVERIES.inc(len(self.viewers))

    def catch_up(self, position: Position) -> None:
        """Hands out what is missing, or tells everybody to start afresh."""
        if position.version <= self.version:
            return
        if self.version != UNKNOWN and position.holds_all_after(self.version):
            for version, text in [event for event in position.events if event[0] > self.version]:
                self.hand_out(version, text)
        else:
            self.start_afresh(position)

    def start_afresh(self, position: Position) -> None:
        self.version, self.heard = position.version, max(self.heard, position.version)
        if not self.viewers:
            return
        told = protocol.subscribed(self.calendar, epoch=position.epoch, version=position.version, recovered=False)
        frame = framed(told)
        for outlet in self.viewers:
            self.viewers[outlet] = position.version
            outlet.push(frame)
        RESYNCS.inc()
