"""Each view renders a page's skeleton; the ES modules take over and speak to the public API like any other program."""

import re
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from apps.kernel import auditor
from apps.kernel.callers import denied
from apps.kernel.problems import NotFound
from apps.kernel.revocations import watched
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier
from engine import answers, queries
from engine.callers import PERMISSIONS, PUBLIC_READ, STAFF, managed
from engine.ui.modules import imported_by
from engine.ui.texts import LANGUAGES, language_of, remember_language, texts

SERVICES = {
    "engine": "Appointments",
    "auth": "Sign-in and accounts",
    "records": "Patient records",
    "billing": "Billing",
    "notifications": "Notifications",
}
"""The services by their part of the address."""
_DESK = frozenset({"front_desk", "practitioner", "clinic_admin"})
_PAGES = {
    "/calendar/": ("calendar", STAFF | {"billing", "auditor"}),
    "/desk/": ("desk", _DESK),
    "/settings/": ("settings", PERMISSIONS["administer"] | {"practitioner"}),
    "/audit/": ("audit", auditor.PERMISSIONS["audit.read"]),
}
"""The pages of staff: address → (name, who may see it)."""
_SECTIONS = ("people", "rooms", "hours", "visits", "policy", "widget", "messages", "import")
_OWN_SECTIONS = ("hours", "import")
"""What a practitioner sets up: her own calendar."""
_EXAMPLES = Path(__file__).parents[2] / "tests/data/events"
_EMBED = (Path(__file__).parent / "static/embed.js").read_bytes()
_EMBED_KEPT_S = 3600
_ACCENT = re.compile("[0-9a-fA-F]{6}")
_SCHEMES = ("light", "dark")
_BOOKING, _BOOKING_MODULE = ("booking", "times"), "booking/booking.js"
_OURS_ONLY = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
_PAGE_POLICY = f"{_OURS_ONLY}; require-trusted-types-for 'script'"
# The API reader is not our code: its style sheet carries its icons, and it draws with markup.
_DOCS_POLICY = f"{_OURS_ONLY}; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def _page(policy: str = _PAGE_POLICY) -> Callable[[View[Arguments]], View[Arguments]]:
    """Makes a view a page: nothing but our own files runs in it, and nobody can frame it unless the view says who may."""

    def decorate(view: View[Arguments]) -> View[Arguments]:
        @wraps(view)
        def with_policy(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
            try:
                response = view(request, *args, **kwargs)
            except NotFound:
                response = _missing(request)
            response.headers.setdefault("Content-Security-Policy", policy)
            response["Cross-Origin-Opener-Policy"] = "same-origin"
            return response

        return with_policy

    return decorate


@_page()
@require_safe
@ensure_csrf_cookie
def start(request: HttpRequest) -> HttpResponse:
    session, t = _session(request), texts(language_of(request), ("start",))
    given: dict[str, Any] = {"demo_clinic": settings.ENV.demo_clinic, "session": session}
    if session:
        given["who"] = t["start"]["who"].format(clinic=session.clinic, role=t["common"][f"role_{session.role}"])
        given["about"] = [(path, t["common"][key], t["start"][f"{key}_about"]) for path, key in _pages(session)]
    return _show(request, "start.html", "start", **given)


@_page()
@require_safe
@ensure_csrf_cookie
def calendar(request: HttpRequest) -> HttpResponse:
    return _staff_page(request, "calendar.html", "calendar", modules=imported_by("calendar/page.js"))


@_page()
@require_safe
@ensure_csrf_cookie
def desk(request: HttpRequest) -> HttpResponse:
    return _staff_page(request, "desk.html", "desk", modules=imported_by("desk/page.js"))


@_page()
@require_safe
def booking(request: HttpRequest, clinic: str) -> HttpResponse:
    """The hosted booking page. It brings the clinic's profile with it: one answer less to wait for."""
    profile, modules = answers.clinic(queries.profile(clinic)), imported_by(_BOOKING_MODULE)
    return _show(request, "booking.html", *_BOOKING, profile=profile, modules=modules)


@_page()
@require_safe
def widget(request: HttpRequest, clinic: str) -> HttpResponse:
    """The booking page in a frame: of a page of ours, and of the sites that the clinic has named."""
    known = queries.profile(clinic)
    accent, scheme = request.GET.get("accent", ""), request.GET.get("scheme", "")
    response = _show(
        request,
        "widget.html",
        *_BOOKING,
        profile=answers.clinic(known),
        modules=imported_by(_BOOKING_MODULE),
        remember=False,  # what a site asks for is not what its visitor has chosen
        accent=accent if _ACCENT.fullmatch(accent) else "",
        scheme=scheme if scheme in _SCHEMES else "auto",
    )
    ancestors = " ".join(["'self'", *known.widget_origins])
    response["Content-Security-Policy"] = _PAGE_POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")
    return response


@require_safe
def embed(request: HttpRequest) -> HttpResponse:
    """The script that puts the widget into a page of anybody's."""
    response = HttpResponse(_EMBED, content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = f"public, max-age={_EMBED_KEPT_S}"
    response["Access-Control-Allow-Origin"] = "*"  # so that a page can ask for its integrity
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@_page()
@require_safe
def manage(request: HttpRequest, token: str) -> HttpResponse:
    """Whose link this is, the page asks for itself; a link that opens nothing is told so at once."""
    queries.managed(managed(request, token, PUBLIC_READ))
    response = _show(request, "manage.html", "manage", "times")
    response["Referrer-Policy"] = "no-referrer"
    return response


@_page(_DOCS_POLICY)
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    service = request.GET.get("service", next(iter(SERVICES)))
    if service not in SERVICES:
        raise NotFound
    return _show(request, "docs.html", service=service, name=SERVICES[service], documents=SERVICES)


@_page()
@require_safe
def events(request: HttpRequest) -> HttpResponse:
    """The facts that services tell each other, each with its golden example."""
    return _show(request, "events.html", producers=_examples(), documents=SERVICES)


@_page()
@require_safe
@ensure_csrf_cookie
def setup(request: HttpRequest) -> HttpResponse:
    """The administrator's page, and the practitioner's for her own calendar."""
    session, t = _session(request), texts(language_of(request), ("settings",))["settings"]
    seen = _OWN_SECTIONS if session and session.role == "practitioner" else _SECTIONS
    return _staff_page(request, "settings.html", "settings", sections=[{"key": key, "name": t[f"section_{key}"]} for key in seen])


@_page()
@require_safe
@ensure_csrf_cookie
def audit_log(request: HttpRequest) -> HttpResponse:
    """The auditor's page; who else comes is told why not, and the attempt is noted."""
    session = _session(request)
    if session is None:
        return _sign_in(request)
    may = session.role in auditor.PERMISSIONS["audit.read"]
    if not may:
        denied(request, session, "audit.read")
    t = texts(language_of(request), ("audit",))
    about = t["audit"]["about"].format(clinic=session.clinic)
    not_yours = t["audit"]["not_yours"].format(role=t["common"][f"role_{session.role}"])
    given = {"may": may, "about": about, "not_yours": not_yours, "services": {part: t["audit"][part] for part in SERVICES}}
    return _show(request, "audit.html", "audit", session=session, status=200 if may else 403, **given)


# --- what all pages have in common --------------------------------------------------------------------------------------


def _show(
    request: HttpRequest,
    template: str,
    *areas: str,
    session: Claims | None = None,
    status: int = 200,
    remember: bool = True,
    **given: Any,
) -> HttpResponse:
    """A page in its reader's language, with the messages of these areas; a language that the address asks for is remembered."""
    language = language_of(request)
    t = texts(language, areas)
    other = next(name for name in LANGUAGES if name != language)
    query = request.GET.copy()
    query["lang"] = other
    known = {
        "here": request.path,
        "language": language,
        "other_language": other,
        "other_language_query": query.urlencode(),
        "pages": [(path, t["common"][key]) for path, key in _pages(session)],
        "session": session,
        "t": t,
    }
    response = render(request, template, known | given, status=status)
    return remember_language(request, response) if remember else response


def _staff_page(request: HttpRequest, template: str, *areas: str, **given: Any) -> HttpResponse:
    """A page of `_PAGES`: who is not signed in does so first, and who has another role is told."""
    session = _session(request)
    if session is None:
        return _sign_in(request)
    if session.role not in _PAGES[request.path][1]:
        return _show(request, "forbidden.html", session=session, status=403)
    return _show(request, template, *areas, session=session, **given)


def _pages(session: Claims | None) -> list[tuple[str, str]]:
    """What somebody's role may see: addresses and the keys of their names."""
    return [(path, key) for path, (key, roles) in _PAGES.items() if session and session.role in roles]


def _sign_in(request: HttpRequest) -> HttpResponse:
    # Also for who is signed in but was away for longer than a token is good: there they get a new one.
    return redirect(f"/login/?{urlencode({'next': request.get_full_path()})}")


@cache
def _examples() -> dict[str, dict[str, str]]:
    """Producer → type → the example as it is on the wire."""
    return {
        SERVICES[folder.name]: {file.stem: file.read_text() for file in sorted(folder.glob("*.json"))}
        for folder in sorted(_EXAMPLES.iterdir())
        if folder.is_dir()
    }


def _missing(request: HttpRequest) -> HttpResponse:
    return _show(request, "missing.html", status=404)


@_page()
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a page for people, a problem for programs."""
    is_page = "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/")
    return _missing(request) if is_page else NotFound().response()


def _session(request: HttpRequest) -> Claims | None:
    try:
        return _verifier().claims(request.COOKIES.get(SESSION_COOKIE, ""))
    except TokenRefused:
        return None


@cache
def _verifier() -> Verifier:
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)
