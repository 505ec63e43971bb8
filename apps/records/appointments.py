"""What becomes of an appointment here: its patient is found or made, and from arrival to the end it is a visit.

Facts may come in any order and more than once. Each carries the whole appointment, so the newest by time counts; opening and
closing have times of their own; and whichever fact comes first with the patient's details links the patient.
"""

import logging
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import OperationalError
from prometheus_client import Counter
from pydantic import ValidationError

from apps.kernel import audit, events
from apps.kernel.events import Event
from apps.kernel.problems import NotFound, Unavailable
from apps.records import patients, queries
from apps.records.encryption import Cipher
from apps.records.envelopes import EnvelopeRefused, Opener
from apps.records.models import Visit
from apps.records.settings import ENV
from apps.records.shapes import Envelope

REFUSED = Counter("records_bookings_without_patient", "Bookings whose patient could not be told", ["reason"])

log = logging.getLogger(__name__)

_NOBODY_THERE = ("booked", "no_show")


def follow(event: Event) -> None:
    """One fact about an appointment. Raises OperationalError while the key service is away: then everything waits."""
    if event.type == "appointment.cancelled.v1" and event.data["by"] not in ("patient", "clinic"):
        return  # a hold was given back: nobody had booked
    appointment = UUID(event.data["appointment"])
    visit = Visit.objects.select_for_update().filter(appointment=appointment).first()
    new = visit is None
    visit = visit or Visit(appointment=appointment, clinic=event.clinic)
    if visit.as_of is None or event.time >= visit.as_of:
        _take(visit, event)
    if event.type == "appointment.arrived.v1":
        visit.opened_at = max(visit.opened_at or event.time, event.time)
    if visit.status in _NOBODY_THERE:
        visit.opened_at = None  # the arrival was taken back
    if event.type == "appointment.completed.v1":
        visit.closed_at = event.time
    try:
        if visit.patient is None:
            _link(visit, event.data)
    except Unavailable as down:
        # Not the fact's fault: the inbox stops here and comes back, and parks nothing.
        raise OperationalError("the key service is away") from down
    visit.save(force_insert=new)


def given(visit: Visit, cipher: Cipher) -> dict[str, Any]:
    """What was said when booking; empty for a patient named by id."""
    if visit.given is None:
        return {}
    text = cipher.unseal_bytes(visit.given, table="visit", row=visit.appointment, column="given")
    return Envelope.model_validate_json(text).model_dump()


def _take(visit: Visit, event: Event) -> None:
    data = event.data
    visit.as_of = event.time
    visit.calendar = UUID(data["calendar"])
    visit.calendars = sorted({visit.calendar, *map(UUID, data["calendars"])})
    visit.visit_type = UUID(data["visit_type"])
    visit.start, visit.end = datetime.fromisoformat(data["start"]), datetime.fromisoformat(data["end"])
    visit.status = data["status"]


def _link(visit: Visit, data: dict[str, Any]) -> None:
    try:
        if data.get("patient"):
            visit.patient = queries.patient(visit.clinic, str(data["patient"])).id
            made = False
        elif data.get("sealed"):
            made = _open(visit, data)
        else:
            return
    except (NotFound, EnvelopeRefused, ValidationError) as refused:
        _refuse(visit, "patient_unknown" if isinstance(refused, NotFound) else "envelope_unreadable")
        return
    visit.refused = ""
    _tell(visit, "patient.created" if made else "patient.linked")
    linked = {"appointment": str(visit.appointment), "patient": str(visit.patient), "clinic": visit.clinic}
    events.record(type="patient.linked", clinic=visit.clinic, subject=str(visit.patient), data=linked)


def _open(visit: Visit, data: dict[str, Any]) -> bool:
    path = ENV.sealing_key_file
    envelope = Envelope.model_validate(_opener(path, path.stat().st_mtime_ns).open(str(data["sealed"])))
    details = envelope.details(state=data.get("state") or "")
    patient, cipher, made = patients.match_or_create(details, clinic=visit.clinic)
    # What was said stays with this appointment: somebody who knows a name and a number must not change a known patient's contact.
    text = envelope.model_dump_json().encode()
    visit.given = cipher.seal_bytes(text, table="visit", row=visit.appointment, column="given")
    visit.patient = patient.id
    return made


def _refuse(visit: Visit, reason: str) -> None:
    if visit.refused == reason:
        return  # told before
    visit.refused = reason
    REFUSED.labels(reason).inc()
    log.error("booking_without_patient", extra={"appointment": str(visit.appointment), "reason": reason})
    _tell(visit, "patient.linked", outcome="denied", code=reason)


def _tell(visit: Visit, action: str, *, outcome: str = "done", **details: str) -> None:
    audit.record(
        None,
        "engine",
        action,
        clinic=visit.clinic,
        object=f"appointment:{visit.appointment}",
        patient=str(visit.patient or ""),
        outcome=outcome,
        details=details,
    )


@lru_cache(maxsize=1)
def _opener(path: Path, changed: int) -> Opener:
    """The private keys as of the file's time `changed`: a new key counts at once."""
    return Opener(path)
