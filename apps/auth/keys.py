"""The keys that access tokens are signed with: one is active, the next one is already known everywhere, old ones fade out.

    token-signing-key.pem        the active one (TOKEN_SIGNING_KEY_FILE); its private half is gone when it was rotated out
    token-signing-key.next.pem   signs nothing yet, but is published
    token-jwks.json              the public halves of both, and of old ones while a token of theirs may be good (TOKEN_JWKS_FILE)

No token is ever refused for a rotation: a key signs only when it has been published for OVERLAP_S, and is withdrawn only when
all that it signed has expired. Each step leaves files from which the next run goes on, wherever it was broken off.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apps.kernel.tokens import LEEWAY_S, LONGEST_S, private_key, public_jwk

OVERLAP_S = 120
"""Verifiers look at their file once a second; a mounted volume of Kubernetes is up to 90 s behind."""
KEPT_S = LONGEST_S + 2 * LEEWAY_S
_STANDARD = ("kty", "crv", "x", "alg", "use", "kid")

Jwk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a run did, by key ids. `wait_s` is how long the next key must still be known before it can sign."""

    active: str
    next: str
    activated: bool
    withdrawn: list[str]
    wait_s: int


def rotate(key_file: Path, jwks: Path, *, now: int, withdraw: bool = False) -> Rotation:
    """Makes the next key the active one, if it has been published long enough, and publishes one to come after it.

    Old keys are withdrawn when their last token has expired, or all of them at once with `withdraw`: for a key that somebody
    else may have. Both files must be writable.
    """
    following = key_file.with_suffix(".next.pem")
    with _alone(jwks):
        published = _published(jwks)
        if not following.exists():
            _replace(following, _new_key(), mode=0o600)
        since = published.get(_kid(following), {}).get("published_at", now)
        activated = since + OVERLAP_S <= now
        if activated:
            following.replace(key_file)
            _replace(following, _new_key(), mode=0o600)
            since = now
        active, upcoming = (public_jwk(_load(file)) for file in (key_file, following))
        keys = [active, upcoming | {"published_at": since}]
        old = [{"retired_at": now, **key} for kid, key in published.items() if kid not in (active["kid"], upcoming["kid"])]
        kept = [key for key in old if not withdraw and key["retired_at"] + KEPT_S > now]
        _replace(jwks, json.dumps({"keys": keys + kept}), mode=jwks.stat().st_mode & 0o777)
    withdrawn = [key["kid"] for key in old if key not in kept]
    return Rotation(active["kid"], upcoming["kid"], activated, withdrawn, since + OVERLAP_S - now)


def public(jwks: Path) -> list[Jwk]:
    """The published keys as RFC 7517 has them."""
    return [{name: key[name] for name in _STANDARD if name in key} for key in _published(jwks).values()]


def _published(jwks: Path) -> dict[str, Jwk]:
    return {key["kid"]: key for key in json.loads(jwks.read_text())["keys"]}


def _load(file: Path) -> Ed25519PrivateKey:
    return private_key(file.read_bytes())


def _kid(file: Path) -> str:
    return public_jwk(_load(file))["kid"]


def _new_key() -> str:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _replace(file: Path, text: str, *, mode: int) -> None:
    """In one step, so that nobody reads half of it, and never readable for more people than `mode` says."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


@contextmanager
def _alone(jwks: Path) -> Iterator[None]:
    """Two runs at once come one after the other."""
    folder = os.open(jwks.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
