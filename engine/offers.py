"""A slot on offer, and the opaque token that stands for it on the wire."""

import base64
import binascii
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from hmac import compare_digest

from django.conf import settings

from apps.kernel.problems import ValidationFailed

_MAC = 16


@dataclass(frozen=True, slots=True)
class Offer:
    """What a hold asks for. `clinic`, `visit_type` and `calendars` are database keys, the calendar people choose first; times
    are instants in seconds.

    `capacity` says whether the place is one of several; it is only advice for the Redis lock. Staff, and nobody else, may ask for
    a length of their own (`custom`: neither the grid nor the usual length counts), and for an `override`, with the reason they
    typed: then nothing counts but that nobody else is there.
    """

    clinic: int
    visit_type: int
    calendars: tuple[int, ...]
    start: int
    end: int
    modality: str
    capacity: int = 1
    custom: bool = False
    override: str = ""

    @property
    def special(self) -> bool:
        return self.custom or self.override != ""

    @property
    def calendar(self) -> int:
        return self.calendars[0]

    def token(self) -> str:
        """The offer, signed: whoever has it can ask for this slot and for no other, and for nothing special. Checked when held."""
        parts = (self.clinic, self.visit_type, self.start, self.end, self.capacity, self.modality, *self.calendars)
        payload = " ".join(map(str, parts)).encode()
        return base64.urlsafe_b64encode(payload + _mac(payload)).decode().rstrip("=")


def parse(token: str) -> Offer:
    """The offer a token stands for. Raises ValidationFailed for one we did not make."""
    try:
        signed = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (binascii.Error, UnicodeEncodeError):
        signed = b""
    payload, mac = signed[:-_MAC], signed[-_MAC:]
    # The last character carries unused bits: only the one spelling that we gave out is ours.
    if not compare_digest(mac, _mac(payload)) or base64.urlsafe_b64encode(signed).decode().rstrip("=") != token:
        raise ValidationFailed("This is not a slot we offered; search again.", param="slot")
    clinic, visit_type, start, end, capacity, modality, *calendars = payload.decode().split(" ")
    return Offer(int(clinic), int(visit_type), tuple(map(int, calendars)), int(start), int(end), modality, int(capacity))


def _mac(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_MAC, key=_key()).digest()


@cache
def _key() -> bytes:
    return blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"slot-token").digest()
