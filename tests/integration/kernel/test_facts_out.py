"""Facts out: none is lost to the order of commits, none goes before every reader has it, and only readers read."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.db import connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from apps.kernel import events
from apps.kernel.models import OutboxEvent, Reader
from apps.kernel.problems import VersionGone

FEED = "/internal/v1/events"


def make(subject: str) -> None:
    with transaction.atomic():
        events.record(type="thing.done", clinic="harbor", subject=subject, data={})


def read_all(position: str) -> tuple[list[str], str]:
    found = events.read(position, 500, "records")
    return [one.event.subject for one in found], found[-1].position if found else position


def test_a_fact_that_is_committed_late_is_not_lost(transactional_db: None) -> None:
    begun, read = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            events.record(type="thing.done", clinic="harbor", subject="earlier", data={})
            begun.set()
            read.wait(10)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(10)
    make("later")
    by_number = list(OutboxEvent.objects.order_by("id").values_list("id", "subject"))
    first, position = read_all("")
    read.set()
    thread.join()
    late_by_number = list(OutboxEvent.objects.filter(id__gt=by_number[-1][0]).values_list("subject", flat=True))
    second, _ = read_all(position)

    # A reader that goes by the number alone has "later" and never sees "earlier", whose number is lower.
    assert [subject for _, subject in by_number] + late_by_number == ["later"]
    assert first + second == ["earlier", "later"]


def test_a_fact_outside_a_transaction_is_refused(transactional_db: None) -> None:
    with pytest.raises(RuntimeError, match="in the transaction"):
        events.record(type="thing.done", clinic="harbor", subject="s", data={})


def test_a_fact_of_a_write_that_was_rolled_back_never_was(transactional_db: None) -> None:
    with transaction.atomic():
        events.record(type="thing.done", clinic="harbor", subject="s", data={})
        transaction.set_rollback(True)

    assert read_all("") == ([], "")


def test_a_position_of_a_history_that_was_lost_is_refused(transactional_db: None) -> None:
    with pytest.raises(VersionGone):
        events.read("999999999999:1", 10, "records")


def test_nothing_goes_before_every_reader_has_it(transactional_db: None, settings: Settings) -> None:
    settings.FEED_READERS = ("records", "billing")
    for subject in ("a", "b"):
        make(subject)
    OutboxEvent.objects.update(at="2026-01-01T00:00:00Z")
    first, second = [one.position for one in events.read("", 10, "records")]
    make("young")
    forgotten = [events.forget()]
    for readers in ({"records": second}, {"billing": ""}, {"billing": first}, {"billing": second}):
        for name, position in readers.items():
            Reader.objects.update_or_create(name=name, defaults={"position": position, "at": "2026-01-01T00:00:00Z"})
        forgotten.append(events.forget())

    assert forgotten == [0, 0, 0, 1, 1]
    assert list(OutboxEvent.objects.values_list("subject", flat=True)) == ["young"]


# --- who may read -------------------------------------------------------------------------------------------------------


def token(by: str = "records", *, algorithm: str = "EdDSA", key: Any = None, kid: str = "", **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": "healthflow/service", "sub": by, "aud": "engine", "iat": now, "exp": now + 60} | changed
    own = Path(os.environ[f"SERVICE_KEY_FILE_{by.upper()}"]).read_text()
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        own if key is None else key,
        algorithm=algorithm,
        headers={"kid": kid or by},
    )


def ask(bearer: str | None, **query: Any) -> tuple[int, dict[str, Any]]:
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    answer = Client(headers=headers).get(FEED, query)
    return answer.status_code, answer.json()


def test_a_reader_gets_the_feed_and_its_question_is_its_receipt(transactional_db: None) -> None:
    status, page = ask(token())

    assert (status, page) == (200, {"events": [], "position": ""})
    assert Reader.objects.get(name="records").position == ""


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        (lambda: None, "unauthenticated"),
        (lambda: "nonsense", "unauthenticated"),
        (lambda: "äöü", "unauthenticated"),
        (lambda: token(exp=int(time.time()) - 31), "unauthenticated"),
        (lambda: token(exp=None), "unauthenticated"),
        (lambda: token(aud="billing"), "unauthenticated"),
        (lambda: token(iss="healthflow/auth"), "unauthenticated"),
        (lambda: token(algorithm="none", key=""), "unauthenticated"),
        (lambda: token(algorithm="HS256", key=_public("records")["x"]), "unauthenticated"),
        (lambda: token(kid="billing"), "unauthenticated"),
        (lambda: token(kid="nobody"), "unauthenticated"),
        (lambda: token("auth"), "forbidden"),
        (lambda: token("engine"), "forbidden"),
        (lambda: token(sub="billing"), "forbidden"),
    ],
    ids=lambda value: None,
)
def test_nobody_else_reads_the_feed(transactional_db: None, bearer: Any, code: str) -> None:
    _, answer = ask(bearer())

    assert answer["code"] == code
    assert not Reader.objects.exists()


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": "1:2"}, {"after": "²:1:1"}, {"after": "9" * 19 + ":1:1"}, {"limit": "²"}]
)
def test_a_position_that_we_never_gave_is_refused_and_moves_nothing(transactional_db: None, query: dict[str, str]) -> None:
    status, answer = ask(token(), **query)

    assert (status, answer["code"]) == (422, "validation_failed")
    assert not Reader.objects.exists()


def _public(service: str) -> dict[str, Any]:
    keys = json.loads(Path(os.environ["SERVICE_JWKS_FILE"]).read_text())["keys"]
    return next(key for key in keys if key["kid"] == service)
