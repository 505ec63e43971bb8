"""People who come whether or not those before them have been served, as people do.

A closed loop of clients slows down with the server that it measures and so hides that people wait. Here everybody has a time of
arrival, and waiting counts from it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any

from loadtests import sites
from loadtests.clients import NONE, Client
from loadtests.sites import Ask, Failed, Place, Refused, Site

Deed = Callable[[Site, Ask, Place, float], Awaitable[Any]]
DEEDS: Mapping[str, Deed] = {
    "slots": lambda site, ask, place, _: site.slots(ask, place),
    "profile": lambda site, ask, place, _: site.profile(ask, place),
    "week": lambda site, ask, place, _: site.week(ask, place),
    "book": sites.book,
    "change": sites.change,
}
READS = ("slots", "profile", "week")
PEAK_HOUR = {"slots": 0.60, "profile": 0.15, "week": 0.15, "book": 0.08, "change": 0.02}
"""Of a hundred people: ninety look, eight book, two change."""
GOOD_S = 3.0
"""Who has waited longer is not counted as served well: that is when half of those with a telephone leave a page."""
_CONNECTIONS = 4000


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody comes `at` seconds after the start; `luck`, from 0 to 1, picks among what is free."""

    at: float
    deed: str
    place: Place
    luck: float


def arrivals(
    clinics: Sequence[Sequence[Place]], *, per_s: float, seconds: float, mix: Mapping[str, float] = PEAK_HOUR, seed: int = 1
) -> list[Arrival]:
    """Independent arrivals (Poisson). Clinics differ as towns do: the n-th has a share of 1/n."""
    random = Random(seed)
    shares = list(accumulate(1 / rank for rank in range(1, len(clinics) + 1)))
    deeds, weights = list(mix), list(mix.values())
    found: list[Arrival] = []
    at = random.expovariate(per_s)
    while at < seconds:
        (clinic,), (deed,) = random.choices(clinics, cum_weights=shares), random.choices(deeds, weights)
        place = replace(random.choice(clinic), week=random.randrange(sites.WEEKS))
        found.append(Arrival(at, deed, place, random.random()))
        at += random.expovariate(per_s)
    return found


@dataclass(slots=True)
class Seen:
    """How it went: deed → the seconds that each person took who got what they wanted or was refused, and how each ended."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    good: int = 0
    requests: int = 0
    wall: float = 0.0

    def note(self, deed: str, end: str, seconds: float) -> None:
        self.seconds.setdefault(deed, []).append(seconds)
        self.ends[f"{deed} {end}"] += 1
        self.good += end == "done" and seconds <= GOOD_S

    def of(self, *deeds: str) -> list[float]:
        return sorted(seconds for deed in deeds for seconds in self.seconds.get(deed, ()))

    def failed(self, *deeds: str) -> float:
        """The share of these deeds that did not come to what the person wanted."""
        counts = {end: count for end, count in self.ends.items() if end.split()[0] in deeds}
        done = sum(count for end, count in counts.items() if end.endswith(" done"))
        return 1 - done / sum(counts.values()) if counts else 0.0


class Door:
    """Connections to one port of this machine: one for each request under way, kept for the next."""

    def __init__(self, port: int, *, patience_s: float) -> None:
        self._port, self._patience_s = port, patience_s
        self._idle: list[Client] = []
        self._open = 0
        self.requests = 0

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, token: str = "", headers: Mapping[str, str] = NONE
    ) -> tuple[int, bytes]:
        """Raises TimeoutError after the patience, ConnectionError when there is no way in."""
        if self._open >= _CONNECTIONS:
            raise ConnectionRefusedError("too many wait already")
        self._open += 1
        self.requests += 1
        client = self._idle.pop() if self._idle else Client("", self._port)
        try:
            async with asyncio.timeout(self._patience_s):
                await client.connect()
                answer = await client.request(method, path, body, token=token, headers=headers)
        except BaseException:
            client.close()
            raise
        finally:
            self._open -= 1
        self._idle.append(client)
        return answer

    def close(self) -> None:
        for client in self._idle:
            client.close()


async def crowd(site: Site, people: Sequence[Arrival], *, patience_s: float, deeds: Mapping[str, Deed] = DEEDS) -> Seen:
    """Lets everybody in at their time and waits until the last has left."""
    seen, door, loop = Seen(), Door(site.port, patience_s=patience_s), asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for person in people:
            if (early := began + person.at - loop.time()) > 0:
                await asyncio.sleep(early)
            note = partial(_noted, seen, person, began)
            visit = deeds[person.deed](site, door.ask, person.place, person.luck)
            group.create_task(_visit(visit, note))
    seen.wall, seen.requests = loop.time() - began, door.requests
    door.close()
    return seen


def _noted(seen: Seen, person: Arrival, began: float, end: str) -> None:
    seen.note(person.deed, end, asyncio.get_running_loop().time() - began - person.at)


async def _visit(visit: Awaitable[Any], note: Callable[[str], None]) -> None:
    try:
        await visit
    except Refused:
        note("refused")
    except Failed as failed:
        note(str(failed))
    except TimeoutError:
        note("gave up")
    except OSError:
        note("no connection")
    else:
        note("done")
