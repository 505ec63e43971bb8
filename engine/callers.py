"""Who may do what in the engine: staff, programs, the public, and whoever holds a hold. Everything else is denied."""

import hmac
from functools import cache
from hashlib import blake2b
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from apps.kernel.callers import allowed, claims_of, fingerprint, idempotency_key, limited
from apps.kernel.http import client_address
from apps.kernel.limits import Limit
from apps.kernel.problems import Forbidden, NotFound
from apps.kernel.tokens import Claims
from engine.rows import Actor, Once

STAFF = frozenset({"practitioner", "front_desk", "clinic_admin", "program"})
PERMISSIONS = {
    "read": STAFF | {"billing", "auditor"},
    "book": STAFF,
    "configure": frozenset({"practitioner", "clinic_admin", "program"}),
}
"""Which roles may do what. Everything else is denied."""

PUBLIC_READ = Limit("read", requests=300, seconds=60)
PUBLIC_WRITE = Limit("write", requests=60, seconds=60)

_SECRET_KEY = 20


def staff(request: HttpRequest, action: str) -> Claims:
    """The claims of someone who may do `action` (a key of PERMISSIONS). Raises Unauthenticated, Forbidden."""
    return allowed(request, PERMISSIONS, action)


def anybody(request: HttpRequest, limit: Limit) -> Actor:
    """Staff who may book, or the public within its limit. Raises what `staff` does, and RateLimited."""
    claims = claims_of(request)
    if claims is None:
        limited(limit, client_address(request))
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


def once(request: HttpRequest, actor: Actor) -> Once | None:
    """The request's Idempotency-Key, bound to who asks and to all that was asked. Raises ValidationFailed.

    All of the public is one caller, so there a key is a secret: who repeats it gets the first answer, and with it the hold. One
    short enough to be guessed counts for the address it came from only.
    """
    key = idempotency_key(request)
    if key is None:
        return None
    scope = f"{actor.clinic or ''}:{actor.subject}"
    if actor.clinic is None and len(key) < _SECRET_KEY:
        scope += f":{client_address(request)}"
    return Once(scope, key, fingerprint(request))
