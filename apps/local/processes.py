"""A supervisor: starts processes in the order they need each other, keeps them alive, and leaves none behind.

It starts them all from one event loop in the main thread, on purpose: the kernel ends a child "when its parent dies"
by watching the thread that started it.
"""

import asyncio
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

from apps.local.console import BoundedLog, readable
from apps.local.environment import ROOT, own
from apps.local.probes import answers

_READY_WITHIN_S = 60
_BACK_OFF_S = (0.2, 5.0)
_LIVED_WELL_S = 30
_POLL_S = 0.1
_TAIL_LINES = 20
_CHUNK_BYTES = 65_536


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Process:
    """One line of the table of what runs.

    `probe` is the address that must answer before those that name this one in `after` are started; empty: being alive
    is enough. `project` is the service it belongs to, whose variables it gets (environment.own). A process that runs
    `once` is a step: it is ready when it exited with 0. `before` and `then` are called in a thread, before the first
    start and after the first answer. `privileges` are options of setpriv. `terminal` says which of its lines are
    shown; all are kept in its file. `follows` is the address of a standby's primary. After `stop_within_s` seconds it is killed.
    """

    name: str
    _: KW_ONLY
    command: tuple[str, ...]
    project: str = ""
    probe: str = ""
    url: str | None = None
    after: tuple[str, ...] = ()
    once: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10
    terminal: Literal["all", "errors", "nothing"] = "all"
    before: Callable[[], None] = _nothing
    then: Callable[[], None] = _nothing
    privileges: tuple[str, ...] = ()
    follows: str = ""


@dataclass(frozen=True)
class Life:
    """Who is what at the moment; `pid` is None between two lives."""

    process: Process
    pid: int | None


class StartFailed(Exception):
    """A process did not become ready; the text names it and ends with its last lines."""


def guarded(process: Process) -> tuple[str, ...]:
    """The command of `process`, so that the kernel ends it should we be killed before we can."""
    if shutil.which("setpriv") is None:
        return process.command
    return ("setpriv", f"--pdeathsig={process.stop_signal.name}", *process.privileges, "--", *process.command)


@dataclass
class _Child:
    process: Process
    log: BoundedLog
    running: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        return self.running.pid if self.running is not None and self.running.returncode is None else None


class Supervisor:
    """Runs a table of processes until it is told to stop or one of them cannot be started.

    `say` gets what the supervisor has to tell, `show` the lines of the processes, both without a newline at the end;
    `changed` is called whenever a pid changed; `ready` once, when all are, with the last lines of each.
    """

    def __init__(
        self,
        table: Sequence[Process],
        *,
        variables: Mapping[str, str],
        logs: Path,
        say: Callable[[str], None],
        show: Callable[[str], None],
        changed: Callable[[list[Life]], None],
        ready: Callable[[dict[str, list[str]]], None],
    ) -> None:
        self._children = {process.name: _Child(process, BoundedLog(logs / f"{process.name}.log")) for process in table}
        self._variables = {**os.environ, **variables}
        self._say, self._show, self._changed, self._ready = say, show, changed, ready
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Asks `run` to stop everything and return."""
        self._stopping.set()

    async def run(self) -> int:
        """0 after `stop`, 1 when a process did not become ready; either way nothing is left running."""
        told = asyncio.create_task(self._until_told())
        pending = {told, asyncio.create_task(self._all_ready())}
        pending |= {asyncio.create_task(self._keep(child)) for child in self._children.values()}
        try:
            while not told.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        except StartFailed as error:
            self._say(str(error))
            return 1
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            await asyncio.gather(*map(self._stop, self._children.values()))
        return 0

    async def _until_told(self) -> None:
        await self._stopping.wait()

    async def _all_ready(self) -> None:
        for child in self._children.values():
            await child.ready.wait()
        self._ready({name: list(child.tail) for name, child in self._children.items()})

    async def _keep(self, child: _Child) -> None:
        for name in child.process.after:
            await self._children[name].ready.wait()
        await asyncio.to_thread(child.process.before)
        running = await self._start(child)
        await self._until_ready(child, running)
        await asyncio.to_thread(child.process.then)
        child.ready.set()
        pause = _BACK_OFF_S[0]
        while not child.process.once:
            started = time.monotonic()
            code = await running.wait()
            await self._clear(child)
            pause = _BACK_OFF_S[0] if time.monotonic() - started > _LIVED_WELL_S else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, _BACK_OFF_S[1])
            running = await self._start(child)
            self._say(f"{child.process.name} {_ended(code)}; restarted (pid {running.pid})")

    async def _start(self, child: _Child) -> asyncio.subprocess.Process:
        # Our own pipes: asyncio's would make `wait` wait for grandchildren that hold them, long after the exit.
        output, errors = os.pipe(), os.pipe()
        try:
            child.running = await asyncio.create_subprocess_exec(
                *guarded(child.process),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output[1],
                stderr=errors[1],
                start_new_session=True,
                env=own(self._variables, project=child.process.project),
                cwd=ROOT,
            )
        finally:
            os.close(output[1])
            os.close(errors[1])
            shown = child.process.terminal
            child.readers = [
                asyncio.create_task(self._read(child, output[0], shown=shown == "all")),
                asyncio.create_task(self._read(child, errors[0], shown=shown != "nothing")),
            ]
        self._report()
        return child.running

    async def _until_ready(self, child: _Child, running: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not await self._is_ready(child, running):
            late = time.monotonic() > deadline
            if late or running.returncode is not None:
                await self._clear(child)
                why = f"was not ready within {_READY_WITHIN_S} s" if late else _ended(running.returncode or 0)
                raise StartFailed("\n".join((f"{child.process.name} {why}. Its last lines:", *child.tail)))
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self, child: _Child, running: asyncio.subprocess.Process) -> bool:
        if child.process.once:
            if running.returncode == 0:
                await self._clear(child)
            return running.returncode == 0
        return not child.process.probe or await asyncio.to_thread(answers, child.process.probe)

    async def _stop(self, child: _Child) -> None:
        for other in self._children.values():
            if child.process.name in other.process.after:
                await other.stopped.wait()
        if child.running is not None:
            with suppress(ProcessLookupError):
                child.running.send_signal(child.process.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.running.wait(), child.process.stop_within_s)
            await self._clear(child)
        child.log.close()
        child.stopped.set()

    async def _clear(self, child: _Child) -> None:
        """Ends what is left of the process and its children, and takes in their last words."""
        if child.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.running.pid, signal.SIGKILL)
            await child.running.wait()
        if child.readers:
            _, left = await asyncio.wait(child.readers, timeout=1)
            for reader in left:
                reader.cancel()
        self._report()

    async def _read(self, child: _Child, descriptor: int, *, shown: bool) -> None:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        unfinished = b""
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                child.log.write(chunk)
                *lines, unfinished = (unfinished[-_CHUNK_BYTES:] + chunk).split(b"\n")
                self._take(child, lines, shown=shown)
            self._take(child, [unfinished] if unfinished else [], shown=shown)
        finally:
            transport.close()

    def _take(self, child: _Child, lines: list[bytes], *, shown: bool) -> None:
        for line in (line.decode(errors="replace") for line in lines):
            child.tail.append(line)
            if shown:
                self._show(readable(child.process.name, line))

    def _report(self) -> None:
        self._changed([Life(child.process, child.pid) for child in self._children.values()])


def _ended(code: int) -> str:
    return f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
