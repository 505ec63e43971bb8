"""A write under an Idempotency-Key happens once, however often and from wherever it is asked for."""

import json
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.kernel import events
from apps.kernel.api import as_json
from apps.kernel.models import IdempotencyKey, OutboxEvent
from apps.kernel.once import once
from apps.kernel.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, Problem


def request(body: str = "{}", *, key: str = "k-1") -> HttpRequest:
    return RequestFactory().post("/things", body, content_type="application/json", headers={"idempotency-key": key})


def write() -> HttpResponse:
    events.record(type="thing.done", clinic="harbor", subject="s", data={})
    return as_json({"number": OutboxEvent.objects.count(), "name": "Zoe Canary"}, status=201)


def test_a_repeated_request_gets_the_first_answer(transactional_db: None) -> None:
    first, again = (once(request(), "harbor:desk", write) for _ in range(2))

    assert (first.status_code, json.loads(first.content)["number"]) == (201, 1)
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    assert OutboxEvent.objects.count() == 1
    assert b"Canary" not in bytes(IdempotencyKey.objects.get().body or b"")


def test_another_caller_s_key_is_another_key(transactional_db: None) -> None:
    for who in ("harbor:desk", "lakeside:desk"):
        once(request(), who, write)

    assert OutboxEvent.objects.count() == 2


def test_the_same_key_for_something_else_is_refused(transactional_db: None) -> None:
    once(request(), "harbor:desk", write)

    with pytest.raises(IdempotencyMismatch):
        once(request('{"other": 1}'), "harbor:desk", write)

    assert OutboxEvent.objects.count() == 1


def test_a_refusal_is_not_kept_and_changes_nothing(transactional_db: None) -> None:
    def refuse() -> HttpResponse:
        write()
        raise NotFound

    with pytest.raises(NotFound):
        once(request(), "harbor:desk", refuse)
    answer = once(request(), "harbor:desk", write)

    assert answer.status_code == 201
    assert OutboxEvent.objects.count() == 1


def at_the_same_time(first: Callable[[], HttpResponse], *, lock_timeout: str) -> tuple[list[HttpResponse], list[Problem]]:
    """Asks again, waiting for `lock_timeout` at most, while `first` is under way; the answers and the refusals."""
    answers, refusals, begun, go_on = list[HttpResponse](), list[Problem](), threading.Event(), threading.Event()

    def slow() -> HttpResponse:
        response = first()
        begun.set()
        go_on.wait(10)
        return response

    def work() -> None:
        answers.append(once(request(), "harbor:desk", slow))
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(10)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [lock_timeout])
    try:
        if lock_timeout == "0":
            threading.Timer(0.2, go_on.set).start()
        answers.append(once(request(), "harbor:desk", write))
    except Problem as refused:
        refusals.append(refused)
    finally:
        go_on.set()
        thread.join()
        connection.close()
    return answers, refusals


def test_a_request_that_still_runs_is_said_to_be_in_progress(transactional_db: None) -> None:
    answers, refusals = at_the_same_time(write, lock_timeout="100ms")

    assert [type(refused) for refused in refusals] == [IdempotencyInProgress]
    assert len(answers) == OutboxEvent.objects.count() == 1


def test_who_waits_for_the_first_request_gets_its_answer(transactional_db: None) -> None:
    answers, refusals = at_the_same_time(write, lock_timeout="0")

    assert refusals == []
    assert answers[0].content == answers[1].content
    assert OutboxEvent.objects.count() == 1
