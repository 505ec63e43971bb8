"""The way out to a socket of a server that is not Daphne: a bounded queue, never a wait."""

import asyncio
from typing import Any

from realtime import outlet
from realtime.outlet import framed, open_outlet
from realtime.protocol import Close


class Wire:
    """An ASGI `send`; it takes nothing while it is `stuck`."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.closed = asyncio.Event()

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self.closed.set()
        else:
            await self.free.wait()
        self.sent.append(message)


async def test_frames_leave_in_order_and_before_the_close() -> None:
    wire = Wire()
    out = open_outlet(wire)
    for number in range(3):
        out.push(framed(str(number).encode()))
    out.close(Close.TOO_MANY)
    out.push(framed(b"late"))

    await asyncio.wait_for(wire.closed.wait(), 5)
    await asyncio.sleep(0)

    assert [message.get("text", message.get("code")) for message in wire.sent] == ["0", "1", "2", 4429]


async def test_a_socket_that_does_not_take_its_frames_is_closed_as_too_slow() -> None:
    wire = Wire()
    wire.free.clear()
    out = open_outlet(wire)
    for _ in range(502):
        out.push(framed(b"x"))

    await asyncio.wait_for(wire.closed.wait(), 5)
    await asyncio.sleep(0)

    assert wire.sent == [{"type": "websocket.close", "code": 4409}]


class Stuck:
    """Twisted's connection and autobahn's protocol of a client that reads nothing."""

    STATE_OPEN = state = 3
    dataBuffer, offset = b"", 0

    def __init__(self) -> None:
        self._tempDataLen = 0
        self.closed = 0

    def writeSomeData(self, _data: bytes) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self._tempDataLen += len(data)

    def sendClose(self, *, code: int) -> None:
        self.closed = code


def test_what_waits_for_all_sockets_together_is_bounded() -> None:
    frame = framed(b"x" * 8_000)
    clients = [Stuck() for _ in range(2_000)]
    outlets = [outlet._Direct(client, client) for client in clients]
    for _ in range(64):
        for out in outlets:
            out.push(frame)
    waiting = sum(client._tempDataLen for client in clients)
    for out in outlets:
        out.end()

    assert waiting < 100 * 1024 * 1024, "2,000 times 256 KiB would be 500 MiB"
    assert {client.closed for client in clients} == {4409}
    assert not outlet._behind


def test_a_frame_is_an_unmasked_text_frame_with_the_shortest_length() -> None:
    assert framed(b"a" * 125).wire[:2] == bytes((0x81, 125))
    assert framed(b"a" * 126).wire[:4] == b"\x81\x7e\x00\x7e"
    assert framed(b"a" * 65_536).wire[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")
