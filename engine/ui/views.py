"""Each view renders a page's skeleton; the ES modules take over and speak to the public API like any other program."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe
from redis import RedisError

from apps.kernel import auditor, revocations
from apps.kernel.callers import denied
from apps.kernel.problems import NotFound
from apps.kernel.redis import connect
from apps.kernel.revocations import watched
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier, sign
from engine import queries

DEMO_ROLES = {
    "practitioner": "Practitioner",
    "front_desk": "Front desk",
    "clinic_admin": "Clinic administrator",
    "auditor": "Auditor",
}
SERVICES = {
    "engine": "Appointments",
    "auth": "Sign-in and accounts",
    "records": "Patient records",
    "billing": "Billing",
    "notifications": "Notifications",
}
"""The services by their part of the address."""
_EXAMPLES = Path(__file__).parents[2] / "tests/data/events"
_DEMO_SESSION_S = 12 * 3600
_REVOKE_WITHIN_S = 0.5
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
    demo = {"demo_clinic": settings.ENV.demo_clinic, "roles": DEMO_ROLES if _demo_key() else {}}
    return render(request, "start.html", {**demo, "session": _session(request)})


@_page()
@require_safe
@ensure_csrf_cookie
def calendar(request: HttpRequest) -> HttpResponse:
    session = _session(request)
    return render(request, "calendar.html", {"session": session}) if session else redirect("/")


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
    service = request.GET.get("service", next(iter(SERVICES)))
    if service not in SERVICES:
        return _missing(request)
    return render(request, "docs.html", {"service": service, "name": SERVICES[service], "documents": SERVICES})


@_page()
@require_safe
def events(request: HttpRequest) -> HttpResponse:
    """The facts that services tell each other, each with its golden example."""
    return render(request, "events.html", {"producers": _examples(), "documents": SERVICES})


@_page()
@require_safe
@ensure_csrf_cookie
def audit_log(request: HttpRequest) -> HttpResponse:
    """The auditor's page; who else comes is told why not, and the attempt is noted."""
    session = _session(request)
    if session is None:
        return redirect("/")
    may = session.role in auditor.PERMISSIONS["audit.read"]
    if not may:
        denied(request, session, "audit.read")
    return render(request, "audit.html", {"session": session, "may": may, "services": SERVICES}, status=200 if may else 403)


@_page()
@require_POST
@csrf_protect
def demo_sign_in(request: HttpRequest) -> HttpResponse:
    """A session without a password, only where the demo clinic is: nobody real is in it."""
    key, role = _demo_key(), request.POST.get("role", "")
    if key is None or role not in DEMO_ROLES:
        return _missing(request)
    token = sign(key, subject=f"demo-{role}", clinic=settings.ENV.demo_clinic, role=role, seconds=_DEMO_SESSION_S)
    rotate_token(request)
    response = redirect("/calendar/")
    secure = settings.ENV.public_url.startswith("https:")
    response.set_cookie(SESSION_COOKIE, token, max_age=_DEMO_SESSION_S, httponly=True, samesite="Lax", secure=secure)
    return response


@_page()
@require_POST
@csrf_protect
def demo_sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session on every open page too, not only the cookie in this browser."""
    claims = _session(request)
    if claims is not None:
        with suppress(RedisError):  # the token ends by itself
            redis = connect(settings.ENV.redis_url.get_secret_value(), timeout_s=_REVOKE_WITHIN_S)
            revocations.revoke(redis, revocations.session(claims.token_id))
    response = redirect("/")
    response.delete_cookie(SESSION_COOKIE, samesite="Lax")
    return response


@cache
def _examples() -> dict[str, dict[str, str]]:
    """Producer → type → the example as it is on the wire."""
    return {
        SERVICES[folder.name]: {file.stem: file.read_text() for file in sorted(folder.glob("*.json"))}
        for folder in sorted(_EXAMPLES.iterdir())
        if folder.is_dir()
    }


def _missing(request: HttpRequest) -> HttpResponse:
    return render(request, "missing.html", status=404)


def _demo_key() -> Path | None:
    key: Path | None = settings.ENV.token_signing_key_file
    return key if settings.ENV.demo_clinic else None


def _session(request: HttpRequest) -> Claims | None:
    try:
        return _verifier().claims(request.COOKIES.get(SESSION_COOKIE, ""))
    except TokenRefused:
        return None


@cache
def _verifier() -> Verifier:
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)
