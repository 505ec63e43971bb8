"""Where calendars and visit types stand, as Redis is told after each write: so who only looks asks the database for no version.

A key a calendar, `stand:c<calendar>`, and one a visit type, `stand:v<visit type>`, all of which must be on one Redis node:

    {"e": epoch, "v": version, "r": rules, "f": the version it was filled at, "d": {day: version}}

`d` says which version changed a day last; the days that are not in it have been the same since `f`. Of a visit type the version
is its revision, and there are no days.

What makes it true: whoever commits tells before answering, and the relay tells again of every event, so a writer that dies in
between is a second late. A version that does not follow the known one deletes the key, as does all that is more than a booking.
Whoever finds nothing marks the place, asks the database, and fills it only if nobody told of anything meanwhile; once a minute a
visit type is not found, and then what is behind the database goes, and the days that have not changed stay. After a restore
the epoch is another than the relay's. A reader who is told too little is offered a slot that the locks refuse, nothing worse.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings

from apps.kernel.redis import circuit, evaluated, told
from engine.scheduling.intervals import DAY_S

EPOCH = "live:epoch"
"""Where the relay has the database's epoch."""
_KEPT_MS = 15 * 60_000
_CHECKED_MS = 60_000
"""So long what nobody told of can stay, such as a change of rows by hand: then the visit type is asked for again, and with it the
calendars that offer it are compared with the database."""
_FILLED_WITHIN_MS = 5_000
_MOST_DAYS = 8
_LONGEST_BUFFER_S = DAY_S // 2

# Whoever finds a mark shares it: what is told deletes it, so it says the same to both. Answers "" for what is there.
_MARK = """
local marks = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('GET', key)
  if not found then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
    found = ARGV[1]
  end
  marks[i] = string.sub(found, 1, 1) == '?' and found or ''
end
return marks
"""
_FILL = """
for i, key in ipairs(KEYS) do
  local found, mark, text, kept = redis.call('GET', key), ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if found == mark then
    redis.call('SET', key, text, 'PX', kept)
  elseif found and string.sub(found, 1, 1) ~= '?' then
    local was, is = cjson.decode(found), cjson.decode(text)
    if was.e ~= is.e or was.v < is.v or was.r < is.r then redis.call('DEL', key) end
  end
end
"""
TELL = """
for i, key in ipairs(KEYS) do
  local text, version, days = redis.call('GET', key), tonumber(ARGV[2 * i - 1]), ARGV[2 * i]
  if text and string.sub(text, 1, 1) == '?' then
    redis.call('DEL', key)
  elseif text then
    local stand = cjson.decode(text)
    if version == stand.v + 1 and days ~= '' then
      stand.v = version
      for day in string.gmatch(days, '%d+') do stand.d[day] = version end
      redis.call('SET', key, cjson.encode(stand), 'KEEPTTL')
    elseif version > stand.v then
      redis.call('DEL', key)
    end
  end
end
"""
"""A script; `change` makes its keys and arguments."""


class Stand(NamedTuple):
    """Where a calendar's counters stand: its version, and that of its rules; `days`: the version that changed a day last.

    A day that is not there has been the same since `since`, where that is known.
    """

    calendar: int
    version: int
    rules: int
    since: int | None = None
    days: Mapping[str, int] = {}

    def at(self, day: int) -> int:
        """A version that had the same on this day (UTC, counted from 1970) as the present one."""
        return self.version if self.since is None else self.days.get(str(day), self.since)


Told = tuple[bytes | None, ...]
"""What Redis has: the relay's epoch if it runs, then a visit type, then its calendars."""


