"""OAuth 2 as django-oauth-toolkit does it, with our rules: whose tokens they are, and what ends them.

Two kinds of clients. A *program* signs in as itself (client credentials): role `program`, one clinic. An *app* (public, PKCE)
acts for a member of its clinic who allowed it, in that member's role: its refresh tokens are a family, from one permission, in
which each works once. An old one that comes back means that somebody has a copy: the family ends, and with it its access tokens,
whose `jti` is the family's id.

Every request of a client begins by locking its program's row, so that two requests of one client come one after the other: what
was used, or disabled, the second one finds used or disabled.
"""

import hashlib
import hmac
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from oauth2_provider.models import AccessToken, Grant, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator

from apps.auth import rights
from apps.auth.models import Membership, Program
from apps.auth.settings import ENV
from apps.kernel import audit, revocations
from apps.kernel.ids import new_id
from apps.kernel.tokens import sign

TOKEN_S = 300
IDLE_S = 3600
"""A refresh token is good for so long after its access token."""
LONGEST = timedelta(hours=12)
"""Of a family. Its id is a UUIDv7, which says when it began."""


def subject(client_id: str) -> str:
    """A program as the subject of tokens and the actor of the audit log."""
    return f"program:{client_id}"


def secret_digest(secret: str) -> str:
    """What is stored of a client's secret. It is random, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def access_token(request: Any) -> str:
    """The toolkit's generator of access tokens: ours are what every service verifies offline."""
    key, clinic = ENV.token_signing_key_file, request.program.clinic_id
    if request.grant_type == "client_credentials":
        return sign(key, subject=subject(request.client.client_id), clinic=clinic, role="program", seconds=TOKEN_S)
    member = request.membership
    return sign(
        key,
        subject=str(member.person_id),
        clinic=clinic,
        role=member.role,
        seconds=TOKEN_S,
        calendar=member.calendar,
        token_id=str(request.family),
    )


def end_families(families: list[UUID]) -> None:
    """Ends permissions: refresh and access tokens. Needs a transaction."""
    for family in families:
        RefreshToken.revoke_family(family)
    rights.end(*(revocations.session(str(family)) for family in families))


def forget() -> None:
    """Deletes what can prove nothing any more. Used refresh tokens stay as long as their family can last: one may come back."""
    RefreshToken.objects.filter(created__lt=Now() - LONGEST).delete()
    AccessToken.objects.filter(expires__lt=Now() - timedelta(seconds=IDLE_S)).delete()
    Grant.objects.filter(expires__lt=Now()).delete()


class Validator(OAuth2Validator):  # type: ignore[misc] # the toolkit is not typed
    """Answers the toolkit's questions. Must run in a transaction, which is committed after a refusal too."""

    def _load_application(self, client_id: str, request: Any) -> Any:
        client = super()._load_application(client_id, request)
        programs = Program.objects.select_for_update(of=("self",)).filter(application=client, disabled_at=None)
        request.program = programs.first() if client else None
        if request.program is None:
            request.client = None
        return request.client

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        return hmac.compare_digest(secret_digest(provided_secret), stored_secret)

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return redirect_uri in request.client.redirect_uris.split()

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.family = new_id()
        return super().validate_code(client_id, code, client, request, *args, **kwargs) and self._is_member(request)

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        checksum = hashlib.sha256(refresh_token.encode()).hexdigest()
        kept = RefreshToken.objects.filter(token_checksum=checksum, application=client).order_by("-id").first()
        if kept is None:
            return False
        request.family = kept.token_family
        in_time = _began(kept.token_family) + LONGEST.total_seconds() > time.time()
        good = in_time and super().validate_refresh_token(refresh_token, client, request, *args, **kwargs)
        if good and self._is_member(request):
            return True
        end_families([kept.token_family])
        details = {"client": client.client_id, "reason": "used twice" if kept.revoked else "over"}
        where, what = request.program.clinic_id, f"grant:{kept.token_family}"
        audit.record(None, str(kept.user_id), "grant.end", clinic=where, object=what, outcome="denied", details=details)
        return False

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        checksum = hashlib.sha256(token.encode()).hexdigest()
        found = RefreshToken.objects.filter(token_checksum=checksum, application=request.client)
        end_families(list(found.values_list("token_family", flat=True)))

    def _is_member(self, request: Any) -> bool:
        # Under the lock of both rows: whoever takes the role or the account away waits, and then voids this token too.
        members = Membership.objects.select_related("person").select_for_update(no_key=True)
        request.membership = members.filter(clinic=request.program.clinic_id, person=request.user, person__is_active=True).first()
        return request.membership is not None

    def _create_refresh_token(self, request: Any, refresh_token_code: str, access_token: Any, previous_refresh_token: Any) -> Any:
        made = super()._create_refresh_token(request, refresh_token_code, access_token, previous_refresh_token)
        if made.token_family != request.family:
            made.token_family = request.family
            made.save(update_fields=["token_family"])
        return made


def _began(family: UUID) -> float:
    return (family.int >> 80) / 1000
