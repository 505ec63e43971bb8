"""The monolith, running: a database of its own beside the engine's, what is in it, and its server."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from apps.local.environment import ROOT, free_ports
from apps.local.probes import answers

WORKERS = 2 * (os.cpu_count() or 1) + 1
"""As gunicorn's documentation advises; each does one thing at a time."""
_START_WITHIN_S = 60


@dataclass(frozen=True)
class Legacy:
    """Where it answers, the pid of its server, and its database."""

    url: str
    pid: int
    database: str


@contextmanager
def started(beside: str, fill: Callable[[str], None]) -> Iterator[Legacy]:
    """The monolith, its database on the server of the address `beside` and filled by `fill`; nothing of it is left behind."""
    with _database(beside) as database:
        environ = {**os.environ, "DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "loadtests.legacy.settings"}
        command = (sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0")
        subprocess.run(command, check=True, cwd=ROOT, env=environ)
        fill(database)
        port = free_ports(1)[0]
        url = f"http://127.0.0.1:{port}"
        granian = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "loadtests.legacy.wsgi:application"]
        options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS), "--blocking-threads", "1", "--no-ws"]
        server = subprocess.Popen(granian + options, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
        try:
            _wait(server, url)
            yield Legacy(url, server.pid, database)
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def _database(beside: str) -> Iterator[str]:
    name = f"legacy_{time.time_ns()}"
    with closing(psycopg2.connect(beside)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(beside)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _wait(server: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while not answers(f"{url}/up"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The monolith did not start.")
        time.sleep(0.1)
