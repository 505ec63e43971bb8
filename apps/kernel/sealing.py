"""Encryption of what must not be readable in a database: AES-256-GCM, bound to the row it belongs to."""

import base64
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = b"\x01"
_NONCE = 12


class SealBroken(Exception):
    """The bytes were not sealed with this key for this row, or were changed."""


def seal(plain: bytes, *, key: str, row: bytes) -> bytes:
    """Format byte, nonce, ciphertext with tag. `key` is 32 bytes in base64; `row` ties the result to one row."""
    nonce = secrets.token_bytes(_NONCE)
    return _FORMAT + nonce + _cipher(key).encrypt(nonce, plain, row)


def unseal(sealed: bytes, *, key: str, row: bytes) -> bytes:
    """What `seal` was given. Raises SealBroken."""
    if sealed[:1] != _FORMAT or len(sealed) <= _NONCE:
        raise SealBroken("unknown format")
    try:
        return _cipher(key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], row)
    except InvalidTag:
        raise SealBroken("wrong key, wrong row, or changed") from None


@lru_cache(maxsize=16)
def _cipher(key: str) -> AESGCM:
    return AESGCM(base64.b64decode(key))
