"""Replicas for tests: standbys of the PostgreSQL that the test run has, and engine servers that read from one."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from apps.local import servers
from apps.local.environment import free_ports
from apps.local.processes import Process
from tests.integration.local.machine import descendants
from tests.integration.realtime.live import Server, running


class Standby:
    """A standby that may be held back, frozen, killed, and started again."""

    def __init__(self, data: Path, *, log: Path) -> None:
        self._log, self._port = log, free_ports(1)[0]
        password = (data / "secrets" / "postgres-postgres").read_text()
        primary = re.sub(r"//.*@(.*)/.*", rf"//postgres:{password}@\1/postgres", os.environ["DATABASE_URL_ENGINE"])
        self._process: Process = servers.replica(data, 1, port=self._port, probe=self.of(primary), primary=primary)
        self._open = ExitStack()
        self._pid = 0

    def of(self, primary: str) -> str:
        """The address of the same database here."""
        return re.sub(r"@[^/]*/", f"@127.0.0.1:{self._port}/", primary)

    def start(self) -> None:
        self._pid = self._open.enter_context(servers.running_process(self._process, log=self._log))

    def stop(self) -> None:
        self._open.close()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._open.close()

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """It gets everything inside the block, and replays nothing of it."""
        self.say("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            self.say("SELECT pg_wal_replay_resume()")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still inside the block: it takes connections and bytes, and answers nothing."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def say(self, statement: str) -> None:
        tell(self._process.probe, statement)

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self._pid, *descendants(self._pid)):
            os.kill(pid, number)


def tell(address: str, statement: str) -> list[tuple[Any, ...]]:
    """What the server at this address answers to a statement of its own."""
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def serving(log: Path, **environ: str) -> Iterator[Server]:
    """An engine server, of one process, with these variables."""
    port = free_ports(1)[0]
    command = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "engine.wsgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", "8", "--no-ws"]
    told = {**environ, "RATE_LIMITS": "off", "HOLDS_A_SECOND": "0"}
    with running(command, port=port, probe=f"http://127.0.0.1:{port}/readyz", log=log, environ=told) as server:
        try:
            yield server
        finally:
            # Killed at once, it would leave its workers behind.
            server.process.terminate()
            server.process.wait(20)
