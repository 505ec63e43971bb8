"""The shapes of the wire (contract of /api/engine/v1): closed, strict, and free of any web framework.

A request with an unknown field, a wrong type or a time without an offset is refused, and nothing changes.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
# The last ones turn the direction of what follows: a name or an address would not read as it is.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# A database keeps any year; a clinic does not.
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

LONGEST_PAGE = 500


def parse_instant(value: Any) -> int:
    """Seconds since 1970 of an RFC 3339 time with an offset. Raises ValueError with a sentence for the caller."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # a default of ours, never from the wire: there a time is text
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("a time must be RFC 3339 with an offset, like 2027-03-01T09:30:00-05:00")
    try:
        parsed = datetime.fromisoformat(value.upper().replace("Z", "+00:00"))
        inside = _EARLIEST <= parsed < _LATEST
    except (ValueError, OverflowError):
        raise ValueError("this time does not exist") from None
    if not inside:
        raise ValueError("a time must lie between the years 2000 and 2200")
    return int(parsed.timestamp())


def _wire_instant(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("a time must be RFC 3339 text with an offset")
    return parse_instant(value)


def _whole_second(value: Any) -> int:
    instant = _wire_instant(value)
    if re.search(r"\.\d*[1-9]", value):
        raise ValueError("a visit starts and ends at a whole second")
    return instant


def _printable(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed")
    return value


def _said(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _birth_date(value: str) -> str:
    try:
        possible = date(1880, 1, 1) <= date.fromisoformat(value) <= datetime.now(UTC).date()
    except ValueError:
        possible = False
    if not possible:
        raise ValueError("not a possible birth date")
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("not an IANA time zone")
    return value


Instant = Annotated[int, BeforeValidator(_wire_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Second = Annotated[int, BeforeValidator(_whole_second), WithJsonSchema({"type": "string", "format": "date-time"})]
Line = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Token = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]
Identifier = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
State = Annotated[str, Field(pattern=r"^([A-Z]{2})?$", description="two letters, or empty")]
Zone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
Time = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="wall clock time, HH:MM")]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# --- requests -----------------------------------------------------------------------------------------------------------


class SlotChoice(Closed):
    """A slot by its token from a search; or a visit type, a calendar and a start (and, to be sure, its end)."""

    slot: Token | None = None
    visit_type: Identifier | None = None
    calendar: Identifier | None = None
    start: Second | None = None
    end: Second | None = None
    modality: Line = ""

    @model_validator(mode="after")
    def one_way(self) -> "SlotChoice":
        named = (self.visit_type, self.calendar, self.start)
        if (self.slot is not None) == any(value is not None for value in named):
            raise ValueError("give either slot, or visit_type, calendar and start")
        if self.slot is None and None in named:
            raise ValueError("visit_type, calendar and start are all needed when slot is not given")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class HoldIn(SlotChoice):
    seconds: Annotated[int, Field(ge=30, le=900)] = 300


class ExtendIn(Closed):
    seconds: Annotated[int, Field(ge=30, le=900)] = 300


class PatientIn(Closed):
    """One of: a known `id` (staff and programs); a `sealed` envelope (compact JWE); plain details, sealed before they are kept."""

    id: Identifier | None = None
    sealed: Annotated[str, Field(max_length=32_000, pattern=r"^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$")] | None = None
    name: Annotated[Line, AfterValidator(_said)] | None = None
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"), AfterValidator(_printable)] | None = None
    phone: Annotated[str, Field(max_length=40, pattern=r"^[0-9+(). x/-]{5,}$")] | None = None
    date_of_birth: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_birth_date)] | None = None

    @model_validator(mode="after")
    def one_form(self) -> "PatientIn":
        plain = (self.name, self.email, self.phone, self.date_of_birth)
        forms = [self.id is not None, self.sealed is not None, any(value is not None for value in plain)]
        if sum(forms) != 1:
            raise ValueError("give exactly one of id, sealed, or plain details")
        if forms[2] and self.name is None:
            raise ValueError("name is needed with plain details")
        return self


class ConfirmIn(Closed):
    patient: PatientIn
    state: State = ""
    answers: Annotated[dict[Line, Annotated[str, Field(max_length=2000)]], Field(max_length=30)] | None = None


class AppointmentIn(SlotChoice):
    patient: PatientIn
    state: State = ""
    answers: Annotated[dict[Line, Annotated[str, Field(max_length=2000)]], Field(max_length=30)] | None = None


class RescheduleIn(Closed):
    slot: Token


class MoveIn(Closed):
    """Nothing needs to be said."""


class CancelIn(Closed):
    reason: Line = ""
    by: Literal["patient", "clinic"]


class HoursIn(Closed):
    weekday: Annotated[int, Field(ge=0, le=6, description="Monday is 0")]
    opens: Time
    closes: Time
    valid_from: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    valid_until: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class WeekIn(Closed):
    """The whole week; what is not in it is closed. `closes` at or before `opens` means the next day."""

    hours: Annotated[list[HoursIn], Field(max_length=200)]


