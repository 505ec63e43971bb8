"""A copy of the machine for tests: started as a person would start it, stopped whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from apps.local.environment import ROOT
from apps.local.state import Report, State, load

STANDIN, UPSTREAM = (Path(__file__).with_name(name) for name in ("standin.py", "upstream.py"))
# Without the addresses of servers that the test run itself may have been given.
ENVIRON = {name: os.environ[name] for name in ("PATH", "HOME", "HEALTHFLOW_VENV") if name in os.environ}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Found = TypeVar("Found")


def until(found: Callable[[], Found | None], *, what: str, within_s: float = 20) -> Found:
    """The first answer of `found` that is neither None nor False; fails the test when there is none in time."""
    deadline = time.monotonic() + within_s
    while (answer := found()) is None or answer is False:
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return answer


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Copy:
    """A running stand-in stack: its supervisor, its data folder, and where what it says is written."""

    supervisor: subprocess.Popen[bytes]
    data: Path
    said: Path

    @property
    def state(self) -> State:
        saved = load(self.data)
        assert saved is not None
        return saved

    def pid(self, name: str) -> int:
        """The pid of the process, once it has one."""
        return until(lambda: next(e.pid for e in self.state.processes if e.name == name), what=f"{name} has a pid")

    def port(self, name: str) -> int:
        url = next(entry.url for entry in self.state.processes if entry.name == name)
        port = urlsplit(url or "").port
        assert port is not None
        return port

    def get(self, path: str, *, process: str = "edge", headers: Mapping[str, str] = NO_HEADERS) -> tuple[HTTPResponse, bytes]:
        return get(path, port=self.port(process), headers=headers)

    def everyone(self) -> list[int]:
        """Every process that descends from the supervisor, at this moment."""
        return descendants(self.supervisor.pid)

    def everything_said(self) -> str:
        return self.said.read_text()


def get(path: str, *, port: int, headers: Mapping[str, str] = NO_HEADERS) -> tuple[HTTPResponse, bytes]:
    """The answer of 127.0.0.1:`port` to GET `path`, and its body."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer, answer.read()


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`./manage.py` with `arguments`, in an environment that knows no servers."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRON, timeout=60, check=False)


def status(copy: Copy) -> Report:
    found: Report = json.loads(manage("status", "--json", "--data", str(copy.data)).stdout)
    return found


@contextmanager
def running(command: Sequence[str]) -> Iterator[None]:
    """`command` for as long as the block runs."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def started(data: Path, *options: str) -> Iterator[Copy]:
    """A copy in `data` that may still be on its way up; at the end it is asked to stop, and must."""
    said = data.with_name(data.name + ".said")
    with said.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, str(STANDIN), str(data), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**ENVIRON, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield Copy(supervisor, data, said)
    finally:
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(30)


def ready(copy: Copy) -> Copy:
    """`copy`, once all of it answers."""

    def is_ready() -> bool:
        assert copy.supervisor.poll() is None, copy.everything_said()
        saved = load(copy.data)
        return saved is not None and saved.ready

    until(is_ready, what="the copy is ready")
    return copy


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(") ")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        left += (direct := children.get(left.pop(), []))
        found += direct
    return found


def told(body: bytes) -> dict[str, Any]:
    """What a stand-in said of the request that reached it."""
    found: dict[str, Any] = json.loads(body)
    return found
