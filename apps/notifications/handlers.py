"""What happens here when something happened elsewhere. SQL only, the same result if done twice."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from apps.kernel.events import Event
from apps.notifications import messages, optouts, visits
from apps.notifications.models import Message


def visit_changed(event: Event) -> None:
    change = event.type.split(".")[1]
    if change == "cancelled" and event.data["by"] not in ("patient", "clinic"):
        return  # a hold was given back: nobody had a visit
    visit = visits.take(event)
    if visit is not None:
        messages.follow(visit, change=change, event=event.id, now=datetime.now(UTC))


def patient_linked(event: Event) -> None:
    """Records knows the patient now: what waited for the contact need not wait longer."""
    waiting = Message.objects.filter(appointment=UUID(event.data["appointment"]), state=Message.State.PENDING)
    waiting.filter(error="contact_unknown").update(next_try_at=datetime.now(UTC))


def patient_merged(event: Event) -> None:
    optouts.merge(str(event.data["from"]), str(event.data["into"]))


def patient_shredded(event: Event) -> None:
    optouts.forget(str(event.data["patient"]))


_CHANGES = ("booked", "rescheduled", "cancelled", "arrived", "roomed", "started", "completed", "no_show", "reverted")

HANDLERS: Mapping[tuple[str, str], Callable[[Event], None]] = {
    **{("engine", f"appointment.{change}.v1"): visit_changed for change in _CHANGES},
    ("records", "patient.linked.v1"): patient_linked,
    ("records", "patient.merged.v1"): patient_merged,
    ("records", "patient.shredded.v1"): patient_shredded,
}
