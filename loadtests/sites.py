"""What a person does at a site, the engine or the monolith: the same deeds, each in the site's own API."""

import json
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg2

from apps.kernel import tokens
from loadtests.clients import API, NONE, PATIENT, NotHere, somebody
from loadtests.legacy.server import Legacy
from loadtests.target import Target

WEEKS = 4
"""How many weeks ahead people look."""
_TRIES = 3
_TOKEN_S = 3600
_APPOINTMENTS = 5000


class Ask(Protocol):
    """One request of a person: (status, body). Raises TimeoutError when their patience ends, ConnectionError."""

    def __call__(
        self, method: str, path: str, body: bytes = b"", *, token: str = "", headers: Mapping[str, str] = NONE
    ) -> Awaitable[tuple[int, bytes]]: ...


class Refused(Exception):
    """The person did not get what they came for: nothing was free, or others were faster each time."""


class Failed(Exception):
    """An answer that is neither what was asked for nor a refusal; says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """A calendar of the platform with its clinic and a visit type, by key and by public name."""

    clinic: int
    slug: str
    calendar: int
    calendar_id: str
    visit_type: int
    visit_type_id: str
    week: int = 0
    """Which week people look at, from the first one that is a week away."""


def places(at: Target) -> list[list[Place]]:
    """The calendars that can be booked, clinic by clinic."""
    with closing(psycopg2.connect(at.database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT k.id, k.slug, c.id, c.uid::text, v.id, v.uid::text"
            " FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id"
            " JOIN engine_visittype_calendars vc ON vc.calendar_id = c.id JOIN engine_visittype v ON v.id = vc.visittype_id"
            " WHERE c.active AND v.active AND c.kind = 'practitioner' ORDER BY c.id"
        )
        found: dict[str, list[Place]] = {}
        for row in cursor.fetchall():
            found.setdefault(row[1], []).append(Place(*row))
    return list(found.values())


def monday(week: int = 0) -> datetime:
    """The first Monday that is at least a week away, or one so many weeks later."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=7)
    return day + timedelta(days=-day.weekday() % 7, weeks=week)


class Site(Protocol):
    """Where people go. `slots` answers what can be given to `take` and `move`, earliest first."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def probe(self) -> str: ...
    async def profile(self, ask: Ask, place: Place) -> None: ...
    async def week(self, ask: Ask, place: Place) -> None: ...
    async def slots(self, ask: Ask, place: Place) -> list[str]: ...
    async def take(self, ask: Ask, place: Place, slot: str) -> tuple[bool, list[str]]:
        """Whether it is theirs; and when it is not, what else the site says is free."""
        ...

    def booked(self, place: Place) -> str:
        """An appointment that nobody has changed yet, of the place's calendar. Raises Refused."""
        ...

    async def move(self, ask: Ask, place: Place, appointment: str, slot: str) -> bool: ...
    async def cancel(self, ask: Ask, place: Place, appointment: str) -> None: ...


async def book(site: Site, ask: Ask, place: Place, luck: float) -> None:
    """Looks what is free, takes one of it, and when somebody was faster another, three times at most. Raises Refused.

    Who finds a week without a free time looks at the one after.
    """
    free: list[str] = []
    for _ in range(_TRIES):
        free = free or await site.slots(ask, place) or await site.slots(ask, replace(place, week=(place.week + 1) % WEEKS))
        if not free:
            raise Refused
        done, free = await site.take(ask, place, free[int(luck * len(free))])
        if done:
            return
    raise Refused


async def change(site: Site, ask: Ask, place: Place, luck: float) -> None:
    """Half of those who change an appointment cancel it, half move it to another time."""
    appointment = site.booked(place)
    if luck < 0.5:
        await site.cancel(ask, place, appointment)
        return
    for _ in range(_TRIES):
        free = await site.slots(ask, place)
        if free and await site.move(ask, place, appointment, free[int((luck - 0.5) * 2 * len(free))]):
            return
    raise Refused


def _read(answer: tuple[int, bytes], *good: int) -> Any:
    status, body = answer
    if status not in good:
        raise Failed(str(status))
    return json.loads(body)


def _port(url: str) -> int:
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1" or parts.port is None:
        raise NotHere(url)
    return parts.port


def _appointments(database: str, query: str) -> dict[int, list[str]]:
    """Calendar → appointments of the time to come, in an order that does not depend on when they were booked."""
    found: dict[int, list[str]] = {}
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(query, [monday(), monday() + timedelta(days=30), _APPOINTMENTS])
        for calendar, appointment in cursor.fetchall():
            found.setdefault(calendar, []).append(appointment)
    return found


def _taken_from(appointments: Mapping[int, list[str]], place: Place) -> str:
    if not appointments.get(place.calendar):
        raise Refused
    return appointments[place.calendar].pop()


