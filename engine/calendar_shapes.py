"""The shapes of the wire for calendars: their hours and exceptions, snapshots, and what happened to them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from apps.kernel.shapes import LONGEST_PAGE, Answer, Closed, Identifier, Instant, Limit, Line, Query, Second, Time, Token
from engine.shapes import AppointmentOut

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="a date, YYYY-MM-DD")]
Note = Annotated[Line, Field(max_length=100, description="for colleagues, never about a patient")]

# --- requests -----------------------------------------------------------------------------------------------------------


class HoursIn(Closed):
    weekday: Annotated[int, Field(ge=0, le=6, description="Monday is 0")]
    opens: Time
    closes: Time
    valid_from: Day | None = None
    valid_until: Day | None = None


class WeekIn(Closed):
    """The whole week; what is not in it is closed. `closes` at or before `opens` means the next day."""

    hours: Annotated[list[HoursIn], Field(max_length=200)]


class ExceptionIn(Closed):
    start: Second
    end: Second
    open: bool
    capacity: Annotated[int, Field(ge=1, le=1000)] = 1
    visit_type: Identifier | None = None
    note: Note = ""

    @model_validator(mode="after")
    def in_order(self) -> "ExceptionIn":
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self


# --- queries ------------------------------------------------------------------------------------------------------------


class RangeQuery(Query):
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None


class SnapshotQuery(RangeQuery):
    version: Annotated[int | None, Field(ge=0, le=2**62, description="known already: the answer is no older")] = None


class ChangesQuery(Query):
    since: Annotated[int, Field(ge=0, le=2**62)]
    limit: Limit = LONGEST_PAGE
    # The edge takes such a request to the push process; whoever comes here past it is answered at once.
    wait: Annotated[int | None, Field(ge=1, le=25, description="seconds to wait for the first change")] = None


class ExceptionsQuery(RangeQuery):
    limit: Limit = LONGEST_PAGE
    cursor: Token | None = None


class ClinicRangeQuery(RangeQuery):
    calendar: Annotated[list[Identifier], Field(max_length=100)] = []


class StatisticsQuery(Query):
    """Days of the clinic, both counted."""

    from_: Annotated[Day, Field(alias="from")]
    to: Day


# --- answers ------------------------------------------------------------------------------------------------------------


class IntervalOut(Answer):
    start: datetime
    end: datetime


class SnapshotHold(IntervalOut):
    id: str
    status: Literal["held"]
    visit_type: str
    calendars: list[str]
    modality: str
    expires_at: datetime


class CalendarException(IntervalOut):
    """An interval that is open or closed whatever the weekly hours say."""

    id: str
    open: bool
    capacity: int
    visit_type: str | None
    note: str


class SnapshotOut(Answer):
    epoch: str
    version: int
    calendar: str
    zone: str
    appointments: list[AppointmentOut]
    holds: list[SnapshotHold]
    open: list[IntervalOut]
    exceptions: list[CalendarException]
    join_url: str | None
    """The practitioner's video room; for staff only."""


class ClinicSnapshotOut(Answer):
    """Several calendars of a clinic, all as they were at one moment."""

    epoch: str
    calendars: list[SnapshotOut]


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


class ExceptionOut(Answer):
    id: str
    start: datetime
    end: datetime
    open: bool
    capacity: int
    visit_type: str | None
    note: str
    version: int


class VersionOut(Answer):
    version: int


class HoursRuleOut(Answer):
    weekday: int
    opens: str
    closes: str
    valid_from: str | None
    valid_until: str | None


class WeekOut(Answer):
    """The weekly hours, as `PUT` takes them, and what else closes the calendar: `holidays` is a country or country-state."""

    hours: list[HoursRuleOut]
    zone: str
    holidays: str
    version: int


class CalendarExceptionsOut(Answer):
    items: list[CalendarException]
    next: str | None


class FiguresOut(Answer):
    """Rates are between 0 and 1, or null where nothing is known; `lead_time_hours` and `wait_minutes` are medians, or null."""

    open_minutes: int
    booked_minutes: int
    utilisation: float | None
    booked: int
    completed: int
    cancelled: int
    no_show: int
    no_show_rate: float | None
    lead_time_hours: float | None
    wait_minutes: float | None


class DayFiguresOut(FiguresOut):
    date: str


class CalendarFiguresOut(FiguresOut):
    calendar: str


class StatisticsOut(Answer):
    days: list[DayFiguresOut]
    calendars: list[CalendarFiguresOut]
    total: FiguresOut
