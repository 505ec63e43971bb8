"""What patients tell us, as the engine keeps it: sealed to a key that only records has, so nothing here can read it (adr/0012).

An envelope is a compact JWE (RFC 7516). Its protected header is alg, enc, typ, kid and the sender's one-time key, nothing else:
what is not in it (compression, addresses of keys, other algorithms) cannot be asked of whoever opens it.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from joserfc import jwe
from joserfc.jwk import ECKey

from apps.kernel.problems import ValidationFailed

_HEADER = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": "healthflow-patient+jwe"}
_MEMBERS = {*_HEADER, "kid", "epk"}
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")
_PRIVATE = "d"


class NotPublic(Exception):
    """SEALING_JWKS_FILE holds what only records may have."""


def seal(details: Mapping[str, Any]) -> str:
    """The envelope of `details`, sealed to the first of the keys (0.08 ms)."""
    kid, key = next(iter(_keys().items()))
    return jwe.encrypt_compact({**_HEADER, "kid": kid}, json.dumps(details, ensure_ascii=False, separators=(",", ":")), key)


def checked(envelope: str) -> str:
    """An envelope that came from outside, if its header is one we give; its form is the shape's. Raises ValidationFailed.

    Whether it can be opened is seen where it is.
    """
    text = envelope.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.keys() != _MEMBERS or any(header[name] != _HEADER[name] for name in _HEADER):
        raise ValidationFailed("The envelope's header must be alg, enc, typ, kid and epk, as documented.", param="patient.sealed")
    if not isinstance(header["kid"], str) or header["kid"] not in _keys():
        raise ValidationFailed("The envelope is sealed to a key that is not among the sealing keys.", param="patient.sealed")
    if not _is_one_time_key(header["epk"]):
        raise ValidationFailed("The envelope's epk must be a public P-256 key.", param="patient.sealed")
    return envelope


def public_keys() -> list[dict[str, Any]]:
    """The keys to seal to, as JWKs; the first is the one to use, the others are for envelopes under way."""
    return [{**key.as_dict(private=False), "kid": kid, "use": "enc", "alg": _HEADER["alg"]} for kid, key in _keys().items()]


def _is_one_time_key(epk: object) -> bool:
    if not isinstance(epk, dict) or epk.keys() != {"kty", "crv", "x", "y"} or (epk["kty"], epk["crv"]) != ("EC", "P-256"):
        return False
    return all(isinstance(epk[name], str) and _COORDINATE.fullmatch(epk[name]) for name in ("x", "y"))


@cache
def _keys() -> dict[str, ECKey]:
    # Parsed once: a new key comes with a restart, and what was sealed to the old one meanwhile can still be opened.
    keys = json.loads(settings.ENV.sealing_jwks_file.read_text())["keys"]
    if any(_PRIVATE in key for key in keys):
        raise NotPublic(f"{settings.ENV.sealing_jwks_file} holds a private key.")
    return {key["kid"]: ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")}) for key in keys}
