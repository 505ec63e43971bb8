"""The whole stack behind one port, and its demo clinic as a program sees it."""

import json
import os
import subprocess
import sys
from base64 import b32decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import APIRequestContext, Page

ROOT = Path(__file__).resolve().parents[2]
# Without the addresses of the servers that the test run itself was given.
HEARTBEAT_S = 3
"""Instead of 25, so that two of them pass while a test waits."""
ENVIRON = {name: os.environ[name] for name in ("PATH", "HOME", "HEALTHFLOW_VENV") if name in os.environ}
ENVIRON["HEARTBEAT_S"] = str(HEARTBEAT_S)
API = "/api/engine/v1"
NAMES = "/api/records/v1/appointments/patients"
PATIENT = {"name": "Test Patient", "email": "patient@example.org", "phone": "212 555 0100", "date_of_birth": "1980-02-03"}

Json = dict[str, Any]
NewPage = Callable[..., Page]


@dataclass(frozen=True)
class Person:
    """Somebody who works in the demo clinic."""

    email: str
    password: str
    totp_key: bytes


@dataclass(frozen=True)
class Stack:
    """What `./manage.py up` started in `data`."""

    data: Path
    url: str

    def person(self, name: str) -> Person:
        """How somebody of the demo clinic signs in."""
        seeded = json.loads(manage("auth", "seed_demo", "--json", data=self.data).stdout)
        login = next(login for login in seeded["logins"] if login["name"] == name)
        return Person(login["email"], login["password"], b32decode(login["totp_secret"]))

    def cookies(self, name: str) -> list[Json]:
        """Of a session that somebody of the demo clinic has opened: a code works once, so that tests do not all sign in."""
        email = f"{name.removeprefix('Dr. ').lower().replace(' ', '.')}@demo.example"
        given = json.loads(manage("auth", "session", "--email", email, "--json", data=self.data).stdout)
        return [{"name": cookie, "value": value, "url": self.url} for cookie, value in given.items()]

    def push_processes(self) -> set[int]:
        """The pids of the push processes that `./manage.py status` tells of."""
        return {process["pid"] for process in status(self.data)["processes"] if process["name"].startswith("realtime")}


class Clinic:
    """The demo clinic as a program sees it. Every test takes slots that no other test takes."""

    def __init__(self, request: APIRequestContext, stack: Stack) -> None:
        self._request, self.stack = request, stack
        self._days = count(2)
        self.profile: Json = request.get(f"{API}/clinics/demo").json()

    def id_of(self, kind: str, name: str) -> str:
        return next(str(one["id"]) for one in self.profile[kind] if one["name"] == name)

    def slots(self, visit_type: str, calendar: str) -> list[Json]:
        """The free slots of a day that no other test has asked for."""
        query = {"visit_type": self.id_of("visit_types", visit_type), "calendar": self.id_of("calendars", calendar)}
        day = datetime.now(UTC).date() + timedelta(days=next(self._days))
        limits = {"from": f"{day}T12:00:00Z", "to": f"{day}T23:00:00Z", "limit": "100"}
        return list(self._request.get(f"{API}/clinics/demo/slots", params={**query, **limits}).json()["items"])

    def hold(self, slot: Json) -> Json:
        answer = self._request.post(f"{API}/holds", data={"slot": slot["slot"]})
        assert answer.status == 201, answer.text()
        return dict(answer.json())

    def confirm(self, hold: Json, patient: Json = PATIENT) -> Json:
        body = {"patient": patient, "state": "NY"}
        answer = self._request.post(f"{API}/holds/{hold['id']}/confirm", data=body, headers={"Hold-Secret": hold["secret"]})
        assert answer.status == 201, answer.text()
        return dict(answer.json())

    def post(self, path: str, body: Json, headers: dict[str, str]) -> Json:
        """The answer, whatever it says."""
        return dict(self._request.post(f"{API}{path}", data=body, headers=headers).json())


def manage(*arguments: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ./manage.py; a project's command takes the addresses of the stack in `data`."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    environ = ENVIRON if data is None else {**ENVIRON, "HEALTHFLOW_DATA": str(data)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def status(data: Path) -> Json:
    return dict(json.loads(manage("status", "--json", "--data", str(data)).stdout))
