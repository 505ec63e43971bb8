"""The door before Django's, for what crowds ask: which slots are free, again and again; and for a slot that is gone.

A search that Django has understood and answered once is answered here when it comes in the same words from the public. A hold of
the public is counted and passes the waiting room here, or is refused. Both are counted against the same limits, by the same
functions, and answered with the same headers. Everything else, and whatever goes wrong, is Django's.
"""

import logging
import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from django.http import HttpResponse
from pydantic import ValidationError

from apps.kernel.callers import limited
from apps.kernel.http import Application, Found, address, said
from apps.kernel.problems import Problem
from apps.kernel.tokens import SESSION_COOKIE
from engine import availability, offers, shapes
from engine.callers import ADMITTED, PUBLIC_READ, PUBLIC_WRITE, public_digest
from engine.taking import admit

_HOLDS = "api/engine/v1/holds"
_USUAL_HOLD = 4 * 1024

log = logging.getLogger(__name__)


def quick(application: Application) -> Application:
    """A WSGI application that answers what it knows and leaves the rest to `application`."""

    def door(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = time.perf_counter()
        found = _found(environ, at_hand=False)
        return application(environ, start_response) if found is None else said(start_response, environ, found, started=started)

    return door


def at_hand(environ: dict[str, Any]) -> Found | None:
    """The answer to a search, if it is the one that was given last: it costs little more than a refusal."""
    return _found(environ, at_hand=True)


def _found(environ: dict[str, Any], *, at_hand: bool) -> Found | None:
    if "HTTP_AUTHORIZATION" in environ or SESSION_COOKIE in environ.get("HTTP_COOKIE", ""):
        return None
    try:
        if environ["REQUEST_METHOD"] == "GET":
            return _searched(environ, at_hand=at_hand)
        return None if at_hand else _no_hold(environ)
    except Exception as fault:  # Django has an answer for it, and one more try
        log.warning("quick_failed", exc_info=fault)
        return None


def _searched(environ: dict[str, Any], *, at_hand: bool) -> Found | None:
    """The answer to a search that was asked before."""
    known = availability.remembered(environ)
    if known is None:
        return None
    question, route = known
    try:
        limited(PUBLIC_READ, address(environ))
        return HttpResponse(availability.answer(question, at_hand=at_hand), content_type="application/json"), route
    except (Problem, availability.NotAtHand):
        return None


def _no_hold(environ: dict[str, Any]) -> Found | None:
    """The refusal of a hold; what is not refused is counted and admitted, and Django's to try."""
    length = environ.get("CONTENT_LENGTH") or ""
    if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] != f"/{_HOLDS}":
        return None
    if not length.isdigit() or int(length) > _USUAL_HOLD:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(body)
    try:
        wanted = shapes.HoldIn.model_validate_json(body)
        offer, digest = offers.parse(wanted.slot or ""), public_digest(environ)
    except (ValidationError, Problem):
        return None
    who, ticket = address(environ), environ.get("HTTP_WAITING_TICKET", "")
    try:
        limited(PUBLIC_WRITE, who)
        admit(offer, ticket=ticket, address=who, digest=digest, state=wanted.state)
    except Problem as refused:
        return refused.response(), _HOLDS
    environ[ADMITTED] = True
    return None
