"""Calendar files, parsed back: in place, moved and removed by the same UID, and nothing can be smuggled into them."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from apps.notifications.invites import Visit, invite

START = 1_793_516_400  # 1 November 2026, 2:00 EST: the hour after the one that happened twice
VISIT = Visit(
    uid="01930000-0000-7000-8000-000000000001@book.example",
    sequence=0,
    start=START,
    end=START + 1800,
    zone="America/New_York",
    summary="Visit at Harbor Clinic",
    location="12 Harbor Street, New York",
    url="https://book.example/manage/abc/",
    organizer="visits@book.example",
    clinic="Harbor Clinic",
    attendee="zoe@example.org",
)
NOW = START - 86_400


def parsed(file: bytes) -> tuple[Any, Any]:
    """(the calendar, its only visit)"""
    calendar = Calendar.from_ical(file)
    return calendar, calendar.walk("VEVENT")[0]


def test_an_invitation_has_what_calendars_need() -> None:
    calendar, event = parsed(invite(VISIT, method="REQUEST", now=NOW))

    assert (str(calendar["METHOD"]), str(event["STATUS"])) == ("REQUEST", "CONFIRMED")
    assert str(event["UID"]) == VISIT.uid
    assert event["DTSTART"].dt == datetime.fromtimestamp(START, ZoneInfo("America/New_York"))
    assert int(event["DTSTART"].dt.timestamp()) == START
    assert event["ORGANIZER"].params["CN"] == "Harbor Clinic"
    assert [str(zone["TZID"]) for zone in calendar.walk("VTIMEZONE")] == ["America/New_York"]


def test_a_move_and_a_cancellation_are_of_the_same_entry_and_newer() -> None:
    _, first = parsed(invite(VISIT, method="REQUEST", now=NOW))
    _, moved = parsed(invite(replace(VISIT, sequence=70, start=START + 3600), method="REQUEST", now=NOW + 70))
    calendar, gone = parsed(invite(replace(VISIT, sequence=95), method="CANCEL", now=NOW + 95))

    assert first["UID"] == moved["UID"] == gone["UID"]
    assert first["SEQUENCE"] < moved["SEQUENCE"] < gone["SEQUENCE"]
    assert (str(calendar["METHOD"]), str(gone["STATUS"])) == ("CANCEL", "CANCELLED")
    assert "URL" not in gone


@pytest.mark.parametrize(
    "evil",
    [
        "Harbor\r\nATTENDEE:mailto:evil@example.org",
        "Harbor\nEND:VEVENT\nBEGIN:VALARM",
        'Harbor";CN="x',
        "Harbor; LOCATION:there, and\\n elsewhere",
        "Harbor\x0b\u2028X-EVIL:1",
    ],
)
def test_a_text_cannot_become_a_property(evil: str) -> None:
    file = invite(replace(VISIT, summary=evil, location=evil, clinic=evil), method="REQUEST", now=NOW)

    calendar, event = parsed(file)
    assert len(calendar.walk("VEVENT")) == 1
    assert not calendar.walk("VALARM")
    assert "X-EVIL" not in event
    assert str(event["ATTENDEE"]) == "mailto:zoe@example.org"
    assert str(event["LOCATION"]).startswith("Harbor")


def test_long_lines_are_folded_inside_no_character() -> None:
    name = "Clínica 🦊 " * 20

    file = invite(replace(VISIT, summary=name), method="REQUEST", now=NOW)

    assert all(len(line) <= 75 for line in file.split(b"\r\n"))
    assert str(parsed(file)[1]["SUMMARY"]) == name.strip()
    file.decode("utf-8")
