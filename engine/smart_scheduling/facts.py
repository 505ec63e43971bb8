"""What a line says: a site, its timetable or a slot, with every field checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.smart_scheduling.zones import STATES, zone_of

MOST_PLACES = 1000
YEARS = range(2000, 2200)
"""Times in other years are faults."""
_LONGEST_ID = 200
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Where ZIP codes begin with a zero, which spreadsheets lose: New England and New Jersey one, the islands two.
_LEADING_ZERO = frozenset(["CT", "MA", "ME", "NH", "NJ", "PR", "RI", "VI", "VT"])
_SHORT_ZIP = re.compile("([0-9]{3,4})(|-.*)")
_SMART_SERVICES = "fhir-registry.smarthealthit.org/CodeSystem/service-type"


class Refused(Exception):
    """A line that is not taken; the text says why, for people at the publisher."""


@dataclass(frozen=True, slots=True)
class Site:
    """A Location. `zone` follows from state and postal code."""

    id: str
    name: str
    zone: str
    state: str
    address: str
    city: str
    postal_code: str
    phone: str


@dataclass(frozen=True, slots=True)
class Timetable:
    """A Schedule: the bookable timeline of the Location `site` for one service."""

    id: str
    site: str
    service: str
    service_name: str


@dataclass(frozen=True, slots=True)
class Published:
    """A Slot as it was written, its times with the offsets they came with. `capacity` 0: it cannot be booked."""

    timetable: str
    start: datetime
    end: datetime
    capacity: int


def parse(record: Mapping[str, Any]) -> Site | Timetable | Published:
    """The fact that a JSON object states. Raises Refused."""
    match record["resourceType"]:
        case "Location":
            return _site(record)
        case "Schedule":
            return _timetable(record)
        case "Slot":
            return _published(record)
        case other:
            raise Refused(f"a {str(other)[:50]} is not part of a publication")


def _site(record: Mapping[str, Any]) -> Site:
    address = _object(record, "address")
    state = _text(address, "address.state", longest=50).upper()
    if state not in STATES:
        raise Refused(f"address.state {state!r} is not a state of the United States, its capital's district or a territory")
    postal_code = _zip(_text(address, "address.postalCode", longest=12, required=False), state)
    zone = zone_of(state, postal_code)
    if zone is None:
        raise Refused(f"{state} has several time zones, and address.postalCode does not say which")
    lines = [_checked(line, "address.line", longest=300) for line in _list(address, "address.line")]
    phones = [contact for contact in map(_as_object, _list(record, "telecom")) if contact.get("system") == "phone"]
    return Site(
        id=_id(record),
        name=_text(record, "name", longest=200),
        zone=zone,
        state=state,
        address=_checked(", ".join(lines), "address.line", longest=300),
        city=_text(address, "address.city", longest=100, required=False),
        postal_code=postal_code,
        phone=_text(phones[0], "telecom.value", longest=40, required=False) if phones else "",
    )


def _zip(text: str, state: str) -> str:
    short = _SHORT_ZIP.fullmatch(text) if state in _LEADING_ZERO else None
    return short[1].zfill(5) + short[2] if short else text


def _timetable(record: Mapping[str, Any]) -> Timetable:
    references = [_text(_as_object(actor), "actor.reference", longest=2000) for actor in _list(record, "actor")]
    sites = {_referenced(reference, "Location") for reference in references} - {None}
    if len(sites) != 1:
        raise Refused(f"actor names {len(sites) or 'no'} locations; a schedule is that of one")
    concepts = [_as_object(concept) for concept in _list(record, "serviceType")]
    codings = [_as_object(coding) for concept in concepts for coding in _list(concept, "coding")]
    # FHIR's general "Immunization" stands beside the code that says what for.
    codings = [c for c in codings if _SMART_SERVICES in str(c.get("system"))] or codings
    services = {_text(c, "serviceType.coding.code", longest=_LONGEST_ID): c for c in codings}
    if len(services) != 1:
        raise Refused(f"serviceType names {len(services) or 'no'} services; a schedule is for one")
    code, coding = services.popitem()
    name = _text(coding, "serviceType.coding.display", longest=200, required=False)
    return Timetable(id=_id(record), site=str(sites.pop()), service=code, service_name=name or code)


def _published(record: Mapping[str, Any]) -> Published:
    _id(record)
    timetable = _referenced(_text(_object(record, "schedule"), "schedule.reference", longest=2000), "Schedule")
    if timetable is None:
        raise Refused("schedule.reference names no Schedule")
    status = _text(record, "status", longest=40)
    if status not in ("free", "busy", "busy-unavailable", "busy-tentative", "entered-in-error"):
        raise Refused(f"status {status!r} is not one of FHIR's")
    capacity = _capacity(record)
    return Published(
        timetable=timetable,
        start=_instant(record, "start"),
        end=_instant(record, "end"),
        capacity=capacity if status == "free" else 0,
    )


def _capacity(record: Mapping[str, Any]) -> int:
    extensions = [_as_object(extension) for extension in _list(record, "extension")]
    found = [e.get("valueInteger") for e in extensions if str(e.get("url")).endswith("/slot-capacity")]
    capacity = found[0] if found else 1
    if len(found) > 1 or type(capacity) is not int or not 0 <= capacity <= MOST_PLACES:
        raise Refused(f"slot-capacity is not one whole number from 0 to {MOST_PLACES}")
    return capacity


def _instant(record: Mapping[str, Any], key: str) -> datetime:
    text = _text(record, key, longest=50).upper()
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise Refused(f"{key} is not a time like 2027-03-01T09:30:00-05:00")
    seconds, fraction, offset = match.groups()
    if offset is None:
        raise Refused(f"{key} has no offset, so it names no instant")
    if fraction is not None and fraction.strip(".0"):
        raise Refused(f"{key} is not at a whole second")
    try:
        parsed = datetime.fromisoformat(seconds + offset)
    except ValueError:
        raise Refused(f"{key} is a time that does not exist") from None
    if parsed.year not in YEARS:
        raise Refused(f"{key} is not in the years {YEARS.start} to {YEARS.stop - 1}")
    return parsed


# --- fields -------------------------------------------------------------------------------------------------------------


def _id(record: Mapping[str, Any]) -> str:
    text = _text(record, "id", longest=_LONGEST_ID)
    if text != record["id"] or " " in text:
        raise Refused("id has a space in it")
    return text


def _referenced(reference: str, kind: str) -> str | None:
    """The id in "Location/1" or "https://…/Location/1"; None when the reference is to something else."""
    parts = reference.split("/")
    return parts[-1] or None if len(parts) > 1 and parts[-2] == kind else None


def _text(record: Mapping[str, Any], path: str, *, longest: int, required: bool = True) -> str:
    value = record.get(path.rpartition(".")[2])
    if value is None and not required:
        return ""
    text = _checked(value, path, longest=longest)
    if required and not text:
        raise Refused(f"{path} is missing")
    return text


def _checked(value: object, path: str, *, longest: int) -> str:
    if value is None:
        raise Refused(f"{path} is missing")
    if not isinstance(value, str):
        raise Refused(f"{path} is not text")
    text = " ".join(value.split())
    if _UNPRINTABLE.search(text):
        raise Refused(f"{path} holds characters that cannot be printed")
    if len(text) > longest:
        raise Refused(f"{path} is longer than {longest} characters")
    return text


def _object(record: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if path not in record:
        raise Refused(f"{path} is missing")
    return _as_object(record[path])


def _as_object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused("holds something else where an object belongs")
    return value


def _list(record: Mapping[str, Any], path: str) -> list[Any]:
    value = record.get(path.rpartition(".")[2])
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(f"{path} is not a list")
    return value
