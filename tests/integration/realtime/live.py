"""The live path for tests: real Daphne, Valkey and relay processes, and a socket as a page or a program opens it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.request import urlopen
from uuid import UUID, uuid4

from django.db import connection
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apps.local.environment import ROOT, free_ports
from apps.local.probes import answers
from apps.local.servers import servers
from engine import relay

Found = TypeVar("Found")
WITHIN_S = 20.0
CLINIC = "harbor"


def until(found: Callable[[], Found | None], *, what: str, within_s: float = WITHIN_S) -> Found:
    """The first answer of `found` that is neither None nor False; fails the test when there is none in time."""
    deadline = time.monotonic() + within_s
    while (answer := found()) is None or answer is False:
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.01)
    return answer


@dataclass
class Server:
    """A process of ours that answers on `port`."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def metric(self, name: str) -> float:
        """The value of a series, labels included, as /metrics writes it; 0 for one that was never counted."""
        with urlopen(f"{self.url}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def running(command: list[str], *, port: int, probe: str, log: Path, environ: Mapping[str, str]) -> Iterator[Server]:
    """The command, once `probe` answers, for as long as the block runs."""
    with log.open("ab") as said:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, stdout=said, stderr=said)
    try:
        until(lambda: answers(probe) or None, what=f"{' '.join(command[-6:])} answers; see {log}")
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@contextmanager
def daphne(log: Path, port: int = 0, /, **environ: str) -> Iterator[Server]:
    """The push process. Port 0 is a free one."""
    port = port or free_ports(1)[0]
    command = [sys.executable, "-m", "realtime", "--port", str(port)]
    with running(command, port=port, probe=f"http://127.0.0.1:{port}/readyz", log=log, environ=environ) as server:
        yield server


@contextmanager
def relaying(log: Path, *, probe: str = "readyz", **environ: str) -> Iterator[Server]:
    """A relay, once it has done its first round; with "healthz", as soon as it has begun."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "django", "relay", "--health-port", str(port)]
    told = {"DJANGO_SETTINGS_MODULE": "engine.settings", **environ}
    with running(command, port=port, probe=f"http://127.0.0.1:{port}/{probe}", log=log, environ=told) as server:
        yield server


def of_this_test() -> dict[str, str]:
    """For processes of ours: the database of this test, not the one it was made from."""
    address, _, _ = os.environ["DATABASE_URL_ENGINE"].rpartition("/")
    return {"DATABASE_URL_ENGINE": f"{address}/{connection.settings_dict['NAME']}"}


class Valkey:
    """A Valkey of the test's own, which may be killed and started again, without its memory."""

    def __init__(self, folder: Path) -> None:
        given = {name: value for name, value in os.environ.items() if name.startswith("DATABASE_URL")}
        found = servers(folder, given=given)
        self._process, self.url = found.processes[0], found.variables["REDIS_URL"]
        self._log = folder / "valkey.log"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as said:
            self._running = subprocess.Popen(self._process.command, stdout=said, stderr=said)
        until(lambda: answers(self._process.probe) or None, what="valkey answers")

    def freeze(self) -> None:
        cast(subprocess.Popen[bytes], self._running).send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        cast(subprocess.Popen[bytes], self._running).send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait(10)


class Socket:
    """One end of a live socket, as a program: no Origin, no cookie, unless `headers` say so."""

    def __init__(self, server: Server, **headers: str) -> None:
        self._open = ExitStack()
        address = f"ws://127.0.0.1:{server.port}/ws/v1/live"
        opening = connect(address, additional_headers=headers, subprotocols=cast(Any, ["healthflow.v1"]))
        self.raw: ClientConnection = self._open.enter_context(opening)

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def say(self, type_: str, **fields: object) -> None:
        self.raw.send(json.dumps({"type": type_, **fields}))

    def hear(self, type_: str = "", *, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The next frame, which must be of this type if one is named."""
        frame = cast(dict[str, Any], json.loads(self.raw.recv(timeout=within_s)))
        assert not type_ or frame["type"] == type_, frame
        return frame

    def signed_in(self, token: str) -> "Socket":
        self.say("auth", token=token)
        self.hear("ready")
        return self

    def public(self, clinic: str = CLINIC) -> "Socket":
        self.say("auth", clinic=clinic)
        self.hear("ready")
        return self

    def subscribe(self, calendar: str, **had: object) -> dict[str, Any]:
        self.say("subscribe", calendar=calendar, **had)
        return self.hear()

    def versions(self, count: int) -> list[int]:
        """The versions of the next `count` frames, which must be events."""
        return [self.hear("event")["version"] for _ in range(count)]

    def says_nothing_more(self, calendar: str) -> None:
        """Nothing is under way: the answer to a question comes next."""
        self.say("subscribe", calendar="nobodys")
        assert self.hear() == {"type": "error", "code": "not_found", "calendar": "nobodys"}, calendar

    def close_code(self, *, within_s: float = WITHIN_S) -> int | None:
        """With which code the server closes the socket; frames before that are passed over."""
        deadline = time.monotonic() + within_s
        try:
            while True:
                self.raw.recv(timeout=max(0.0, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@contextmanager
def deaf(server: Server) -> Iterator[socket.socket]:
    """A client of the public page that shakes hands, signs in, and from then on neither reads nor answers, not even a close."""
    request = (
        "GET /ws/v1/live HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN_S) as raw:
        raw.sendall("".join(f"{line}\r\n" for line in (*request, "")).encode())
        assert b" 101 " in raw.recv(4096)
        shout(raw, "auth", clinic=CLINIC)
        assert b'"ready"' in raw.recv(4096)
        yield raw


def shout(raw: socket.socket, type_: str, **fields: object) -> None:
    """Sends a message of fewer than 126 bytes without waiting for anything."""
    text = json.dumps({"type": type_, **fields}).encode()
    raw.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)  # masked, as it must be, with zeros


@dataclass
class Feed:
    """Publishes events as the relay does, without a database behind it."""

    redis: "Redis"
    epoch: str = field(default_factory=lambda: str(uuid4()))

    def begin(self) -> None:
        self.redis.set(relay.EPOCH, self.epoch)
        self.redis.publish(relay.EPOCH, self.epoch)

    def calendar(self, clinic: str = CLINIC, *, version: int = 0) -> str:
        calendar = str(uuid4())
        self.redis.set(f"live:head:{calendar}", f"{clinic} {version}")
        return calendar

    def publish(self, calendar: str, *versions: int, clinic: str = CLINIC, event: str = "appointment.booked") -> None:
        data = json.dumps(
            {
                "id": str(uuid4()),
                "start": "2026-12-01T14:00:00Z",
                "end": "2026-12-01T14:30:00Z",
                "status": "booked",
                "visit_type": str(uuid4()),
                "calendars": [calendar],
            }
        )
        at = datetime.now(UTC)
        rows = [relay.Unsent(1, version, UUID(calendar), clinic, event, at, data) for version in versions]
        assert relay.publish(self.redis, rows, epoch=self.epoch)