class Engine:
    """The engine's HTTP API. Patients look and book as the public does, each at an own address; the clinic does the rest."""

    name = "engine"

    def __init__(self, at: Target, places: Sequence[Sequence[Place]]) -> None:
        self.port, self.probe = _port(at.urls["engine"]), f"{at.urls['engine']}/readyz"
        key = Path(at.variables["TOKEN_SIGNING_KEY_FILE"])
        self._tokens = {
            slug: tokens.sign(key, subject="peak-hour", clinic=slug, role="program", seconds=_TOKEN_S)
            for slug in (clinic[0].slug for clinic in places)
        }
        self._people = count()
        self._days = [
            f"from={monday(week):%Y-%m-%dT%H:%M:%SZ}&to={monday(week) + timedelta(days=5):%Y-%m-%dT%H:%M:%SZ}"
            for week in range(WEEKS)
        ]
        self._appointments = _appointments(
            at.database,
            "SELECT calendar_id, id::text FROM engine_appointment WHERE status = 'booked' AND starts BETWEEN %s AND %s"
            " ORDER BY md5(id::text) LIMIT %s",
        )

    async def profile(self, ask: Ask, place: Place) -> None:
        _read(await ask("GET", f"{API}/clinics/{place.slug}", headers=self._somebody()), 200)

    async def week(self, ask: Ask, place: Place) -> None:
        _read(
            await ask("GET", f"{API}/clinics/{place.slug}/snapshot?{self._days[place.week]}", token=self._tokens[place.slug]), 200
        )

    async def slots(self, ask: Ask, place: Place) -> list[str]:
        query = f"visit_type={place.visit_type_id}&calendar={place.calendar_id}&{self._days[place.week]}&limit=200"
        answer = _read(await ask("GET", f"{API}/clinics/{place.slug}/slots?{query}", headers=self._somebody()), 200)
        return [item["slot"] for item in answer["items"]]

    async def take(self, ask: Ask, place: Place, slot: str) -> tuple[bool, list[str]]:
        status, body = await self.hold(ask, place, slot)
        answer = _read((status, body), 201, 409)
        if status == 409:
            return False, [other["slot"] for other in answer.get("alternatives") or ()]
        patient, headers = json.dumps({"patient": PATIENT}).encode(), {**self._somebody(), "Hold-Secret": answer["secret"]}
        _read(await ask("POST", f"{API}/holds/{answer['id']}/confirm", patient, headers=headers), 201)
        return True, []

    async def hold(self, ask: Ask, place: Place, slot: str) -> tuple[int, bytes]:
        return await ask("POST", f"{API}/holds", json.dumps({"slot": slot}).encode(), headers=self._somebody())

    def _somebody(self) -> dict[str, str]:
        return somebody(next(self._people))

    def booked(self, place: Place) -> str:
        return _taken_from(self._appointments, place)

    async def move(self, ask: Ask, place: Place, appointment: str, slot: str) -> bool:
        body = json.dumps({"slot": slot}).encode()
        status, answer = await ask("POST", f"{API}/appointments/{appointment}/reschedule", body, token=self._tokens[place.slug])
        _read((status, answer), 200, 409)
        return status == 200

    async def cancel(self, ask: Ask, place: Place, appointment: str) -> None:
        body = json.dumps({"by": "clinic", "reason": "load test"}).encode()
        _read(await ask("POST", f"{API}/appointments/{appointment}/cancel", body, token=self._tokens[place.slug]), 200)


class Monolith:
    """The baseline's pages and its API; it asks nobody who they are."""

    name = "monolith"

    def __init__(self, legacy: Legacy) -> None:
        self.port, self.probe = _port(legacy.url), f"{legacy.url}/up"
        self._mondays = [f"{monday(week):%Y-%m-%d}" for week in range(WEEKS)]
        self._people = Random(time.time_ns())
        self._appointments = _appointments(
            legacy.database,
            "SELECT practitioner_id, id::text FROM legacy_appointment WHERE status = 'booked' AND start BETWEEN %s AND %s"
            " ORDER BY md5(id::text) LIMIT %s",
        )

    async def profile(self, ask: Ask, place: Place) -> None:
        await self._page(ask, f"/practices/{place.clinic}/")

    async def week(self, ask: Ask, place: Place) -> None:
        await self._page(ask, f"/practices/{place.clinic}/week/?monday={self._mondays[place.week]}")

    async def _page(self, ask: Ask, path: str) -> None:
        status, _ = await ask("GET", path)
        if status != 200:
            raise Failed(str(status))

    async def slots(self, ask: Ask, place: Place) -> list[str]:
        query = f"visit_type={place.visit_type}&monday={self._mondays[place.week]}"
        answer = _read(await ask("GET", f"/practitioners/{place.calendar}/availability/?{query}"), 200)
        return [str(start) for start in answer["slots"]]

    async def take(self, ask: Ask, place: Place, slot: str) -> tuple[bool, list[str]]:
        who = {**PATIENT, "email": f"{self._people.getrandbits(64):x}@example.org"}
        body = {"practitioner": place.calendar, "visit_type": place.visit_type, "start": slot, **who}
        status, answer = await ask("POST", "/appointments/", json.dumps(body).encode())
        _read((status, answer), 201, 409)
        return status == 201, []

    def booked(self, place: Place) -> str:
        return _taken_from(self._appointments, place)

    async def move(self, ask: Ask, place: Place, appointment: str, slot: str) -> bool:
        status, answer = await ask("POST", f"/appointments/{appointment}/move/", json.dumps({"start": slot}).encode())
        _read((status, answer), 200, 409)
        return status == 200

    async def cancel(self, ask: Ask, place: Place, appointment: str) -> None:
        _read(await ask("POST", f"/appointments/{appointment}/cancel/"), 200)
