"""Recorded publications of two publishers, and broken ones, imported through the command into a real database."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from engine import bookings, models, queries
from engine.errors import OutsideOpeningHours, SlotTaken
from engine.locks import NAMESPACE_CALENDAR
from engine.offers import Offer
from engine.rows import Actor, Patient
from engine.scheduling.intervals import DAY_S, Interval
from engine.verification import verify

pytestmark = pytest.mark.django_db(transaction=True)

FEEDS = Path(__file__).parents[2] / "data" / "smart-scheduling"
RITE_AID, PREPMOD = FEEDS / "riteaid-nj-2023", FEEDS / "prepmod-wa-2021"
SUNNYSIDE = "a23fd81af085c8a37c707b7ba929a78f"
SMART = "http://fhir-registry.smarthealthit.org/CodeSystem/service-type"
CAPACITY = "http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity"


class Counts(NamedTuple):
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    missing: int = 0
    reinterpreted: int = 0


def import_(folder: Path, *options: str, clinic: str = "imported") -> dict[str, Any]:
    output = StringIO()
    call_command("import_smart_scheduling", str(folder), "--clinic", clinic, "--json", *options, stdout=output)
    report: dict[str, Any] = json.loads(output.getvalue())
    return report


def counts(report: dict[str, Any]) -> Counts:
    numbers = (report["created"], report["updated"], report["unchanged"])
    return Counts(*numbers, len(report["refused"]), len(report["missing_files"]), report["reinterpreted"])


def reasons(report: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(refusal["file"], refusal["line"], refusal["reason"]) for refusal in report["refused"]]


def versions() -> list[tuple[int, int]]:
    return list(models.Calendar.objects.order_by("id").values_list("version", "rules"))


def walls(calendar: models.Calendar) -> list[str]:
    """A calendar's windows on its own clock, with their places."""
    zone = ZoneInfo(calendar.zone)
    windows = models.OpeningException.objects.filter(calendar=calendar).order_by("starts")
    return [f"{w.starts.astimezone(zone):%Y-%m-%d %H:%M}-{w.ends.astimezone(zone):%H:%M} x{w.capacity}" for w in windows]


def offers(first: datetime, days: int = 7) -> list[Offer]:
    visit_type = queries.visit_type_by_uid(models.VisitType.objects.get().uid)
    start = int(first.timestamp())
    return queries.slots(visit_type, Interval(start, start + days * DAY_S), limit=500).offers


def book(offer: Offer, patient: str) -> None:
    bookings.book(offer, patient=Patient(id=patient), state="", actor=Actor("test"))


# --- the recordings -----------------------------------------------------------------------------------------------------


def test_rite_aid_new_jersey_ends_with_every_line_accounted_for() -> None:
    report = import_(RITE_AID)

    # 112 locations, 112 schedules and 1542 slots, of which each store's first is busy.
    assert counts(report) == Counts(created=112 + 112 + 1430, unchanged=112, missing=48, reinterpreted=1542)
    assert report["missing_files"][0] == "locations-DE.ndjson"
    tables = (models.Location, models.Calendar, models.OpeningException, models.VisitType, models.Clinic)
    assert [table.objects.count() for table in tables] == [112, 112, 1430, 1, 1]
    clinic = models.Clinic.objects.get()
    assert (clinic.slug, clinic.name, clinic.zone) == ("imported", "Imported", "America/New_York")
    visit_type = models.VisitType.objects.get()
    assert (visit_type.name, visit_type.source_id) == ("COVID-19 Immunization Appointment", "covid19-immunization")
    assert (visit_type.duration, visit_type.needs, visit_type.modalities) == (None, ["room"], ["in_person"])
    assert visit_type.calendars.count() == 112


