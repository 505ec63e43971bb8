"""What takes the time of a calendar on a day, as a value that never changes under its key: (calendar, day, version).

A day is looked for in the memory of the process, then in Redis, and else made from the rows. Nothing is ever invalidated: each
question names the versions of its moment, and an old one is never asked for again. What that rests on:

- Whatever takes or frees time takes the calendar's next version in the same transaction (outbox.record).
- Rows and version are read by one statement, so a value lies under the version its rows had, whoever writes meanwhile.
- A hold that runs out takes no version until it is cleared away. So the value says until when, and who reads it drops the hold.
- It may lie under an earlier version that had the same on that day (stands.py), so a booking costs one day, not all of them.
- Hours, exceptions and visit types are not in it: they have counters of their own (rules.py).
- The epoch is part of the key: after a restore the same versions come again, with other rows.

Nothing here decides: who books reads the rows, under the locks. There is nothing of a patient, and no id of an appointment.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from redis.connection import Connection

from apps.kernel.redis import circuit, evaluated, told
from engine import replicas
from engine.kept import Kept
from engine.scheduling.claims import Claim, joined, ordered, packed_days
from engine.scheduling.intervals import DAY_S, Interval
from engine.stands import Stand
from engine.statements import Statement, read

_ROOM = 32 * 2**20
# What a key and its place in the memory take, beside the value.
_KEY_WEIGHT = 300
_REDIS_KEEPS_S = 3600


class Moment(NamedTuple):
    """The active ones of some calendars, by key, as the database has them at an instant of its clock."""

    now: int
    epoch: str
    stands: tuple[Stand, ...]


class Known(NamedTuple):
    """A calendar as it stands, with all that takes its time on the days asked for. Holds that have run out are among it."""

    stand: Stand
    claims: tuple[Claim, ...]


Key = tuple[str, int, int, int]
"""(epoch, calendar, day since 1970, version)."""

# --- the database -------------------------------------------------------------------------------------------------------

NOW = "floor(extract(epoch FROM clock_timestamp()))::bigint"
EPOCH = "(SELECT epoch::text FROM engine_stream)"

_STANDS = f"""
SELECT {NOW}, {EPOCH}, c.id, c.version, c.rules FROM engine_calendar c WHERE c.id = ANY(%s) AND c.active ORDER BY c.id
"""
# Calendar by calendar (OFFSET 0): the planner counts a look into every partition, and would rather read everybody's days.
_ROWS = f"""
SELECT {EPOCH}, c.id, c.version, c.rules, array_agg(ARRAY[
         l.unit, extract(epoch FROM lower(l.during))::bigint, extract(epoch FROM upper(l.during))::bigint,
         coalesce(extract(epoch FROM l.expires_at)::bigint, 0)
       ]) FILTER (WHERE l.unit IS NOT NULL)
FROM engine_calendar c
LEFT JOIN LATERAL (
  SELECT l.unit, l.during, a.expires_at FROM engine_allocation l JOIN engine_appointment a ON a.id = l.appointment_id
  WHERE l.calendar_id = c.id AND l.during && tstzrange(to_timestamp(%s), to_timestamp(%s)) OFFSET 0
) AS l ON true
WHERE c.id = ANY(%s) AND c.active
GROUP BY c.id ORDER BY c.id
"""


def moment(calendars: Iterable[int]) -> Moment:
    """Where these calendars stand: the truth, so never from a replica."""
    return as_moment(read(Statement(_STANDS, (list(calendars),))))


def as_moment(rows: Sequence[tuple[Any, ...]]) -> Moment:
    """From rows of NOW, EPOCH, and a calendar's key, version and rules, if any."""
    if not rows:
        return Moment(0, "", ())
    return Moment(rows[0][0], str(rows[0][1]), tuple(Stand(*row[2:]) for row in rows if row[2] is not None))


def from_rows(calendars: Sequence[int], *, first: int, last: int) -> tuple[str, list[Known]]:
    """(epoch, those of the calendars that are active, from midnight of the day `first` to that after `last`).

    The one place where availability is read from rows. It may be another database than that of `moment`, if that is not behind
    what `moment` said: rows and version are of one snapshot, whichever that is.
    """
    rows = read(Statement(_ROWS, (first * DAY_S, (last + 1) * DAY_S, list(calendars))), using=replicas.alias())
    known = [Known(Stand(*stand), ordered(Claim(*claim) for claim in claims or ())) for _, *stand, claims in rows]
    return (str(rows[0][0]) if rows else ""), known


