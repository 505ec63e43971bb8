"""The crowd: HTTP/1.1 clients that cost little, and what they do to the engine.

One asyncio protocol a client on a connection that is kept alive, no library between: a client that is slow, on the same
machine, would slow down what it measures.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

API = "/api/engine/v1"
_TRIES = 10
NONE: Mapping[str, str] = {}
_FIXED = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
PATIENT = {"name": "Load Test", "email": "load@example.org", "phone": "+1 555 0100", "date_of_birth": "1980-02-29"}


def somebody(number: int) -> dict[str, str]:
    """The headers of one of the public: each number below 2^24 is at another address."""
    return {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}


class NotHere(Exception):
    """The address is not this machine's: load is put on nobody else."""


@dataclass(slots=True)
class Tally:
    """What a crowd saw. Times in seconds; `sold` is slot → the ids of the appointments confirmed on it."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sold: dict[str, list[str]] = field(default_factory=dict)
    wall: float = 0.0

    def quantile(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed; 0 when there were none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def requests(self) -> int:
        return len(self.latencies)

    @property
    def bookings(self) -> int:
        return sum(map(len, self.sold.values()))

    @property
    def sold_twice(self) -> int:
        return sum(len(ids) > 1 for ids in self.sold.values())


class Client(asyncio.Protocol):
    """One connection; one request at a time, with the connection's bearer token or one of its own. Answers must carry
    Content-Length."""

    def __init__(self, token: str, port: int) -> None:
        self._port = port
        self._token = token
        self._received = bytearray()
        self._expected = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("closed before the answer was complete"))
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            at = head.index(b"\r\ncontent-length:") + 17
            self._expected = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        if len(self._received) >= self._expected and self._answer and not self._answer.done():
            start = self._received.find(b"\r\n\r\n") + 4
            answer = int(self._received[9:12]), bytes(self._received[start : self._expected])
            del self._received[: self._expected]
            self._expected = 0
            self._answer.set_result(answer)

    async def connect(self) -> None:
        """Connects to 127.0.0.1 when there is no connection, or none any more."""
        if self._transport is None:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    @property
    def connected(self) -> bool:
        return self._transport is not None

    async def request(
        self, method: str, path: str, body: bytes = b"", *, token: str = "", headers: Mapping[str, str] = NONE
    ) -> tuple[int, bytes]:
        """(status, body) of one request, a POST with a fresh Idempotency-Key. Raises ConnectionError."""
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        once = f"Idempotency-Key: {uuid4().hex}\r\n" if method == "POST" else ""
        who = f"Authorization: Bearer {given}\r\n" if (given := token or self._token) else ""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        # As the edge writes it: past saturation the engine refuses those who have stood in line too long.
        since = f"X-Request-Start: {time.time():.3f}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{_FIXED}{who}{once}{more}{since}Content-Length: {len(body)}\r\n\r\n"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + body)
        return await self._answer

    async def timed(self, tally: Tally, name: str, path: str, body: bytes) -> tuple[int, bytes]:
        """A POST that is counted in `tally` as "`name` <status>"."""
        began = time.perf_counter()
        status, answer = await self.request("POST", path, body)
        tally.latencies.append(time.perf_counter() - began)
        tally.statuses[f"{name} {status}"] += 1
        return status, answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(url: str, tokens: Sequence[str]) -> list[Client]:
    """A client with a connection of its own for each token. Raises NotHere for an address that is not 127.0.0.1."""
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1" or parts.port is None:
        raise NotHere(url)
    clients = [Client(token, parts.port) for token in tokens]
    for client in clients:
        await client.connect()
    return clients


async def search(client: Client, *, clinic: str, visit_type: str, first: str, last: str) -> dict[str, list[str]]:
    """Free slots between two UTC days ("2030-01-31"), no two at the same time: calendar → tokens in order of their starts."""
    found: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    cursor = ""
    while True:
        query = f"visit_type={visit_type}&from={first}T00:00:00Z&to={last}T23:59:59Z&limit=500{cursor}"
        status, body = await client.request("GET", f"{API}/clinics/{clinic}/slots?{query}")
        for _ in range(_TRIES):
            if status != 503:  # a process that has just started, or stood still, sheds what it finds waiting
                break
            await asyncio.sleep(1)
            status, body = await client.request("GET", f"{API}/clinics/{clinic}/slots?{query}")
        if status != 200:
            raise RuntimeError(f"the search was answered {status}: {body.decode()[:300]}")
        answer = json.loads(body)
        for item in answer["items"]:
            # All times are in UTC and of one length, so they compare as text.
            if item["start"] >= ends.get(item["calendar"], ""):
                ends[item["calendar"]] = item["end"]
                found.setdefault(item["calendar"], []).append(item["slot"])
        if not answer["next"]:
            return found
        cursor = f"&cursor={answer['next']}"


async def wake(clients: Sequence[Client]) -> None:
    """Connects those again whose connection the server closed because it was idle, and warms all of them."""
    await asyncio.sleep(0.1)  # to hear of what was closed while nobody listened
    for client in clients:
        await client.connect()
    await asyncio.gather(*(client.request("GET", "/healthz") for client in clients))


async def book(client: Client, slot: str, tally: Tally) -> bool:
    """Hold and confirm; whether the slot was won. Anything but a success or a refusal is in the tally's statuses."""
    status, answer = await client.timed(tally, "hold", f"{API}/holds", json.dumps({"slot": slot}).encode())
    if status != 201:
        return False
    hold = json.loads(answer)["id"]
    body = json.dumps({"patient": PATIENT}).encode()
    status, answer = await client.timed(tally, "confirm", f"{API}/holds/{hold}/confirm", body)
    if status == 201:
        tally.sold.setdefault(slot, []).append(json.loads(answer)["id"])
    return status == 201


