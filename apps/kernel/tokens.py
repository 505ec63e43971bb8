"""Access tokens: signed by auth with Ed25519, verified everywhere offline against its public keys (RFC 8725)."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from jwt.algorithms import OKPAlgorithm

ISSUER = "healthflow/auth"
AUDIENCE = "healthflow"
ALGORITHM = "EdDSA"
SESSION_COOKIE = "hf_session"
"""A signed-in page's token, for the services and the live socket alike."""
ROLES = frozenset({"practitioner", "front_desk", "clinic_admin", "billing", "auditor", "program"})
LONGEST_S = 24 * 3600
"""No token is good for longer: what was revoked need not be remembered for longer."""
_LEEWAY_S = 30
_KEPT = 10_000


class TokenRefused(Exception):
    """The token is not one of ours, not for us, or no longer good."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks: a person or program (`subject`), for one clinic (its slug), in one role. Instants are in seconds.

    `calendar` is the calendar that a practitioner's patients book in, if there is one.
    """

    subject: str
    clinic: str
    role: str
    second_factor: bool
    token_id: str
    issued_at: int
    expires_at: int
    calendar: str = ""


class Verifier:
    """Checks tokens against the public keys in a JWKS file.

    A token that was checked is remembered until it expires: a signature costs 0.1 ms, a look-up 1 us, and a token is
    shown thousands of times in its five minutes. The algorithm is fixed and the key comes from the file by `kid` alone;
    what the token's header says of keys or addresses is ignored. `revoked` is asked each time and answers something
    that is true for claims that were taken back (`revocations.py`).
    """

    def __init__(self, jwks: Path, *, revoked: Callable[[Claims], object]) -> None:
        keys = json.loads(jwks.read_text())["keys"]
        self._keys: dict[str, Any] = {key["kid"]: OKPAlgorithm.from_jwk(key) for key in keys}
        self._revoked = revoked
        self._checked: OrderedDict[str, Claims] = OrderedDict()

    def claims(self, token: str) -> Claims:
        """The token's claims. Raises TokenRefused."""
        claims = self._checked.get(token)
        if claims is None:
            claims = self._check(token)
            self._checked[token] = claims
            if len(self._checked) > _KEPT:
                self._checked.popitem(last=False)
        if claims.expires_at + _LEEWAY_S < time.time():
            self._checked.pop(token, None)
            raise TokenRefused("expired")
        if self._revoked(claims):
            raise TokenRefused("revoked")
        return claims

    def _check(self, token: str) -> Claims:
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "jti", "sub", "aud", "iss"]},
            )
            claims = Claims(
                subject=str(payload["sub"]),
                clinic=str(payload["clinic"]),
                role=str(payload["role"]),
                second_factor="otp" in payload.get("amr", ()),
                token_id=str(payload["jti"]),
                issued_at=int(payload["iat"]),
                expires_at=int(payload["exp"]),
                calendar=str(payload.get("calendar", "")),
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as refused:
            raise TokenRefused(type(refused).__name__) from None
        if claims.role not in ROLES:
            raise TokenRefused("unknown role")
        return claims


def sign(key_file: Path, *, subject: str, clinic: str, role: str, seconds: int, second_factor: bool = True) -> str:
    """A token signed with the private key in `key_file` (PEM). Its `kid` is read from the JWKS file beside it.

    Raises ValueError for a role that does not exist and for more than LONGEST_S seconds.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(sorted(ROLES))}")
    if seconds > LONGEST_S:
        raise ValueError(f"a token is good for at most {LONGEST_S} seconds")
    now = int(time.time())
    kid = json.loads((key_file.parent / "token-jwks.json").read_text())["keys"][0]["kid"]
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "clinic": clinic,
        "role": role,
        "amr": ["pwd", "otp"] if second_factor else ["pwd"],
        "iat": now,
        "exp": now + seconds,
        "jti": uuid4().hex,
    }
    return jwt.encode(payload, key_file.read_text(), algorithm=ALGORITHM, headers={"kid": kid})
