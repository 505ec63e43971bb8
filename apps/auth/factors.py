"""Second factors: codes of an authenticator app, passkeys, and recovery codes for when both are lost.

Each is looked at under the lock of its own row, so that one code shown twice at the same moment counts once. How often somebody
may try is not django-otp's throttle, which would let a stranger lock a person out, but `throttle.py`.
"""

import json
from base64 import b32encode
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp_webauthn.exceptions import OTPWebAuthnApiError
from django_otp_webauthn.helpers import WebAuthnHelper
from django_otp_webauthn.models import WebAuthnCredential
from webauthn.helpers.exceptions import WebAuthnException

from apps.auth.models import Person, RecoveryCodes, Session
from apps.auth.words import code_digest, new_codes

RECOVERY_CODES = 10
_APP, _RECOVERY = "Authenticator app", "Recovery codes"

Json = dict[str, Any]


class Factors(NamedTuple):
    """What a person has enrolled. Recovery codes alone are not a factor: they stand in for one."""

    app: TOTPDevice | None
    passkeys: list[WebAuthnCredential]
    recovery_codes: int

    @property
    def enrolled(self) -> bool:
        return self.app is not None or bool(self.passkeys)

    @property
    def held(self) -> int:
        return len(self.passkeys) + (self.app is not None)


def of(person: Person) -> Factors:
    return Factors(
        TOTPDevice.objects.filter(user=person, confirmed=True).first(),
        list(WebAuthnCredential.objects.filter(user=person, confirmed=True).order_by("created_at")),
        StaticToken.objects.filter(device__user=person).count(),
    )


# --- codes ------------------------------------------------------------------------------------------------------------


def accepts(person: Person, code: str) -> str:
    """What kind of factor the code is of, and uses it up; empty when it is none, or was used before."""
    plain = code.replace(" ", "")
    with transaction.atomic():
        if plain.isascii() and plain.isdigit() and len(plain) == 6:
            app = TOTPDevice.objects.select_for_update().filter(user=person, confirmed=True).first()
            return "app" if app is not None and app.verify_token(plain) else ""
        codes = RecoveryCodes.objects.select_for_update().filter(user=person, confirmed=True).first()
        return "recovery" if codes is not None and codes.verify_token(plain) else ""


def begin_app(person: Person, *, anew: bool = False) -> TOTPDevice:
    """The authenticator app that is being enrolled. `anew` when the page opens: nobody enrols a secret that another was shown."""
    with transaction.atomic():
        Person.objects.select_for_update().get(id=person.id)
        if anew:
            forget_begun(person.id)
        device, _ = TOTPDevice.objects.get_or_create(user=person, confirmed=False, defaults={"name": _APP})
    return device


def forget_begun(person: UUID) -> None:
    """Whoever saw the secret of an app that was begun and not confirmed shall not know the one that will be."""
    TOTPDevice.objects.filter(user=person, confirmed=False).delete()


def confirm_app(person: Person, code: str) -> bool:
    """Makes the app that `begin_app` began the person's only one, if the code is its."""
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=person, confirmed=False).first()
        if device is None or not device.verify_token(code.replace(" ", "")):
            return False
        TOTPDevice.objects.filter(user=person).exclude(id=device.id).delete()
        device.confirmed = True
        device.save(update_fields=["confirmed"])
    return True


def secret_of(device: TOTPDevice) -> str:
    """The app's secret as people type it."""
    return b32encode(device.bin_key).decode()


def code_of(device: TOTPDevice, *, now: int) -> str | None:
    """A code that would be taken now and was not used yet; for the demo only. None for a moment after two were used."""
    totp = TOTP(device.bin_key)
    totp.time = now
    step = max(totp.t(), device.last_t + 1)
    if step > totp.t() + device.tolerance:
        return None
    totp.time = step * device.step
    return f"{totp.token():06d}"


def new_recovery_codes(person: Person) -> list[str]:
    """Codes that each work once, instead of all earlier ones. This is the only time that they can be read."""
    codes = new_codes(RECOVERY_CODES)
    with transaction.atomic():
        Person.objects.select_for_update().get(id=person.id)
        RecoveryCodes.objects.filter(user=person).delete()
        device = RecoveryCodes.objects.create(user=person, name=_RECOVERY)
        digests: Iterable[str] = (code_digest(code, person=person.id) for code in codes)
        StaticToken.objects.bulk_create(StaticToken(device_id=device.id, token=token) for token in digests)
    return codes


# --- passkeys ---------------------------------------------------------------------------------------------------------


def begin_passkey(request: HttpRequest, session: Session) -> Json:
    """What the browser needs to make a passkey for the session's person."""
    options, state = WebAuthnHelper(request).register_begin(session.person)
    _remember(session, {"making": state})
    return dict(options)


def add_passkey(request: HttpRequest, session: Session, answer: Json, *, name: str) -> bool:
    """Keeps the passkey that the browser made; False when it is not an answer to what was asked last."""
    state = _asked(session).get("making")
    if state is None:
        return False
    try:
        with transaction.atomic():
            made = WebAuthnHelper(request).register_complete(session.person, state, answer)
            WebAuthnCredential.objects.filter(id=made.id).update(name=name)
    except (WebAuthnException, OTPWebAuthnApiError, ValueError):
        return False
    return True


def begin_proof(request: HttpRequest, session: Session) -> Json:
    """What the browser needs to sign with one of the person's passkeys."""
    options, state = WebAuthnHelper(request).authenticate_begin(session.person, require_user_verification=False)
    _remember(session, {"signing": state})
    return dict(options)


def accepts_proof(request: HttpRequest, session: Session, answer: Json) -> bool:
    """Whether a passkey of the session's person signed what was asked last. An answer is looked at once."""
    state = _asked(session).get("signing")
    if state is None:
        return False
    try:
        with transaction.atomic():
            list(WebAuthnCredential.objects.select_for_update().filter(user=session.person))  # two answers, one counter
            WebAuthnHelper(request).authenticate_complete(session.person, state, answer)
    except (WebAuthnException, OTPWebAuthnApiError, ValueError):
        return False
    return True


def _remember(session: Session, challenge: Json) -> None:
    Session.objects.filter(id=session.id, ended_at=None).update(challenge=challenge)


def _asked(session: Session) -> Json:
    with transaction.atomic():
        found = Session.objects.select_for_update().filter(id=session.id, ended_at=None).first()
        Session.objects.filter(id=session.id).update(challenge=None)
    return dict(found.challenge or {}) if found else {}


# --- removal ----------------------------------------------------------------------------------------------------------


def remove(person: Person, factor: str) -> bool:
    """Removes the app ("app") or a passkey (its id), unless it is the last: a person without a factor could not sign in."""
    with transaction.atomic():
        Person.objects.select_for_update().get(id=person.id)
        if of(person).held < 2:
            return False
        if factor == "app":
            found = TOTPDevice.objects.filter(user=person, confirmed=True)
        else:
            found = WebAuthnCredential.objects.filter(user=person, id=int(factor) if factor.isdigit() else 0)
        return bool(found.delete()[0])


def forget_all(person: UUID) -> None:
    """For an operator who knows that the person has lost everything: the next sign-in enrols anew."""
    for kind in (TOTPDevice, WebAuthnCredential, RecoveryCodes):
        kind.objects.filter(user=person).delete()


def as_answer(body: bytes) -> Json | None:
    """What a browser sends of a passkey; None when it is not an object."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
