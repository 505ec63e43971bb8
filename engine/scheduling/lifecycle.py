"""The states of an appointment and the moves between them, each move with the event that tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    ROOMED = "appointment.roomed"
    STARTED = "appointment.started"
    COMPLETED = "appointment.completed"
    CANCELLED = "appointment.cancelled"
    NO_SHOW = "appointment.no_show"
    EXPIRED = "appointment.expired"
    LINKED = "appointment.linked"
    REVERTED = "appointment.reverted"


class Move(NamedTuple):
    """From one of `sources` to `target`, told as `event`; `stage` names the step of the visit that it is, if it is one."""

    sources: frozenset[Status]
    target: Status
    event: Event
    stage: str | None = None


MOVES = {
    "confirm": Move(frozenset({Status.HELD}), Status.BOOKED, Event.BOOKED),
    "expire": Move(frozenset({Status.HELD}), Status.EXPIRED, Event.EXPIRED),
    "release": Move(frozenset({Status.HELD}), Status.CANCELLED, Event.CANCELLED),
    "cancel": Move(frozenset({Status.BOOKED, Status.ARRIVED}), Status.CANCELLED, Event.CANCELLED),
    # Who was given up as missing may still come.
    "arrive": Move(frozenset({Status.BOOKED, Status.NO_SHOW}), Status.ARRIVED, Event.ARRIVED, "arrived"),
    "room": Move(frozenset({Status.ARRIVED}), Status.ARRIVED, Event.ROOMED, "roomed"),
    "start": Move(frozenset({Status.BOOKED, Status.ARRIVED}), Status.IN_PROGRESS, Event.STARTED, "started"),
    "complete": Move(frozenset({Status.ARRIVED, Status.IN_PROGRESS}), Status.COMPLETED, Event.COMPLETED, "completed"),
    "no-show": Move(frozenset({Status.BOOKED}), Status.NO_SHOW, Event.NO_SHOW),
}
"""Every move by its name; "extend" and "reschedule" are not here, they keep the status, nor is the way back (`reverted`)."""

TAKES_TIME = frozenset(Status) - {Status.CANCELLED, Status.EXPIRED}
"""The states in which an appointment's allocations are live. A missed or finished visit keeps its time: it is history."""

CAN_BE_MOVED = frozenset({Status.BOOKED, Status.ARRIVED})
"""The states in which an appointment may be rescheduled."""


STAGES = ("arrived", "roomed", "started", "completed")
"""The steps of a visit in their order; one may be left out."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """A hold or an appointment as the core handles it; all references are database keys, all times instants in seconds.

    `calendar` is the one people chose, `calendars` all it takes, sorted. `version` is the one of `calendar` that its last
    change took. `expires_at` is given as long as it is held. `stages` are the instants of the visit's steps, those that happened.
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
    stages: Mapping[str, int] = field(default_factory=dict)

    def allows(self, move: Move) -> bool:
        return self.status in move.sources and move.stage not in self.stages


def moved(appointment: Appointment, move: Move, *, now: int) -> Appointment:
    """The appointment after a move that it allows."""
    stages = appointment.stages if move.stage is None else {**appointment.stages, move.stage: now}
    return replace(appointment, status=move.target, expires_at=None, stages=stages)


def reverted(appointment: Appointment) -> Appointment | None:
    """The appointment before its last step; None when there is none that can be taken back. What is completed stays so."""
    stages = dict(appointment.stages)
    match appointment.status:
        case Status.NO_SHOW:
            return replace(appointment, status=Status.BOOKED)
        case Status.ARRIVED if "roomed" in stages:
            del stages["roomed"]
            return replace(appointment, stages=stages)
        case Status.ARRIVED:
            stages.pop("arrived", None)
            return replace(appointment, status=Status.BOOKED, stages=stages)
        case Status.IN_PROGRESS:
            stages.pop("started", None)
            return replace(appointment, status=Status.ARRIVED if "arrived" in stages else Status.BOOKED, stages=stages)
    return None
