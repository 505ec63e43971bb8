"""What a publisher's line is taken for, and the reason of every refusal."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scheduling.intervals import Interval
from engine.smart_scheduling.facts import Published, Refused, Site, Timetable, parse
from engine.smart_scheduling.files import LONGEST_LINE, BadPublication, File, open_publication, read_lines
from engine.smart_scheduling.times import real_time, shifted, weeks_until
from engine.smart_scheduling.zones import STATES, zone_of

FEEDS = Path(__file__).parents[1] / "data" / "smart-scheduling"
NEW_YORK, LOS_ANGELES = "America/New_York", "America/Los_Angeles"
SMART = "http://fhir-registry.smarthealthit.org/CodeSystem/service-type"
CAPACITY = "http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity"

LOCATION: dict[str, Any] = {
    "resourceType": "Location",
    "id": "116",
    "name": "Rite Aid",
    "telecom": [{"system": "url", "value": "https://example.org"}, {"system": "phone", "value": "(856) 825-7742"}],
    "address": {"line": ["907 North High Street"], "city": "Millville", "state": "NJ", "postalCode": "8332-3762"},
}
SCHEDULE: dict[str, Any] = {
    "resourceType": "Schedule",
    "id": "116",
    "actor": [{"reference": "Location/116"}],
    "serviceType": [{"coding": [{"system": "http://hl7.org/service-type", "code": "57"}, {"system": SMART, "code": "covid19"}]}],
}
SLOT: dict[str, Any] = {
    "resourceType": "Slot",
    "id": "116",
    "schedule": {"reference": "Schedule/116"},
    "status": "free",
    "start": "2023-03-25T09:00:00-04:00",
    "end": "2023-03-25T18:00:00-04:00",
    "extension": [{"url": CAPACITY, "valueInteger": 33}],
}


def with_(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The record with one field set, or removed where the value is None."""
    head, _, rest = path.partition(".")
    changed = with_(record.get(head, {}), rest, value) if rest else value
    return {**{k: v for k, v in record.items() if k != head}, **({} if changed is None else {head: changed})}


# --- places -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "zone"),
    [
        ("NJ 08332", NEW_YORK),
        ("WA 99362", LOS_ANGELES),
        ("AZ 85001", "America/Phoenix"),
        ("AZ 86515", "America/Denver"),
        ("FL 33101", NEW_YORK),
        ("FL 32501", "America/Chicago"),
        ("FL 32456", NEW_YORK),
        ("TN 37402", NEW_YORK),
        ("TN 37388", "America/Chicago"),
        ("TN 37201", "America/Chicago"),
        ("KY 40202", NEW_YORK),
        ("KY 42101", "America/Chicago"),
        ("IN 46204", "America/Indiana/Indianapolis"),
        ("IN 46402", "America/Chicago"),
        ("MI 49801", "America/Menominee"),
        ("MI 48201", "America/Detroit"),
        ("TX 79901-1234", "America/Denver"),
        ("TX 79830", "America/Chicago"),
        ("ID 83843", LOS_ANGELES),
        ("ID 83702", "America/Boise"),
        ("OR 97914", "America/Boise"),
        ("ND 58601", "America/Denver"),
        ("SD 57701", "America/Denver"),
        ("SD 57601", "America/Chicago"),
        ("NE 69361", "America/Denver"),
        ("KS 67735", "America/Denver"),
        ("NV 89883", "America/Denver"),
        ("AK 99546", "America/Adak"),
        ("PR 00901", "America/Puerto_Rico"),
        ("GU 96910", "Pacific/Guam"),
    ],
)
def test_the_zone_of_a_place(place: str, zone: str) -> None:
    assert zone_of(*place.split()) == zone


@pytest.mark.parametrize("place", [("XX", "12345"), ("", ""), ("TN", ""), ("TN", "3740"), ("TN", "abcde"), ("TN", "٣٧٤٠٢")])
def test_no_zone_is_guessed(place: tuple[str, str]) -> None:
    assert zone_of(*place) is None


def test_every_state_has_a_zone_that_exists() -> None:
    assert len(STATES) == 50 + 1 + 5
    assert all(ZoneInfo(zone) for zone in STATES.values())


@pytest.mark.parametrize(
    ("state", "written", "meant"),
    [
        ("NJ", "8332-3762", "08332-3762"),
        ("NJ", "08332", "08332"),
        ("MA", "2108", "02108"),
        ("PR", "901", "00901"),
        ("CA", "9021", "9021"),
        ("NJ", "832-37624", "00832-37624"),
        ("NJ", "A833", "A833"),
    ],
)
def test_a_leading_zero_is_restored_where_zip_codes_have_one(state: str, written: str, meant: str) -> None:
    site = parse(with_(with_(LOCATION, "address.state", state), "address.postalCode", written))
    assert isinstance(site, Site)
    assert site.postal_code == meant


