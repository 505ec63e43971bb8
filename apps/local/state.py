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
from typing import NotRequired, TypedDict

from apps.local.environment import SetupError, write_private
from apps.local.probes import answers
from apps.local.standbys import lag_bytes

# `status` and `down` look at the lock by taking it for a moment; that must not refuse an `up`.
_LOCK_WITHIN_S = 1.0


@dataclass(frozen=True)
class Entry:
    """One process as `status` knows it; `pid` is None while it is not alive, `probe` empty when being alive is all.

    `follows` is the address of a standby's primary.
    """

    name: str
    pid: int | None
    url: str | None
    probe: str
    follows: str = ""


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
    """One process in the answer of `status --json`; `lag_bytes` is a replica's, null when it is not known."""

    name: str
    pid: int | None
    url: str | None
    healthy: bool
    lag_bytes: NotRequired[int | None]


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
        found = list(pool.map(_report, entries))
    return {
        "url": state.url if state is not None else None,
        "demo_clinic": state.demo_clinic if state is not None else None,
        "processes": found,
    }


def is_well(found: Report) -> bool:
    """Whether something runs and all of it answers."""
    return bool(found["processes"]) and all(process["healthy"] for process in found["processes"])


def table(found: Report) -> str:
    """A report for a person."""
    rows = [
        f"{process['name']:10} {process['pid'] or '-':>8}  {'well' if process['healthy'] else 'NOT WELL':9} "
        f"{process['url'] or ''}{_behind(process)}".rstrip()
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


def _behind(process: ProcessReport) -> str:
    if "lag_bytes" not in process:
        return ""
    lag = process["lag_bytes"]
    return f"  {lag:,} bytes behind" if lag is not None else "  nobody knows how far behind"


def _report(entry: Entry) -> ProcessReport:
    found: ProcessReport = {"name": entry.name, "pid": entry.pid, "url": entry.url, "healthy": _is_healthy(entry)}
    if entry.follows:
        found["lag_bytes"] = lag_bytes(entry.probe, primary=entry.follows)
    return found


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
