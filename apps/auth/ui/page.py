"""What all pages share: their policy, the cookies, and who may see them."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_protect

from apps.auth import factors, sessions
from apps.auth.models import Session
from apps.auth.sessions import Visitor
from apps.auth.signing_in import Opened
from apps.auth.ui.showing import refusal
from apps.auth.words import shortened
from apps.kernel.http import client_address
from apps.kernel.problems import NotFound, Problem
from apps.kernel.texts import language_of, remember_language
from apps.kernel.tokens import SESSION_COOKIE

SIGN_IN_COOKIE = "hf_signin"
DEVICE_COOKIE = "hf_device"
HOME = "/calendar/"
_DEVICE_S = 180 * 24 * 3600
_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


class Elsewhere(Exception):
    """Something else comes first; the argument is its path."""


def page(view: View[Arguments]) -> View[Arguments]:
    """Makes a view a page: nothing but our own files runs in it, nobody can frame it, forms come from us, no path leaves it.

    The referrer is the bare origin rather than nothing: with nothing, a browser would not say either that a form is ours.
    """

    @wraps(view)
    def with_policy(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        try:
            request.get_host()
            with translation.override(language_of(request)):
                response = csrf_protect(view)(request, *args, **kwargs)
        except DisallowedHost:
            return NotFound().response()
        except Elsewhere as first:
            response = redirect(str(first))
        except Problem as refused:
            response = refusal(request, refused)
        return _guarded(request, response)

    return with_policy


def _guarded(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = _POLICY
    response["Cross-Origin-Opener-Policy"] = "same-origin"
    response["Referrer-Policy"] = "strict-origin"
    return remember_language(request, response)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _guarded(request, refusal(request, NotFound()))


# --- who is there -----------------------------------------------------------------------------------------------------


def session_of(request: HttpRequest) -> Session | None:
    return sessions.find(request.COOKIES.get(SIGN_IN_COOKIE, ""))


def begun(request: HttpRequest) -> Session:
    """The session, also one that waits for its second factor. Raises Elsewhere."""
    session = session_of(request)
    if session is None:
        raise Elsewhere(sign_in_path(request))
    return session


def signed_in(request: HttpRequest) -> Session:
    """The session of somebody who showed both factors. Raises Elsewhere."""
    session = begun(request)
    if session.second_factor_at is None:
        enrolled = factors.of(session.person).enrolled
        raise Elsewhere(with_next("/login/code/", request.get_full_path()) if enrolled else "/account/app/")
    return session


def just_proved(request: HttpRequest) -> Session:
    """The session of somebody who showed the second factor a moment ago. Raises Elsewhere."""
    session = signed_in(request)
    if not session.fresh:  # type: ignore[attr-defined] # annotated by sessions.find
        raise Elsewhere(with_next("/login/code/", request.path if request.method == "GET" else "/account/"))
    return session


def enrolling(request: HttpRequest) -> Session:
    """Who may add a factor: who has none yet, or showed one a moment ago. Raises Elsewhere."""
    session = begun(request)
    if session.second_factor_at is None and not factors.of(session.person).enrolled:
        return session
    return just_proved(request)


def visitor(request: HttpRequest) -> Visitor:
    return Visitor(client_address(request)[:45], shortened(request.headers.get("User-Agent", "")))


# --- where to -----------------------------------------------------------------------------------------------------------


def next_path(request: HttpRequest) -> str:
    """Where the visitor wanted to go, if that is a path of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if own and wanted.isprintable() else HOME


def with_next(path: str, wanted: str) -> str:
    return f"{path}?{urlencode({'next': wanted})}" if wanted != HOME else path


def sign_in_path(request: HttpRequest) -> str:
    return with_next("/login/", request.get_full_path() if request.method == "GET" else HOME)


# --- cookies ------------------------------------------------------------------------------------------------------------


def remember(request: HttpRequest, response: HttpResponse, secret: str) -> HttpResponse:
    """Gives the browser the secret of its session; forms that were open before are void."""
    rotate_token(request)
    _set(response, SIGN_IN_COOKIE, secret, int(sessions.LONGEST.total_seconds()))
    return response


def let_in(request: HttpRequest, response: HttpResponse, opened: Opened) -> HttpResponse:
    """After the second factor: the session, the known browser, and the first access token."""
    remember(request, response, opened.session)
    _set(response, DEVICE_COOKIE, opened.device, _DEVICE_S)
    session = sessions.find(opened.session)
    return grant(response, session) if session else response


def grant(response: HttpResponse, session: Session, *, active: bool = True) -> HttpResponse:
    """A new access token for the session, as a cookie; none when the session has ended meanwhile."""
    access = sessions.renew(session, active=active)
    if access is None:
        return forget(response)
    _set(response, SESSION_COOKIE, access.token, access.seconds)
    return response


def forget(response: HttpResponse) -> HttpResponse:
    for name in (SIGN_IN_COOKIE, SESSION_COOKIE):
        response.delete_cookie(name, samesite="Lax")
    return response


def leave(session: Session, *, reason: str) -> None:
    with transaction.atomic():
        sessions.end(Session.objects.filter(id=session.id), reason=reason)


def _set(response: HttpResponse, name: str, value: str, seconds: int) -> None:
    secure = settings.ENV.public_url.startswith("https:")
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="Lax", secure=secure)
