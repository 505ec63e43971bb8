"""Who is in this process: how many may be, and how all of them are asked to leave when it stops.

A deploy must not bring back all clients at one moment: each is told a moment of its own, over a window that is the longer
the more there are, so that the processes that stay get about as many a second as they can take.
"""

import asyncio
import random
from typing import Protocol

RETURNS_PER_S = 500
"""A connect with its subscription is 1.5 ms of work for whoever takes it; events need the rest of that core."""
LONGEST_S = 15.0
"""The window of whoever has more: the process must be gone 25 s after SIGTERM."""
EARLIEST_S = 1.0
"""By then the edge has seen that this process is not ready."""
_GOODBYE_S = 3.0
_FULL_S = (2.0, 10.0)
_POLL_S = 0.02


class Guest(Protocol):
    """A socket or a long poll."""

    def recheck(self) -> None:
        """Leaves if its rights have ended."""

    def send_away(self, *, after_ms: int) -> None:
        """Leaves, and is told to come back after that time."""


class Lobby:
    """One per process."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._guests: set[Guest] = set()
        self.closing = False

    def enter(self, guest: Guest) -> bool:
        """Lets a guest in, who must `leave` then; one who is not let in was sent away."""
        if self.closing or len(self._guests) >= self._most:
            first, last = (EARLIEST_S, EARLIEST_S + LONGEST_S) if self.closing else _FULL_S
            guest.send_away(after_ms=_random_ms(first, last))
            return False
        self._guests.add(guest)
        return True

    def leave(self, guest: Guest) -> None:
        self._guests.discard(guest)

    def recheck(self) -> None:
        """Ends everybody whose rights have ended."""
        for guest in list(self._guests):
            guest.recheck()

    async def empty(self) -> None:
        """Lets nobody in any more and sends everybody away, one after the other; returns when they are gone, or should be."""
        self.closing = True
        loop = asyncio.get_running_loop()
        window_s = min(LONGEST_S, len(self._guests) / RETURNS_PER_S)
        for guest in self._guests:
            loop.call_later(random.uniform(0, window_s), self._send_away, guest, window_s)  # noqa: S311 - hides nothing
        deadline = loop.time() + window_s + _GOODBYE_S
        while self._guests and loop.time() < deadline:
            await asyncio.sleep(_POLL_S)

    def _send_away(self, guest: Guest, window_s: float) -> None:
        if guest in self._guests:
            guest.send_away(after_ms=_random_ms(EARLIEST_S, EARLIEST_S + window_s))


def _random_ms(first_s: float, last_s: float) -> int:
    return round(1000 * random.uniform(first_s, last_s))  # noqa: S311 - spreads clients, hides nothing
