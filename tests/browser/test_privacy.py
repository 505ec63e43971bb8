"""What a patient tells us is in one sealed column, and in no log, no Redis, no frame, no event: looked for everywhere.

And nothing that the engine has can open it.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg2
import pytest
from redis import Redis
from websockets.sync.client import connect

from engine.management.demo import PATIENTS
from tests.browser.stack import API, Clinic, Stack, manage, status

CANARIES = ("Zoe-Canary", "zoe.canary", "555-0177", "1961-07-19", "canary-cough", *PATIENTS)
ENGINE = {"engine", "relay", "engine-consumer", "worker", "beat"}
END = "end-of-the-booking"
PATIENT = {"name": "Zoe-Canary", "email": "zoe.canary@example.org", "phone": "212 555-0177", "date_of_birth": "1961-07-19"}


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    return cast(dict[str, str], json.loads((stack.data / "environment.json").read_text()))


def tell_everybody(stack: Stack, clinic: Clinic, token: str) -> Iterator[str]:
    """Books for a patient, well and badly, with a staff socket open; yields every frame and every refusal."""
    slot, spare = clinic.slots("Follow-up", "Dr. Sofia Alvarez")[:2]
    staff = {"Authorization": f"Bearer {token}"}
    details = {"patient": PATIENT, "state": "NY", "answers": {"Why?": "canary-cough"}}
    with connect(stack.url.replace("http", "ws") + "/ws/v1/live") as socket, httpx.Client(base_url=stack.url + API) as http:
        socket.send(json.dumps({"type": "auth", "token": token}))
        socket.send(json.dumps({"type": "subscribe", "calendar": slot["calendar"]}))
        held = http.post("/holds", json={"slot": slot["slot"]}, headers={"Idempotency-Key": "privacy"}).json()
        confirm, secret = f"/holds/{held['id']}/confirm", {"Hold-Secret": held["secret"]}
        for bad in ({**details, "name": "Zoe-Canary"}, {"patient": {**PATIENT, "phone": "canary-cough"}}, "Zoe-Canary"):
            answer = http.post(confirm, json=bad, headers=secret)
            assert answer.status_code == 422
            yield answer.text
        booked = http.post(confirm, json=details, headers=secret)
        assert booked.status_code == 201
        yield booked.text
        again = http.post(confirm, json=details, headers=secret)
        assert again.status_code == 409
        yield again.text
        whole = http.post("/appointments", json={"slot": spare["slot"], **details}, headers=staff)
        assert whole.status_code == 201
        yield whole.text
        frame: dict[str, Any] = {}
        while frame.get("data", {}).get("id") != whole.json()["id"]:
            said = socket.recv(timeout=10)
            yield str(said)
            frame = json.loads(said)


def told_to_redis(url: str) -> list[str]:
    """Every command that anybody gives Redis, Celery's and the relay's too, until one says that it is over."""
    commands = []
    with Redis.from_url(url) as redis, redis.monitor() as monitor:
        for one in monitor.listen():
            commands.append(str(one["command"]))
            if END in commands[-1]:
                return commands
    raise AssertionError("Redis stopped telling")


def in_redis(url: str) -> Iterator[str]:
    redis = Redis.from_url(url)
    for key in redis.scan_iter(count=1000):
        yield f"{key!r} {redis.dump(key)!r}"


def in_database(url: str) -> Iterator[str]:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            yield from (row for (row,) in cursor.fetchall())


def found(places: Iterator[str]) -> list[str]:
    """The places that say something of the patient; fails when there was nowhere to look."""
    looked_at = list(places)
    assert looked_at
    return [place[:200] for place in looked_at if any(canary.lower() in place.lower() for canary in CANARIES)]


def test_what_a_patient_tells_us_is_nowhere_in_clear(stack: Stack, clinic: Clinic, environment: dict[str, str]) -> None:
    token = manage("auth", "token", "--clinic", "demo", "--role", "front_desk", data=stack.data).stdout.strip()

    assert found(iter([json.dumps(PATIENT)])), "the search itself must be able to find something"
    with ThreadPoolExecutor(1) as threads, Redis.from_url(environment["REDIS_URL"]) as redis:
        listening = threads.submit(told_to_redis, environment["REDIS_URL"])
        while not any(client["cmd"] == "monitor" for client in redis.client_list()):
            assert not listening.done()
        try:
            assert found(tell_everybody(stack, clinic, token)) == []
        finally:
            redis.echo(END)
        assert found(iter(listening.result())) == []

    assert found(in_redis(environment["REDIS_URL"])) == []
    assert found(in_database(environment["DATABASE_URL_ENGINE"])) == []
    assert found(path.read_text(errors="replace") for path in (stack.data / "logs").iterdir()) == []


def test_the_engine_is_told_nothing_that_opens_an_envelope(stack: Stack) -> None:
    pids = {process["name"]: process["pid"] for process in status(stack.data)["processes"]}

    for name in ENGINE:
        told = Path(f"/proc/{pids[name]}/environ").read_text()
        assert "SEALING_JWKS_FILE=" in told
        assert not any(secret in told for secret in ("SEALING_KEY_FILE=", "KMS_URL=", "DATABASE_URL_RECORDS="))
    assert "SEALING_KEY_FILE=" in Path(f"/proc/{pids['records']}/environ").read_text()
