"""/account/authorize/: a person allows an app of their clinic to act for them (authorization code with PKCE, RFC 9700)."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.oauth2_backends import get_oauthlib_core

from apps.auth import sessions
from apps.auth.models import Membership, Program, Session
from apps.auth.ui import page as pages
from apps.auth.ui.page import page
from apps.auth.ui.showing import refusal, show
from apps.kernel import audit
from apps.kernel.problems import ValidationFailed

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST_NONCE = 255


def authorize(request: HttpRequest) -> HttpResponse:
    """The page, whose form may end at the app's own address: a browser counts that as a part of submitting it."""
    response = _authorize(request)
    target = getattr(response, "app_address", "")
    if target:
        policy = response["Content-Security-Policy"]
        response["Content-Security-Policy"] = policy.replace("form-action 'self'", f"form-action 'self' {target}")
    return response


@page
@require_http_methods(["GET", "POST"])
def _authorize(request: HttpRequest) -> HttpResponse:
    session = pages.signed_in(request)
    if any("\0" in value for value in request.GET.values()) or len(request.GET.get("nonce", "")) > _LONGEST_NONCE:
        raise ValidationFailed("A parameter cannot be kept.")
    with transaction.atomic():
        try:
            scopes, credentials = get_oauthlib_core().validate_authorization_request(request)
            program = _program(session, credentials)
            if request.method == "POST":
                uri = _decided(request, session, scopes, credentials)
                audit.record(
                    request, sessions.claims(session), "grant.allow", object=f"program:{program.id}", clinic=program.clinic_id
                )
                return _to(uri)
        except OAuthToolkitError as refused:
            return _refused(request, refused)
        except ValueError:  # oauthlib's word for a query that is none
            raise ValidationFailed("The address is not one of a form.") from None
    response = show(request, "authorize.html", {"session": session, "program": program, "address": request.get_full_path()})
    parts = urlsplit(credentials["redirect_uri"])
    response.app_address = f"{parts.scheme}://{parts.netloc}"  # type: ignore[attr-defined] # for `authorize`
    return response


def _program(session: Session, credentials: dict[str, Any]) -> Program:
    """The app, if the person works in its clinic. Raises ValidationFailed."""
    if credentials.get("code_challenge_method") != "S256":
        raise ValidationFailed("The only method is S256.", param="code_challenge_method")
    if not _CHALLENGE.fullmatch(credentials["code_challenge"]):
        raise ValidationFailed("Not a digest by S256.", param="code_challenge")
    program = Program.objects.select_related("application", "clinic").get(application__client_id=credentials["client_id"])
    if not Membership.objects.filter(person=session.person_id, clinic=program.clinic_id).exists():
        raise ValidationFailed("This app belongs to a clinic in which you do not work.", param="client_id")
    return program


def _decided(request: HttpRequest, session: Session, scopes: list[str], credentials: dict[str, Any]) -> str:
    request.user = session.person  # so the toolkit is told who allows it
    allow = request.POST.get("allow") == "yes"
    return str(get_oauthlib_core().create_authorization_response(request, scopes, credentials, allow)[0])


def _refused(request: HttpRequest, refused: OAuthToolkitError) -> HttpResponse:
    error = refused.oauthlib_error
    if isinstance(refused, FatalClientError):  # no app, or not its address: nobody is sent there
        return refusal(request, ValidationFailed("No such app, or not its address.", param="redirect_uri"))
    return _to(error.in_uri(error.redirect_uri))


def _to(uri: str) -> HttpResponse:
    response = HttpResponseRedirect("/")
    response["Location"] = uri  # checked against the app's own addresses; Django would refuse some schemes only
    return response
