"""Access tokens: signed by auth with Ed25519, verified everywhere offline against its public keys (RFC 8725)."""

import hashlib
import json
import logging
import os
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

log = logging.getLogger(__name__)

ISSUER = "healthflow/auth"
AUDIENCE = "healthflow"
ALGORITHM = "EdDSA"
SESSION_COOKIE = "hf_session"
"""A signed-in page's token, for the services and the live socket alike."""
ROLES = frozenset({"practitioner", "front_desk", "clinic_admin", "billing", "auditor", "program"})
LONGEST_S = 24 * 3600
"""No token is good for longer: what was revoked need not be remembered for longer."""
LEEWAY_S = 30
"""How much the clocks of signer and verifier may differ."""
_LONGEST_TOKEN = 4096
_LOOK_EVERY_S = 1.0
_KEPT = 10_000


class TokenRefused(Exception):
    """The token is not one of ours, not for us, or no longer good."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks: a person or program (`subject`), for one clinic (its slug), in one role. Instants are in seconds."""

    subject: str
    clinic: str
    role: str
    second_factor: bool
    token_id: str
    issued_at: int
    expires_at: int
    calendar: str = ""
    """The engine's id of the calendar that is a practitioner's own, or empty."""


class Verifier:
    """Checks tokens against the public keys in a JWKS file, which other processes replace when keys rotate.

    A token that was checked is remembered until it expires: a signature costs 0.1 ms, a look-up 1 us, and a token is
    shown thousands of times in its five minutes. The algorithm is fixed and the key comes from the file by `kid` alone;
    what the token's header says of keys or addresses is ignored. Whether the file is another one is asked once a second,
    and when a `kid` is unknown: a look costs 2 us, and the file is read only if it changed. What a key that is no longer
    in it has signed is void. `revoked` is asked each time and answers something that is true for claims that were taken
    back (`revocations.py`).
    """

    def __init__(self, jwks: Path, *, revoked: Callable[[Claims], object]) -> None:
        self._file = jwks
        self._seen = _identity(jwks)
        self._look_again_at = time.monotonic() + _LOOK_EVERY_S
        self._keys = _read(jwks)
        self._revoked = revoked
        self._checked: OrderedDict[str, tuple[str, Claims]] = OrderedDict()

    def claims(self, token: str) -> Claims:
        """The token's claims. Raises TokenRefused."""
        if len(token) > _LONGEST_TOKEN:
            raise TokenRefused("too long")
        if time.monotonic() >= self._look_again_at:
            self._look()
        kid, claims = self._checked.get(token) or self._remembered(token)
        if claims.expires_at + LEEWAY_S < time.time():
            self._checked.pop(token, None)
            raise TokenRefused("expired")
        if kid not in self._keys:
            raise TokenRefused("its key was withdrawn")
        if self._revoked(claims):
            raise TokenRefused("revoked")
        return claims

    def _remembered(self, token: str) -> tuple[str, Claims]:
        found = self._check(token)
        self._checked[token] = found
        if len(self._checked) > _KEPT:
            self._checked.popitem(last=False)
        return found

    def _check(self, token: str) -> tuple[str, Claims]:
        try:
            kid = str(jwt.get_unverified_header(token)["kid"])
            if kid not in self._keys:
                self._look()
            payload = jwt.decode(
                token,
                self._keys[kid],
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "jti", "sub", "aud", "iss"]},
            )
            claims = _claims(payload)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as refused:
            raise TokenRefused(type(refused).__name__) from None
        if claims.role not in ROLES or claims.expires_at - claims.issued_at > LONGEST_S:
            raise TokenRefused("nothing that is signed here")
        return kid, claims

    def _look(self) -> None:
        """Reads the file again if it is another one; a file that cannot be read changes nothing."""
        self._look_again_at = time.monotonic() + _LOOK_EVERY_S
        try:
            found = _identity(self._file)
            if found != self._seen:
                self._seen = found
                self._keys = _read(self._file)
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as failed:
            log.error("the public keys cannot be read", extra={"reason": type(failed).__name__})


def _identity(file: Path) -> tuple[int, int, int]:
    # Through links: a mounted volume of Kubernetes is one link that is swapped.
    found = os.stat(file)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(jwks: Path) -> dict[str, Any]:
    return {key["kid"]: OKPAlgorithm.from_jwk(key) for key in json.loads(jwks.read_text())["keys"]}


def _claims(payload: dict[str, Any]) -> Claims:
    return Claims(
        subject=str(payload["sub"]),
        clinic=str(payload["clinic"]),
        role=str(payload["role"]),
        second_factor="otp" in payload.get("amr", ()),
        token_id=str(payload["jti"]),
        issued_at=int(payload["iat"]),
        expires_at=int(payload["exp"]),
        calendar=str(payload.get("calendar", "")),
    )


# --- signing ------------------------------------------------------------------------------------------------------------


def sign(
    key_file: Path,
    *,
    subject: str,
    clinic: str,
    role: str,
    seconds: int,
    second_factor: bool = True,
    calendar: str = "",
    token_id: str = "",
) -> str:
    """A token signed with the private key (PEM) that is in `key_file` now. Without `token_id` it gets one of its own.

    Raises ValueError for a role that does not exist and for more than LONGEST_S seconds.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(sorted(ROLES))}")
    if seconds > LONGEST_S:
        raise ValueError(f"a token is good for at most {LONGEST_S} seconds")
    now = int(time.time())
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "clinic": clinic,
        "role": role,
        "amr": ["pwd", "otp"] if second_factor else ["pwd"],
        "iat": now,
        "exp": now + seconds,
        "jti": token_id or uuid4().hex,
        **({"calendar": calendar} if calendar else {}),
    }
    key, kid = _signing_key(key_file, _identity(key_file))
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid})


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Raises ValueError when it is not an Ed25519 key in PEM."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("another kind of key than Ed25519")
    return key


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """The public half as a JWK. Its `kid` follows from the key: its thumbprint."""
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_key().public_bytes_raw())}
    # RFC 7638: the members a key needs, sorted, without white space.
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return {**required, "alg": ALGORITHM, "use": "sig", "kid": _base64url(hashlib.sha256(canonical.encode()).digest())}


@lru_cache(maxsize=4)
def _signing_key(file: Path, _: tuple[int, int, int]) -> tuple[Ed25519PrivateKey, str]:
    key = private_key(file.read_bytes())
    return key, public_jwk(key)["kid"]


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