def test_a_store_is_a_calendar_with_the_hours_it_really_opens() -> None:
    import_(RITE_AID)
    store = models.Calendar.objects.select_related("location").get(source_id="116")

    assert (store.name, store.kind, store.zone) == ("Rite Aid, 907 North High Street", "room", "America/New_York")
    assert store.location is not None
    place = (store.location.city, store.location.state, store.location.postal_code, store.location.phone)
    assert place == ("Millville", "NJ", "08332-3762", "(856) 825-7742")
    # The store opens at nine on the clock of New Jersey, whatever the -05:00 in the file says; Friday is busy.
    assert walls(store)[:2] == ["2023-03-25 09:00-18:00 x33", "2023-03-26 10:00-18:00 x33"]
    assert len(walls(store)) == 13


def test_prepmod_washington_ends_with_every_line_accounted_for() -> None:
    report = import_(PREPMOD)

    assert counts(report) == Counts(created=2 + 2 + 49, reinterpreted=49)
    site = models.Calendar.objects.get(source_id=SUNNYSIDE)
    assert walls(site)[:2] == ["2021-09-05 09:00-09:20 x5", "2021-09-05 09:20-09:40 x5"]
    assert len(walls(site)) == 35


@pytest.mark.parametrize(("feed", "lines"), [(RITE_AID, 1766), (PREPMOD, 53)])
def test_importing_again_changes_nothing(feed: Path, lines: int) -> None:
    import_(feed)
    before, events = versions(), models.OutboxEvent.objects.count()
    revision = models.VisitType.objects.get().revision

    report = import_(feed)

    assert (report["created"], report["updated"], report["unchanged"], report["refused"]) == (0, 0, lines, [])
    assert (versions(), models.OutboxEvent.objects.count()) == (before, events)
    assert models.VisitType.objects.get().revision == revision


def test_an_import_leaves_two_events_a_calendar_and_no_broken_promise() -> None:
    import_(PREPMOD)

    assert versions() == [(2, 1), (2, 1)]
    events = models.OutboxEvent.objects.order_by("calendar_id", "version").values_list("version", "type", "data")
    assert list(events) == [(1, "calendar.created", {}), (2, "calendar.hours_changed", {})] * 2
    assert verify().ok


def test_two_feeds_may_share_a_clinic_and_one_feed_two_clinics() -> None:
    import_(PREPMOD)
    assert import_(RITE_AID)["created"] == 1654
    assert import_(PREPMOD, clinic="another")["created"] == 53
    assert import_(PREPMOD)["unchanged"] == 53


# --- today --------------------------------------------------------------------------------------------------------------


def test_rebased_slots_are_booked_until_the_last_of_five_places() -> None:
    soon = datetime.now(UTC).date() + timedelta(days=2)
    report = import_(PREPMOD, "--rebase", soon.isoformat())
    assert counts(report) == Counts(created=53, reinterpreted=49)
    site = models.Calendar.objects.get(source_id=SUNNYSIDE)
    first = walls(site)[0]
    assert soon <= date.fromisoformat(first[:10]) < soon + timedelta(days=7)
    assert first[10:] == " 09:00-09:20 x5"

    found = offers(datetime.now(UTC), days=30)
    assert len(found) == 49
    offer = next(o for o in found if o.calendar == site.id)
    assert (offer.capacity, offer.end - offer.start) == (5, 20 * 60)
    for number in range(5):
        book(offer, f"patient-{number}")
    with pytest.raises(SlotTaken):
        book(offer, "patient-5")

    assert offer.start not in [o.start for o in offers(datetime.now(UTC), days=30) if o.calendar == site.id]
    units = models.Allocation.objects.filter(calendar=site).order_by("unit").values_list("unit", flat=True)
    assert list(units) == [1, 2, 3, 4, 5]
    assert verify().ok


def test_a_rebased_slot_keeps_its_wall_clock_where_the_clocks_have_changed() -> None:
    # Recorded in summer time; in January New Jersey keeps winter time.
    import_(RITE_AID, "--rebase", "2027-01-04")
    store = models.Calendar.objects.get(source_id="116")
    assert walls(store)[:2] == ["2027-01-09 09:00-18:00 x33", "2027-01-10 10:00-18:00 x33"]


