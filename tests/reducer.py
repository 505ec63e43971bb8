"""A calendar as a screen keeps it: a snapshot, and every event after it. The rule is that of engine/ui/static/live.js.

`follow` is the rule where everything arrives as it should; `Viewer` is the whole of it, for all that can go wrong on the way.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

GONE = ("cancelled", "expired")
FIELDS = ("id", "start", "end", "status", "visit_type", "calendars", "modality", "expires_at", "stages")
"""What an event says of an appointment. A snapshot may say more of it, never less."""


@dataclass(frozen=True)
class Screen:
    """What is known of a calendar. `visits` are appointments and holds by id, as events tell of them."""

    calendar: str
    version: int
    visits: dict[str, dict[str, Any]]
    open: list[dict[str, str]]


def load(answer: dict[str, Any]) -> Screen:
    """The screen that a snapshot gives."""
    visits = {visit["id"]: _seen(visit) for visit in (*answer["appointments"], *answer["holds"])}
    return Screen(answer["calendar"], answer["version"], visits, answer["open"])


def follow(screen: Screen, events: Iterable[dict[str, Any]], *, fresh_open: Callable[[], list[dict[str, str]]]) -> Screen:
    """The screen after the events; `fresh_open` is asked for the open times whenever they have changed."""
    for event in events:
        screen = _apply(screen, event, fresh_open)
    return screen


def _apply(screen: Screen, event: dict[str, Any], fresh_open: Callable[[], list[dict[str, str]]]) -> Screen:
    if event["version"] <= screen.version:
        return screen
    assert event["version"] == screen.version + 1, f"a hole: {event['version']} after {screen.version}"
    assert event["calendar"] == screen.calendar
    screen = replace(screen, version=event["version"])
    if event["event"].startswith("calendar."):
        return replace(screen, open=fresh_open())
    visit = event["data"]
    others = {key: value for key, value in screen.visits.items() if key != visit["id"]}
    if visit["status"] in GONE or screen.calendar not in visit["calendars"]:
        return replace(screen, visits=others)
    return replace(screen, visits=others | {visit["id"]: _seen(visit)})


def _seen(visit: dict[str, Any]) -> dict[str, Any]:
    # An event does not speak of stages before there is one.
    seen = {name: visit[name] for name in FIELDS if visit.get(name)}
    # The calendars are a set; what comes first is not told by an event.
    return seen | {"calendars": sorted(visit["calendars"])} if "calendars" in visit else seen


class Missing(IntEnum):
    """What has to be asked for."""

    NOTHING = 0
    CHANGES = 1
    SNAPSHOT = 2


class Gone(Exception):
    """The changes after a version are not kept any more."""


class Viewer:
    """A screen and its connection: takes the live socket's frames and asks for what is missing.

    `ask("snapshot")` and `ask("changes 41")` answer what the API does; the latter may raise Gone. While they are asked,
    `receive` may be called again: frames do not wait for answers.
    """

    def __init__(self, calendar: str, ask: Callable[[str], dict[str, Any]]) -> None:
        self._calendar, self._ask = calendar, ask
        self._told: tuple[str, int] | None = None
        self._waiting: list[dict[str, Any]] = []
        self._missing, self._asking = Missing.NOTHING, False
        self.screen = Screen(calendar, 0, {}, [])
        self.epoch = ""

    @property
    def current(self) -> bool:
        """Whether this is the calendar as the server has it, as far as anybody can know."""
        return self._told is not None and self._told[0] == self.epoch and self.screen.version >= self._told[1]

    def receive(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"type": "subscribed", "epoch": str(epoch), "version": int(version)}:
                self._told, self._waiting = (epoch, version), []
                self._fetch(Missing.NOTHING if frame["recovered"] and epoch == self.epoch else Missing.SNAPSHOT)
            case {"type": "heartbeat", "versions": versions} if self._told is not None and self._calendar in versions:
                self._hear(versions[self._calendar])
                self._fetch(Missing.CHANGES if versions[self._calendar] > self.screen.version else Missing.NOTHING)
            case {"type": "event", "version": int(version)} if self._told is not None:
                self._hear(version)
                if self._asking:
                    self._waiting.append(frame)
                else:
                    self._take(frame)
            case {"type": "lost" | "error" | "heartbeat"}:
                self._told, self._waiting = None, []

    def _hear(self, version: int) -> None:
        if self._told is not None:
            self._told = (self._told[0], max(self._told[1], version))

    def _take(self, event: dict[str, Any]) -> None:
        if event["version"] > self.screen.version + 1:
            self._fetch(Missing.CHANGES)
        elif event["version"] > self.screen.version and event["event"].startswith("calendar."):
            self.screen = replace(self.screen, version=event["version"])
            self._fetch(Missing.SNAPSHOT)
        else:
            self.screen = follow(self.screen, [event], fresh_open=list)

    def _fetch(self, missing: Missing) -> None:
        self._missing = max(self._missing, missing)
        if self._asking:
            return
        self._asking = True
        while self._missing:
            asked, self._missing = self._missing, Missing.NOTHING
            if asked == Missing.SNAPSHOT:
                self._load()
            else:
                self._fill()
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                self._take(event)
        self._asking = False

    def _load(self) -> None:
        answer = self._ask("snapshot")
        self.screen, self.epoch = load(answer), answer["epoch"]

    def _fill(self) -> None:
        try:
            answer = self._ask(f"changes {self.screen.version}")
        except Gone:
            return self._fetch(Missing.SNAPSHOT)
        if answer["epoch"] != self.epoch:
            return self._fetch(Missing.SNAPSHOT)
        for event in answer["events"]:
            self._take(event)
        return self._fetch(Missing.CHANGES if answer["version"] > self.screen.version else Missing.NOTHING)
