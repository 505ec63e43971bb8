"""Who asks: the bearer token, the session cookie, or the public, and what each may do. Everything else is denied."""

import hmac
import re
from functools import cache
from hashlib import blake2b
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from apps.kernel.http import client_address
from apps.kernel.limits import Limit, Limiter
from apps.kernel.problems import Forbidden, NotFound, SecondFactorRequired, Unauthenticated, ValidationFailed
from apps.kernel.redis import connect
from apps.kernel.revocations import watched
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier
from engine.rows import Actor, Once

STAFF = frozenset({"practitioner", "front_desk", "clinic_admin", "program"})
PERMISSIONS = {
    "read": STAFF | {"billing", "auditor"},
    "book": STAFF,
    "read_patient": STAFF,
    "configure": frozenset({"practitioner", "clinic_admin", "program"}),
}
"""Which roles may do what. Everything else is denied."""

PUBLIC_READ = Limit("read", requests=300, seconds=60)
PUBLIC_WRITE = Limit("write", requests=60, seconds=60)

_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_SECRET_KEY = 20


@cache
def _verifier() -> Verifier:
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)


@cache
def _limiter() -> Limiter:
    return Limiter(connect(settings.ENV.redis_url.get_secret_value(), timeout_s=0.1), enabled=settings.ENV.rate_limits)


def claims_of(request: HttpRequest) -> Claims | None:
    """Who the bearer token or the session cookie says asks; None for the public. Raises Unauthenticated, SecondFactorRequired."""
    header = request.headers.get("Authorization", "")
    token = header[7:] if header[:7].lower() == "bearer " else request.COOKIES.get(SESSION_COOKIE, "")
    if not token:
        if header:
            raise Unauthenticated("Authorization takes a bearer token.")
        return None
    try:
        claims = _verifier().claims(token)
    except TokenRefused:
        raise Unauthenticated("The token or session is not valid, or has ended.") from None
    if not header and request.method not in ("GET", "HEAD", "OPTIONS"):
        _check_csrf(request)
    if not claims.second_factor and claims.role != "program":
        raise SecondFactorRequired()
    return claims


def staff(request: HttpRequest, action: str) -> Claims:
    """The claims of someone who may do `action` (a key of PERMISSIONS). Raises Unauthenticated, Forbidden."""
    claims = claims_of(request)
    if claims is None:
        raise Unauthenticated()
    if claims.role not in PERMISSIONS[action]:
        raise Forbidden()
    return claims


def anybody(request: HttpRequest, limit: Limit) -> Actor:
    """Staff who may book, or the public within its limit. Raises what `staff` does, and RateLimited."""
    claims = claims_of(request)
    if claims is None:
        _limiter().check(limit, client_address(request))
        return Actor("public")
    if claims.role not in PERMISSIONS["read" if limit is PUBLIC_READ else "book"]:
        raise Forbidden()
    return Actor(claims.subject, claims.clinic)


def holder(request: HttpRequest, hold: UUID) -> Actor:
    """Staff, or whoever shows the hold's secret; a wrong secret finds nothing. Raises what `anybody` does, and NotFound."""
    actor = anybody(request, PUBLIC_WRITE)
    if actor.clinic is None and not hmac.compare_digest(
        request.headers.get("Hold-Secret", "").encode(), hold_secret(hold).encode()
    ):
        raise NotFound("No such hold.")
    return actor


def hold_secret(hold: UUID) -> str:
    """What proves that somebody made this hold. Derived, so that it is stored nowhere."""
    return blake2b(hold.bytes, key=_hold_key(), digest_size=20).hexdigest()


@cache
def _hold_key() -> bytes:
    return blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"hold-secret").digest()


def _check_csrf(request: HttpRequest) -> None:
    refused = CsrfViewMiddleware(lambda _: HttpResponse()).process_view(request, lambda: HttpResponse(), (), {})
    if refused is not None:
        raise Forbidden("A request by session cookie needs the X-CSRFToken header.")


def once(request: HttpRequest, actor: Actor) -> Once | None:
    """The request's Idempotency-Key, bound to who asks and to all that was asked. Raises ValidationFailed.

    All of the public is one caller, so there a key is a secret: who repeats it gets the first answer, and with it the hold. One
    short enough to be guessed counts for the address it came from only.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ValidationFailed("1 to 128 visible ASCII characters are allowed.", param="Idempotency-Key")
    fingerprint = blake2b(f"{request.method} {request.path}\n".encode() + request.body, digest_size=16).digest()
    scope = f"{actor.clinic or ''}:{actor.subject}"
    if actor.clinic is None and len(key) < _SECRET_KEY:
        scope += f":{client_address(request)}"
    return Once(scope, key, fingerprint)
