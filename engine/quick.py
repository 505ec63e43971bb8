"""The door before Django's, for what crowds ask: which slots are free, again and again; and for a slot that is gone.

A search that Django has understood and answered once is answered here when it comes in the same words from the public. A hold of
the public that the waiting room refuses is refused here. Both are counted against the same limits, by the same functions, and
answered with the same headers. Everything else, and whatever goes wrong, is Django's.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from io import BytesIO
from typing import Any, NamedTuple

from django.db import DatabaseError
from pydantic import ValidationError

from apps.kernel.callers import limited
from apps.kernel.http import HEADERS, address, in_line, observed
from apps.kernel.problems import Problem
from apps.kernel.tokens import SESSION_COOKIE
from engine import availability, offers, shapes
from engine.callers import ADMITTED, PUBLIC_READ, PUBLIC_WRITE, public_once
from engine.taking import admit

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
_HOLDS = "/api/engine/v1/holds"
_HOLDS_ROUTE = "api/engine/v1/holds"
_USUAL_HOLD = 4 * 1024


class _Said(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    route: str


def quick(application: Application) -> Application:
    """A WSGI application that answers what it knows and leaves the rest to `application`."""

    def door(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started, method = time.perf_counter(), environ["REQUEST_METHOD"]
        said = None
        if not _is_somebody(environ):
            said = _slots(environ) if method == "GET" else _no_hold(environ)
        if said is None:
            return application(environ, start_response)
        headers = {**HEADERS, **said.headers, "Content-Length": str(len(said.body))}
        start_response(f"{said.status} {responses[said.status]}", list(headers.items()))
        observed(said.route, method, said.status, time.perf_counter() - started)
        return [said.body]

    return door


def _slots(environ: dict[str, Any]) -> _Said | None:
    """The answer to a search that was asked before."""
    known = availability.remembered(environ)
    if known is None or in_line.too_long(environ, 0):
        return None
    question, route = known
    try:
        limited(PUBLIC_READ, address(environ))
        return _Said(200, {"Content-Type": "application/json"}, availability.answer(question), route)
    except (Problem, DatabaseError):
        return None


def _no_hold(environ: dict[str, Any]) -> _Said | None:
    """The refusal of a hold; what is not refused is counted and admitted, and Django's to try."""
    length = environ.get("CONTENT_LENGTH") or ""
    if environ["PATH_INFO"] != _HOLDS or environ["REQUEST_METHOD"] != "POST":
        return None
    if not length.isdigit() or int(length) > _USUAL_HOLD or in_line.too_long(environ, int(length)):
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(body)
    try:
        wanted = shapes.HoldIn.model_validate_json(body)
        offer, once = offers.parse(wanted.slot or ""), public_once(environ, body)
    except (ValidationError, Problem):
        return None
    try:
        limited(PUBLIC_WRITE, address(environ))
        admit(offer, ticket=environ.get("HTTP_WAITING_TICKET", ""), once=once, state=wanted.state)
    except Problem as refused:
        answer = refused.response()
        return _Said(answer.status_code, answer.headers, answer.content, _HOLDS_ROUTE)
    except DatabaseError:
        return None
    environ[ADMITTED] = True
    return None


def _is_somebody(environ: dict[str, Any]) -> bool:
    return "HTTP_AUTHORIZATION" in environ or SESSION_COOKIE in environ.get("HTTP_COOKIE", "")
