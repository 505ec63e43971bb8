"""Who may do what in the engine: staff, programs, the public, and whoever holds a hold. Everything else is denied."""

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from apps.kernel import audit
from apps.kernel.callers import allowed, claims_of, denied, fingerprint, idempotency_key, known_key, limited
from apps.kernel.http import address, client_address
from apps.kernel.limits import Limit
from apps.kernel.problems import Forbidden, NotFound
from apps.kernel.tokens import Claims
from engine.rows import Actor, Once

STAFF = frozenset({"practitioner", "front_desk", "clinic_admin", "program"})
PERMISSIONS = {
    "read": STAFF | {"billing", "auditor"},
    "book": STAFF,
    "override": STAFF - {"program"},
    "configure": frozenset({"practitioner", "clinic_admin", "program"}),
    "administer": frozenset({"clinic_admin", "program"}),
}
"""Which roles may do what. Everything else is denied."""

PUBLIC_READ = Limit("read", requests=300, seconds=60)
PUBLIC_WRITE = Limit("write", requests=60, seconds=60)

ADMITTED = "healthflow.admitted"
"""A WSGI variable: this request of the public was counted before Django, and has passed the waiting room."""

_SECRET_KEY = 20
_ID = _MAC = 16


def staff(request: HttpRequest, action: str) -> Claims:
    """The claims of someone who may do `action` (a key of PERMISSIONS). Raises Unauthenticated, Forbidden."""
    return allowed(request, PERMISSIONS, action)


def anybody(request: HttpRequest, limit: Limit) -> Actor:
    """Staff who may book, or the public within its limit. Raises what `staff` does, and RateLimited."""
    claims = claims_of(request)
    if claims is None:
        if ADMITTED not in request.META:
            limited(limit, client_address(request))
        return Actor("public", origin=audit.origin(request, "public"))
    action = "read" if limit is PUBLIC_READ else "book"
    if claims.role not in PERMISSIONS[action]:
        denied(request, claims, action)
        raise Forbidden()
    return actor_of(request, claims)


def actor_of(request: HttpRequest, claims: Claims) -> Actor:
    """Staff or a program, as the writes know them."""
    return Actor(claims.subject, claims.clinic, audit.origin(request, claims))


@contextmanager
def own_only(request: HttpRequest, claims: Claims, action: str, object: str) -> Iterator[None]:  # noqa: A002
    """Around what staff do to one object: when it is not found, be it another clinic's or nobody's, the audit log has the try."""
    try:
        yield
    except NotFound:
        denied(request, claims, action, object=object)
        raise


def own_calendar(request: HttpRequest, claims: Claims, calendar: UUID) -> None:
    """A practitioner sets up her own calendar only. Raises Forbidden."""
    if claims.role == "practitioner" and claims.calendar != str(calendar):
        denied(request, claims, "configure", object=f"calendar:{calendar}")
        raise Forbidden("This is not your own calendar.")


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
    return blake2b(hold.bytes, key=_key(b"hold-secret"), digest_size=20).hexdigest()


def managed(request: HttpRequest, token: str, limit: Limit) -> UUID:
    """The appointment whose patient's link this is. Raises NotFound, RateLimited."""
    limited(limit, client_address(request))
    try:
        known = base64.urlsafe_b64decode(token.encode("ascii") + b"=")
    except (binascii.Error, UnicodeEncodeError):
        known = b""
    # Compared as it was spelt: the last character carries unused bits, and only one spelling is ours.
    if len(known) != _ID + _MAC or not hmac.compare_digest(_manage_token(UUID(bytes=known[:_ID])), token):
        raise NotFound()
    return UUID(bytes=known[:_ID])


def manage_url(appointment: UUID) -> str:
    """The address of the patient's own page. Who has it may see, move and cancel the visit; it is derived, and stored nowhere."""
    return f"{settings.ENV.public_url}/manage/{_manage_token(appointment)}/"


def _manage_token(appointment: UUID) -> str:
    mac = blake2b(appointment.bytes, key=_key(b"manage-link"), digest_size=_MAC).digest()
    return base64.urlsafe_b64encode(appointment.bytes + mac).decode().rstrip("=")


@cache
def _key(purpose: bytes) -> bytes:
    return blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=purpose).digest()


def once(request: HttpRequest, actor: Actor) -> Once | None:
    """The request's Idempotency-Key, bound to who asks and to all that was asked. Raises ValidationFailed.

    All of the public is one caller, so there a key is a secret: who repeats it gets the first answer, and with it the hold. One
    short enough to be guessed counts for the address it came from only.
    """
    key = idempotency_key(request)
    return None if key is None else Once(_scope(key, actor, client_address(request)), key, fingerprint(request))


def public_digest(environ: Mapping[str, Any]) -> str:
    """The digest of the Idempotency-Key of a public request that Django has not seen yet; empty if it has none.

    Raises ValidationFailed.
    """
    key = known_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
    return "" if key is None else Once(_scope(key, Actor("public"), address(environ)), key, b"").digest


def _scope(key: str, actor: Actor, address: str) -> str:
    scope = f"{actor.clinic or ''}:{actor.subject}"
    return f"{scope}:{address}" if actor.clinic is None and len(key) < _SECRET_KEY else scope
