"""Identifiers: UUIDv7 (RFC 9562), so that rows written together lie together."""

import secrets
import time
from uuid import UUID


def new_id() -> UUID:
    """A UUIDv7: 48 bits of milliseconds, 74 random bits."""
    random = secrets.randbits(74)
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return UUID(int=value)


def as_id(text: str) -> UUID | None:
    """The identifier that `text` is, or None: what is not an identifier is simply not found."""
    try:
        return UUID(text)
    except ValueError:
        return None
