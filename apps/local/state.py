"""What runs in a data folder: who holds it, and what the supervisor last wrote about its processes."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from apps.local.environment import SetupError, write_private
from apps.local.probes import answers

# `status` and `down` look at the lock by taking it for a moment; that must not refuse an `up`.
_LOCK_WITHIN_S = 1.0


@dataclass(frozen=True)
class Entry:
    """One process as `status` knows it; `pid` is None while it is not alive, `probe` empty when being alive is all."""

    name: str
    pid: int | None
    url: str | None
    probe: str


@dataclass(frozen=True)
class State:
    """One supervisor: its own pid, where its edge is, and whether everything was ready once."""

    pid: int
    url: str
    ready: bool = False
    demo_clinic: str | None = None
    logins: list[dict[str, str]] = field(default_factory=list)
    processes: list[Entry] = field(default_factory=list)


class ProcessReport(TypedDict):
    """One process in the answer of `status --json`."""

    name: str
    pid: int | None
    url: str | None
    healthy: bool


class Report(TypedDict):
    """The answer of `status --json`; `url` and `demo_clinic` are null when there is none."""

    url: str | None
    demo_clinic: str | None
    processes: list[ProcessReport]


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Makes this process the only supervisor of `data`. Raises SetupError when there is one already."""
    deadline = time.monotonic() + _LOCK_WITHIN_S
    with (data / "lock").open("a+") as file:
        while not _locked(file.fileno()):
            if time.monotonic() > deadline:
                raise SetupError(f"Already running here (process {holder(data)}); stop it first: ./manage.py down")
            time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(data: Path) -> int | None:
    """The pid of the supervisor of `data`; None when there is none. The kernel frees the lock of a killed one."""
    try:
        with (data / "lock").open() as file:
            return None if _locked(file.fileno()) else int(file.read() or 0)
    except FileNotFoundError:
        return None


def save(data: Path, state: State) -> None:
    """Replaces what `load` reads. The file holds the servers' passwords and is private."""
    write_private(data / "processes.json", json.dumps(asdict(state), indent=1))


def load(data: Path) -> State | None:
    """What the living supervisor of `data` last saved; None when none lives or it has not saved yet."""
    pid = holder(data)
    file = data / "processes.json"
    if pid is None or not file.is_file():
        return None
    saved = json.loads(file.read_text())
    state = State(**{**saved, "processes": [Entry(**entry) for entry in saved["processes"]]})
    return state if state.pid == pid else None


def report(state: State | None) -> Report:
    """The answer of `status --json`; every process is asked now."""
    entries = state.processes if state is not None else []
    with ThreadPoolExecutor(max(1, len(entries))) as pool:
        healthy = list(pool.map(_is_healthy, entries))
    return {
        "url": state.url if state is not None else None,
        "demo_clinic": state.demo_clinic if state is not None else None,
        "processes": [
            {"name": entry.name, "pid": entry.pid, "url": entry.url, "healthy": well}
            for entry, well in zip(entries, healthy, strict=True)
        ],
    }


def is_well(found: Report) -> bool:
    """Whether something runs and all of it answers."""
    return bool(found["processes"]) and all(process["healthy"] for process in found["processes"])


def table(found: Report) -> str:
    """A report for a person."""
    rows = [
        f"{process['name']:10} {process['pid'] or '-':>8}  {'well' if process['healthy'] else 'NOT WELL':9} "
        f"{process['url'] or ''}".rstrip()
        for process in found["processes"]
    ]
    return "\n".join((f"{'process':10} {'pid':>8}  {'health':9} url", *rows)) if rows else "Nothing runs here."


def announcement(state: State, *, stop: str) -> str:
    """What a person wants to know once everything runs; `stop` says how to end it."""
    pages = {"start page": "/", "live calendar": "/calendar/", "API": "/api/docs/"}
    if state.demo_clinic:
        pages["booking page"] = f"/book/{state.demo_clinic}/"
    lines = [f"  {name:14} {state.url}{path}" for name, path in pages.items()]
    logins = [f"  {'demo login':14} {_login(login)}" for login in state.logins]
    return "\n".join(("", "HealthFlow is ready.", "", *lines, *logins, "", stop, ""))


def _login(login: Mapping[str, str]) -> str:
    rest = ", ".join(f"{key} {value}" for key, value in login.items() if key != "name")
    return f"{login.get('name', '')} ({rest})" if rest else login.get("name", "")


def _is_healthy(entry: Entry) -> bool:
    if entry.pid is None:
        return False
    try:
        os.kill(entry.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # alive, as another user
    return not entry.probe or answers(entry.probe)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
