"""The baseline of the load tests works as a monolith does, and can be double-booked as a monolith can.

This is the control of what the engine claims: the same two rivals, and nothing between them.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from loadtests.legacy import data, server
from loadtests.legacy.server import Legacy

MONDAY, NINE, NOON = "2031-01-06", "2031-01-06T09:00:00+00:00", "2031-01-06T12:00:00+00:00"
POLLS = 2_000
"""How often PostgreSQL is asked whether both rivals wait; far more than it takes."""


@pytest.fixture
def legacy(address: str) -> Iterator[Legacy]:
    with server.started(address, data.small) as running:
        yield running


def ask(legacy: Legacy, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", urlsplit(legacy.url).port, timeout=30)) as http:
        http.request(method, path, json.dumps(body) if body is not None else None)
        answer = http.getresponse()
        return answer.status, answer.read().decode()


def booking(start: str, *, patient: str) -> dict[str, Any]:
    return {"practitioner": 1, "visit_type": 1, "start": start, "name": patient, "email": f"{patient}@example.org", "phone": ""}


def free(legacy: Legacy) -> list[str]:
    status, text = ask(legacy, "GET", f"/practitioners/1/availability/?visit_type=1&monday={MONDAY}")
    assert status == 200
    slots: list[str] = json.loads(text)["slots"]
    return slots


def book_while_writes_wait(legacy: Legacy, at: str) -> list[int]:
    """What two rivals for one time are answered who have both looked before either of them writes."""
    with closing(psycopg2.connect(legacy.database)) as holding, holding.cursor() as cursor, ThreadPoolExecutor(2) as rivals:
        cursor.execute("LOCK TABLE legacy_appointment IN SHARE MODE")  # reads go on
        answers = [rivals.submit(ask, legacy, "POST", "/appointments/", booking(at, patient=name)) for name in ("ada", "zoe")]
        for _ in range(POLLS):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'legacy_appointment'::regclass AND NOT granted")
            if cursor.fetchone() == (2,):
                break
        holding.rollback()
        return [answer.result()[0] for answer in answers]


def test_it_serves_books_moves_and_cancels_and_two_rivals_book_one_time(legacy: Legacy) -> None:
    status, profile = ask(legacy, "GET", "/practices/1/")
    assert status == 200
    assert "Dr. 3" in profile
    status, week = ask(legacy, "GET", f"/practices/1/week/?monday={MONDAY}")
    assert (status, week.count("Patient ")) == (200, 45)
    assert NOON in free(legacy)
    assert NINE not in free(legacy)

    status, text = ask(legacy, "POST", "/appointments/", booking(NOON, patient="leo"))
    assert status == 201
    booked = json.loads(text)["id"]
    assert NOON not in free(legacy)
    assert ask(legacy, "POST", "/appointments/", booking(NOON, patient="mia"))[0] == 409
    assert ask(legacy, "POST", f"/appointments/{booked}/move/", {"start": NINE})[0] == 409
    assert ask(legacy, "POST", f"/appointments/{booked}/move/", {"start": "2031-01-06T15:00:00+00:00"})[0] == 200
    assert NOON in free(legacy)
    assert ask(legacy, "POST", f"/appointments/{booked}/cancel/", {})[0] == 200
    assert data.double_bookings(legacy.database) == 0

    # Both may meet the same of its workers, one after the other; then they try another time.
    assert any(book_while_writes_wait(legacy, at) == [201, 201] for at in free(legacy)[:20])
    assert data.double_bookings(legacy.database) == 1