# --- lines --------------------------------------------------------------------------------------------------------------


def test_a_location_is_a_site() -> None:
    assert parse(LOCATION) == Site(
        "116", "Rite Aid", NEW_YORK, "NJ", "907 North High Street", "Millville", "08332-3762", "(856) 825-7742"
    )


def test_of_a_location_only_id_name_and_state_are_needed() -> None:
    bare = {"resourceType": "Location", "id": "1", "name": " Mobile\tUnit\n ", "address": {"state": "wa"}}
    assert parse(bare) == Site("1", "Mobile Unit", LOS_ANGELES, "WA", "", "", "", "")


def test_a_schedule_is_the_timetable_of_its_location_for_the_particular_service() -> None:
    assert parse(SCHEDULE) == Timetable("116", "116", "covid19", "covid19")
    absolute = with_(SCHEDULE, "actor", [{"reference": "https://example.org/fhir/Location/9"}, {"reference": "Device/1"}])
    assert parse(absolute) == Timetable("116", "9", "covid19", "covid19")
    named = with_(SCHEDULE, "serviceType", [{"coding": [{"code": "57", "display": "Immunization"}]}])
    assert parse(named) == Timetable("116", "116", "57", "Immunization")


@pytest.mark.parametrize(
    ("field", "value", "places"),
    [
        ("status", "free", 33),
        ("status", "busy", 0),
        ("status", "entered-in-error", 0),
        ("extension", None, 1),
        ("extension", [{"url": "http://example.org/other", "valueInteger": 7}], 1),
        ("extension", [{"url": CAPACITY, "valueInteger": 0}], 0),
        ("extension", [{"url": CAPACITY, "valueInteger": 1000}], 1000),
    ],
)
def test_a_slot_has_places_unless_it_is_busy(field: str, value: Any, places: int) -> None:
    slot = parse(with_(SLOT, field, value))
    assert isinstance(slot, Published)
    assert slot.capacity == places


def test_a_slot_keeps_its_times_as_written() -> None:
    slot = parse(with_(SLOT, "start", "2023-03-25t09:00:00.000z"))
    assert isinstance(slot, Published)
    assert (slot.timetable, slot.start, slot.end.isoformat()) == (
        "116",
        datetime(2023, 3, 25, 9, tzinfo=UTC),
        "2023-03-25T18:00:00-04:00",
    )