def test_the_same_rebase_changes_nothing_and_another_moves_the_same_windows() -> None:
    import_(PREPMOD, "--rebase", "2027-01-04")
    site = models.Calendar.objects.get(source_id=SUNNYSIDE)
    before = walls(site)

    assert counts(import_(PREPMOD, "--rebase", "2027-01-04")) == Counts(unchanged=53, reinterpreted=49)
    assert counts(import_(PREPMOD, "--rebase", "2027-02-01")) == Counts(updated=49, unchanged=4, reinterpreted=49)
    assert [wall[10:] for wall in walls(site)] == [wall[10:] for wall in before]
    assert walls(site)[0] == "2027-02-07 09:00-09:20 x5"
    assert counts(import_(PREPMOD)) == Counts(updated=49, unchanged=4, reinterpreted=49)
    assert walls(site)[0] == "2021-09-05 09:00-09:20 x5"
    assert verify().ok


# --- changes and faults -------------------------------------------------------------------------------------------------


def site(identifier: str = "s", state: str = "NJ", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Location", "id": identifier, "name": f"Site {identifier}", "address": {"state": state}, **more}


def timetable(identifier: str = "t", location: str = "s", service: str = "flu") -> dict[str, Any]:
    actor, service_type = [{"reference": f"Location/{location}"}], [{"coding": [{"system": SMART, "code": service}]}]
    return {"resourceType": "Schedule", "id": identifier, "actor": actor, "serviceType": service_type}


def slot(start: str = "09:00", *, end: str = "10:00", status: str = "free", of: str = "t", places: object = 2) -> dict[str, Any]:
    """A slot on a day in winter time, the times local."""
    times = {"start": f"2027-01-05T{start}:00-05:00", "end": f"2027-01-05T{end}:00-05:00"}
    extension = [{"url": CAPACITY, "valueInteger": places}]
    return {"resourceType": "Slot", "id": "x", "schedule": {"reference": f"Schedule/{of}"}, "status": status, **times} | {
        "extension": extension
    }


@pytest.fixture
def feed(tmp_path: Path) -> "Feed":
    return Feed(tmp_path)


class Feed(NamedTuple):
    """A folder that a publisher writes anew each time."""

    folder: Path

    def import_(self, *records: dict[str, Any] | str) -> dict[str, Any]:
        """The report after a publication with these lines; a text goes to the slots as it is."""
        lines: dict[str, list[str]] = {"Location": [], "Schedule": [], "Slot": []}
        for record in records:
            kind = "Slot" if isinstance(record, str) else record["resourceType"]
            lines[kind].append(record if isinstance(record, str) else json.dumps(record))
        self.publish(lines)
        return import_(self.folder)

    def publish(self, lines: dict[str, list[str]], *, named: Iterable[str] = ("Location", "Schedule", "Slot")) -> None:
        output = [{"type": kind, "url": f"https://example.org/{kind}.ndjson"} for kind in named]
        (self.folder / "manifest.json").write_text(json.dumps({"output": output}))
        for kind, content in lines.items():
            (self.folder / f"{kind}.ndjson").write_text("\n".join(content))


def test_a_slot_that_becomes_busy_takes_its_window_away_and_keeps_what_is_booked(feed: Feed) -> None:
    soon = datetime.now(ZoneInfo("America/New_York")) + timedelta(days=2)
    times = {"start": f"{soon:%Y-%m-%d}T09:00:00Z", "end": f"{soon:%Y-%m-%d}T10:00:00Z"}
    feed.import_(site(), timetable(), slot() | times)
    offer = offers(datetime.now(UTC))[0]
    book(offer, "patient")

    assert counts(feed.import_(site(), timetable(), slot(status="busy") | times)) == Counts(updated=1, unchanged=2)
    assert counts(feed.import_(site(), timetable(), slot(places=0) | times)) == Counts(unchanged=3)

    assert models.OpeningException.objects.count() == 0
    assert models.Allocation.objects.count() == 1
    with pytest.raises(OutsideOpeningHours):
        book(offer, "another")
    assert verify().ok


def test_a_changed_slot_is_the_same_window(feed: Feed) -> None:
    feed.import_(site(), timetable(), slot())
    window = models.OpeningException.objects.get().uid

    assert counts(feed.import_(site(), timetable(), slot(end="11:30", places=7))) == Counts(updated=1, unchanged=2)

    assert walls(models.Calendar.objects.get()) == ["2027-01-05 09:00-11:30 x7"]
    assert models.OpeningException.objects.get().uid == window
    assert versions() == [(3, 2)]


def test_a_slot_that_is_no_longer_mentioned_stays(feed: Feed) -> None:
    feed.import_(site(), timetable(), slot(), slot("11:00", end="12:00"))
    assert counts(feed.import_(site(), timetable(), slot())) == Counts(unchanged=3)
    assert len(walls(models.Calendar.objects.get())) == 2


def test_a_place_that_moves_takes_its_calendar_along(feed: Feed) -> None:
    feed.import_(site(), timetable(), slot())
    report = feed.import_(site(state="IL", name="Moved"), timetable(), slot())
    # The instants are the same; only a busy line or another slot would change a window.
    assert counts(report) == Counts(updated=2, unchanged=1)
    calendar = models.Calendar.objects.get()
    assert (calendar.name, calendar.zone, calendar.version, calendar.rules) == ("Moved", "America/Chicago", 3, 2)


def test_a_schedule_of_another_service_changes_the_visit_type(feed: Feed) -> None:
    feed.import_(site(), timetable(), slot())
    assert counts(feed.import_(site(), timetable(service="covid"), slot())) == Counts(updated=2, unchanged=1)
    flu, covid = models.VisitType.objects.order_by("id")
    assert (flu.calendars.count(), covid.calendars.count()) == (0, 1)
    assert (flu.revision, covid.revision) == (3, 2)
    assert models.OpeningException.objects.get().visit_type == covid


def test_slots_are_taken_when_only_they_are_published(feed: Feed) -> None:
    feed.import_(site(), timetable())
    (feed.folder / "Schedule.ndjson").unlink()
    feed.publish({"Slot": [json.dumps(slot())], "Location": []})
    report = import_(feed.folder)
    assert (counts(report), report["missing_files"]) == (Counts(created=1, missing=1), ["Schedule.ndjson"])


def test_the_first_of_two_lines_about_the_same_thing_counts(feed: Feed) -> None:
    report = feed.import_(
        *(site(), site(), site(name="Other")),
        *(timetable(), timetable(), timetable(service="covid")),
        *(slot(), slot() | {"id": "y"}, slot(end="11:00"), slot(status="busy"), slot("14:00", end="15:00")),
    )
    assert counts(report) == Counts(created=4, unchanged=3, refused=4)
    assert reasons(report) == [
        ("Location.ndjson", 3, "contradicts line 1 of Location.ndjson"),
        ("Schedule.ndjson", 3, "contradicts line 1 of Schedule.ndjson"),
        ("Slot.ndjson", 3, "contradicts line 1 of Slot.ndjson"),
        ("Slot.ndjson", 4, "contradicts line 1 of Slot.ndjson"),
    ]


def test_the_same_instant_in_another_offset_is_the_same_slot(feed: Feed) -> None:
    times = {"start": "2027-01-05T14:00:00Z", "end": "2027-01-05T15:00:00Z"}
    assert counts(feed.import_(site(), timetable(), slot(), slot() | times)) == Counts(created=3, unchanged=1)


def test_what_is_refused_does_not_stop_the_rest(feed: Feed) -> None:
    report = feed.import_(
        *(site(), site("u", "XX"), site("v", name=None)),
        *(timetable(), timetable("u", "u"), timetable("w", "nowhere")),
        *(slot(), "", "{", slot(of="w"), slot(of="never"), slot(end="09:00"), slot(places=-1), slot(places=1001)),
        *(
            '{"resourceType":"Slot","id":"a\\u0000b"}',
            slot() | {"id": 5},
            slot() | {"start": "2027-01-05T09:00:00"},
            slot("11:00", end="12:00"),
        ),
    )
    assert counts(report) == Counts(created=4, refused=13)
    assert [(file[:3], line) for file, line, _ in reasons(report)] == [
        *(("Loc", 2), ("Loc", 3), ("Sch", 2), ("Sch", 3)),
        *(("Slo", line) for line in (3, 4, 5, 6, 7, 8, 9, 10, 11)),
    ]
    said = {(file[:3], line): reason for file, line, reason in reasons(report)}
    assert said["Sch", 2] == "its Location/u is not known"
    assert said["Slo", 4] == "its Schedule/w is not known"
    assert said["Slo", 6] == "end is not after start"
    assert verify().ok


def test_a_rebased_slot_that_would_not_exist_is_refused(feed: Feed) -> None:
    night = slot() | {"start": "2027-03-07T02:50:00-05:00", "end": "2027-03-07T03:10:00-05:00"}
    feed.publish({"Location": [json.dumps(site())], "Schedule": [json.dumps(timetable())], "Slot": [json.dumps(night)]})
    report = import_(feed.folder, "--rebase", "2027-03-14")
    assert reasons(report) == [("Slot.ndjson", 1, "end is not after start, once moved by 1 weeks")]


# --- beside others ------------------------------------------------------------------------------------------------------


def test_two_imports_at_once_do_the_work_once() -> None:
    models.Clinic.objects.create(slug="imported", name="Imported", zone="UTC")
    together = Barrier(2)

    def work() -> Counts:
        together.wait(10)
        try:
            return counts(import_(PREPMOD))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        one, other = [future.result(30) for future in [threads.submit(work), threads.submit(work)]]
    assert (one.created + other.created, one.unchanged + other.unchanged) == (53, 53)
    assert verify().ok


def test_an_import_waits_for_whoever_writes_to_the_calendar(feed: Feed) -> None:
    feed.import_(site(), timetable(), slot())
    calendar = models.Calendar.objects.get().id

    def work() -> Counts:
        try:
            return counts(feed.import_(site(), timetable(), slot(places=9)))
        finally:
            connection.close()

    # The executor outside: it waits for the import, which waits for the end of the transaction.
    with ThreadPoolExecutor(1) as thread, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [NAMESPACE_CALENDAR, calendar])
        importing = thread.submit(work)
        while not importing.done():
            cursor.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", [calendar])
            if cursor.fetchone():
                break
        # What the import must see: it decides on what it reads after the lock.
        cursor.execute("UPDATE engine_openingexception SET capacity = 9")
        assert not importing.done()
    assert importing.result(10) == Counts(unchanged=3)


