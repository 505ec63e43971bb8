"""/account/: one's own sessions, factors, password and clinic."""

import segno
from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.auth import factors, people, queries, sessions, signing_in, throttle
from apps.auth.models import Membership, Session
from apps.auth.texts import texts_for
from apps.auth.ui import page as pages
from apps.auth.ui.forms import ChangePassword, Code
from apps.auth.ui.page import page
from apps.auth.ui.showing import show
from apps.auth.ui.sign_in import wait_text
from apps.auth.words import browser_name
from apps.kernel import audit
from apps.kernel.ids import as_id
from apps.kernel.problems import Forbidden, RateLimited, ValidationFailed

_NAME_CHARACTERS = 60


@page
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    session, roles = pages.signed_in(request), texts_for(request)["roles"]
    given = {
        "session": session,
        "sessions": [(one, browser_name(one.agent)) for one in queries.open_sessions(session.person_id)],
        "factors": factors.of(session.person),
        "memberships": [(one, roles[one.role]) for one in queries.memberships(session.person_id)],
    }
    return pages.grant(show(request, "account.html", given), session)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def app(request: HttpRequest) -> HttpResponse:
    """Enrols an authenticator app. For who has no factor yet this is the only page, and its code is the second factor."""
    session = pages.enrolling(request)
    form, status = Code(request), 200
    if request.method == "POST":
        status = 422
        bucket = throttle.Bucket(throttle.CODE, f"enrol {session.person_id}")
        if form.is_valid() and _may_try(request, form, bucket):
            with transaction.atomic():
                if _confirmed(request, session, form):
                    throttle.succeeded([bucket])
                    return _enrolled(request, session, "app", _after_app(request, session))
    device = factors.begin_app(session.person, anew=request.method != "POST")
    given = {"form": form, "secret": factors.secret_of(device), "image": _image(device.config_url), "session": session}
    return show(request, "app.html", given, status=status)


def _may_try(request: HttpRequest, form: Code, bucket: throttle.Bucket) -> bool:
    """Counted outside of what the try does: a wrong code is a try, whatever becomes of the rest."""
    try:
        throttle.count([bucket])
    except RateLimited as refused:
        form.add_error("code", wait_text(request, refused))
        return False
    return True


def _confirmed(request: HttpRequest, session: Session, form: Code) -> bool:
    if not factors.confirm_app(session.person, form.cleaned_data["code"]):
        form.add_error("code", texts_for(request)["sign_in"]["wrong_code"])
        return False
    return True


def _after_app(request: HttpRequest, session: Session) -> HttpResponse:
    if session.second_factor_at is not None:
        return redirect("/account/")
    return show(request, "recovery.html", {"codes": factors.new_recovery_codes(session.person), "first": True})


def _enrolled(request: HttpRequest, session: Session, kind: str, response: HttpResponse) -> HttpResponse:
    """For who had no factor yet, adding one is showing one."""
    audit.record(request, sessions.claims(session), "factor.add", object=f"person:{session.person_id}", details={"factor": kind})
    if session.second_factor_at is not None:
        return response
    device = request.COOKIES.get(pages.DEVICE_COOKIE, "")
    return pages.let_in(request, response, signing_in.opened(request, session, device=device, factor=kind))


def _image(text: str) -> SafeString:
    # Our own library's drawing of our own text; black on white, also where the page is dark: cameras expect it.
    return mark_safe(segno.make_qr(text).svg_inline(light="#fff", omitsize=True))  # noqa: S308


@page
@require_POST
def recovery(request: HttpRequest) -> HttpResponse:
    session = pages.just_proved(request)
    who, details = sessions.claims(session), {"factor": "recovery"}
    with transaction.atomic():
        codes = factors.new_recovery_codes(session.person)
        audit.record(request, who, "factor.add", object=f"person:{session.person_id}", details=details)
    return show(request, "recovery.html", {"codes": codes, "first": False})


@page
@require_POST
def remove_factor(request: HttpRequest) -> HttpResponse:
    session = pages.just_proved(request)
    factor = request.POST.get("factor", "")
    who, details = sessions.claims(session), {"factor": "app" if factor == "app" else "passkey"}
    with transaction.atomic():
        if not factors.remove(session.person, factor):
            raise ValidationFailed("This is not there, or it is your last factor.", param="factor")
        audit.record(request, who, "factor.remove", object=f"person:{session.person_id}", details=details)
    return redirect("/account/")


@page
@require_POST
def passkey_begin(request: HttpRequest) -> HttpResponse:
    return JsonResponse(factors.begin_passkey(request, _enrolling(request)))


@page
@require_POST
def passkey_finish(request: HttpRequest) -> HttpResponse:
    session, answer = _enrolling(request), factors.as_answer(request.body)
    name = request.GET.get("name", "").strip()[:_NAME_CHARACTERS] or "Passkey"
    with transaction.atomic():
        if answer is None or not factors.add_passkey(request, session, answer, name=name):
            raise ValidationFailed("This passkey was not accepted.")
        return _enrolled(request, session, "passkey", JsonResponse({"next": "/account/"}))


def _enrolling(request: HttpRequest) -> Session:
    try:
        return pages.enrolling(request)
    except pages.Elsewhere:
        raise Forbidden("Please sign in with your second factor first.") from None


@page
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    session = pages.just_proved(request)
    form, status = ChangePassword(request), 200
    if request.method == "POST":
        status = 422
        if form.is_valid() and _password_changed(request, session, form):
            return redirect("/account/")
    return show(request, "password.html", {"form": form, "session": session}, status=status)


def _password_changed(request: HttpRequest, session: Session, form: ChangePassword) -> bool:
    bucket = throttle.Bucket(throttle.KNOWN, f"change {session.person_id}")
    try:
        throttle.count([bucket])
        if not check_password(form.cleaned_data["current_password"], session.person.password):
            form.add_error("current_password", texts_for(request)["account"]["not_your_password"])
            return False
        throttle.succeeded([bucket])
        people.set_password(request, session.person, form.cleaned_data["new_password"], keep=session)
    except RateLimited as refused:
        form.add_error(None, wait_text(request, refused))
        return False
    except ValidationError as refused:
        form.refuse(refused)
        return False
    return True


@page
@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """One of one's own sessions, or all others."""
    session, which = pages.signed_in(request), request.POST.get("session", "")
    own = Session.objects.filter(person=session.person)
    chosen = own.exclude(id=session.id) if which == "others" else own.filter(id__in=filter(None, [as_id(which)]))
    with transaction.atomic():
        sessions.end(chosen, reason="revoked")
        audit.record(request, sessions.claims(session), "session.end", object=f"session:{which[:36]}")
    return redirect("/account/")


@page
@require_POST
def clinic(request: HttpRequest) -> HttpResponse:
    session = pages.signed_in(request)
    membership = Membership.objects.filter(person=session.person, clinic=request.POST.get("clinic", "")).first()
    if membership is None or membership.clinic_id == session.clinic_id:
        return redirect("/account/")
    with transaction.atomic():
        secret = sessions.moved(session, clinic=membership.clinic_id)
        found = sessions.find(secret) if secret else None
        if found is None:
            return redirect("/login/")
        audit.record(request, sessions.claims(found), "session.move", object=f"session:{session.id}")
    return pages.grant(pages.remember(request, redirect("/account/"), secret), found)