# --- the cache ----------------------------------------------------------------------------------------------------------

_KEEP = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i], 'EX', ARGV[#ARGV]) end
"""


class Days:
    """The days that a process has seen, in front of those that all processes share in Redis."""

    def __init__(self, url: str, *, room: int = _ROOM) -> None:
        self.memory = Kept[bytes](room, weigh=lambda value: _KEY_WEIGHT + len(value))
        self._redis = circuit(url)

    def known(self, seen: Moment, within: Interval, *, clinic: int) -> list[Known]:
        """The calendars of a moment, which are this clinic's, on all days that `within` touches.

        Each at the version of the moment, or at a later one if it was written to meanwhile.
        """
        first, last = within.start // DAY_S, (within.end - 1) // DAY_S
        values = self._found(seen, range(first, last + 1), clinic=clinic)
        absent = [
            stand.calendar for stand in seen.stands if any(values[key] is None for key in _keys(seen.epoch, stand, first, last))
        ]
        made = self._made(absent, seen, first=first, last=last, clinic=clinic) if absent else {}
        known = []
        for stand in seen.stands:
            if stand.calendar not in made:
                known.append(Known(stand, joined([values[key] or b"" for key in _keys(seen.epoch, stand, first, last)], first)))
            elif (fresh := made[stand.calendar]) is not None:
                known.append(fresh)
        return known

    def _found(self, seen: Moment, days: range, *, clinic: int) -> dict[Key, bytes | None]:
        keys = [key for stand in seen.stands for key in _keys(seen.epoch, stand, days[0], days[-1])]
        values = {key: self.memory.get(key) for key in keys}
        absent = [key for key in keys if values[key] is None]
        if absent:
            shared = self._redis.ask(lambda mine: told(mine, "MGET", *(redis_key(key, clinic=clinic) for key in absent)))
            for key, value in zip(absent, shared or (), strict=False):
                if value is not None:
                    values[key] = value
                    self.memory.put(key, value)
        return values

    def _made(self, calendars: Sequence[int], seen: Moment, *, first: int, last: int, clinic: int) -> dict[int, Known | None]:
        """The calendars from their rows; None for one that is not active any more."""
        at_least = {stand.calendar: stand.version for stand in seen.stands}

        def is_as_new(found: tuple[str, list[Known]]) -> bool:
            epoch, known = found
            versions = {one.stand.calendar: one.stand.version for one in known}
            return epoch == seen.epoch and all(versions.get(calendar, -1) >= at_least[calendar] for calendar in calendars)

        epoch, known = replicas.fresh(lambda: from_rows(calendars, first=first, last=last), enough=is_as_new)
        stands = {stand.calendar: stand for stand in seen.stands}
        made: dict[Key, bytes] = {}
        for one in known:
            asked = stands[one.stand.calendar]
            stand = asked if (epoch, asked.version) == (seen.epoch, one.stand.version) else one.stand
            made |= zip(_keys(epoch, stand, first, last), packed_days(one.claims, first, last).values(), strict=True)
        for key, value in made.items():
            self.memory.put(key, value)
        self._redis.ask(lambda mine: _keep(mine, {redis_key(key, clinic=clinic): value for key, value in made.items()}))
        return dict.fromkeys(calendars) | {one.stand.calendar: one for one in known}


def _keys(epoch: str, stand: Stand, first: int, last: int) -> list[Key]:
    return [(epoch, stand.calendar, day, stand.at(day)) for day in range(first, last + 1)]


def redis_key(key: Key, *, clinic: int) -> str:
    """The clinic in braces keeps them on one node of a cluster. Another encoding would need another first word."""
    epoch, calendar, day, version = key
    date = datetime.fromtimestamp(day * DAY_S, UTC).date()
    return f"day:{{{clinic}}}:{calendar}:{date}:{version}:{epoch}"


def _keep(mine: Connection, values: dict[str, bytes]) -> None:
    # One message and one answer; a hundred of them would cost more than the search.
    evaluated(mine, _KEEP, list(values), *values.values(), _REDIS_KEEPS_S)


days = Days(settings.ENV.redis_url.get_secret_value())
"""This process's."""
