"""The shapes of the wire (contract of /api/engine/v1): closed, strict, and free of any web framework.

A request with an unknown field, a wrong type or a time without an offset is refused, and nothing changes.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from apps.kernel.shapes import (
    LONGEST_PAGE,
    Answer,
    BirthDate,
    Closed,
    Email,
    Identifier,
    Instant,
    Limit,
    Line,
    Name,
    Phone,
    Query,
    Second,
    State,
    Time,
    Token,
    Zone,
)

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


LARGEST_ENVELOPE = 16 * 1024
_PART = "[A-Za-z0-9_-]"
Envelope = Annotated[
    str,
    # Five parts: header, no encrypted key (ECDH-ES agrees on it), nonce of 12 bytes, what is sealed, tag of 16.
    Field(max_length=LARGEST_ENVELOPE, pattern=rf"^{_PART}+\.\.{_PART}{{16}}\.{_PART}+\.{_PART}{{22}}$"),
]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$", description="ISO 639-1, two letters")]
Answers = Annotated[dict[Line, Annotated[str, Field(max_length=2000)]], Field(max_length=30)]


class PatientIn(Closed):
    """One of: a known `id` (staff and programs); a `sealed` envelope; plain details, sealed before anything is kept.

    An envelope is a compact JWE to the first of `/sealing-keys`, its header {"alg": "ECDH-ES", "enc": "A256GCM", "kid": …,
    "typ": "healthflow-patient+jwe"}, of a JSON object with any of name, email, phone, date_of_birth, language, zone, as here,
    and state and answers.
    """

    id: Identifier | None = None
    sealed: Envelope | None = None
    name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    date_of_birth: BirthDate | None = None
    language: Language | None = None
    zone: Zone | None = None

    @model_validator(mode="after")
    def one_form(self) -> "PatientIn":
        plain = (self.name, self.email, self.phone, self.date_of_birth, self.language, self.zone)
        forms = [self.id is not None, self.sealed is not None, any(value is not None for value in plain)]
        if sum(forms) != 1:
            raise ValueError("give exactly one of id, sealed, or plain details")
        if forms[2] and self.name is None:
            raise ValueError("name is needed with plain details")
        return self


class ConfirmIn(Closed):
    patient: PatientIn
    state: State = ""
    answers: Answers | None = None


class AppointmentIn(SlotChoice):
    patient: PatientIn
    state: State = ""
    answers: Answers | None = None


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
    expand: Literal["", "history"] = ""


# --- answers ------------------------------------------------------------------------------------------------------------


class SealingKeyOut(Answer):
    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str
    use: Literal["enc"]
    alg: Literal["ECDH-ES"]


class SealingKeysOut(Answer):
    """A JWK set (RFC 7517); the first key is the one to seal to."""

    keys: list[SealingKeyOut]


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
    manage_url: str | None = None


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


class ManagedClinicOut(Answer):
    slug: str
    name: str
    zone: str
    phone: str


class NamedOut(Answer):
    id: str
    name: str


class ManagedOut(Answer):
    """A visit as its patient's link shows it: nothing of the patient. It can be changed until `change_until`."""

    status: str
    start: datetime
    end: datetime
    change_until: datetime
    modality: str
    state: str
    clinic: ManagedClinicOut
    visit_type: NamedOut
    calendar: NamedOut
    location: LocationOut | None


class ExceptionOut(Answer):
    id: str
    start: datetime
    end: datetime
    open: bool
    capacity: int
    version: int


class VersionOut(Answer):
    version: int