@pytest.mark.parametrize(
    ("record", "path", "value", "reason"),
    [
        (LOCATION, "id", None, "id is missing"),
        (LOCATION, "id", 116, "id is not text"),
        (LOCATION, "id", "", "id is missing"),
        (LOCATION, "id", "1 1", "id has a space in it"),
        (LOCATION, "id", " 116", "id has a space in it"),
        (LOCATION, "id", "1\x00", "id holds characters that cannot be printed"),
        (LOCATION, "id", "1" * 201, "id is longer than 200 characters"),
        (LOCATION, "name", None, "name is missing"),
        (LOCATION, "name", "Rite\ud800", "name holds characters that cannot be printed"),
        (LOCATION, "address", None, "address is missing"),
        (LOCATION, "address", ["NJ"], "holds something else where an object belongs"),
        (LOCATION, "address.state", None, "address.state is missing"),
        (LOCATION, "address.state", "XX", "address.state 'XX' is not a state of the United States"),
        (LOCATION, "address.state", "TN", "TN has several time zones, and address.postalCode does not say which"),
        (LOCATION, "address.line", "907 North High Street", "address.line is not a list"),
        (LOCATION, "address.line", ["x" * 200, "y" * 200], "address.line is longer than 300 characters"),
        (LOCATION, "telecom", [{"system": "phone", "value": 5}], "telecom.value is not text"),
        (SCHEDULE, "actor", None, "actor names no locations"),
        (SCHEDULE, "actor", [{"reference": "Practitioner/1"}], "actor names no locations"),
        (SCHEDULE, "actor", [{"reference": "Location/1"}, {"reference": "Location/2"}], "actor names 2 locations"),
        (SCHEDULE, "actor", [{"display": "Rite Aid"}], "actor.reference is missing"),
        (SCHEDULE, "serviceType", None, "serviceType names no services"),
        (SCHEDULE, "serviceType", [{"coding": [{"code": "a"}, {"code": "b"}]}], "serviceType names 2 services"),
        (SCHEDULE, "serviceType", [{"coding": [{"code": 57}]}], "serviceType.coding.code is not text"),
        (SLOT, "id", 7, "id is not text"),
        (SLOT, "schedule", None, "schedule is missing"),
        (SLOT, "schedule", "Schedule/116", "holds something else where an object belongs"),
        (SLOT, "schedule.reference", "Location/116", "schedule.reference names no Schedule"),
        (SLOT, "schedule.reference", "Schedule/", "schedule.reference names no Schedule"),
        (SLOT, "status", None, "status is missing"),
        (SLOT, "status", "open", "status 'open' is not one of FHIR's"),
        (SLOT, "start", None, "start is missing"),
        (SLOT, "start", 1679752800, "start is not text"),
        (SLOT, "start", "2023-03-25", "start is not a time like"),
        (SLOT, "start", "2023-W12-6T09:00:00-04:00", "start is not a time like"),
        (SLOT, "start", "2023-03-25T09:00:00", "start has no offset, so it names no instant"),
        (SLOT, "start", "2023-03-25T09:00:00.5-04:00", "start is not at a whole second"),
        (SLOT, "start", "2023-02-29T09:00:00-04:00", "start is a time that does not exist"),
        (SLOT, "start", "2023-03-25T09:00:00-25:00", "start is a time that does not exist"),
        (SLOT, "end", "0001-01-01T00:00:00+05:00", "end is not in the years 2000 to 2199"),
        (SLOT, "extension", {"url": CAPACITY}, "extension is not a list"),
        *(
            (SLOT, "extension", [{"url": CAPACITY, "valueInteger": places}], "slot-capacity is not one whole number")
            for places in (-1, 1001, True, 1.5, "5", None, float("nan"), 10**30)
        ),
        (SLOT, "extension", [{"url": CAPACITY, "valueInteger": n} for n in (1, 2)], "slot-capacity is not one whole number"),
    ],
)
def test_a_line_that_is_refused_says_why(record: dict[str, Any], path: str, value: Any, reason: str) -> None:
    # A zip code that would tell Tennessee's zone is not New Jersey's.
    record = with_(record, "address.postalCode", None) if value == "TN" else record
    with pytest.raises(Refused) as refused:
        parse(with_(record, path, value))
    assert str(refused.value).startswith(reason)


