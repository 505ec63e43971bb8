"""Rights that are taken back: within 5 s, on every process, also when the message that says so was lost."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from django.test import Client

from apps.kernel import revocations
from apps.local.environment import ROOT
from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, daphne, until
from tests.practice import Practice

WITHIN_S = 5.0


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with daphne(tmp_path_factory.mktemp("other") / "daphne.log") as started:
        yield started


@pytest.fixture
def who() -> str:
    """Somebody whom no other test knows: what is revoked stays so."""
    return f"test:{uuid4().hex}"


@pytest.fixture(scope="module", autouse=True)
def _auth_remembers() -> None:
    """The tables in which auth keeps what it revoked."""
    assert auth("migrate", "-v0").returncode == 0


def revoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    return auth("revoke", *arguments)


def auth(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), "auth", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HEALTHFLOW_DATA": "none"})


@pytest.mark.parametrize(
    ("what", "code"), [("session", 4401), ("subject", 4401), ("subject in the clinic", 4403), ("subject, unheard", 4401)]
)
def test_an_open_socket_ends_on_every_process(
    server: Server, other: Server, token: Callable[..., str], feed: Feed, who: str, what: str, code: int
) -> None:
    mine, colleagues = token(CLINIC, subject=who), token(CLINIC)
    elsewhere = token("elsewhere", subject=who)
    calendar = feed.calendar()
    with (
        Socket(server).signed_in(mine) as here,
        Socket(other).signed_in(mine) as there,
        Socket(server).signed_in(colleagues) as colleague,
        Socket(other).signed_in(elsewhere) as in_another_clinic,
    ):
        colleague.subscribe(calendar)
        began = time.monotonic()
        if what == "subject, unheard":
            feed.redis.zadd(revocations.REVOKED, {revocations.subject(who): int(time.time())})
        else:
            session = jwt.decode(mine, options={"verify_signature": False})["jti"]
            whose = {"session": ("--session", session), "subject": ("--subject", who)}
            said = revoke(*whose.get(what, ("--subject", who, "--clinic", CLINIC)))
            assert said.returncode == 0, said.stderr

        assert [here.close_code(), there.close_code()] == [code, code]

        assert time.monotonic() - began < WITHIN_S
        feed.publish(calendar, 1)
        assert colleague.versions(1) == [1]
        if what in ("session", "subject in the clinic"):
            in_another_clinic.says_nothing_more(calendar)
        else:
            assert in_another_clinic.close_code() == code
    with Socket(server) as again:
        again.say("auth", token=mine)
        assert again.close_code() == 4401


def test_the_api_refuses_within_5_s_without_asking_redis_for_each_request(
    practice: Practice, token: Callable[..., str], feed: Feed, who: str
) -> None:
    client = Client(headers={"authorization": f"Bearer {token(practice.slug, subject=who)}"})
    address = f"/api/engine/v1/calendars/{practice.doctor.uid}/changes?since=0"
    assert client.get(address).status_code == 200
    began = time.monotonic()
    revocations.revoke(feed.redis, revocations.member(who, clinic=practice.slug))

    refused = until(lambda: answer if (answer := client.get(address)).status_code != 200 else None, what="it is refused")

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert time.monotonic() - began < WITHIN_S


@pytest.mark.parametrize(
    "arguments",
    [(), ("--clinic", CLINIC), ("--session", "s", "--clinic", CLINIC), ("--session", "s", "--subject", "s"), ("--subject", "")],
)
def test_what_is_not_clear_revokes_nothing(arguments: tuple[str, ...], feed: Feed) -> None:
    before = feed.redis.zcard(revocations.REVOKED)
    said = revoke(*arguments)
    assert said.returncode != 0
    assert "Traceback" not in said.stderr
    assert feed.redis.zcard(revocations.REVOKED) == before


def test_a_database_that_does_not_answer_is_said_so() -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "auth", "revoke", "--subject", "s"]
    environ = {**os.environ, "DATABASE_URL_AUTH": "postgresql://x:x@127.0.0.1:1/x"}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=Path("/"))
    assert said.returncode == 1
    assert "Nothing was revoked" in said.stderr
