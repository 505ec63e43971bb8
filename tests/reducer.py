"""A calendar as a screen keeps it: a snapshot, and every event after it. The rule is that of engine/ui/static/live.js."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

GONE = ("cancelled", "expired")
FIELDS = ("id", "start", "end", "status", "visit_type", "calendars", "expires_at")
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
    seen = {name: visit[name] for name in FIELDS if name in visit}
    # The calendars are a set; what comes first is not told by an event.
    return seen | {"calendars": sorted(visit["calendars"])} if "calendars" in visit else seen
