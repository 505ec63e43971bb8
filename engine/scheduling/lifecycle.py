"""The states of an appointment and the moves between them, each move with the event that tells of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Status(StrEnum):
    HELD = "held"
    BOOKED = "booked"
    ARRIVED = "arrived"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    EXPIRED = "expired"


class Event(StrEnum):
    """Facts, in the past tense; the name on the wire."""

    CALENDAR_CREATED = "calendar.created"
    HOURS_CHANGED = "calendar.hours_changed"
    HELD = "appointment.held"
    EXTENDED = "appointment.hold_extended"
    BOOKED = "appointment.booked"
    RESCHEDULED = "appointment.rescheduled"
    ARRIVED = "appointment.arrived"
    STARTED = "appointment.started"
    COMPLETED = "appointment.completed"
    CANCELLED = "appointment.cancelled"
    NO_SHOW = "appointment.no_show"
    EXPIRED = "appointment.expired"
    LINKED = "appointment.linked"


class Move(NamedTuple):
    """From one of `sources` to `target`, told as `event`."""

    sources: frozenset[Status]
    target: Status
    event: Event


MOVES = {
    "confirm": Move(frozenset({Status.HELD}), Status.BOOKED, Event.BOOKED),
    "expire": Move(frozenset({Status.HELD}), Status.EXPIRED, Event.EXPIRED),
    "release": Move(frozenset({Status.HELD}), Status.CANCELLED, Event.CANCELLED),
    "cancel": Move(frozenset({Status.BOOKED, Status.ARRIVED}), Status.CANCELLED, Event.CANCELLED),
    "arrive": Move(frozenset({Status.BOOKED}), Status.ARRIVED, Event.ARRIVED),
    "start": Move(frozenset({Status.BOOKED, Status.ARRIVED}), Status.IN_PROGRESS, Event.STARTED),
    "complete": Move(frozenset({Status.ARRIVED, Status.IN_PROGRESS}), Status.COMPLETED, Event.COMPLETED),
    "no-show": Move(frozenset({Status.BOOKED}), Status.NO_SHOW, Event.NO_SHOW),
}
"""Every move by its name; "extend" and "reschedule" are not here, they keep the status."""

TAKES_TIME = frozenset(Status) - {Status.CANCELLED, Status.EXPIRED}
"""The states in which an appointment's allocations are live. A missed or finished visit keeps its time: it is history."""

CAN_BE_MOVED = frozenset({Status.BOOKED, Status.ARRIVED})
"""The states in which an appointment may be rescheduled."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """A hold or an appointment as the core handles it; all references are database keys, all times instants in seconds.

    `calendar` is the one people chose, `calendars` all it takes, sorted. `version` is the one of `calendar` that its last
    change took. `expires_at` is given as long as it is held.
    """

    id: UUID
    clinic: int
    visit_type: int
    calendar: int
    calendars: tuple[int, ...]
    status: Status
    start: int
    end: int
    modality: str
    state: str
    expires_at: int | None
    extended: bool
    patient_id: str | None
    version: int
    created_at: int

    def allows(self, move: Move) -> bool:
        return self.status in move.sources