class ExceptionIn(Closed):
    start: Second
    end: Second
    open: bool
    capacity: Annotated[int, Field(ge=1, le=1000)] = 1
    visit_type: Identifier | None = None

    @model_validator(mode="after")
    def in_order(self) -> "ExceptionIn":
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self


# --- queries ------------------------------------------------------------------------------------------------------------

Limit = Annotated[int, Field(ge=1, le=LONGEST_PAGE)]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SlotsQuery(Query):
    visit_type: Identifier
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None
    calendar: Identifier | None = None
    state: State = ""
    modality: Line = ""
    tz: Zone = "UTC"
    limit: Limit = 100
    cursor: Token | None = None


class FirstQuery(Query):
    visit_type: Identifier | None = None
    specialty: Line = ""
    state: State = ""
    modality: Line = ""
    after: Instant | None = None
    tz: Zone = "UTC"
    limit: Annotated[int, Field(ge=1, le=50)] = 10

    @model_validator(mode="after")
    def something_asked(self) -> "FirstQuery":
        if self.visit_type is None and not self.specialty:
            raise ValueError("give visit_type or specialty")
        return self


class RangeQuery(Query):
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None


class ChangesQuery(Query):
    since: Annotated[int, Field(ge=0, le=2**62)]
    limit: Limit = LONGEST_PAGE
    # The edge takes such a request to the push process; whoever comes here past it is answered at once.
    wait: Annotated[int | None, Field(ge=1, le=25, description="seconds to wait for the first change")] = None


class AppointmentsQuery(Query):
    calendar: Identifier | None = None
    clinic: Line = ""
    patient: Identifier | Literal[""] = ""
    status: Literal["", "held", "booked", "arrived", "in_progress", "completed", "cancelled", "no_show", "expired"] = ""
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None
    limit: Limit = 100
    cursor: Identifier | None = None


class AppointmentQuery(Query):
    expand: Literal["", "history", "patient", "history,patient"] = ""


# --- answers ------------------------------------------------------------------------------------------------------------


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SlotOut(Answer):
    slot: str
    start: datetime
    end: datetime
    calendar: str
    calendars: list[str]
    modality: str
    capacity: int
    location: str | None


class SlotsOut(Answer):
    items: list[SlotOut]
    next: str | None
    as_of: dict[str, int]


class HoldOut(Answer):
    id: str
    slot: str
    start: datetime
    end: datetime
    calendar: str
    calendars: list[str]
    expires_at: datetime
    secret: str
    version: int


class HistoryEntry(Answer):
    event: str
    at: datetime
    by: str
    reason: str | None = None
    from_: Annotated[datetime | None, Field(alias="from")] = None


class AppointmentOut(Answer):
    id: str
    clinic: str
    calendar: str
    calendars: list[str]
    visit_type: str
    status: str
    start: datetime
    end: datetime
    patient: dict[str, Any] | None
    modality: str
    state: str
    version: int
    created_at: datetime
    expires_at: datetime | None = None
    history: list[HistoryEntry] | None = None


class AppointmentsOut(Answer):
    items: list[AppointmentOut]
    next: str | None


class IntervalOut(Answer):
    start: datetime
    end: datetime


class SnapshotHold(IntervalOut):
    id: str
    status: Literal["held"]
    visit_type: str
    calendars: list[str]
    expires_at: datetime


class SnapshotOut(Answer):
    epoch: str
    version: int
    calendar: str
    zone: str
    appointments: list[AppointmentOut]
    holds: list[SnapshotHold]
    open: list[IntervalOut]


class EventOut(Answer):
    type: Literal["event"]
    calendar: str
    version: int
    event: str
    at: datetime
    data: dict[str, Any]


class ChangesOut(Answer):
    epoch: str
    version: int
    events: list[EventOut]


class VisitTypeOut(Answer):
    id: str
    name: str
    duration_minutes: int | None
    modalities: list[str]
    needs: list[str]
    calendars: list[str]


class CalendarOut(Answer):
    id: str
    name: str
    kind: str
    zone: str
    specialty: str
    states: list[str]
    location: str | None


class LocationOut(Answer):
    id: str
    name: str
    address: str
    city: str
    state: str
    postal_code: str
    phone: str
    zone: str


class ClinicOut(Answer):
    slug: str
    name: str
    zone: str
    visit_types: list[VisitTypeOut]
    calendars: list[CalendarOut]
    locations: list[LocationOut]


class ExceptionOut(Answer):
    id: str
    start: datetime
    end: datetime
    open: bool
    capacity: int
    version: int


class VersionOut(Answer):
    version: int


class ProblemOut(BaseModel):
    """RFC 9457; some codes add fields, such as `alternatives`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    param: str | None = None
    retry_after: int | None = None


def in_zone(instant: int, zone: str) -> str:
    """An instant as text with the offset of a zone; "UTC" gives a Z."""
    if zone == "UTC":
        return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).isoformat()