FIELDS = (
    *("id", "name", "telecom", "address", "address.line", "address.state", "address.postalCode", "address.city"),
    *("actor", "serviceType", "schedule", "schedule.reference", "status", "start", "end", "extension"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@given(
    record=st.sampled_from([LOCATION, SCHEDULE, SLOT]),
    path=st.sampled_from(FIELDS),
    value=JSON,
)
def test_any_value_in_any_field_is_a_fact_or_a_refusal(record: dict[str, Any], path: str, value: Any) -> None:
    with suppress(Refused):
        assert "\\x00" not in repr(parse(with_(record, path, value)))


# --- times --------------------------------------------------------------------------------------------------------------


def local(instant: int, zone: str) -> str:
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).isoformat()[:16]


@pytest.mark.parametrize(
    ("zone", "start", "end", "wall", "reinterpreted"),
    [
        pytest.param(
            *(NEW_YORK, "2023-03-24T08:00:00-05:00", "2023-03-24T22:00:00-05:00", "2023-03-24T08:00 2023-03-24T22:00", True),
            id="winter_offset_in_summer_is_the_wall_clock_as_rite_aid_writes",
        ),
        pytest.param(
            *(LOS_ANGELES, "2021-09-05T09:00:00-08:00", "2021-09-05T09:20:00-08:00", "2021-09-05T09:00 2021-09-05T09:20", True),
            id="winter_offset_in_summer_is_the_wall_clock_as_prepmod_writes",
        ),
        pytest.param(
            *(NEW_YORK, "2023-01-24T08:00:00-05:00", "2023-01-24T22:00:00-05:00", "2023-01-24T08:00 2023-01-24T22:00", False),
            id="winter_offset_in_winter_is_right",
        ),
        pytest.param(
            *(NEW_YORK, "2023-03-24T08:00:00-04:00", "2023-03-24T22:00:00-04:00", "2023-03-24T08:00 2023-03-24T22:00", False),
            id="summer_offset_in_summer_is_right",
        ),
        pytest.param(
            *(NEW_YORK, "2023-01-24T08:00:00-04:00", "2023-01-24T22:00:00-04:00", "2023-01-24T07:00 2023-01-24T21:00", False),
            id="summer_offset_in_winter_is_the_instant_written",
        ),
        pytest.param(
            *(NEW_YORK, "2023-03-24T12:00:00Z", "2023-03-24T13:00:00Z", "2023-03-24T08:00 2023-03-24T09:00", False),
            id="utc_is_the_instant_written",
        ),
        pytest.param(
            *(NEW_YORK, "2023-03-24T08:00:00-06:00", "2023-03-24T09:00:00-06:00", "2023-03-24T10:00 2023-03-24T11:00", False),
            id="the_offset_of_another_zone_is_the_instant_written",
        ),
        pytest.param(
            *(
                "America/Phoenix",
                "2023-07-01T08:00:00-07:00",
                "2023-07-01T09:00:00-07:00",
                "2023-07-01T08:00 2023-07-01T09:00",
                False,
            ),
            id="without_daylight_saving_time_the_standard_offset_is_right",
        ),
        pytest.param(
            *(NEW_YORK, "2023-03-11T22:00:00-05:00", "2023-03-12T08:00:00-05:00", "2023-03-11T22:00 2023-03-12T08:00", True),
            id="a_night_into_summer_ends_by_the_wall_clock",
        ),
        pytest.param(
            *(NEW_YORK, "2023-03-12T01:50:00-05:00", "2023-03-12T02:10:00-05:00", "2023-03-12T01:50 2023-03-12T03:10", False),
            id="in_the_hour_that_does_not_exist_the_instant_written",
        ),
        pytest.param(
            *(NEW_YORK, "2023-11-05T01:30:00-04:00", "2023-11-05T01:15:00-05:00", "2023-11-05T01:30 2023-11-05T01:15", False),
            id="in_the_hour_that_happens_twice_both_offsets_are_right",
        ),
    ],
)
def test_when_a_slot_is(zone: str, start: str, end: str, *, wall: str, reinterpreted: bool) -> None:
    slot = Published("1", datetime.fromisoformat(start), datetime.fromisoformat(end), 1)
    during, not_as_written = real_time(slot, zone)
    assert (f"{local(during.start, zone)} {local(during.end, zone)}", not_as_written) == (wall, reinterpreted)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("2023-03-24T08:00:00-04:00", "end is not after start"),
        ("2023-03-24T07:00:00-04:00", "end is not after start"),
        ("2023-03-25T08:00:01-04:00", "is longer than 24 hours"),
    ],
)
def test_a_slot_is_longer_than_nothing_and_at_most_a_day(end: str, reason: str) -> None:
    slot = Published("1", datetime.fromisoformat("2023-03-24T08:00:00-04:00"), datetime.fromisoformat(end), 1)
    with pytest.raises(Refused, match=reason):
        real_time(slot, NEW_YORK)


@pytest.mark.parametrize(
    ("earliest", "since", "weeks"),
    [
        ("2023-03-24", "2023-03-24", 0),
        ("2023-03-24", "2023-03-25", 1),
        ("2023-03-24", "2023-03-31", 1),
        ("2023-03-24", "2023-04-01", 2),
        ("2023-03-24", "2023-03-18", 0),
        ("2023-03-24", "2023-03-17", -1),
    ],
)
def test_the_earliest_slot_falls_into_the_week_from_the_date_on(earliest: str, since: str, weeks: int) -> None:
    assert weeks_until(date.fromisoformat(earliest), date.fromisoformat(since)) == weeks


def interval(start: str, end: str, zone: str = NEW_YORK) -> Interval:
    return Interval(*(int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) for text in (start, end)))


def test_a_shifted_slot_keeps_its_wall_clock_across_a_change_of_the_clocks() -> None:
    summer = interval("2023-08-01T09:00", "2023-08-01T17:30")
    assert shifted(summer, NEW_YORK, 20) == interval("2023-12-19T09:00", "2023-12-19T17:30")
    assert shifted(summer, NEW_YORK, 0) == summer


def test_the_second_of_two_equal_hours_stays_the_second() -> None:
    second = Interval(*(instant + 3600 for instant in interval("2023-11-05T01:00", "2023-11-05T01:30")))
    assert shifted(second, NEW_YORK, 0) == second


def test_a_slot_shifted_out_of_existence_is_refused() -> None:
    with pytest.raises(Refused, match="end is not after start"):
        shifted(interval("2023-03-05T02:50", "2023-03-05T03:10"), NEW_YORK, 1)
    with pytest.raises(Refused, match="longer than 24 hours"):
        shifted(interval("2023-10-28T08:00", "2023-10-29T08:00"), NEW_YORK, 1)


# --- files --------------------------------------------------------------------------------------------------------------


