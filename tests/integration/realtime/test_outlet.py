"""The way out to a socket of a server that is not Daphne: a bounded queue, never a wait."""

import asyncio
from typing import Any

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
    outlet = open_outlet(wire)
    for number in range(3):
        outlet.push(framed(str(number).encode()))
    outlet.close(Close.TOO_MANY)
    outlet.push(framed(b"late"))

    await asyncio.wait_for(wire.closed.wait(), 5)
    await asyncio.sleep(0)

    assert [message.get("text", message.get("code")) for message in wire.sent] == ["0", "1", "2", 4429]


async def test_a_socket_that_does_not_take_its_frames_is_closed_as_too_slow() -> None:
    wire = Wire()
    wire.free.clear()
    outlet = open_outlet(wire)
    for _ in range(502):
        outlet.push(framed(b"x"))

    await asyncio.wait_for(wire.closed.wait(), 5)
    await asyncio.sleep(0)

    assert wire.sent == [{"type": "websocket.close", "code": 4409}]


def test_a_frame_is_an_unmasked_text_frame_with_the_shortest_length() -> None:
    assert framed(b"a" * 125).wire[:2] == bytes((0x81, 125))
    assert framed(b"a" * 126).wire[:4] == b"\x81\x7e\x00\x7e"
    assert framed(b"a" * 65_536).wire[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")
