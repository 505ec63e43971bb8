"""The caches of availability of some processes, and the rows they must agree with."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import cast

from django.db import connection
from redis import Redis

from engine.days import Days, Key, Moment, moment, redis_key
from engine.scheduling.claims import unpacked
from engine.scheduling.intervals import DAY_S, Interval
from engine.stands import Stands, parsed
from tests.practice import tomorrow

Rows = set[tuple[int, ...]]
REDIS = os.environ["REDIS_URL"]
NOWHERE = "redis://127.0.0.1:1/0"

_ROWS = """
SELECT c.version, l.unit, extract(epoch FROM lower(l.during))::bigint, extract(epoch FROM upper(l.during))::bigint,
       coalesce(extract(epoch FROM a.expires_at)::bigint, 0)
FROM engine_calendar c LEFT JOIN engine_allocation l ON l.calendar_id = c.id
     AND lower(l.during) < to_timestamp(%s) AND upper(l.during) > to_timestamp(%s)
LEFT JOIN engine_appointment a ON a.id = l.appointment_id WHERE c.id = %s
"""


def rows(calendar: int, within: Interval) -> tuple[int, Rows]:
    """(version, what takes the calendar's time), asked in the plainest way."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [within.end, within.start, calendar])
        found = cursor.fetchall()
    return found[0][0], {row[1:] for row in found if row[1] is not None}


def of_day(found: Rows, number: int) -> Rows:
    return {row for row in found if row[1] < (number + 1) * DAY_S and row[2] > number * DAY_S}


class Processes:
    """The caches of three processes: one as it is, one with hardly any memory, one that cannot reach Redis."""

    def __init__(self, calendars: Sequence[int], *, clinic: int) -> None:
        self.usual, self.forgetful, self.alone = Days(REDIS), Days(REDIS, room=1000), Days(NOWHERE)
        self.all: tuple[Days, ...] = (self.usual, self.forgetful, self.alone)
        self.redis, self.stands = Redis.from_url(REDIS), Stands(REDIS)
        self.calendars, self.clinic = calendars, clinic
        self.first = tomorrow() // DAY_S
        # A search looks a day further.
        self.within = Interval((self.first - 1) * DAY_S, (self.first + 2) * DAY_S)
        self.written: dict[Key, Rows] = {}
        """What the rows were at each version that was looked at."""

    def check(self) -> None:
        """Each cache says what the rows say, and all that is kept anywhere is what the rows said at its version; and where the
        calendars stand is the same for who asks the database and who asks Redis.
        """
        stored = moment(self.calendars)
        told = self.told() or self.filled()
        said = {calendar: rows(calendar, self.within) for calendar in self.calendars}
        for seen in (stored, told):
            for stand in seen.stands:
                for number in range(self.first - 1, self.first + 2):
                    found = of_day(said[stand.calendar][1], number)
                    assert self.written.setdefault((seen.epoch, stand.calendar, number, stand.at(number)), found) == found
            for cache in self.all:
                known = cache.known(seen, self.within, clinic=self.clinic)
                assert {one.stand.calendar: (one.stand.version, set(one.claims)) for one in known} == said
                assert all(list(one.claims) == sorted(one.claims, key=lambda claim: (claim.start, claim.unit)) for one in known)
        for key, kept in self.kept():
            assert set(unpacked(kept, key[2])) == self.written[key], key

    def told(self) -> Moment | None:
        """Where the calendars stand, from Redis. Nobody offers them: there is no visit type 0."""
        said = self.stands.read(0, self.calendars)
        found = parsed(said, self.calendars) if said else None
        return Moment(int(time.time()), found[0], found[2]) if found else None

    def filled(self) -> Moment:
        """The same from the database, and in Redis from now on."""
        self.stands.forget(calendars=self.calendars, visit_types=[0])
        marks, seen = self.stands.mark(0, self.calendars), moment(self.calendars)
        self.stands.fill(marks, 0, 1, seen.stands, epoch=seen.epoch)
        return seen

    def kept(self) -> Iterator[tuple[Key, bytes]]:
        for cache in self.all:
            yield from cast(list[tuple[Key, bytes]], cache.memory.items())
        for key in self.written:
            value = self.redis.get(redis_key(key, clinic=self.clinic))
            if value is not None:
                yield key, cast(bytes, value)
