"""The two steps of a sign-in. A refusal never says which part was wrong, and costs what an acceptance costs."""

from functools import cache
from typing import NamedTuple

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest

from apps.auth import factors, sessions, throttle
from apps.auth.models import KnownDevice, Membership, NewDeviceNotice, Session
from apps.auth.sessions import Visitor
from apps.auth.throttle import Bucket
from apps.auth.words import digest, network, new_secret, normal_email
from apps.kernel import audit
from apps.kernel.texts import LANGUAGES, language_of


class Opened(NamedTuple):
    """Secrets for two cookies: the session's, and the one that the browser is known by."""

    session: str
    device: str


def by_password(request: HttpRequest, *, email: str, password: str, device: str, visitor: Visitor) -> str | None:
    """The secret of a session that waits for its second factor; None when e-mail and password do not let anybody in.

    Raises RateLimited.
    """
    email = normal_email(email)
    buckets = [Bucket(throttle.PASSWORD, f"{email} {network(visitor.address)}"), Bucket(throttle.NETWORK, network(visitor.address))]
    if _is_known(device, email=email):
        buckets = [Bucket(throttle.KNOWN, f"password {email} {device}")]
    throttle.count(buckets)
    membership = _first_membership(email)
    # Who does not exist costs the same hash as who does.
    right = check_password(password, membership.person.password if membership else _nobodys_password())
    who = str(membership.person_id) if membership else "unknown"
    where = membership.clinic_id if membership else ""
    with transaction.atomic():
        audit.record(request, who, "session.begin", clinic=where, outcome="done" if membership and right else "denied")
        if membership is None or not right:
            return None
        secret = sessions.begin(membership.person, membership, visitor)
    throttle.succeeded(buckets)
    return secret


def by_code(request: HttpRequest, session: Session, *, code: str, device: str) -> Opened | None:
    """Opens the session with a code of the app or a recovery code; None when it is not one. Raises RateLimited."""
    buckets = [Bucket(throttle.CODE, str(session.person_id))]
    if _is_known(device, email=session.person.email):
        buckets = [Bucket(throttle.KNOWN, f"code {session.person_id} {device}")]
    throttle.count(buckets)
    kind = factors.accepts(session.person, code)
    if not kind:
        audit.record(request, sessions.claims(session), "session.open", outcome="denied", details={"factor": "code"})
        return None
    throttle.succeeded(buckets)
    return opened(request, session, device=device, factor=kind)


def opened(request: HttpRequest | None, session: Session, *, device: str, factor: str) -> Opened:
    """What both kinds of second factor end with. Must be called after the factor was accepted."""
    with transaction.atomic():
        secret = sessions.second_factor_shown(session)
        audit.record(request, sessions.claims(session), "session.open", details={"factor": factor})
        language = language_of(request) if request else LANGUAGES[0]
        return Opened(secret, _known_from_now_on(session, device, language=language))


def _known_from_now_on(session: Session, device: str, *, language: str) -> str:
    seen = KnownDevice.objects.filter(secret=digest(device))
    if device and seen.filter(person=session.person).update(last_used_at=Now()):
        return device
    if KnownDevice.objects.filter(person=session.person).exists():
        NewDeviceNotice.objects.create(email=session.person.email, agent=session.agent, language=language)
    # A cookie that we did not give to anybody is not taken over.
    secret = device if device and seen.exists() else new_secret()
    KnownDevice.objects.create(person=session.person, secret=digest(secret))
    return secret


def _is_known(device: str, *, email: str) -> bool:
    return KnownDevice.objects.filter(secret=digest(device), person__email=email).exists()


def _first_membership(email: str) -> Membership | None:
    found = Membership.objects.select_related("person").filter(person__email=email, person__is_active=True)
    return found.order_by("created_at", "id").first()


@cache
def _nobodys_password() -> str:
    return make_password(new_secret())
