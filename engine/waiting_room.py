"""The waiting room: so many holds a second for one clinic, and a place in line for everybody else.

When a clinic opens its book at nine, its crowd must not take the processes from all other clinics. Who comes too early for a
hold gets a ticket, a signed place in time, and is let in with it when that time has come; the line itself is one number in Redis
(when the next place is), as in GCRA. A slot that somebody is known to hold is refused here for one question to Redis: nobody
waits in line to hear that. Redis is advice here as everywhere: without it everybody is let in.
"""

import base64
import binascii
import os
from functools import cache
from hashlib import blake2b
from hmac import compare_digest
from math import ceil

from django.conf import settings

from apps.kernel.problems import RateLimited
from apps.kernel.redis import circuit, evaluated
from engine.errors import SlotTaken
from engine.locks import gate_keys, granted_key
from engine.offers import Offer

BURST_S = 1
"""A clinic that was quiet lets the holds of so many seconds in at once."""
LONGEST_LINE_S = 300
PLACES_A_MINUTE = 10
"""So many places in a clinic's line one address gets: whoever hoards them keeps the others out."""
TICKET_KEPT_S = 300
"""How long after its time a ticket is good."""

# KEYS: the line, this ticket's mark, the slot's key at the gate on the calendar that people choose, the places that this address
# got, and what exists when this request was granted before (the slot's again where it has no Idempotency-Key). ARGV: ms between
# two places, burst, longest line, the ticket's place (0: none), how long a ticket is good, places an address gets, the digest of
# the Idempotency-Key. Answers {place, now}: place 0 is in, -1 is a line that is too long already, -2 a slot that is gone. A
# repetition is let in: the database has its first answer, or lets it try again with a ticket that it used in vain.
_ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found, digest = redis.call('GET', KEYS[3]), ARGV[7]
if digest ~= '' and (redis.call('EXISTS', KEYS[5]) == 1 or found and string.sub(found, -#digest) == digest) then return {0, now} end
if found and (string.sub(found, 1, 4) == 'held' or digest == '' and string.sub(found, 1, 4) == 'full') then return {-2, now} end
local mine = tonumber(ARGV[4])
if mine > 0 and now < mine then return {mine, now} end
if mine > 0 and now < mine + ARGV[5] then
  if redis.call('SET', KEYS[2], digest, 'NX', 'PX', ARGV[5]) then return {0, now} end
  if digest ~= '' and redis.call('GET', KEYS[2]) == digest then return {0, now} end
end
local place = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now - ARGV[2])
if place - now > tonumber(ARGV[3]) then return {-1, now} end
if place > now then
  local given = redis.call('INCR', KEYS[4])
  if given == 1 then redis.call('PEXPIRE', KEYS[4], 60000) end
  if given > tonumber(ARGV[6]) then return {-1, now} end
end
redis.call('SET', KEYS[1], place + ARGV[1], 'PX', math.ceil(place + ARGV[1] - now + ARGV[2]))
return {place > now and place or 0, now}
"""
_MAC = 16
_IN, _NO_PLACE, _GONE = 0, -1, -2


class WaitingRoom:
    def __init__(self, url: str, *, holds_a_second: int) -> None:
        """`holds_a_second` for one clinic; 0: everybody is let in."""
        self._redis = circuit(url)
        self._rate = holds_a_second

    def enter(self, offer: Offer, *, ticket: str, address: str, digest: str) -> None:
        """Lets in who asks to hold this slot. Raises RateLimited with the seconds to wait, and a ticket; SlotTaken.

        A ticket that is not ours, is used or is too old counts for nothing: its holder goes to the end of the line. `digest` is
        that of the Idempotency-Key, if there is one.
        """
        if not self._rate:
            return
        clinic = offer.clinic
        place, mark = _read(ticket, clinic)
        (slot,) = gate_keys(clinic, [offer.calendar], offer.start)
        line = f"line:{{{clinic}}}"
        keys = [line, f"{line}:{mark}", slot, f"{line}:{address}", granted_key(digest) or slot]
        numbers = (1000 // self._rate, BURST_S * 1000, LONGEST_LINE_S * 1000, place, TICKET_KEPT_S * 1000, PLACES_A_MINUTE)
        given, now = self._redis.ask(lambda mine: evaluated(mine, _ENTER, keys, *numbers, digest)) or (_IN, 0)
        if given == _IN:
            return
        if given == _GONE:
            raise SlotTaken()
        if given == _NO_PLACE:
            raise RateLimited("Too many people are booking here at the moment.", retry_after=60)
        waiting = RateLimited("Many people are booking here at the moment.", retry_after=ceil((given - now) / 1000))
        waiting.beside = {"ticket": ticket if given == place else ticket_for(given, clinic)}
        raise waiting


@cache
def waiting_room() -> WaitingRoom:
    """This process's one."""
    return WaitingRoom(settings.ENV.redis_url.get_secret_value(), holds_a_second=settings.ENV.holds_a_second)


def ticket_for(place: int, clinic: int) -> str:
    """A ticket for this place, in milliseconds of Redis' clock."""
    said = place.to_bytes(8) + clinic.to_bytes(4) + os.urandom(8)
    return base64.urlsafe_b64encode(said + _mac(said)).decode()


def _read(ticket: str, clinic: int) -> tuple[int, str]:
    """(its place in ms, its own mark); (0, "") for one that counts for nothing."""
    try:
        known = base64.urlsafe_b64decode(ticket.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        known = b""
    said, mac = known[:-_MAC], known[-_MAC:]
    if len(said) != 20 or int.from_bytes(said[8:12]) != clinic or not compare_digest(mac, _mac(said)):
        return 0, ""
    return int.from_bytes(said[:8]), said[12:].hex()


def _mac(said: bytes) -> bytes:
    key = blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"waiting-room").digest()
    return blake2b(said, key=key, digest_size=_MAC).digest()
