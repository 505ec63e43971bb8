"""Every refusal of the booking core: one class a code, one code a class. The README's table is checked against it."""

from typing import Any

from apps.kernel.problems import Problem, ValidationFailed
from engine.scheduling.lifecycle import Appointment
from engine.scheduling.slots import Refusal


class SlotTaken(Problem):
    """Somebody has this time. `alternatives` are slots that were free a moment ago, the nearest first."""

    code, status, title = "slot_taken", 409, "This time was just taken"
    alternatives: tuple[dict[str, Any], ...] | None = None

    def fields(self) -> dict[str, Any]:
        return {"alternatives": list(self.alternatives) if self.alternatives is not None else None}


class HoldExpired(SlotTaken):
    """The hold ended before it was confirmed. Nothing is booked; `alternatives` may hold the same time again."""

    code, status, title = "hold_expired", 410, "The time was held too long"

    def __init__(self, hold: Appointment) -> None:
        super().__init__()
        self.hold = hold


class CalendarBusy(Problem):
    """Others are writing to this calendar right now. Repeat with the same Idempotency-Key."""

    code, status, title = "calendar_busy", 503, "This calendar is busy"
    retryable = True

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, retry_after=1)


class OutsideOpeningHours(Problem):
    """Nothing can be booked then: outside the opening hours, closed, or not a start that is offered."""

    code, status, title = "outside_opening_hours", 422, "This time is not offered"


class TooLateToChange(Problem):
    """The visit has begun, or is nearer than the clinic lets patients change it. Call the clinic."""

    code, status, title = "too_late_to_change", 409, "It is too late to change this appointment"


class IllegalTransition(Problem):
    """The appointment is not in a state that allows this; `current` is the state it is in."""

    code, status, title = "illegal_transition", 409, "The appointment's state does not allow this"

    def __init__(self, detail: str = "", *, current: str) -> None:
        super().__init__(detail)
        self.current = current

    def fields(self) -> dict[str, Any]:
        return {"current": self.current}


class NotLicensedInState(Problem):
    """The practitioner is not licensed where the patient is. Choose another practitioner."""

    code, status, title = "not_licensed_in_state", 422, "Not licensed in the patient's state"


def refused(reason: Refusal) -> ValidationFailed | OutsideOpeningHours:
    """The kernel's refusal of a start as the error the caller sees."""
    if reason in (Refusal.CLOSED, Refusal.GRID):
        return OutsideOpeningHours(f"This start {reason.value}.", param="start")
    return ValidationFailed(f"This slot {reason.value}.", param="end" if reason == Refusal.DURATION else "start")
