"""The door before Django's, for the one thing that everybody asks again and again: which slots are free.

A question that Django has understood and answered once is answered here when it comes in the same words from the public: counted
against the same limit, by the same function, with the same headers. Everything else, and whatever goes wrong, is Django's.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import DatabaseError

from apps.kernel.callers import limited
from apps.kernel.http import HEADERS, address, observed, stood_too_long
from apps.kernel.problems import Problem
from apps.kernel.tokens import SESSION_COOKIE
from engine import availability
from engine.callers import PUBLIC_READ

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def quick(application: Application) -> Application:
    """A WSGI application that answers what it knows and leaves the rest to `application`."""

    def door(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        known = availability.remembered(environ)
        if known is None or _is_somebody(environ) or stood_too_long(environ, 0):
            return application(environ, start_response)
        started, (question, route) = time.perf_counter(), known
        try:
            limited(PUBLIC_READ, address(environ))
            body = availability.answer(question)
        except (Problem, DatabaseError):
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *HEADERS.items()])
        observed(route, "GET", 200, time.perf_counter() - started)
        return [body]

    return door


def _is_somebody(environ: dict[str, Any]) -> bool:
    return "HTTP_AUTHORIZATION" in environ or SESSION_COOKIE in environ.get("HTTP_COOKIE", "")