def publication(folder: Path, *urls: str, files: tuple[str, ...] = ()) -> Path:
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    output = [{"type": "Slot", "url": url} for url in urls]
    (folder / "manifest.json").write_text(json.dumps({"transactionTime": "2023-03-24T20:27:12Z", "output": output}))
    return folder


BASE = "https://example.org/smart/states"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        (f"{BASE}/slots/NJ.ndjson", "slots-NJ.ndjson"),
        (f"{BASE}/slots/NJ.ndjson", "slots/NJ.ndjson"),
        (f"{BASE}/slots/NJ.ndjson", "NJ.ndjson"),
        (f"{BASE}/slots.ndjson?locale=en#top", "slots.ndjson"),
        ("slots.ndjson", "slots.ndjson"),
        ("../../slots.ndjson", "slots.ndjson"),
    ],
)
def test_the_last_parts_of_a_url_name_its_file(tmp_path: Path, url: str, file: str) -> None:
    found = open_publication(publication(tmp_path, url, files=(file,)))
    assert (found.files, found.missing) == ([File("Slot", tmp_path, file)], [])
    assert open_publication(tmp_path / "manifest.json") == found


def test_the_more_parts_name_a_file_the_better(tmp_path: Path) -> None:
    folder = publication(tmp_path, f"{BASE}/a/NJ.ndjson", f"{BASE}/b/NJ.ndjson", files=("a-NJ.ndjson", "NJ.ndjson"))
    assert [file.name for file in open_publication(folder).files] == ["a-NJ.ndjson", "NJ.ndjson"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    folder = publication(tmp_path, f"{BASE}/a.ndjson", f"{BASE}/a.ndjson?page=2", files=("a.ndjson",))
    assert len(open_publication(folder).files) == 1


def test_files_that_are_not_there_are_named_as_shortly_as_they_can_be(tmp_path: Path) -> None:
    urls = [f"{BASE}/slots/NJ.ndjson", f"{BASE}/slots/DE.ndjson", f"{BASE}/more/DE.ndjson", f"{BASE}/{'x' * 5000}", f"{BASE}/\x00"]
    found = open_publication(publication(tmp_path, *urls))
    assert found.missing == ["NJ.ndjson", "slots-DE.ndjson", "more-DE.ndjson", "x" * 5000, "\x00"]


def test_the_recorded_manifest_misses_all_states_but_one() -> None:
    found = open_publication(FEEDS / "riteaid-nj-2023")
    assert [file.name for file in found.files] == ["locations-NJ.ndjson", "schedules-NJ.ndjson", "slots-NJ.ndjson"]
    assert len(found.missing) == 48
    assert found.missing[:3] == ["locations-DE.ndjson", "schedules-DE.ndjson", "slots-DE.ndjson"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        '{"output": 5}',
        '{"output": ["x"]}',
        '{"output": [{"type": "Slot"}]}',
        '{"output":[{"type":1,"url":"//["}]}',
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadPublication, match="is no manifest"):
        open_publication(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPublication, match="No such file"):
        open_publication(tmp_path)


def lines(folder: Path, content: bytes) -> Iterator[tuple[int, str]]:
    (folder / "slots.ndjson").write_bytes(content)
    for line, record in read_lines(File("Slot", folder, "slots.ndjson")):
        assert line.file == "slots.ndjson"
        yield line.number, str(record) if isinstance(record, Refused) else "read"


def test_every_line_that_is_not_blank_is_read_or_refused(tmp_path: Path) -> None:
    slot = json.dumps(SLOT).encode()
    padding = b" " * (LONGEST_LINE - len(slot))
    content = [
        b"\xef\xbb\xbf" + slot,
        b"",
        slot + b"\r",
        b" \t ",
        b"{",
        b"[]",
        b'{"resourceType": "Location"}',
        b'{"resourceType": "Slot", "id": "\xff"}',
        b"[" * 100_000,
        slot + padding,
        slot + padding + b"  ",
        slot + padding * 3,
        b'{"resourceType": ["Slot"]}',
        slot,
    ]
    assert list(lines(tmp_path, b"\n".join(content))) == [
        (1, "read"),
        (3, "read"),
        (5, "is not JSON"),
        (6, "is not a JSON object"),
        (7, "resourceType is not Slot, which the manifest says this file holds"),
        (8, "is not JSON"),
        (9, "is not JSON"),
        (10, "read"),
        (11, f"is longer than {LONGEST_LINE} bytes"),
        (12, f"is longer than {LONGEST_LINE} bytes"),
        (13, "resourceType is not Slot, which the manifest says this file holds"),
        (14, "read"),
    ]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert list(lines(tmp_path, b"")) == []
    assert list(lines(tmp_path, b"\n\n")) == []
