"""What the live storm runs: our push process and its peers, each beside a Valkey and a publisher of its own.

The server has one core and all else another, where there are two. As root the server runs ahead of the machine's other
work (nice -10), so that it is measured and not what else goes on.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.local import environment
from apps.local.environment import ROOT, SERVICES, free_ports
from apps.local.probes import answers
from apps.local.servers import servers
from loadtests.sockets import Dialect, Step
from loadtests.target import Json

PEERS = Path(__file__).resolve().parent / "peers"
OURS = "ours"
CLINIC = "storm"
_START_WITHIN_S = 30.0
_BIN = Path(sys.executable).parent

_SUBSCRIBE = '{"type":"subscribe",{place}}'
_PLAIN = (Step(b"", _SUBSCRIBE), Step(b'{"type":"subscribed"'))
PUBLIC = Dialect(
    "/ws/v1/live",
    (
        Step(b"", f'{{"type":"auth","clinic":"{CLINIC}"}}'),
        Step(b'{"type":"ready"', _SUBSCRIBE),
        Step(b'{"type":"subscribed"'),
    ),
    subprotocol="healthflow.v1",
)
"""Our push process as the public booking page talks to it, which gets less of an event than staff does."""
_STAFF = Dialect(
    "/ws/v1/live",
    (Step(b"", '{"type":"auth","token":"{token}"}'), *PUBLIC.conversation[1:]),
    subprotocol="healthflow.v1",
)
DIALECTS = {
    OURS: _STAFF,
    "ws": Dialect("/", _PLAIN),
    "socketio": Dialect(
        "/socket.io/?EIO=4&transport=websocket",
        (
            Step(b""),
            Step(b"0{", "40"),
            Step(b"40{", '42["subscribe","{calendar}"]'),
            Step(b'42["subscribed"'),
        ),
        event=b'42["event",{"type":"event"',
    ),
    "channels": Dialect("/", (Step(b"", _SUBSCRIBE), Step(b'{"type": "subscribed"'))),
}


@dataclass
class Publisher:
    """A publisher process (publisher.py says what it does). `versions` are its calendars' versions so far."""

    process: "subprocess.Popen[str]"
    versions: dict[str, int]

    async def publish(self, calendars: Sequence[str], *, events: int, per_s: float = 0, note: int = 0) -> Json:
        """The publisher's answer to one order. Raises RuntimeError when it has died."""
        answer = await asyncio.to_thread(self._ask, {"calendars": calendars, "events": events, "per_s": per_s, "note": note})
        self.versions |= answer["versions"]
        return answer

    def _ask(self, order: Json) -> Json:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Json:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("The publisher has ended; see what it said above.")
        return dict(json.loads(line))


@dataclass(frozen=True)
class Live:
    """A server under test. `pids` are of the roots of its processes: `server`, `valkey`, `publisher`."""

    name: str
    port: int
    pids: Mapping[str, int]
    publisher: Publisher
    signing_key: Path

    @property
    def pid(self) -> int:
        return self.pids["server"]


def memory(pid: int) -> int:
    """Bytes a process holds in memory."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most bytes it held since it began, or since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{field}:")[2].split()[0]) * 1024


def peers_here() -> tuple[str, ...]:
    """The peers that can be run: those on Node only where there is npm, which gets them on first use."""
    if shutil.which("npm") is None:
        return ("channels",)
    if not (PEERS / "node_modules").is_dir():
        command = ("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(command, cwd=PEERS, check=True, stdout=subprocess.DEVNULL)
    return ("ws", "socketio", "channels")


@contextmanager
def serving(name: str) -> Iterator[Live]:
    """The server `name`, fresh, and nothing of it left behind afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="healthflow-live-")))
        port = free_ports(1)[0]
        valkey, told = _valkey(folder)
        told |= environment.variables(folder, port=port, demo=False, limits=False)
        beside = {**os.environ, **told}
        others = stack.enter_context(_running(valkey, probe=told["REDIS_URL"], environ=beside))
        command, probe = _command(name, port, redis=told["REDIS_URL"])
        server = stack.enter_context(_running(_ahead(command), probe=probe, environ={**beside, "STORM_REDIS": told["REDIS_URL"]}))
        publisher = stack.enter_context(publishing(name, told))
        pids = {"server": server, "valkey": others, "publisher": publisher.process.pid}
        yield Live(name, port, pids, publisher, Path(told["TOKEN_SIGNING_KEY_FILE"]))


@contextmanager
def publishing(way: str, variables: Mapping[str, str]) -> Iterator[Publisher]:
    """A publisher that has connected, for as long as the block runs; `variables` are the engine's."""
    command = (sys.executable, "-m", "loadtests.publisher", way, variables["REDIS_URL"])
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        publisher = Publisher(process, {})
        publisher.answer()
        yield publisher
    finally:
        process.kill()
        process.wait(10)


def _valkey(folder: Path) -> tuple[Sequence[str], dict[str, str]]:
    # The databases are named but not there: nothing here asks them.
    nowhere = {f"DATABASE_URL_{name.upper()}": f"postgresql://{name}:x@127.0.0.1:1/{name}" for name in SERVICES}
    found = servers(folder, given=nowhere)
    return found.processes[0].command, dict(found.variables)


def _command(name: str, port: int, *, redis: str) -> tuple[Sequence[str], str]:
    """How the server is started, and what answers 200 when it has."""
    here = f"http://127.0.0.1:{port}"
    match name:
        case "ours":
            return (sys.executable, "-m", "realtime", "--port", str(port)), f"{here}/readyz"
        case "channels":
            daphne = (str(_BIN / "daphne"), "-v", "0", "-b", "127.0.0.1", "-p", str(port))
            return (*daphne, "loadtests.peers.stock_channels:application"), f"{here}/"
    return ("node", str(PEERS / f"{name}_server.js"), str(port), redis), f"{here}/"


def _ahead(command: Sequence[str]) -> Sequence[str]:
    pinned = ("taskset", "-c", str(min(_CORES))) if _two_cores() else ()
    first = ("nice", "-n", "-10") if os.geteuid() == 0 else ()
    return (*pinned, *first, *command)


_CORES = os.sched_getaffinity(0)


def _two_cores() -> bool:
    return len(_CORES) > 1 and shutil.which("taskset") is not None


@contextmanager
def apart() -> Iterator[None]:
    """For as long as the block runs this process, and what it starts, stays off the server's core."""
    if _two_cores():
        os.sched_setaffinity(0, _CORES - {min(_CORES)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, _CORES)


@contextmanager
def _running(command: Sequence[str], *, probe: str, environ: Mapping[str, str]) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=ROOT, env=dict(environ), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_WITHIN_S
        while not answers(probe):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait(10)
