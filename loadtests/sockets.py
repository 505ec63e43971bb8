"""The crowd on the live sockets: thousands of WebSocket clients that cost little, and what each of them saw.

All sockets lie in one epoll, which lies in asyncio's, so that a wake-up of the loop reads every socket that has something;
frames are parsed by hand, and of an event only what is counted is looked at: its version and when it happened.
"""

import asyncio
import json
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

_HOST = "127.0.0.1"
_READ = 64 * 1024
_AT_ONCE = 512
_OPEN_WITHIN_S = 60.0
# In an event's text, from behind `"type":"event"`: the calendar is a UUID, so the version has a fixed place.
_TO_VERSION = len(',"calendar":"00000000-0000-0000-0000-000000000000","version":')
_TO_SECOND = len('"at":"2026-12-01T14:00:')


@dataclass(frozen=True)
class Step:
    """One turn of the conversation by which a socket is opened: what the server must say, and what is answered to it.

    The viewer's `{token}` and `{calendar}` are put in, and `{place}`: the calendar, with what the viewer had of it if anything.
    """

    hear: bytes
    say: str = ""


@dataclass(frozen=True)
class Dialect:
    """How a kind of server is talked to. The first step is what is said after the handshake, and hears nothing."""

    path: str
    conversation: tuple[Step, ...]
    event: bytes = b'{"type":"event"'
    subprotocol: str = ""

    def handshake(self, port: int) -> bytes:
        offered = f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n" if self.subprotocol else ""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: c3Rvcm0gYW5kIGNhbG0gIQ==\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
        ).encode()


@dataclass(eq=False, slots=True)
class Viewer:
    """One socket that watches one calendar. `version` is the last it has; with an `epoch` it comes back with both."""

    calendar: str
    token: str = ""
    version: int = 0
    epoch: str = ""
    recovered: bool = False
    received: int = 0
    missed: int = 0
    """Events that were skipped; a version that was had already, or an older one, counts in `repeated`."""
    repeated: int = 0
    ended: str = ""
    """How the server ended the socket, if it did."""
    step: int = -1
    rest: bytes = b""
    connection: socket.socket = field(default_factory=socket.socket)
    opened: "asyncio.Future[None]" = field(init=False)

    def start_again(self) -> None:
        self.connection.close()
        self.connection, self.step, self.rest, self.ended = socket.socket(), -1, b"", ""

    def put_in(self, said: str) -> str:
        had = f',"version":{self.version},"epoch":"{self.epoch}"' if self.epoch else ""
        places = {"{token}": self.token, "{calendar}": self.calendar, "{place}": f'"calendar":"{self.calendar}"{had}'}
        return reduce(lambda text, place: text.replace(place, places[place]), places, said)