# --- the command --------------------------------------------------------------------------------------------------------


def test_without_json_a_person_reads_what_happened(feed: Feed) -> None:
    feed.publish({"Location": [json.dumps(site()), "{"], "Schedule": [], "Slot": []}, named=["Location", "Other"])
    output = StringIO()
    call_command("import_smart_scheduling", str(feed.folder / "manifest.json"), "--clinic", "c", stdout=output)
    assert output.getvalue().splitlines() == [
        "2 lines: 1 created, 0 updated, 0 unchanged, 1 refused",
        "refused: Location.ndjson:2: is not JSON",
        "not there: Other.ndjson",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere", "--clinic", "c"], "No such file"),
        ([str(FEEDS / "README.md"), "--clinic", "c"], "is no manifest"),
        ([str(PREPMOD), "--clinic", "a clinic"], "letters, digits"),
        ([str(PREPMOD), "--clinic", "c" * 61], "at most 60"),
        ([str(PREPMOD), "--clinic", "c", "--rebase", "tomorrow"], "YYYY-MM-DD"),
        ([str(PREPMOD), "--clinic", "c", "--rebase", "9999-12-31"], "years go from 2000 to 2199"),
        ([str(PREPMOD)], "--clinic"),
    ],
)
def test_what_cannot_be_imported_ends_with_status_2(options: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        call_command("import_smart_scheduling", *options)
    # The parser's own refusals leave with 2 from a terminal; call_command raises them as they are.
    assert refused.value.returncode == 2 or str(refused.value).startswith("Error: ")
    assert models.Clinic.objects.count() == 0
