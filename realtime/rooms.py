"""A room: the sockets of this process that watch one calendar, and what they have been handed."""

import asyncio
from dataclasses import dataclass, field

from prometheus_client import Counter

from realtime import protocol
from realtime.outlet import Outlet, framed
from realtime.positions import Audience, Position

UNKNOWN = -1

DELIVERIES = Counter("live_deliveries", "Events handed to sockets")
RESYNCS = Counter("live_resyncs", "Rooms whose sockets were told to start afresh")


@dataclass(eq=False)
class Room:
    """The sockets here that watch one calendar as one audience.

    All of them have been handed everything up to `version`; `heard` is the last one anybody spoke of. `viewers` gives with
    each outlet the version it had when it came. `users` counts those who are still on their way in as well.
    """

    calendar: str
    audience: Audience
    version: int = UNKNOWN
    heard: int = UNKNOWN
    users: int = 0
    filling: bool = False
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    viewers: dict[Outlet, int] = field(default_factory=dict)

    @property
    def channel(self) -> bytes:
        return f"live:{self.audience}:{self.calendar}".encode()

    def hand_out(self, version: int, text: bytes) -> None:
        self.version = version
        self.heard = max(self.heard, version)
        frame = framed(text)
        for outlet, had in self.viewers.items():
            if version > had:
                outlet.push(frame)
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
