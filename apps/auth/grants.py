"""The OAuth 2 doors for programs and apps: a token, and the end of one. Errors are those of RFC 6749, 5.2."""

import base64
import binascii
from urllib.parse import unquote_plus

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from oauth2_provider.oauth2_backends import get_oauthlib_core

from apps.auth import throttle
from apps.auth.models import Program
from apps.auth.oauth import subject
from apps.auth.throttle import Bucket
from apps.auth.words import network
from apps.kernel import audit
from apps.kernel.http import client_address

_GRANTS = ("client_credentials", "authorization_code", "refresh_token")


def token(request: HttpRequest) -> HttpResponse:
    """A token, or why not. Raises RateLimited."""
    if request.POST.get("grant_type") not in _GRANTS:
        return JsonResponse({"error": "unsupported_grant_type"}, status=400)
    if not _is_plain(request):
        return JsonResponse({"error": "invalid_request"}, status=400)
    tries = _tries(request)
    throttle.count(tries)
    with transaction.atomic(durable=True):  # kept after a refusal too: a family may have ended
        _, headers, body, status = get_oauthlib_core().create_token_response(request)
        _note(request, "token.issue", outcome="done" if status == 200 else "denied")
    if status == 200:
        throttle.succeeded(tries)
    return _answer(headers, body, status=status)


def revoke(request: HttpRequest) -> HttpResponse:
    """RFC 7009: ends a refresh token's whole family. Of one that is not the client's it says nothing. Raises RateLimited."""
    if not _is_plain(request):
        return JsonResponse({"error": "invalid_request"}, status=400)
    tries = _tries(request)
    throttle.count(tries)
    with transaction.atomic(durable=True):
        _, headers, body, status = get_oauthlib_core().create_revocation_response(request)
        if status == 200:
            _note(request, "grant.end")
    if status == 200:
        throttle.succeeded(tries)
    return _answer(headers, body or "{}", status=status)


def _is_plain(request: HttpRequest) -> bool:
    """A form and nothing in the address (RFC 6749, 3.2), without what no database keeps."""
    given = [_client_id(request), *request.POST.values()]
    twice = {"client_id", "client_secret"} & set(request.POST) if request.headers.get("Authorization") else None
    if twice:  # two ways to say who asks (RFC 6749, 2.3), and only one of them would be noted and counted
        return False
    return not request.META.get("QUERY_STRING") and not any("\0" in value for value in given)


def _note(request: HttpRequest, action: str, *, outcome: str = "done") -> None:
    client_id = _client_id(request)
    program = Program.objects.filter(application__client_id=client_id).first()
    if program is not None:
        details = {"grant": request.POST["grant_type"]} if "grant_type" in request.POST else {}
        audit.record(request, subject(client_id), action, clinic=program.clinic_id, outcome=outcome, details=details)


def _tries(request: HttpRequest) -> list[Bucket]:
    where = network(client_address(request))
    return [Bucket(throttle.CLIENT, f"{_client_id(request)} {where}"), Bucket(throttle.NETWORK, where)]


def _client_id(request: HttpRequest) -> str:
    """Whom the request says it is from, as the toolkit reads it: Basic first, then the body."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        try:
            return unquote_plus(base64.b64decode(given).decode().partition(":")[0])
        except (binascii.Error, UnicodeDecodeError):
            pass
    return request.POST.get("client_id", "")


def _answer(headers: dict[str, str], body: str, *, status: int) -> HttpResponse:
    response = HttpResponse(body, status=status, content_type="application/json")
    for name, value in headers.items():
        response[name] = value
    response["Content-Type"] = "application/json"
    return response
