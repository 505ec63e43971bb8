"""The shapes of the wire (contract of /api/engine/v1): closed, strict, and free of any web framework.

A request with an unknown field, a wrong type or a time without an offset is refused, and nothing changes.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from apps.kernel.shapes import (
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
    """`state`, where the patient will be, decides who may be among the alternatives; confirming decides about the licence."""

    seconds: Annotated[int, Field(ge=30, le=900)] = 300
    state: State = ""


class ExtendIn(Closed):
    """`state` as for a hold."""

    seconds: Annotated[int, Field(ge=30, le=900)] = 300
    state: State = ""


LARGEST_ENVELOPE = 16 * 1024
_PART = "[A-Za-z0-9_-]"
Envelope = Annotated[
    str,
    # Five parts: header, no encrypted key (ECDH-ES agrees on it), nonce of 12 bytes, what is sealed, tag of 16.
    Field(max_length=LARGEST_ENVELOPE, pattern=rf"^{_PART}+\.\.{_PART}{{16}}\.{_PART}+\.{_PART}{{22}}$"),
]
Minutes = Annotated[int, Field(ge=1, le=1439)]
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


class OverrideIn(Closed):
    """Why it has to be then, in words; they stay in the appointment's history."""

    reason: Annotated[Name, Field(min_length=3)]


class StaffTime(Closed):
    """What staff may add to a time that they name: a length of their own, and that nothing counts but an overlap."""

    duration_minutes: Minutes | None = None
    override: OverrideIn | None = None


class AppointmentIn(SlotChoice, StaffTime):
    patient: PatientIn
    state: State = ""
    answers: Answers | None = None

    @model_validator(mode="after")
    def lengths(self) -> "AppointmentIn":
        if self.slot is not None and (self.duration_minutes is not None or self.override is not None):
            raise ValueError("a slot has its own length and is offered: name a time instead")
        if self.end is not None and self.duration_minutes is not None:
            raise ValueError("give end or duration_minutes")
        return self


class RescheduleIn(Closed):
    slot: Token


class StaffRescheduleIn(StaffTime):
    """A slot by its token from a search; or a calendar and a start, of the same visit type."""

    slot: Token | None = None
    calendar: Identifier | None = None
    start: Second | None = None
    modality: Line = ""

    @model_validator(mode="after")
    def one_way(self) -> "StaffRescheduleIn":
        named = (self.calendar, self.start)
        if (self.slot is not None) == any(value is not None for value in named):
            raise ValueError("give either slot, or calendar and start")
        if self.slot is None and None in named:
            raise ValueError("calendar and start are both needed when slot is not given")
        if self.slot is not None and (self.duration_minutes is not None or self.override is not None or self.modality):
            raise ValueError("a slot has its own length and is offered: name a time instead")
        return self


class ConflictsIn(Closed):
    visit_type: Identifier
    calendar: Identifier
    start: Second
    duration_minutes: Minutes | None = None
    modality: Line = ""
    state: State = ""
    appointment: Identifier | None = None
    """The one that is to be moved there: it is not in its own way."""


class MoveIn(Closed):
    """Nothing needs to be said."""


class CancelIn(Closed):
    reason: Line = ""
    by: Literal["patient", "clinic"]


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
    language: Language | Literal[""] = ""
    policy: Literal["earliest", "least_booked", "longest_idle", "weighted"] = "earliest"
    after: Instant | None = None
    tz: Zone = "UTC"
    limit: Annotated[int, Field(ge=1, le=50)] = 10

    @model_validator(mode="after")
    def something_asked(self) -> "FirstQuery":
        if self.visit_type is None and not self.specialty:
            raise ValueError("give visit_type or specialty")
        return self


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


class FirstOut(SlotsOut):
    complete: Annotated[bool, Field(description="false: not all were looked at, there may be an earlier one")]


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
    override: str | None = None
    waived: list[str] | None = None
    was: str | None = None
    """The status that was taken back."""
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
    stages: dict[str, datetime]
    """When the visit's steps were taken, those that were: arrived, roomed, started, completed."""
    join_url: str | None = None
    """The practitioner's video room, in snapshots, when the visit is one by video."""
    expires_at: datetime | None = None
    history: list[HistoryEntry] | None = None
    manage_url: str | None = None


class ConflictOut(Answer):
    """What stands against a time; `start` and `end` are whose time it is in, `appointment` who has it."""

    code: str
    reason: Literal["past", "notice", "horizon", "closed", "grid", "duration", "room", "taken", "buffer", "licence"]
    calendar: str
    start: datetime | None = None
    end: datetime | None = None
    appointment: str | None = None
    overridable: bool


class ConflictsOut(Answer):
    conflicts: list[ConflictOut]


class AppointmentsOut(Answer):
    items: list[AppointmentOut]
    next: str | None


class VisitTypeOut(Answer):
    id: str
    name: str
    duration_minutes: int | None
    before_minutes: int
    after_minutes: int
    step_minutes: int
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
