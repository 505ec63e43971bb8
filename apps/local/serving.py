"""Runs a stack in the foreground and keeps its state file true."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from apps.local import state
from apps.local.environment import private_folder, write_private
from apps.local.processes import Life, Supervisor
from apps.local.stack import Stack
from apps.local.state import Entry, State


def say(text: str) -> None:
    """Prints at once; goes on when nobody reads any more."""
    with suppress(OSError):
        print(text, flush=True)


def serve(stack: Stack, *, data: Path, stop_hint: str, show: Callable[[str], None] = say) -> int:
    """Runs `stack` until SIGINT, SIGTERM or SIGHUP: 0, or 1 when a process could not be started.

    Must hold `data` (state.held). `show` gets the processes' own lines.
    """
    write_private(data / "environment.json", json.dumps(dict(stack.variables), indent=1))
    return asyncio.run(_serve(stack, data=data, stop_hint=stop_hint, show=show))


async def _serve(stack: Stack, *, data: Path, stop_hint: str, show: Callable[[str], None]) -> int:
    current = State(pid=os.getpid(), url=stack.url)

    def changed(lives: list[Life]) -> None:
        nonlocal current
        entries = [
            Entry(life.process.name, life.pid, life.process.url, life.process.probe, life.process.follows)
            for life in lives
            if not life.process.once
        ]
        current = replace(current, processes=entries)
        state.save(data, current)

    def ready(lines: dict[str, list[str]]) -> None:
        nonlocal current
        clinic, logins = _seeded([*lines.get("seed-engine", []), *lines.get("seed-auth", [])])
        current = replace(current, ready=True, demo_clinic=clinic, logins=logins)
        state.save(data, current)
        say(state.announcement(current, stop=stop_hint))

    supervisor = Supervisor(
        stack.table,
        variables=stack.variables,
        logs=private_folder(data / "logs"),
        say=say,
        show=show,
        changed=changed,
        ready=ready,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def _seeded(lines: Iterable[str]) -> tuple[str | None, list[dict[str, str]]]:
    """The demo clinic, and how to sign in there: the last word of who said it."""
    clinic, logins = None, []
    for line in lines:
        if line.startswith("{") and '"clinic"' in line:
            found = json.loads(line)
            clinic, logins = found["clinic"], found.get("logins", [])
    return clinic, logins
