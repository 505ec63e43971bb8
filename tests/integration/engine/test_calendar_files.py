"""Calendar files (.ics) as busy times and as weekly hours: what is read, what is refused, and what becomes of it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from datetime import time as wall_time
from typing import Any

import pytest
from django.test import Client

from apps.kernel.problems import ValidationFailed
from engine import apart, ics, models, setup_shapes
from engine.scheduling.hours import OpeningHours
from engine.verification import verify
from tests.integration.engine.door import BASE, ZOE, post, refused, slots_of
from tests.practice import Practice

ZONE = "America/New_York"
NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
NEW_YORK = """BEGIN:VTIMEZONE
TZID:The Office
BEGIN:STANDARD
DTSTART:19701101T020000
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700308T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
END:VTIMEZONE
"""


def event(*lines: str, uid: str = "a@example.org") -> str:
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Jane Doe, follow-up", *lines, "END:VEVENT", ""])


def file(*parts: str) -> str:
    return "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n" + "".join(parts) + "END:VCALENDAR\n"


def busy(*parts: str) -> list[str]:
    """The busy times of a file, in UTC."""
    found = ics.busy_times(file(*parts), ZONE, NOW)
    assert found.refused == []
    return [f"{text(one.during.start)}/{text(one.during.end)}" for one in sorted(found.busy, key=lambda one: one.during)]


def text(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%m-%dT%H:%M")


# --- reading busy times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["DTSTART:20261201T140000Z", "DTEND:20261201T150000Z"], ["12-01T14:00/12-01T15:00"]),
        (["DTSTART:20261201T090000", "DURATION:PT90M"], ["12-01T14:00/12-01T15:30"]),
        (["DTSTART;TZID=Europe/Berlin:20261201T090000", "DTEND;TZID=Europe/Berlin:20261201T100000"], ["12-01T08:00/12-01T09:00"]),
        (["DTSTART;TZID=The Office:20261201T090000", "DURATION:PT1H"], ["12-01T14:00/12-01T15:00"]),
        (["DTSTART;TZID=Eastern Standard Time:20261201T090000", "DURATION:PT1H"], ["12-01T14:00/12-01T15:00"]),
        (["DTSTART;VALUE=DATE:20270314"], ["03-14T05:00/03-15T04:00"]),  # a day of 23 hours
        (["DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261204"], ["12-01T05:00/12-04T05:00"]),
        (["DTSTART:20261101T140000Z", "DTEND:20261101T150000Z"], []),  # over
        (["DTSTART:20290101T140000Z", "DTEND:20290101T150000Z"], []),  # too far ahead
        (["DTSTART:20261201T140000Z", "DURATION:PT1H", "TRANSP:TRANSPARENT"], []),
        (["DTSTART:20261201T140000Z", "DURATION:PT1H", "STATUS:CANCELLED"], []),
        (["DTSTART:20261201T140000Z", "DURATION:PT1H", "X-MICROSOFT-CDO-BUSYSTATUS:FREE"], []),
    ],
)
def test_an_event_is_busy_when_it_says(lines: list[str], found: list[str]) -> None:
    assert busy(NEW_YORK, event(*lines)) == found


def test_a_series_repeats_on_its_own_wall_clock_but_for_what_was_left_out_or_moved() -> None:
    series = event(
        "DTSTART;TZID=America/New_York:20270301T090000",
        "DURATION:PT1H",
        "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=4",
        "EXDATE;TZID=America/New_York:20270308T090000",
    )
    moved = event(
        "RECURRENCE-ID;TZID=America/New_York:20270322T090000", "DTSTART;TZID=America/New_York:20270323T100000", "DURATION:PT1H"
    )

    assert busy(series, moved) == ["03-01T14:00/03-01T15:00", "03-15T13:00/03-15T14:00", "03-23T14:00/03-23T15:00"]


def test_a_series_without_an_end_ends_at_the_horizon() -> None:
    found = busy(event("DTSTART:20200101T140000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"))

    assert len(found) == ics.HORIZON_DAYS
    assert found[0] == "11-24T14:00/11-24T15:00"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["DTSTART:20261201T140000Z"], "no_length"),
        (["DTSTART:20261201T140000Z", "DTEND:20261201T130000Z"], "no_length"),
        (["DTSTART:20261201T140000Z", "DTEND:20290101T130000Z"], "too_long"),
        (["DTSTART:2026"], "unreadable"),
        (["SUMMARY:no start"], "unreadable"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY"], "too_often"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=HOURLY"], "too_often"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=DAILY;INTERVAL=0"], "too_often"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=MONTHLY;BYSETPOS=" + "300," * 60 + "300"], "too_often"),
        (["DTSTART;TZID=Nowhere:20261201T140000", "DURATION:PT1H"], "unknown_zone"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=DAILY;BYSECOND=0,1,2,3,4,5"], "too_often"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1S", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"], "too_often"),
        (["DTSTART:16010101T140000Z", "DURATION:PT1S", "RRULE:FREQ=DAILY"], "too_old"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1H", "RRULE:FREQ=FOO"], "unreadable"),
        (["DTSTART:20261201T140000Z", "DURATION:PT1H", "RRULE:nonsense"], "too_often"),
    ],
)
def test_an_event_that_cannot_be_taken_over_is_refused_and_the_others_are_not(lines: list[str], reason: str) -> None:
    good = event("DTSTART:20261201T140000Z", "DURATION:PT1H", uid="good")

    found = ics.busy_times(file(good, event(*lines)), ZONE, NOW)

    assert [tuple(refusal) for refusal in found.refused] == [(2, reason)]
    assert len(found.busy) == 1


@pytest.mark.parametrize(
    "content",
    ["", "hello", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", "BEGIN:VEVENT\nEND:VEVENT\n", "BEGIN:VCALENDAR\n" * 300, "\x00\x01", "{}"],
)
def test_what_is_no_calendar_file_is_said_so(content: str) -> None:
    with pytest.raises(ValidationFailed):
        ics.busy_times(content, ZONE, NOW)


def hostile() -> Iterator[tuple[str, str]]:
    often = [event("DTSTART:20200101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY", uid=str(n)) for n in range(3_000)]
    yield "thousands of daily series", file(*often)
    never = "RRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6"
    yield "rules that never match", file(*(event("DTSTART:20200101T000000Z", never, uid=str(n)) for n in range(3_000)))
    yield "too many events", file(*(event("DTSTART:20261201T140000Z", uid=str(n)) for n in range(5_001)))
    yield "a long list of dates", file(event("DTSTART:20261201T140000Z", "DURATION:PT1H", "RDATE:" + "20261202T140000Z," * 20_000))


@pytest.mark.parametrize("content", [content for _, content in hostile()], ids=[name for name, _ in hostile()])
def test_a_hostile_file_takes_seconds_and_not_hours(content: str) -> None:
    started = time.monotonic()

    with suppress(ValidationFailed):
        ics.busy_times(content, ZONE, NOW)

    assert time.monotonic() - started < 20


# --- reading hours ------------------------------------------------------------------------------------------------------

TODAY = date(2026, 11, 24)
WEEKLY = "RRULE:FREQ=WEEKLY;BYDAY=MO,TU"


def week(*lines: str) -> list[OpeningHours]:
    return ics.weekly_hours(file(NEW_YORK, event(*lines)), ZONE, TODAY).hours


def test_weekly_events_are_hours() -> None:
    nine, noon = wall_time(9), wall_time(12)

    assert week("DTSTART;TZID=America/New_York:20260105T090000", "DURATION:PT3H", WEEKLY) == [
        OpeningHours(0, nine, noon),
        OpeningHours(1, nine, noon),
    ]
    assert week("DTSTART;TZID=The Office:20270104T090000", "DURATION:PT3H", WEEKLY + ";UNTIL=20271231T170000Z")[0] == OpeningHours(
        0, nine, noon, date(2027, 1, 4), date(2027, 12, 31)
    )
    assert week("DTSTART:20260106T220000", "DURATION:PT8H", "RRULE:FREQ=WEEKLY") == [OpeningHours(1, wall_time(22), wall_time(6))]
    assert week("DTSTART;VALUE=DATE:20260110", "RRULE:FREQ=WEEKLY") == [OpeningHours(5, wall_time(), wall_time())]
    assert week("DTSTART:20250106T090000", "DURATION:PT3H", WEEKLY + ";UNTIL=20251231T000000") == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["DTSTART:20260105T090000", "DURATION:PT3H"], "not_weekly"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", "RRULE:FREQ=DAILY"], "not_weekly"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", "RRULE:FREQ=WEEKLY;INTERVAL=2"], "not_weekly"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", "RRULE:FREQ=WEEKLY;COUNT=3"], "not_weekly"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", WEEKLY + ";BYMONTH=1"], "not_weekly"),
        (["DTSTART:20260105T090010", "DURATION:PT40S", WEEKLY], "no_length"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", "RRULE:FREQ=WEEKLY;BYDAY=MO,1TU"], "unreadable"),
        (["DTSTART;TZID=Nowhere:20260105T090000", "DURATION:PT3H", WEEKLY], "unknown_zone"),
        (["DTSTART:20260105T090000", "DURATION:P2D", WEEKLY], "too_long"),
        (["DTSTART:20260105T090000", WEEKLY], "no_length"),
        (["DTSTART:20260105T090000Z", "DURATION:PT3H", WEEKLY], "other_zone"),
        (["DTSTART;TZID=Europe/Berlin:20260105T090000", "DURATION:PT3H", WEEKLY], "other_zone"),
        (["DTSTART:20260105T090000", "DURATION:PT3H", WEEKLY, "EXDATE:20260112T090000"], "left_out_days"),
        (["DTSTART:2026", WEEKLY], "unreadable"),
    ],
)
def test_what_is_no_weekly_rule_is_refused(lines: list[str], reason: str) -> None:
    found = ics.weekly_hours(file(event(*lines)), ZONE, TODAY)

    assert [tuple(refusal) for refusal in found.refused] == [(1, reason)]
    assert found.hours == [] or reason == "left_out_days"


def test_what_was_called_off_or_ends_before_it_begins_is_no_hours() -> None:
    assert week("DTSTART:20260105T090000", "DURATION:PT3H", WEEKLY, "STATUS:CANCELLED") == []
    assert week("DTSTART:20280105T090000", "DURATION:PT3H", WEEKLY + ";UNTIL=20271231T000000") == []


def test_of_an_event_that_is_not_understood_what_was_known_stays() -> None:
    assert ics.busy_times(file(event("DTSTART:20261201T140000Z", "DTEND:20290101T130000Z")), ZONE, NOW).events == set()
    assert len(ics.busy_times(file(event("DTSTART:20261201T140000Z", "DURATION:PT1H")), ZONE, NOW).events) == 1


# --- in a process of its own ----------------------------------------------------------------------------------------------

SECONDLY = NEW_YORK.replace("RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU", "RRULE:FREQ=SECONDLY")
OFFICE = ["DTSTART;TZID=The Office:20261201T090000", "DURATION:PT1H"]


def test_a_zone_that_never_ends_ends_with_its_reader() -> None:
    with pytest.raises(ValidationFailed, match="too much"):
        apart.busy_times(file(SECONDLY, event(*OFFICE)), ZONE, NOW)


def test_a_zone_of_one_file_is_not_that_of_the_next() -> None:
    elsewhere = NEW_YORK.replace("-0400", "+1100").replace("-0500", "+1000")

    times = [apart.busy_times(file(zone, event(*OFFICE)), ZONE, NOW).busy[0].during for zone in (elsewhere, NEW_YORK)]

    assert [text(during.start) for during in times] == ["11-30T23:00", "12-01T14:00"]


def test_what_a_reader_says_is_what_was_read() -> None:
    given = file(NEW_YORK, event(*OFFICE, "RRULE:FREQ=WEEKLY;UNTIL=20270301T000000Z"), event("DTSTART:2026", uid="b"))

    assert apart.busy_times(given, ZONE, NOW) == ics.busy_times(given, ZONE, NOW)
    assert apart.weekly_hours(given, ZONE, TODAY) == ics.weekly_hours(given, ZONE, TODAY)
    with pytest.raises(ValidationFailed, match="not a calendar file"):
        apart.busy_times("hello\ud800", ZONE, NOW)


# --- at the door --------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(practice: Practice, token: Callable[..., str]) -> Client:
    return Client(headers={"authorization": f"Bearer {token(practice.slug, role='clinic_admin')}"})


def meeting(slot: dict[str, Any], **changes: str) -> str:
    """A file with one event in the time of a slot."""
    start, end = (changes.get(name, slot[name]).replace("-", "").replace(":", "") for name in ("start", "end"))
    return file(event(f"DTSTART:{start}", f"DTEND:{end}", *([changes["status"]] if "status" in changes else [])))


def send(admin: Client, practice: Practice, content: str, kind: str = "busy", *, apply: bool = True, **headers: str) -> Any:
    body = {"ics": content, "as": kind, "apply": apply}
    answer = post(admin, f"/calendars/{practice.doctor.uid}/imports", body, **headers)
    if answer.status_code == 200:
        setup_shapes.ImportOut.model_validate(answer.json())
    return answer


def at_the_doctor(client: Client, practice: Practice) -> list[dict[str, Any]]:
    return [slot for slot in slots_of(client, practice) if slot["calendar"] == str(practice.doctor.uid)]


def test_a_preview_tells_all_and_changes_nothing(admin: Client, desk: Client, practice: Practice) -> None:
    slot = at_the_doctor(desk, practice)[0]
    booked = post(desk, "/appointments", {"slot": slot["slot"], "patient": ZOE}).json()
    before = models.Calendar.objects.get(id=practice.doctor.id).version

    found = send(admin, practice, meeting(slot), apply=False).json()

    assert (found["applied"], found["version"], found["created"]) == (False, before, 1)
    assert found["items"] == [{"outcome": "created", "start": slot["start"], "end": slot["end"]}]
    assert [(one["appointment"], one["status"]) for one in found["collisions"]] == [(booked["id"], "booked")]
    assert "Jane" not in json.dumps(found)
    assert not models.OpeningException.objects.exists()
    assert models.Calendar.objects.get(id=practice.doctor.id).version == before


def test_busy_times_close_the_calendar_and_what_is_booked_stays(admin: Client, desk: Client, practice: Practice) -> None:
    first, second = at_the_doctor(desk, practice)[:2]
    booked = post(desk, "/appointments", {"slot": first["slot"], "patient": ZOE}).json()

    done = send(admin, practice, meeting(first, end=second["end"])).json()

    assert (done["applied"], done["created"], len(done["collisions"])) == (True, 1, 1)
    assert second["slot"] not in [slot["slot"] for slot in slots_of(desk, practice)]
    assert desk.get(f"{BASE}/appointments/{booked['id']}").json()["status"] == "booked"
    (kept,) = models.OpeningException.objects.values("open", "note", "source_id")
    assert (kept["open"], kept["note"], str(kept["source_id"])[:4]) == (False, "busy", "ics:")
    assert "Jane" not in str(kept)
    assert "example" not in str(kept)
    assert models.OutboxEvent.objects.latest("at").type == "calendar.hours_changed"
    assert {check.name for check in verify().checks if check.violations} == set()


def test_the_same_file_again_changes_nothing_and_another_one_follows_the_event(
    admin: Client, desk: Client, practice: Practice
) -> None:
    first, second = at_the_doctor(desk, practice)[:2]
    version = send(admin, practice, meeting(first)).json()["version"]

    same = send(admin, practice, meeting(first)).json()
    moved = send(admin, practice, meeting(second)).json()
    cancelled = send(admin, practice, meeting(second, status="STATUS:CANCELLED")).json()

    assert (same["unchanged"], same["version"]) == (1, version)
    assert (moved["updated"], moved["version"]) == (1, version + 1)
    assert (cancelled["removed"], cancelled["version"]) == (1, version + 2)
    assert not models.OpeningException.objects.exists()


def test_a_series_that_moved_leaves_none_of_its_old_times_and_other_events_stay(
    admin: Client, desk: Client, practice: Practice
) -> None:
    slot = at_the_doctor(desk, practice)[0]
    day = slot["start"][:10].replace("-", "")
    series = [event(f"DTSTART:{day}T{hour}0000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3") for hour in ("14", "16")]
    other = event(f"DTSTART:{day}T180000Z", "DURATION:PT1H", uid="other")
    send(admin, practice, file(series[0], other))

    moved = send(admin, practice, file(series[1])).json()

    assert (moved["created"], moved["removed"]) == (3, 3)
    assert models.OpeningException.objects.count() == 4


def test_a_repeated_request_gets_the_first_answer(admin: Client, desk: Client, practice: Practice) -> None:
    slot = at_the_doctor(desk, practice)[0]

    first = send(admin, practice, meeting(slot), idempotency_key="k")
    again = send(admin, practice, meeting(slot), idempotency_key="k")

    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    refused(send(admin, practice, file(event("DTSTART:20300101")), idempotency_key="k"), 422, "idempotency_mismatch")


def test_weekly_hours_take_the_place_of_the_old_ones(admin: Client, desk: Client, practice: Practice) -> None:
    rule = event("DTSTART:20260105T090000", "DTEND:20260105T100000", "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU")

    seen = send(admin, practice, file(rule), "hours", apply=False).json()
    done = send(admin, practice, file(rule), "hours").json()
    again = send(admin, practice, file(rule), "hours").json()

    assert (seen["created"], seen["removed"], seen["applied"]) == (7, 7, False)
    assert (done["created"], done["removed"]) == (7, 7)
    assert (again["unchanged"], again["version"]) == (7, done["version"])
    assert len(at_the_doctor(desk, practice)) == 2
    assert done["items"][0]["weekday"] == 0


def test_a_file_without_weekly_events_closes_nothing(admin: Client, desk: Client, practice: Practice) -> None:
    before = at_the_doctor(desk, practice)

    done = send(admin, practice, file(event("DTSTART:20260105T090000Z", "DURATION:PT1H")), "hours").json()

    assert (done["removed"], done["refused"]) == (0, [{"event": 1, "reason": "not_weekly"}])
    assert at_the_doctor(desk, practice) == before


def test_only_this_address_takes_long_bodies(admin: Client, desk: Client, practice: Practice) -> None:
    slot = at_the_doctor(desk, practice)[0]
    padding = f"X-PADDING:{'x' * 70}\n"
    content = meeting(slot).replace("END:VEVENT", padding * 6_000 + "END:VEVENT")

    assert len(content) > 400_000
    assert send(admin, practice, content).json()["created"] == 1
    refused(send(admin, practice, content + " " * 50_000), 422, "validation_failed", "ics")
    refused(send(admin, practice, content + " " * 400_000), 413, "payload_too_large")
    refused(post(admin, "/calendars", {"name": "x" * 70_000}), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("body", "param"),
    [({"as": "busy"}, "ics"), ({"ics": "x"}, "as"), ({"ics": "x", "as": "party"}, "as"), ({"ics": "", "as": "busy"}, "ics")],
)
def test_an_import_that_says_too_little_is_refused(admin: Client, practice: Practice, body: dict[str, str], param: str) -> None:
    refused(post(admin, f"/calendars/{practice.doctor.uid}/imports", body), 422, "validation_failed", param)
