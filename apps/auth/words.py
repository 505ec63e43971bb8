"""How things that people type or carry are written down: addresses of mail and network, secrets, codes. No database, no clock."""

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import unicodedata
from functools import cache
from uuid import UUID

from django.conf import settings

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_AGENT_CHARACTERS = 120
# What a User-Agent says of itself, the telling before what nearly all say.
_BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {name: name for name in ("iPhone", "iPad", "Android", "Windows")} | {"Mac OS X": "macOS", "Linux": "Linux"}


def normal_email(text: str) -> str:
    """The one form of an e-mail address in which it is stored and looked for."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def new_secret() -> str:
    """256 random bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored of a secret of ours. It is random, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def new_codes(count: int) -> list[str]:
    """Recovery codes: 50 random bits each, in letters and digits that are not mistaken for each other."""
    return [_grouped(base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]) for _ in range(count)]


def code_digest(code: str, *, person: UUID) -> str:
    """What is stored of a recovery code: 80 bits under a key of ours, because 50 bits alone could be guessed offline."""
    plain = re.sub(r"[\s-]", "", code).lower()
    mac = hmac.new(_key(b"recovery"), person.bytes + plain.encode(), hashlib.sha256).digest()
    return base64.b32encode(mac[:10]).decode()


def derived(purpose: str, *, size: int) -> bytes:
    """Bytes that are random for who does not know SECRET_KEY, and always the same."""
    return hashlib.blake2b(purpose.encode(), key=_key(b"derived"), digest_size=size).digest()


def network(address: str) -> str:
    """Whom an address counts for: itself, or in IPv6 the /64 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if parsed.version == 6 else str(parsed)


def shortened(agent: str) -> str:
    """A User-Agent that can be stored and shown."""
    return _CONTROL.sub("", agent)[:_AGENT_CHARACTERS]


def browser_name(agent: str) -> str:
    """A User-Agent as its owner would call it, "Firefox, Windows"; as it is when it is none that we know."""
    found = (next((name for mark, name in marks.items() if mark in agent), "") for marks in (_BROWSERS, _SYSTEMS))
    return ", ".join(filter(None, found)) or agent


def _grouped(code: str) -> str:
    return f"{code[:5]}-{code[5:]}"


@cache
def _key(purpose: bytes) -> bytes:
    return hashlib.blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=purpose).digest()
