"""Who asks: a bearer token, a session cookie, another service, or nobody. What they may do is each service's own table."""

import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from apps.kernel import audit
from apps.kernel.limits import Limit, Limiter
from apps.kernel.problems import Forbidden, SecondFactorRequired, Unauthenticated, ValidationFailed
from apps.kernel.redis import circuit
from apps.kernel.revocations import watched
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier

_KEY = re.compile(r"[\x21-\x7e]{1,128}")

Permissions = Mapping[str, frozenset[str]]
"""Action → roles. What is not in it is denied."""


@cache
def verifier() -> Verifier:
    """This process's one verifier of access tokens."""
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)


@cache
def _limiter() -> Limiter:
    return Limiter(circuit(settings.ENV.redis_url.get_secret_value()), enabled=settings.ENV.rate_limits)


def limited(limit: Limit, who: str) -> None:
    """Counts one request of `who`. Raises RateLimited."""
    _limiter().check(limit, who)


def claims_of(request: HttpRequest) -> Claims | None:
    """Who the bearer token or the session cookie says asks; None for the public. Raises Unauthenticated, SecondFactorRequired."""
    header = request.headers.get("Authorization", "")
    if header and header[:7].lower() != "bearer ":
        raise Unauthenticated("Authorization takes a bearer token.")
    token = header[7:] if header else request.COOKIES.get(SESSION_COOKIE, "")
    if not token:
        if header:
            raise Unauthenticated("Authorization takes a bearer token.")
        return None
    try:
        claims = verifier().claims(token)
    except TokenRefused:
        raise Unauthenticated("The token or session is not valid, or has ended.") from None
    if not header and request.method not in ("GET", "HEAD", "OPTIONS"):
        check_csrf(request)
    if not claims.second_factor and claims.role != "program":
        raise SecondFactorRequired()
    return claims


def allowed(request: HttpRequest, permissions: Permissions, action: str) -> Claims:
    """The claims of someone whose role may do `action`; who may not is noted in the audit log.

    Raises Unauthenticated, SecondFactorRequired, Forbidden. Call it before any transaction, or the note is rolled back with it.
    """
    claims = claims_of(request)
    if claims is None:
        raise Unauthenticated()
    if claims.role not in permissions[action]:
        denied(request, claims, action)
        raise Forbidden()
    return claims


def denied(request: HttpRequest, claims: Claims, action: str, *, object: str = "") -> None:  # noqa: A002 - the log's own word
    """Notes in the audit log what somebody tried and may not do."""
    tried = {"method": request.method, "path": audit.printable(request.path, 200)}
    audit.record(request, claims, action, object=object, outcome="denied", details=tried)


def check_csrf(request: HttpRequest) -> None:
    """Raises Forbidden when a request by cookie does not come from our own pages."""
    refused = CsrfViewMiddleware(lambda _: HttpResponse()).process_view(request, lambda: HttpResponse(), (), {})
    if refused is not None:
        raise Forbidden("A request by session cookie needs the X-CSRFToken header.")


def idempotency_key(request: HttpRequest) -> str | None:
    """The request's Idempotency-Key. Raises ValidationFailed."""
    return known_key(request.headers.get("Idempotency-Key"))


def known_key(key: str | None) -> str | None:
    """The key as it was sent. Raises ValidationFailed."""
    if key is not None and not _KEY.fullmatch(key):
        raise ValidationFailed("1 to 128 visible ASCII characters are allowed.", param="Idempotency-Key")
    return key


def fingerprint(request: HttpRequest) -> bytes:
    """A digest of all that was asked: under one Idempotency-Key it must not change. Keyed, so that nobody can try guesses on it."""
    return blake2b(f"{request.method} {request.path}\n".encode() + request.body, digest_size=16, key=_fingerprint_key()).digest()


@cache
def _fingerprint_key() -> bytes:
    return blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"fingerprint").digest()
