"""Sealed patient details: the browser encrypts them to this service's public key, and only this service opens them.

A JWE (RFC 7516, compact) to a P-256 key, which WebCrypto has in every browser. The protected header is
{"alg": "ECDH-ES", "enc": "A256GCM", "kid": …, "typ": "healthflow-patient+jwe"} and the key agreement's "epk", nothing else.
"""

import json
import os
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

TYPE = "healthflow-patient+jwe"
LARGEST = 32 * 1024
_ALGORITHMS = ("ECDH-ES", "A256GCM")
_HEADER = frozenset({"alg", "enc", "kid", "typ", "epk"})
_CURVE = "P-256"


class EnvelopeRefused(Exception):
    """It cannot be opened, and never will be. The text says why in one word or two, and nothing of what is inside."""


class Opener:
    """The private keys in the JWK set at `path` (SEALING_KEY_FILE): the newest, and older ones for envelopes under way."""

    def __init__(self, path: Path) -> None:
        keys = KeySet.import_key_set(json.loads(path.read_text())).keys
        self._keys = {key.kid: key for key in keys if isinstance(key, ECKey) and key.curve_name == _CURVE and key.is_private}

    def open(self, envelope: str) -> dict[str, Any]:
        """The JSON object that was sealed; its members are not checked. Raises EnvelopeRefused."""
        if len(envelope) > LARGEST:
            raise EnvelopeRefused("too large")
        try:
            key = self._keys.get(_kid(envelope))
            if key is None:
                raise EnvelopeRefused("unknown key")
            opened = jwe.decrypt_compact(envelope, key, registry=_registry())
            details = json.loads(opened.plaintext or b"")
        except (JoseError, ValueError, TypeError, KeyError, AssertionError, RecursionError) as refused:
            raise EnvelopeRefused(type(refused).__name__) from None
        if not isinstance(details, dict):
            raise EnvelopeRefused("not an object")
        return details


def write_keys(private: Path, *, public: Path, keep: int) -> str:
    """Makes a new key the first of the JWK set in `private`, keeps `keep` in all, and puts it alone into `public`; its kid.

    Envelopes sealed to a key that is no longer kept cannot be opened by anybody.
    """
    old = json.loads(private.read_text())["keys"] if private.is_file() else []
    key = ECKey.generate_key(_CURVE, {"use": "enc", "alg": "ECDH-ES"}, auto_kid=True)
    _replace(private, {"keys": [key.as_dict(private=True), *old][:keep]}, mode=0o600)
    # The public key second: nobody may seal to what cannot be opened yet.
    _replace(public, {"keys": [key.as_dict(private=False)]}, mode=0o644)
    return str(key.kid)


def _kid(envelope: str) -> str:
    from joserfc.util import urlsafe_b64decode

    header = json.loads(urlsafe_b64decode(envelope.partition(".")[0].encode()))
    if not isinstance(header, dict) or header.keys() != _HEADER:
        raise EnvelopeRefused("unknown header")
    if (header["alg"], header["enc"], header["typ"]) != (*_ALGORITHMS, TYPE):
        raise EnvelopeRefused("another algorithm or purpose")
    return str(header["kid"])


def _registry() -> jwe.JWERegistry:
    return jwe.JWERegistry(algorithms=_ALGORITHMS)


def _replace(path: Path, keys: dict[str, Any], *, mode: int) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w") as file:
        json.dump(keys, file)
    new.replace(path)
