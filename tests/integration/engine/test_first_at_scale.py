"""The load test of the first available in small: each answer is that of a full scan, and work does not grow with the platform."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from engine import models
from engine.first import first_available
from loadtests import first_available as load

SMALL, OTHER, LARGE, SEARCHES = 200, 300, 5_000, 8
"""Sizes that differ: what is known of a calendar is kept in the process, and load.fill tells those of one size apart."""


@contextmanager
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def asked(calendars: int) -> dict[str, int]:
    """Kind of search → the most statements that one took."""
    with connection.cursor() as cursor:
        load.emptied(cursor)
        load.fill(cursor, calendars=calendars, unread=20)
    most: dict[str, int] = {}
    for name, draw in load.kinds(calendars):
        for _ in range(SEARCHES):
            wish = draw()
            with statements() as seen:
                first_available(wish)
            most[name] = max(len(seen), most.get(name, 0))
            load.check(wish)
    return most


def test_a_search_does_not_ask_more_of_a_platform_that_is_larger(transactional_db: None) -> None:
    models.Stream.objects.get_or_create(id=1)
    small, large = asked(SMALL), asked(LARGE)

    # Ten calendars are looked at, some of whom turn out to be busy, and what is not known of them is loaded at most twice.
    usual = {name for name in large if "after a week" not in name and "50 wanted" not in name}
    assert {name: count for name, count in large.items() if name in usual and count > 60} == {}
    assert small["visit type of a clinic"] >= 1


def test_a_scan_that_differs_is_noticed(transactional_db: None) -> None:
    models.Stream.objects.get_or_create(id=1)
    with connection.cursor() as cursor:
        load.emptied(cursor)
        load.fill(cursor, calendars=OTHER, unread=20)
    wish = dict(load.kinds(OTHER))["visit type of a clinic"]()
    load.check(wish)
    models.NextFree.objects.filter(visit_type_id=wish.visit_type or 0).update(first=F("first") - 600)

    with pytest.raises(RuntimeError, match="the answer is wrong"):
        load.check(wish)
