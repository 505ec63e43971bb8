"""The modules without a page: days in time zones, and the state that follows a calendar's events."""

import pytest

from tests.browser.stack import Json, NewPage

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("zone", "day", "hours", "starts"),
    [
        ("America/New_York", "2026-11-26", 24, "2026-11-26T05:00:00.000Z"),
        ("America/New_York", "2026-03-08", 23, "2026-03-08T05:00:00.000Z"),
        ("America/New_York", "2026-11-01", 25, "2026-11-01T04:00:00.000Z"),
        ("Australia/Lord_Howe", "2026-04-05", 24.5, "2026-04-04T13:00:00.000Z"),
        ("America/Santiago", "2026-09-06", 23, "2026-09-06T04:00:00.000Z"),  # midnight does not exist
        ("Atlantic/Azores", "2026-10-25", 25, "2026-10-25T00:00:00.000Z"),  # midnight happens twice
        ("Pacific/Kiritimati", "2026-01-01", 24, "2025-12-31T10:00:00.000Z"),
    ],
)
def test_a_day_begins_and_ends_where_its_zone_says(new_page: NewPage, *, zone: str, day: str, hours: float, starts: str) -> None:
    start, end, inside = new_page("/").evaluate(
        """async ([day, zone]) => {
            const { startOfDay, addDays, dayOf } = await import("/static/time.js");
            const [start, end] = [startOfDay(day, zone), startOfDay(addDays(day, 1), zone)];
            return [start, end, [start - 1, start, end - 1, end].map((instant) => dayOf(instant, zone) === day)];
        }""",
        [day, zone],
    )
    assert (end - start) / HOUR == hours
    assert inside == [False, True, True, False]
    assert new_page("/").evaluate("(instant) => new Date(instant).toISOString()", start) == starts


def test_the_hour_that_happens_twice_is_named_apart(new_page: NewPage) -> None:
    times = new_page("/").evaluate(
        """async () => {
            const { clock } = await import("/static/time.js");
            return ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"]
                .map((text) => clock(Date.parse(text), "America/New_York"));
        }"""
    )
    assert [text.replace("\u00a0", " ") for text in times] == ["1:30 AM EDT", "1:30 AM EST", "1:30 AM"]


def follow(new_page: NewPage, frames: list[Json], *, log: list[Json], snapshots: list[Json], gone: bool = False) -> Json:
    """What a calendar's state is after `frames`, and what it asked the server for on the way."""
    result = new_page("/").evaluate(
        """async ({ frames, log, snapshots, gone }) => {
            const { CalendarState } = await import("/static/live.js");
            const asked = [];
            const read = {
                snapshot: async () => (asked.push("snapshot"), snapshots.length > 1 ? snapshots.shift() : snapshots[0]),
                changes: async (since) => {
                    asked.push(`since ${since}`);
                    if (gone) throw { code: "version_gone" };
                    const events = log.filter(({ version }) => version > since).slice(0, 2);
                    return { epoch: "e1", version: log.at(-1)?.version ?? since, events };
                },
            };
            const state = new CalendarState("C", read, () => {});
            for (const frame of frames) {
                state.receive(frame);
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
            const visits = [...state.visits.values()].map(({ id, status }) => [id, status]);
            return { asked, version: state.version, current: state.current, visits };
        }""",
        {"frames": frames, "log": log, "snapshots": snapshots, "gone": gone},
    )
    return dict(result)


def event(version: int, status: str, *, visit: str = "a", calendars: list[str] | None = None, name: str = "appointment.x") -> Json:
    data: Json = {"id": visit, "status": status, "start": "2026-01-05T10:00:00Z", "end": "2026-01-05T10:15:00Z"}
    data |= {"visit_type": "t", "calendars": calendars or ["C"]}
    return {"type": "event", "calendar": "C", "version": version, "event": name, "data": data}


def snapshot(version: int, *, holds: list[Json] | None = None, epoch: str = "e1") -> Json:
    return {"version": version, "epoch": epoch, "appointments": [], "holds": holds or [], "open": []}


FRESH = {"type": "subscribed", "calendar": "C", "epoch": "e1", "version": 3, "recovered": False}


def test_events_are_applied_in_order_and_old_ones_dropped(new_page: NewPage) -> None:
    frames = [FRESH, event(4, "held"), event(3, "expired"), event(5, "booked"), event(4, "held"), event(6, "held", visit="b")]
    seen = follow(new_page, frames, log=[], snapshots=[snapshot(3)])
    assert seen == {"asked": ["snapshot"], "version": 6, "current": True, "visits": [["a", "booked"], ["b", "held"]]}


def test_what_ended_or_went_to_another_calendar_is_removed(new_page: NewPage) -> None:
    hold = {"id": "a", "start": "2026-01-05T10:00:00Z", "end": "2026-01-05T10:15:00Z", "visit_type": "t", "expires_at": ""}
    frames = [FRESH, event(4, "booked", visit="b"), event(5, "expired"), event(6, "booked", visit="b", calendars=["D"])]
    seen = follow(new_page, frames, log=[], snapshots=[snapshot(3, holds=[hold])])
    assert seen["visits"] == []
    assert seen["current"]


def test_a_hole_is_filled_from_the_changes_page_by_page(new_page: NewPage) -> None:
    log = [event(v, "booked", visit=f"v{v}") for v in range(4, 10)]
    seen = follow(new_page, [FRESH, log[0], log[5]], log=log, snapshots=[snapshot(3)])
    assert seen["asked"] == ["snapshot", "since 4", "since 6", "since 8"]
    assert (seen["version"], len(seen["visits"]), seen["current"]) == (9, 6, True)


def test_a_lost_last_event_shows_in_the_heartbeat(new_page: NewPage) -> None:
    seen = follow(new_page, [FRESH, {"type": "heartbeat", "versions": {"C": 4}}], log=[event(4, "booked")], snapshots=[snapshot(3)])
    assert (seen["asked"], seen["version"], seen["current"]) == (["snapshot", "since 3"], 4, True)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "subscribed", "calendar": "C", "epoch": "e1", "version": 7, "recovered": False},
        {"type": "subscribed", "calendar": "C", "epoch": "e2", "version": 7, "recovered": True},
        event(4, "", name="calendar.hours_changed"),
    ],
)
def test_what_cannot_be_followed_is_read_afresh(new_page: NewPage, frame: Json) -> None:
    seen = follow(new_page, [FRESH, frame], log=[], snapshots=[snapshot(3), snapshot(7)])
    assert (seen["asked"], seen["version"], seen["current"]) == (["snapshot", "snapshot"], 7, True)


def test_changes_that_are_gone_lead_to_a_fresh_snapshot(new_page: NewPage) -> None:
    idle: Json = {"type": "heartbeat", "versions": {}}
    frames = [FRESH, event(9, "booked"), *[idle] * 10]
    seen = follow(new_page, frames, log=[], snapshots=[snapshot(3), snapshot(9)], gone=True)
    assert seen["asked"][:3] == ["snapshot", "since 3", "snapshot"]
    assert (seen["version"], seen["current"]) == (9, True)
