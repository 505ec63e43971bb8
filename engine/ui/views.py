"""Each view renders a page's skeleton; the ES modules take over and speak to the public API like any other program."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from apps.kernel.problems import NotFound
from apps.kernel.revocations import watched
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier
from engine import queries

DOCUMENTS = {"engine": "Appointments"}
"""The services whose API documents can be read, by their part of the address."""
_OURS_ONLY = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
_PAGE_POLICY = f"{_OURS_ONLY}; require-trusted-types-for 'script'"
# The API reader is not our code: its style sheet carries its icons, and it draws with markup.
_DOCS_POLICY = f"{_OURS_ONLY}; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def _page(policy: str = _PAGE_POLICY) -> Callable[[View[Arguments]], View[Arguments]]:
    """Makes a view a page: nothing but our own files runs in it, and nobody can frame it."""

    def decorate(view: View[Arguments]) -> View[Arguments]:
        @wraps(view)
        def with_policy(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
            response = view(request, *args, **kwargs)
            response["Content-Security-Policy"] = policy
            response["Cross-Origin-Opener-Policy"] = "same-origin"
            return response

        return with_policy

    return decorate


@_page()
@require_safe
@ensure_csrf_cookie
def start(request: HttpRequest) -> HttpResponse:
    return render(request, "start.html", {"demo_clinic": settings.ENV.demo_clinic, "session": _session(request)})


@_page()
@require_safe
@ensure_csrf_cookie
def calendar(request: HttpRequest) -> HttpResponse:
    session = _session(request)
    if session is None:
        # Also for who is signed in but was away for longer than a token is good: there they get a new one.
        return redirect(f"/login/?{urlencode({'next': request.get_full_path()})}")
    return render(request, "calendar.html", {"session": session})


@_page()
@require_safe
def booking(request: HttpRequest, clinic: str) -> HttpResponse:
    try:
        return render(request, "booking.html", {"clinic": queries.clinic_by_slug(clinic)})
    except NotFound:
        return _missing(request)


@_page(_DOCS_POLICY)
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    service = request.GET.get("service", next(iter(DOCUMENTS)))
    if service not in DOCUMENTS:
        return _missing(request)
    return render(request, "docs.html", {"service": service, "documents": DOCUMENTS})


def _missing(request: HttpRequest) -> HttpResponse:
    return render(request, "missing.html", status=404)


def _session(request: HttpRequest) -> Claims | None:
    try:
        return _verifier().claims(request.COOKIES.get(SESSION_COOKIE, ""))
    except TokenRefused:
        return None


@cache
def _verifier() -> Verifier:
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)