class Stands:
    def __init__(self, url: str) -> None:
        self._redis = circuit(url)

    def read(self, visit_type: int, calendars: Sequence[int]) -> Told | None:
        """What Redis has of a visit type and of its calendars, to be read by `parsed`; None when something is missing."""
        keys = _keys(visit_type, calendars)
        found = self._redis.ask(lambda mine: told(mine, "MGET", EPOCH, *keys))
        if not found or any(text is None or text.startswith(b"?") for text in found[1:]):
            return None
        return tuple(found)

    def mark(self, visit_type: int, calendars: Sequence[int]) -> dict[str, bytes]:
        """What is missing there, to be called before the database is asked; the answer is for `fill`."""
        keys, mark = _keys(visit_type, calendars), f"?{os.urandom(8).hex()}"
        marks = self._redis.ask(lambda mine: evaluated(mine, _MARK, keys, mark, _FILLED_WITHIN_MS)) or ()
        return {key: mark for key, mark in zip(keys, marks, strict=False) if mark}

    def fill(self, marks: Mapping[str, bytes], visit_type: int, revision: int, stands: Sequence[Stand], *, epoch: str) -> None:
        """What the database said, where nobody told of anything since it was marked; what was there may not be behind it."""
        texts = {_key(stand.calendar): (_text(epoch, stand.version, stand.rules), _KEPT_MS) for stand in stands}
        texts[_key(visit_type, "v")] = _text(epoch, revision, 0), _CHECKED_MS
        arguments = [part for key, (text, kept) in texts.items() for part in (marks.get(key, b""), text, kept)]
        if marks:
            self._redis.ask(lambda mine: evaluated(mine, _FILL, list(texts), *arguments))

    def tell(self, versions: Mapping[int, int], days: Collection[int]) -> None:
        """After a commit: these calendars are at these versions, each the next, and nothing but these days has changed."""
        changes = [change(calendar, version, days) for calendar, version in versions.items()]
        arguments = [text for _, version_, days_ in changes for text in (version_, days_)]
        self._redis.ask(lambda mine: evaluated(mine, TELL, [key for key, _, _ in changes], *arguments))

    def forget(self, *, calendars: Iterable[int] = (), visit_types: Iterable[int] = ()) -> None:
        """After a commit that changed more than days."""
        keys = [*(_key(calendar) for calendar in calendars), *(_key(key, "v") for key in visit_types)]
        if keys:
            self._redis.ask(lambda mine: told(mine, "DEL", *keys))


def change(calendar: int, version: int, days: Collection[int]) -> tuple[str, int, str]:
    """(key, two arguments) for `TELL`: the calendar is at this version and nothing but these days has changed; none: who knows."""
    return _key(calendar), version, ",".join(map(str, days)) if len(days) <= _MOST_DAYS else ""


def parsed(said: Told, calendars: Sequence[int]) -> tuple[str, int, tuple[Stand, ...]] | None:
    """(epoch, revision of the visit type, stands) of what was read; None when it is not all of one epoch."""
    relayed, *texts = said
    first, *rest = (json.loads(text) for text in texts if text is not None)
    epochs = {stand["e"] for stand in (first, *rest)} | ({relayed.decode()} if relayed else set())
    if len(epochs) != 1:
        return None
    found = (Stand(key, stand["v"], stand["r"], stand["f"], stand["d"]) for key, stand in zip(calendars, rest, strict=True))
    return first["e"], first["v"], tuple(found)


def days_around(*moments: int) -> set[int]:
    """The days (UTC, counted from 1970) on which visits that begin or end at these instants can take time, buffers included."""
    return {(moment + reach) // DAY_S for moment in moments for reach in (-_LONGEST_BUFFER_S, 0, _LONGEST_BUFFER_S)}


def _keys(visit_type: int, calendars: Sequence[int]) -> list[str]:
    return [_key(visit_type, "v"), *(_key(calendar) for calendar in calendars)]


def _key(key: int, kind: str = "c") -> str:
    return f"stand:{kind}{key}"


def _text(epoch: str, version: int, rules: int) -> str:
    return json.dumps({"e": epoch, "v": version, "r": rules, "f": version, "d": {}}, separators=(",", ":"))


stands = Stands(settings.ENV.redis_url.get_secret_value())
"""This process's."""
