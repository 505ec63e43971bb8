"""The shapes of the wire for setting up a clinic: closed, strict, and free of any web framework.

A change names what changes, and the `revision` that was seen; what it leaves out stays.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from apps.kernel.shapes import Answer, Closed, Identifier, Line, Name, Query, Zone
from engine.ics import LARGEST
from engine.rules import regions

Text = Annotated[str, AfterValidator(str.strip)]


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("each one once")
    return values


def _region(value: str) -> str:
    if value and value not in regions():
        raise ValueError("not a region whose public holidays are known")
    return value


_HTTPS = r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
_HERE = r"http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?"
Origin = Annotated[str, Field(max_length=200, pattern=rf"^({_HTTPS}|{_HERE})$", description="scheme, host and port, no path")]
Link = Annotated[str, Field(max_length=500, pattern=r"""^(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\s<>"'\\]*)?)?$""")]
UsState = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Region = Annotated[str, Field(max_length=10), AfterValidator(_region)]
Kind = Literal["practitioner", "room", "device"]
Modality = Literal["in_person", "video", "phone"]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="as it was when it was read")]

Origins = Annotated[list[Origin], Field(max_length=20), AfterValidator(_distinct)]
States = Annotated[list[UsState], Field(max_length=60), AfterValidator(_distinct)]
Languages = Annotated[
    list[Annotated[str, Field(pattern=r"^[a-z]{2}$", description="ISO 639-1, two letters")]],
    Field(max_length=20),
    AfterValidator(_distinct),
]
Weight = Annotated[int, Field(ge=0, le=1000)]
Modalities = Annotated[list[Modality], Field(min_length=1), AfterValidator(_distinct)]
Needs = Annotated[list[Kind], Field(min_length=1), AfterValidator(_distinct)]
Calendars = Annotated[list[Identifier], Field(max_length=500), AfterValidator(_distinct)]
Duration = Annotated[int, Field(ge=1, le=1439)]
Step = Annotated[int, Field(ge=1, le=1440)]
Buffer = Annotated[int, Field(ge=0, le=720)]
Notice = Annotated[int, Field(ge=0, le=365 * 24 * 60)]
Horizon = Annotated[int, Field(ge=1, le=730)]
Phone = Annotated[str, Field(max_length=40, pattern=r"^([0-9+(). x/-]{5,})?$")]
City = Annotated[Line, Field(max_length=100)]
Specialty = Annotated[Line, Field(max_length=100)]
PostalCode = Annotated[Line, Field(max_length=12)]


# --- requests -----------------------------------------------------------------------------------------------------------


class SettingsChange(Closed):
    revision: Revision
    name: Name | None = None
    zone: Zone | None = None
    widget_origins: Origins | None = None


class PlaceIn(Closed):
    name: Name
    zone: Zone
    state: UsState
    address: Line = ""
    city: City = ""
    postal_code: PostalCode = ""
    phone: Phone = ""


class PlaceChange(Closed):
    revision: Revision
    name: Name | None = None
    zone: Zone | None = None
    state: UsState | None = None
    address: Line | None = None
    city: City | None = None
    postal_code: PostalCode | None = None
    phone: Phone | None = None


class CalendarIn(Closed):
    """`location` is the id of a place, or empty; `states` where the practitioner is licensed, none for anywhere.

    `languages` are those the practitioner speaks; `weight` is the share of visits where they are dealt out by weight.
    """

    kind: Kind
    name: Name
    zone: Zone
    location: Identifier = ""
    specialty: Specialty = ""
    states: States = []
    languages: Languages = []
    weight: Weight = 1
    holidays: Region = ""
    join_url: Link = ""


class CalendarChange(Closed):
    revision: Revision
    name: Name | None = None
    zone: Zone | None = None
    location: Identifier | None = None
    specialty: Specialty | None = None
    states: States | None = None
    languages: Languages | None = None
    weight: Weight | None = None
    holidays: Region | None = None
    join_url: Link | None = None
    active: bool | None = None


class VisitTypeIn(Closed):
    """`needs` are the kinds of calendar a visit takes; the first is the one people choose. `calendars` are those that offer it."""

    name: Name
    duration_minutes: Duration
    step_minutes: Step = 15
    before_minutes: Buffer = 0
    after_minutes: Buffer = 0
    notice_minutes: Notice = 0
    change_notice_minutes: Notice = 0
    horizon_days: Horizon = 180
    modalities: Modalities
    needs: Needs
    calendars: Calendars = []


class VisitTypeChange(Closed):
    revision: Revision
    name: Name | None = None
    duration_minutes: Duration | None = None
    step_minutes: Step | None = None
    before_minutes: Buffer | None = None
    after_minutes: Buffer | None = None
    notice_minutes: Notice | None = None
    change_notice_minutes: Notice | None = None
    horizon_days: Horizon | None = None
    modalities: Modalities | None = None
    needs: Needs | None = None
    calendars: Calendars | None = None
    active: bool | None = None


class ImportIn(Closed):
    """A calendar file (RFC 5545), and what its events are: busy times, or weekly opening hours. Without `apply` nothing is done."""

    ics: Annotated[str, Field(min_length=1, max_length=LARGEST)]
    as_: Annotated[Literal["busy", "hours"], Field(alias="as")]
    apply: bool = False


class HolidaysQuery(Query):
    region: Region = ""
    year: Annotated[int, Field(ge=2000, le=2199)] = 2026


# --- answers ------------------------------------------------------------------------------------------------------------


class SettingsOut(Answer):
    revision: str
    slug: str
    name: str
    zone: str
    widget_origins: list[str]


class PlaceOut(Answer):
    revision: str
    id: str
    name: str
    zone: str
    state: str
    address: str
    city: str
    postal_code: str
    phone: str


class PlacesOut(Answer):
    items: list[PlaceOut]


class CalendarOut(Answer):
    """`future_visits`: how many booked visits are still to come; they stay booked when it is made inactive."""

    revision: str
    id: str
    kind: str
    name: str
    zone: str
    location: str
    specialty: str
    states: list[str]
    languages: list[str]
    weight: int
    holidays: str
    join_url: str
    active: bool
    future_visits: int


class CalendarsOut(Answer):
    items: list[CalendarOut]


class VisitTypeOut(Answer):
    revision: str
    id: str
    name: str
    duration_minutes: int | None
    step_minutes: int
    before_minutes: int
    after_minutes: int
    notice_minutes: int
    change_notice_minutes: int
    horizon_days: int
    modalities: list[str]
    needs: list[str]
    active: bool
    calendars: list[str]


class VisitTypesOut(Answer):
    items: list[VisitTypeOut]


class RefusalOut(Answer):
    event: int
    reason: str


class ImportedItem(Answer):
    """A time (`start` to `end`) of a file of busy times, or a weekly rule of a file of hours."""

    outcome: Literal["created", "updated", "unchanged", "removed"]
    start: str | None = None
    end: str | None = None
    weekday: int | None = None
    opens: str | None = None
    closes: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None


class CollisionOut(Answer):
    appointment: str
    start: str
    end: str
    status: str
    visit_type: str


class ImportOut(Answer):
    """`items` are the first 500; `collisions` the booked visits that lie in a busy time. They stay booked."""

    applied: bool
    version: int
    created: int
    updated: int
    unchanged: int
    removed: int
    refused: list[RefusalOut]
    items: list[ImportedItem]
    collisions: list[CollisionOut]


class HolidayOut(Answer):
    date: str
    name: str


class HolidaysOut(Answer):
    """All regions that are known, and the public holidays of the one that was asked for."""

    regions: list[str]
    days: list[HolidayOut]