class Crowd:
    """Viewers of one server. `latencies` are seconds from an event's time (its `at`) to its frame being here."""

    def __init__(self, port: int, dialect: Dialect) -> None:
        self._port, self._dialect = port, dialect
        self._handshake = dialect.handshake(port)
        self._epoll = select.epoll()
        self._by_file: dict[int, Viewer] = {}
        self.viewers: list[Viewer] = []
        self.latencies: list[float] = []
        self.refused: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    # --- coming and going -----------------------------------------------------------------------------------------------

    async def join(self, viewers: Sequence[Viewer], *, at_once: int = 200, stubborn: bool = False) -> None:
        """Opens and subscribes sockets, `at_once` of them at a time. Raises ConnectionError, TimeoutError.

        A stubborn viewer that is refused comes back a second later, as a page does; `refused` counts how often that was.
        """
        turn = asyncio.Semaphore(at_once)
        self.viewers += viewers
        async with asyncio.timeout(_OPEN_WITHIN_S):
            await asyncio.gather(*(self._join(viewer, turn, stubborn=stubborn) for viewer in viewers))

    async def _join(self, viewer: Viewer, turn: asyncio.Semaphore, *, stubborn: bool) -> None:
        async with turn:
            while True:
                try:
                    await self._open(viewer)
                    return
                except ConnectionError:
                    if not stubborn:
                        raise
                self.refused[viewer.ended] += 1
                await asyncio.sleep(random.uniform(0.5, 1.5))
                viewer.start_again()

    async def _open(self, viewer: Viewer) -> None:
        viewer.connection.setblocking(False)
        viewer.opened = self._loop.create_future()
        await self._loop.sock_connect(viewer.connection, (_HOST, self._port))
        self.look_again(viewer)
        viewer.connection.send(self._handshake)
        await viewer.opened

    def leave(self, viewers: Iterable[Viewer] | None = None) -> None:
        """Drops sockets without a word, all of them by default."""
        leaving = list(self.viewers if viewers is None else viewers)
        for viewer in leaving:
            self.look_away(viewer)
            viewer.connection.close()
        gone = set(map(id, leaving))
        self.viewers = [viewer for viewer in self.viewers if id(viewer) not in gone]

    def look_away(self, viewer: Viewer) -> None:
        """From now on nothing is read from the viewer's socket, which stays open."""
        if self._by_file.pop(viewer.connection.fileno(), None) is not None:
            self._epoll.unregister(viewer.connection.fileno())

    def look_again(self, viewer: Viewer) -> None:
        """Reads on from a socket that was looked away from."""
        self._by_file[viewer.connection.fileno()] = viewer
        self._epoll.register(viewer.connection.fileno(), select.EPOLLIN)

    def close(self) -> None:
        self.leave()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    # --- what was seen --------------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        return sum(viewer.received for viewer in self.viewers)

    def behind(self, versions: Mapping[str, int]) -> int:
        """How many deliveries are still due, if calendars are at these versions."""
        return sum(max(0, versions[viewer.calendar] - viewer.version) for viewer in self.viewers if viewer.calendar in versions)

    async def settle(self, versions: Mapping[str, int], *, within_s: float) -> int:
        """Waits until nothing is due, at most `within_s`; how many deliveries are."""
        deadline = time.monotonic() + within_s
        while (due := self.behind(versions)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return due

    def faults(self) -> dict[str, int]:
        """Events skipped, events twice or out of order, and sockets the server ended, by how. Counted since the start."""
        ended = Counter(f"ended_{viewer.ended}" for viewer in self.viewers if viewer.ended)
        missed, repeated = (sum(getattr(viewer, name) for viewer in self.viewers) for name in ("missed", "repeated"))
        return {"skipped": missed, "repeated": repeated, **ended}

    # --- reading --------------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        for number, _ in self._epoll.poll(0, _AT_ONCE):
            viewer = self._by_file[number]
            try:
                data = viewer.connection.recv(_READ)
            except BlockingIOError:
                continue
            except OSError as failed:
                self._ended(viewer, type(failed).__name__)
                continue
            if not data:
                self._ended(viewer, "eof")
            elif viewer.step < 0:
                self._upgraded(viewer, data)
            else:
                self._frames(viewer, viewer.rest + data if viewer.rest else data)

    def _upgraded(self, viewer: Viewer, data: bytes) -> None:
        head, end, frames = (viewer.rest + data).partition(b"\r\n\r\n")
        if not end:
            viewer.rest = head
        elif head.startswith(b"HTTP/1.1 101 "):
            viewer.rest, viewer.step = b"", 0
            self._converse(viewer, b"")
            self._frames(viewer, frames)
        else:
            self._ended(viewer, head[9:12].decode(errors="replace"))

    def _frames(self, viewer: Viewer, data: bytes) -> None:
        event, now, at, end = self._dialect.event, time.time() % 60, 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            # A header that is cut off gives a size that is too small, but its own end is not here then.
            if start > end or start + size > end:
                break
            if data.startswith(event, start):
                number = start + len(event) + _TO_VERSION
                version = int(data[number : data.index(b",", number)])
                second = data.index(b'"at":"', number) + _TO_SECOND
                self.latencies.append((now - float(data[second : second + 9])) % 60)
                viewer.received += 1
                if version == viewer.version + 1:
                    viewer.version = version
                else:
                    self._out_of_turn(viewer, version)
            else:
                self._said(viewer, data[at] & 0x0F, data[start : start + size])
            at = start + size
        viewer.rest = data[at:]

    def _out_of_turn(self, viewer: Viewer, version: int) -> None:
        if version > viewer.version:
            viewer.missed += version - viewer.version - 1
            viewer.version = version
        else:
            viewer.repeated += 1

    def _said(self, viewer: Viewer, kind: int, text: bytes) -> None:
        match kind:
            case 8:
                self._ended(viewer, str(int.from_bytes(text[:2], "big")))
            case 9:
                viewer.connection.send(_masked(0x8A, text))
            case 1 if text == b"2":  # Socket.IO's own ping
                viewer.connection.send(_masked(0x81, b"3"))
            case 1 if not viewer.opened.done():
                self._converse(viewer, text)

    def _converse(self, viewer: Viewer, text: bytes) -> None:
        step = self._dialect.conversation[viewer.step]
        if not text.startswith(step.hear):
            self._ended(viewer, text.partition(b",")[0].decode(errors="replace"))
            return
        if step.say:
            viewer.connection.send(_masked(0x81, viewer.put_in(step.say).encode()))
        viewer.step += 1
        if viewer.step == len(self._dialect.conversation):
            answer = json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])
            viewer.recovered, viewer.epoch = answer.get("recovered", False), answer.get("epoch", "")
            if not viewer.recovered:
                viewer.version = answer["version"]
            viewer.opened.set_result(None)

    def _ended(self, viewer: Viewer, how: str) -> None:
        self.look_away(viewer)
        viewer.ended = how
        if not viewer.opened.done():
            viewer.opened.set_exception(ConnectionError(f"a socket was not opened: {how}"))


def _masked(head: int, payload: bytes) -> bytes:
    """A client's frame; the mask of zeros leaves the payload as it is."""
    size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes((head,)) + size + b"\0\0\0\0" + payload