async def spread(clients: Sequence[Client], slots: Sequence[str]) -> Tally:
    """Everybody books other slots: client k takes the k-th, the (k + number of clients)-th, and so on."""

    async def visitor(client: Client, mine: Iterable[str], tally: Tally) -> None:
        for slot in mine:
            await book(client, slot, tally)

    return await _crowd(lambda t: [visitor(c, slots[n :: len(clients)], t) for n, c in enumerate(clients)])


async def rivals(clients: Sequence[Client], slots: Sequence[str]) -> Tally:
    """Everybody wants the first slot, else the second, and so on, until it has one or none is left."""

    async def rival(client: Client, tally: Tally) -> None:
        for slot in slots:
            if await book(client, slot, tally):
                return

    return await _crowd(lambda tally: [rival(client, tally) for client in clients])


async def refusals(clients: Sequence[Client], slot: str, count: int) -> Tally:
    """`count` holds in all of one slot that somebody else has."""
    body = json.dumps({"slot": slot}).encode()

    async def refused(client: Client, tally: Tally) -> None:
        for _ in range(count // len(clients)):
            await client.timed(tally, "hold", f"{API}/holds", body)

    return await _crowd(lambda tally: [refused(client, tally) for client in clients])


async def _crowd(people: Callable[[Tally], Sequence[Awaitable[None]]]) -> Tally:
    tally = Tally()
    began = time.perf_counter()
    await asyncio.gather(*people(tally))
    tally.wall = time.perf_counter() - began
    return tally


def as_json(tally: Tally) -> dict[str, Any]:
    """What a result file keeps of a tally; times in milliseconds but `wall_s`."""
    return {
        "requests": tally.requests,
        "bookings": tally.bookings,
        "sold_twice": tally.sold_twice,
        "statuses": dict(sorted(tally.statuses.items())),
        "wall_s": round(tally.wall, 3),
        "p50_ms": round(tally.quantile(0.5) * 1000, 1),
        "p99_ms": round(tally.quantile(0.99) * 1000, 1),
        "max_ms": round(tally.quantile(1.0) * 1000, 1),
    }
