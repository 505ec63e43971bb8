"""/login/: e-mail and password, then the second factor; and /logout/."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.auth import demo, factors, sessions, signing_in
from apps.auth.texts import texts_for
from apps.auth.ui import page as pages
from apps.auth.ui.forms import Code, SignIn
from apps.auth.ui.page import page
from apps.auth.ui.showing import show
from apps.kernel import audit
from apps.kernel.problems import RateLimited, Unauthenticated, ValidationFailed


@page
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    wanted = pages.next_path(request)
    if request.method == "POST":
        return _by_password(request, wanted)
    session = pages.session_of(request)
    if session is not None and session.second_factor_at is not None:
        return pages.grant(redirect(wanted), session)
    return _login_page(request, SignIn(request), wanted=wanted)


def _by_password(request: HttpRequest, wanted: str) -> HttpResponse:
    form = SignIn(request)
    if not form.is_valid():
        return _login_page(request, form, wanted=wanted, status=422)
    try:
        secret = signing_in.by_password(
            request,
            email=form.cleaned_data["email"],
            password=form.cleaned_data["password"],
            device=request.COOKIES.get(pages.DEVICE_COOKIE, ""),
            visitor=pages.visitor(request),
        )
    except RateLimited as refused:
        form.add_error(None, wait_text(request, refused))
        return _login_page(request, form, wanted=wanted, status=429)
    if secret is None:
        form.add_error(None, texts_for(request)["sign_in"]["wrong"])
        return _login_page(request, form, wanted=wanted, status=422)
    return pages.remember(request, redirect(pages.with_next("/login/code/", wanted)), secret)


def _login_page(request: HttpRequest, form: SignIn, *, wanted: str, status: int = 200) -> HttpResponse:
    roles = texts_for(request)["roles"]
    people = [(login, roles[login.role]) for login in demo.logins()] if settings.ENV.demo_clinic else []
    return show(request, "login.html", {"form": form, "next": wanted, "demo": people}, status=status)


def wait_text(request: HttpRequest, refused: RateLimited) -> str:
    """How long to wait, in the reader's language."""
    seconds, t = refused.retry_after or 1, texts_for(request)
    if seconds < 120:
        return str(t["sign_in"]["wait_seconds"]).format(count=seconds)
    return str(t["sign_in"]["wait_minutes"]).format(count=seconds // 60)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """The second factor: of a sign-in, or again before something that needs a fresh one."""
    session, wanted = pages.begun(request), pages.next_path(request)
    enrolled = factors.of(session.person)
    if not enrolled.enrolled:
        raise pages.Elsewhere("/account/app/")
    form = Code(request)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                device = request.COOKIES.get(pages.DEVICE_COOKIE, "")
                opened = signing_in.by_code(request, session, code=form.cleaned_data["code"], device=device)
                if opened is not None:
                    return pages.let_in(request, redirect(wanted), opened)
                form.add_error("code", texts_for(request)["sign_in"]["wrong_code"])
            except RateLimited as refused:
                form.add_error("code", wait_text(request, refused))
                status = 429
    shown = demo.code_for(session.person) if settings.ENV.demo_clinic else ""
    given = {"form": form, "next": wanted, "session": session, "factors": enrolled, "demo_code": shown}
    return show(request, "code.html", given, status=status)


@page
@require_POST
def passkey_begin(request: HttpRequest) -> HttpResponse:
    session = pages.session_of(request)
    return JsonResponse(factors.begin_proof(request, session)) if session else Unauthenticated().response()


@page
@require_POST
def passkey_finish(request: HttpRequest) -> HttpResponse:
    session, answer = pages.session_of(request), factors.as_answer(request.body)
    if session is None:
        return Unauthenticated().response()
    if answer is None or not factors.accepts_proof(request, session, answer):
        audit.record(request, sessions.claims(session), "session.open", outcome="denied", details={"factor": "passkey"})
        return ValidationFailed("This passkey was not accepted.").response()
    device = request.COOKIES.get(pages.DEVICE_COOKIE, "")
    opened = signing_in.opened(request, session, device=device, factor="passkey")
    return pages.let_in(request, JsonResponse({"next": pages.next_path(request)}), opened)


@page
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Ends the session on every open page too, not only the cookies in this browser."""
    session = pages.session_of(request)
    if session is not None:
        audit.record(request, sessions.claims(session), "session.end", object=f"session:{session.id}")
        pages.leave(session, reason="signed out")
    return pages.forget(redirect("/"))
