"""The way out to one socket: takes ready-made frames, never waits, and closes a socket that does not keep up.

Daphne's `send` costs 40 us and buffers without limit, so under Daphne a frame goes straight to the connection: to the
kernel when nothing waits before it (10 us), else behind what waits. That needs two private names of Twisted
(`_tempDataLen`, `dataBuffer`); where the connection is not a plain one of Twisted, a queue and a task do the work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from prometheus_client import Counter, Gauge

from realtime.protocol import Close

Send = Callable[[dict[str, Any]], Awaitable[None]]

_MOST_BYTES = 256 * 1024
_MOST_BYTES_OF_ALL = 64 * 1024 * 1024
_MOST_FRAMES = 500

CLOSED = Counter("live_closed", "Sockets that this process closed, by code; 4409 is a buffer that overflowed", ["code"])


class Frame(NamedTuple):
    """One message, encoded once for all sockets: its text, and the bytes of an unmasked WebSocket text frame (RFC 6455)."""

    text: bytes
    wire: bytes


def framed(text: bytes) -> Frame:
    size = len(text)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 1 << 16:
        head = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x81\x7f" + size.to_bytes(8, "big")
    return Frame(text, head + text)


class Outlet(Protocol):
    """`push` and `close` return at once; after `close` nothing is sent any more."""

    def push(self, frame: Frame) -> None: ...

    def close(self, code: Close) -> None: ...

    def end(self) -> None: ...


def open_outlet(send: Send) -> Outlet:
    """The best way out that the server behind `send` has. The socket must have been accepted."""
    protocol = send.args[0] if isinstance(send, partial) and send.args else None
    transport = getattr(protocol, "transport", None)
    if protocol is None or not _is_plain(transport):
        return _Queued(send)
    return _Direct(protocol, transport)


def _is_plain(transport: object) -> bool:
    try:
        from twisted.internet.tcp import Connection
    except ImportError:  # another server may do without Twisted
        return False
    names = ("dataBuffer", "offset", "_tempDataLen", "writeSomeData", "write")
    return isinstance(transport, Connection) and not transport.TLS and all(hasattr(transport, name) for name in names)


_behind: set["_Direct"] = set()
"""Those for whom frames were waiting when they were last handed one. Each may have its share of all that may wait."""
Gauge("live_sockets_behind", "Sockets with frames that wait for them to read").set_function(lambda: len(_behind))


class _Direct:
    """To a connection of Daphne. `protocol` is autobahn's, `transport` Twisted's."""

    __slots__ = ("_closed", "_protocol", "_transport")

    def __init__(self, protocol: Any, transport: Any) -> None:
        self._protocol, self._transport, self._closed = protocol, transport, False

    def push(self, frame: Frame) -> None:
        protocol, transport = self._protocol, self._transport
        if self._closed or protocol.state != protocol.STATE_OPEN:
            return
        rest = frame.wire
        waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        if not waiting:
            _behind.discard(self)
            sent = transport.writeSomeData(rest)
            # Not a number: the connection is gone, and Twisted finds out when it writes.
            if isinstance(sent, int):
                rest = rest[sent:]
        elif waiting > min(_MOST_BYTES, _MOST_BYTES_OF_ALL // max(1, len(_behind))):
            self.close(Close.TOO_SLOW)
            return
        if rest:
            _behind.add(self)
            transport.write(rest)

    def close(self, code: Close) -> None:
        if not self._closed:
            self._closed = True
            CLOSED.labels(int(code)).inc()
            self._protocol.sendClose(code=int(code))

    def end(self) -> None:
        self._closed = True
        _behind.discard(self)


class _Queued:
    """To any ASGI server: one bounded queue and one task, so that a slow socket holds up nobody else."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: asyncio.Queue[Frame] = asyncio.Queue(_MOST_FRAMES)
        self._writer = asyncio.create_task(self._write())
        self._closer: asyncio.Task[None] | None = None

    def push(self, frame: Frame) -> None:
        if self._closer is not None:
            return
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            self._writer.cancel()
            self.close(Close.TOO_SLOW)

    def close(self, code: Close) -> None:
        if self._closer is None:
            CLOSED.labels(int(code)).inc()
            self._closer = asyncio.create_task(self._close(code))

    def end(self) -> None:
        self._writer.cancel()

    async def _write(self) -> None:
        with suppress(OSError):  # the other side is gone, which the consumer hears by itself
            while True:
                frame = await self._waiting.get()
                await self._send({"type": "websocket.send", "text": frame.text.decode()})
                self._waiting.task_done()

    async def _close(self, code: Close) -> None:
        if not self._writer.cancelling():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), 1)
        self._writer.cancel()
        with suppress(OSError):
            await self._send({"type": "websocket.close", "code": int(code)})
