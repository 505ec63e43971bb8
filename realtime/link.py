"""One Redis connection that is subscribed to channels, and says when it is lost.

Not redis-py's PubSub: that reconnects and resubscribes on its own, so that nobody learns that messages are missing, and
it wakes a task for every message (17 us a delivery where an event has four viewers). Here all messages of one read are
handed on at once.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import unquote, urlsplit

import hiredis

_TIMEOUT_S = 5.0
_PING_EVERY_S = 10.0
_NOTHING = object()


class Listener(Protocol):
    """Whom a link tells what Redis says."""

    def heard(self, channel: bytes, message: bytes) -> None: ...

    def confirmed(self, channel: bytes) -> None: ...


class Link(asyncio.Protocol):
    """Made by `connect`. `lost` is done when the connection is gone; a link is not used again."""

    def __init__(self, listener: Listener, *, greeting: bytes) -> None:
        self._listener, self._greeting = listener, greeting
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._pinger: asyncio.TimerHandle | None = None
        self._heard_since_ping = True
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def subscribe(self, channels: Iterable[bytes]) -> None:
        """Asks for channels; each is told to the listener as confirmed."""
        self._write(b"SUBSCRIBE", *channels)

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        self._write(b"UNSUBSCRIBE", *channels)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, *words: bytes) -> None:
        # A command without channels would mean all of them.
        if len(words) > 1 and self._transport is not None:
            self._transport.write(hiredis.pack_command(words))  # type: ignore[arg-type] # its stub allows one word

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._greeting)
        self._pinger = asyncio.get_running_loop().call_later(_PING_EVERY_S, self._ping)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pinger is not None:
            self._pinger.cancel()
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._heard_since_ping = True
        self._reader.feed(data)
        while (said := self._reader.gets()) is not _NOTHING:
            match said:
                case [b"message", bytes(channel), bytes(message)]:
                    self._listener.heard(channel, message)
                case [b"subscribe", bytes(channel), _]:
                    self._listener.confirmed(channel)
                case hiredis.ReplyError():
                    self.close()

    def _ping(self) -> None:
        # A connection can be dead without a word: the other machine gone, a firewall that forgot it.
        if not self._heard_since_ping:
            self.close()
            return
        self._heard_since_ping = False
        self._write(b"PING", b"")
        self._pinger = asyncio.get_running_loop().call_later(_PING_EVERY_S, self._ping)


async def connect(url: str, *, listener: Listener) -> Link:
    """A link to the Redis at `url` (redis or rediss). Raises OSError, of which TimeoutError is one."""
    parts = urlsplit(url)
    greeting = b""
    if parts.password:
        who = (unquote(parts.username),) if parts.username else ()
        greeting = hiredis.pack_command(("AUTH", *who, unquote(parts.password)))
    tls = ssl.create_default_context() if parts.scheme == "rediss" else None
    opening = asyncio.get_running_loop().create_connection(
        lambda: Link(listener, greeting=greeting), parts.hostname or "127.0.0.1", parts.port or 6379, ssl=tls
    )
    _, link = await asyncio.wait_for(opening, _TIMEOUT_S)
    return link
