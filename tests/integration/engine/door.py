"""Asking at the engine's door, what a refusal looks like, and what the database is asked meanwhile."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import psycopg2.extensions
from django.db import connection
from django.test import Client
from redis import Redis

from apps.kernel.shapes import in_zone
from engine import models
from engine.wsgi import application
from tests.practice import DAY, Practice, tomorrow

BASE = "/api/engine/v1"
ZOE = {"name": "Zoe Canary", "email": "zoe@example.org", "phone": "+1 555 0100", "date_of_birth": "1980-02-29"}


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(BASE + path, json.dumps(body or {}), content_type="application/json", headers=headers)


def slots_of(
    client: Client, practice: Practice, *, visit_type: models.VisitType | None = None, **query: Any
) -> list[dict[str, Any]]:
    start = tomorrow()
    window = {
        "from": in_zone(start, "UTC"),
        "to": in_zone(start + DAY, "UTC"),
        "visit_type": str((visit_type or practice.visit).uid),
    }
    answer = client.get(f"{BASE}/clinics/{practice.slug}/slots", window | query)
    assert answer.status_code == 200, answer.content
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def everything() -> list[tuple[Any, ...]]:
    """All that a refused request must leave as it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT array_agg((id, status, version)::text ORDER BY id) FROM engine_appointment),"
            " (SELECT array_agg((appointment_id, calendar_id, unit, during)::text ORDER BY appointment_id, calendar_id)"
            "  FROM engine_allocation),"
            " (SELECT array_agg((id, version, rules)::text ORDER BY id) FROM engine_calendar),"
            " (SELECT count(*) FROM engine_outboxevent), (SELECT count(*) FROM engine_idempotencykey),"
            " (SELECT count(*) FROM engine_openinghours), (SELECT count(*) FROM engine_openingexception)"
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def refused(answer: Any, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """Checks that the answer is that problem; returns it."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["title"]
    assert problem["type"].endswith(code.replace("_", "-"))
    if param is not None:
        assert problem.get("param") == param, problem
    return problem


def at_the_door(method: str, path: str, sent: bytes = b"", /, **environ: str) -> tuple[str, dict[str, str], bytes]:
    """(status, headers, body) of a request at the WSGI door, in front of Django; `environ` are further variables of WSGI."""
    told: list[Any] = []
    address, _, query = path.partition("?")
    given = {
        "REQUEST_METHOD": method,
        "PATH_INFO": BASE + address,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(sent),
        **environ,
    }
    body = b"".join(application(given, lambda *line: told.extend(line)))
    return told[0], dict(told[1]), body


def now_ms(redis: "Redis") -> int:
    """Of Redis' clock."""
    seconds, micros = redis.time()
    return int(seconds * 1000 + micros // 1000)


def line_of(practice: Practice) -> str:
    """Where the clinic's line is in Redis."""
    return f"line:{{{practice.doctor.clinic_id}}}"


def line_up(redis: "Redis", practice: Practice, *, ms: int) -> int:
    """The clinic's next place in line is in so many milliseconds; now, in ms."""
    now = now_ms(redis)
    redis.set(line_of(practice), now + ms)
    return now


@contextmanager
def statements() -> Iterator[list[str]]:
    """What this thread's connection to the database is sent."""
    sent: list[str] = []

    class Counting(psycopg2.extensions.cursor):
        def execute(self, query: Any, parameters: Any = None) -> None:
            sent.append(f"{query} {parameters}")
            super().execute(query, parameters)

    connection.ensure_connection()
    usual, connection.connection.cursor_factory = connection.connection.cursor_factory, Counting
    try:
        yield sent
    finally:
        connection.connection.cursor_factory = usual
