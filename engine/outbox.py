"""The outbox: every change of a calendar takes the calendar's next version and leaves a row, in its own transaction.

The row is the fact; the relay (relay.py) only tells of it. No patient data, ever: rows leave the service.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.kernel.ids import new_id
from apps.kernel.shapes import in_zone
from engine.locks import Statement
from engine.scheduling.lifecycle import STAGES, TAKES_TIME, Appointment, Event


def record(versions: Mapping[int, int], event: Event, data: Mapping[str, Any], *, appointment: UUID | None) -> list[Statement]:
    """Statements that raise each calendar's version and leave one event a calendar.

    `versions` are the versions *before* this change, read under the calendars' locks: key → version.
    """
    text = json.dumps(data, separators=(",", ":"))
    rows = [(calendar, version + 1, new_id(), event.value, appointment, text) for calendar, version in versions.items()]
    values = ", ".join(["(%s, %s, %s, %s, %s, clock_timestamp(), %s)"] * len(rows))
    return [
        Statement("UPDATE engine_calendar SET version = version + 1 WHERE id = ANY(%s)", (list(versions),)),
        Statement(
            f"INSERT INTO engine_outboxevent (calendar_id, version, id, type, appointment_id, at, data) VALUES {values}",
            tuple(value for row in rows for value in row),
        ),
    ]


def appointment_data(appointment: Appointment, *, visit_type: UUID, calendars: Iterable[UUID]) -> dict[str, Any]:
    """What an `appointment.*` event says: enough to redraw the appointment, nothing about the person."""
    data: dict[str, Any] = {
        "id": str(appointment.id),
        "start": rfc3339(appointment.start),
        "end": rfc3339(appointment.end),
        "status": appointment.status.value,
        "visit_type": str(visit_type),
        "calendars": [str(uid) for uid in calendars],
        "modality": appointment.modality,
    }
    if appointment.expires_at is not None:
        data["expires_at"] = rfc3339(appointment.expires_at)
    if appointment.stages:
        data["stages"] = stages(appointment)
    return data


def stages(appointment: Appointment) -> dict[str, str]:
    """When each step of the visit was taken, as the wire has it."""
    return {stage: rfc3339(appointment.stages[stage]) for stage in STAGES if stage in appointment.stages}


def frame(calendar: UUID | None, version: int, event: str, *, at: datetime, data: Any) -> dict[str, Any]:
    """An event as the live socket and `changes` give it. `data` is as it was stored, JSON text or parsed."""
    parsed = json.loads(data) if isinstance(data, str) else data
    when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"type": "event", "calendar": str(calendar), "version": version, "event": event, "at": when, "data": parsed}


def public_frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    """What everybody may know of an event: that slots of the calendar changed, and where one interval says it all, which.

    Never who or why, and no id of an appointment. Without `data` the client asks for the slots again: that is so for opening hours,
    and for an appointment that was moved, whose event does not say which time it left. That an appointment's patient became known
    takes and frees nothing, which an interval without a moment says.
    """
    seen, data = frame["data"], {}
    if frame["event"] == Event.LINKED:
        data = {"start": seen["start"], "end": seen["start"], "free": False}
    elif frame["event"].startswith("appointment.") and frame["event"] != Event.RESCHEDULED:
        data = {"start": seen["start"], "end": seen["end"], "free": seen["status"] not in TAKES_TIME}
    return {**frame, "event": "slots.changed", "data": data}


def rfc3339(instant: int) -> str:
    """An instant in seconds as text, in UTC."""
    return in_zone(instant, "UTC")
