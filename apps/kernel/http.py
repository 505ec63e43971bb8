"""The door every HTTP request of a service comes through: size, time, metrics, headers, and errors as problem details."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from random import choice
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import Histogram

from apps.kernel.problems import (
    PROBLEM_JSON,
    Internal,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    Unavailable,
    ValidationFailed,
)

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
Found = tuple[HttpResponse, str]
"""An answer that does not come from Django, and the route that gives it."""

_USUAL_BODY = 64 * 1024
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
"""What every answer says unless it says otherwise."""
LONGEST_QUEUE_S = 2.0
"""Who has stood in line this long is refused before any work: past saturation the work goes to those who still wait for it."""
LONGEST_LASTING_S = 0.5
"""The same for who only reads an API, where the line does not come and go but lasts. A page repeats such a question by itself."""
_SHORT_S, _LASTS_AFTER_S = 0.1, 1.0
_EDGE_TIMEOUT_S = 30.0
_SENT_AT_ONCE = 4 * 1024

REQUESTS = Histogram(
    "http_request_seconds",
    "Time to answer, by route and status",
    ["route", "method", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


@lru_cache(maxsize=5_000)
def _series(route: str, method: str, status: int) -> Histogram:
    return REQUESTS.labels(route, method, status)


def observed(route: str, method: str, status: int, seconds: float) -> None:
    """Counts one answer."""
    _series(route, method, status).observe(seconds)


def entrance(application: Application, *, at_hand: Callable[[dict[str, Any]], Found | None] = lambda _: None) -> Application:
    """A WSGI application behind which nobody is who has stood in line too long, and every body has a length.

    What is `at_hand` costs little more than a refusal, and is not refused. Django takes a body that comes in chunks for empty.
    """
    line = Line()
    refusals = [Unavailable("Too many ask at the moment.", retry_after=seconds).response() for seconds in (1, 2, 3)]

    def enter(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started, length = time.perf_counter(), environ.get("CONTENT_LENGTH") or "0"
        if line.too_long(environ, int(length) if length.isdigit() else 0):
            found = at_hand(environ) or (choice(refusals), "unknown")  # noqa: S311 - no secret
            return said(start_response, environ, found, started=started)
        if "CONTENT_LENGTH" not in environ and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            # One byte more than is allowed is enough to see that it is too much.
            body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
        return application(environ, start_response)

    return enter


def said(start_response: Any, environ: Mapping[str, Any], found: Found, *, started: float) -> list[bytes]:
    """An answer that does not come from Django, given as its door would; `started` by `perf_counter`."""
    answer, route = found
    observed(route, environ["REQUEST_METHOD"], answer.status_code, time.perf_counter() - started)
    headers = {**HEADERS, **answer.headers, "Content-Length": str(len(answer.content))}
    start_response(f"{answer.status_code} {answer.reason_phrase}", list(headers.items()))
    return [answer.content]


class Door:
    """Middleware: the only one a service needs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > _longest(request):
            response = PayloadTooLarge().response()
        else:
            response = self._get_response(request)
        if response.status_code == 405 and response.get("Content-Type") != PROBLEM_JSON:
            refused = MethodNotAllowed().response()
            refused["Allow"] = response.get("Allow", "")
            response = refused
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        match = request.resolver_match
        route = match.route if match else "unknown"
        observed(route, request.method or "", response.status_code, time.perf_counter() - started)
        return response

    def process_exception(self, request: HttpRequest, fault: Exception) -> HttpResponse:
        """What a view outside the API raised."""
        return as_response(request, fault)


class Line:
    """The line in front of this process, as those tell who have stood in it.

    One that comes and goes is a burst, and waited for. One that has been long for a second is more than can be done, and stays as
    long as it may be; so that it is short for those who write, who are further with what they came for, readers of an API give
    way sooner (as in CoDel).
    """

    def __init__(self) -> None:
        self._long_since: float | None = None

    def too_long(self, meta: Mapping[str, Any], length: int) -> bool:
        """Whether the edge took this request (`X-Request-Start`, seconds of its clock) longer ago than it is to wait here.

        A larger body may just have been slow to come; and more than the edge itself waits is a clock that is wrong.
        """
        start = meta.get("HTTP_X_REQUEST_START", "")
        if length > _SENT_AT_ONCE or not start.isascii() or not start.replace(".", "", 1).isdigit():
            return False
        waited, now = time.time() - float(start), time.monotonic()
        self._long_since = since = None if waited < _SHORT_S else self._long_since or now
        lasts = since is not None and now - since > _LASTS_AFTER_S
        reads = meta["REQUEST_METHOD"] in ("GET", "HEAD") and meta["PATH_INFO"].startswith("/api/")
        return (LONGEST_LASTING_S if lasts and reads else LONGEST_QUEUE_S) < waited < _EDGE_TIMEOUT_S


def _longest(request: HttpRequest) -> int:
    """How long this body may be: longer than 64 KiB where the service's settings say so (`LONG_BODIES`, the address's end)."""
    ending = getattr(settings, "LONG_BODIES", "")
    long = ending and request.method == "POST" and request.path.endswith(ending)
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE if long else _USUAL_BODY


def as_response(request: HttpRequest, fault: Exception) -> HttpResponse:
    """Any exception as an answer. What we did not foresee is logged by place and kind, never by its text."""
    if isinstance(fault, Problem):
        return fault.response()
    if isinstance(fault, Http404):
        return NotFound().response()
    if isinstance(fault, RequestDataTooBig):
        return PayloadTooLarge().response()
    if isinstance(fault, DisallowedHost):
        return ValidationFailed("This is not a host that we answer for.", param="Host").response()
    request_id = request.headers.get("X-Request-Id", "")
    log.error("unhandled", exc_info=fault, extra={"request_id": request_id, "method": request.method})
    if isinstance(fault, DatabaseError):
        return Unavailable(retry_after=1).response()
    return Internal().response()


def client_address(request: HttpRequest) -> str:
    """Who is at the other end, as the edge saw it: the last hop is the one the edge itself wrote."""
    return address(request.META)


def address(meta: Mapping[str, Any]) -> str:
    """The same, from a request's WSGI variables."""
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
    return str(forwarded.rpartition(",")[2].strip() or meta.get("REMOTE_ADDR", ""))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404."""
    return NotFound().response()


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    return Internal().response()
