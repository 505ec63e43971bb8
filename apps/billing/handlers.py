"""Facts of the engine and of records, as they concern billing."""

from datetime import datetime
from uuid import UUID

from apps.billing import charges
from apps.billing.charges import Visit
from apps.kernel.events import Event
from apps.kernel.inbox import Handlers


def completed(event: Event) -> None:
    charges.completed(Visit.of(event.data))


def cancelled(event: Event) -> None:
    at: datetime = event.time
    charges.cancelled(Visit.of(event.data), at=at, by=str(event.data.get("by") or ""))


def missed(event: Event) -> None:
    at: datetime = event.time
    charges.missed(Visit.of(event.data), at=at)


def came(event: Event) -> None:
    at: datetime = event.time
    charges.came(UUID(event.data["appointment"]), at=at)


def linked(event: Event) -> None:
    charges.linked(UUID(event.data["appointment"]), str(event.data["patient"]))


def merged(event: Event) -> None:
    charges.merged(str(event.data["from"]), str(event.data["into"]))


def unmerged(event: Event) -> None:
    charges.unmerged(str(event.data["from"]), [str(one) for one in event.data["moved"]])


HANDLERS: Handlers = {
    ("engine", "appointment.completed.v1"): completed,
    ("engine", "appointment.cancelled.v1"): cancelled,
    ("engine", "appointment.no_show.v1"): missed,
    # Late, or called missing by mistake.
    ("engine", "appointment.arrived.v1"): came,
    ("engine", "appointment.reverted.v1"): came,
    ("records", "patient.linked.v1"): linked,
    ("records", "patient.merged.v1"): merged,
    ("records", "patient.unmerged.v1"): unmerged,
}
