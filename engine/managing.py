"""The patient's own door, /manage/{token}: see, move or cancel one visit, and put it into a calendar.

The link is the key, and links are passed on and left in histories: nothing of the patient is behind it. It opens nothing any
more 30 days after the visit. What may be changed and until when is the core's to decide, as for anybody who is the patient.
"""

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from icalendar import Calendar, Event
from ninja import Router

from apps.kernel.api import PROBLEMS, as_json
from apps.kernel.limits import Limit
from apps.kernel.problems import NotFound
from apps.kernel.shapes import Closed, ProblemOut
from engine import answers, bookings, queries, shapes
from engine.callers import PUBLIC_READ, PUBLIC_WRITE, manage_url, managed, once
from engine.deciding import IN_PERSON
from engine.offers import Offer, parse
from engine.queries import Managed
from engine.rows import Actor, Done
from engine.scheduling.lifecycle import Status
from engine.taking import taken

router = Router(tags=["manage"])

_PATIENT = Actor("patient")
_GOOD_AFTER_S = 30 * 24 * 3600


class ManagedCancelIn(Closed):
    """Nothing needs to be said."""


@router.get("/{token}", response={200: shapes.ManagedOut, PROBLEMS: ProblemOut})
def show(request: HttpRequest, token: str) -> HttpResponse:
    """The visit that this link is for."""
    return as_json(answers.managed(_visit(request, token, PUBLIC_READ)))


@router.post("/{token}/cancel", response={200: shapes.ManagedOut, PROBLEMS: ProblemOut})
def cancel(request: HttpRequest, token: str, body: ManagedCancelIn | None = None) -> HttpResponse:
    """Cancels the visit, as long as the clinic lets patients."""
    known = _visit(request, token, PUBLIC_WRITE).appointment.id
    done = bookings.cancel(known, reason="", by="patient", actor=_PATIENT, once=once(request, _PATIENT))
    return _written(known, replayed=done.replayed)


@router.post("/{token}/reschedule", response={200: shapes.ManagedOut, PROBLEMS: ProblemOut})
def reschedule(request: HttpRequest, token: str, body: shapes.RescheduleIn) -> HttpResponse:
    """Moves the visit to a slot from a search; when that is refused the old time stays."""
    visit, mine = _visit(request, token, PUBLIC_WRITE).appointment, once(request, _PATIENT)

    def take(offer: Offer) -> Done:
        return bookings.reschedule(visit.id, offer, by="patient", actor=_PATIENT, once=mine)

    done, _ = taken(parse(body.slot), take, state=visit.state)
    return _written(visit.id, replayed=done.replayed)


@router.get("/{token}/calendar.ics", response={200: None, PROBLEMS: ProblemOut})
def calendar_file(request: HttpRequest, token: str) -> HttpResponse:
    """The visit for a calendar of one's own (RFC 5545); fetched again, it takes the place of the earlier one."""
    visit = _visit(request, token, PUBLIC_READ)
    response = HttpResponse(as_calendar(visit), content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="visit.ics"'
    return response


def as_calendar(visit: Managed) -> bytes:
    """The same UID as in what the patient is sent, a SEQUENCE that rises with each change, and no word of what the visit is."""
    a, place = visit.appointment, visit.location
    zone = ZoneInfo(visit.clinic.zone)
    event = Event()
    event.add("uid", f"{a.id}@{urlsplit(settings.ENV.public_url).hostname}")
    event.add("sequence", max(0, visit.changed_at - (a.id.int >> 80) // 1000))
    event.add("dtstamp", datetime.fromtimestamp(visit.changed_at, UTC))
    event.add("dtstart", datetime.fromtimestamp(a.start, zone))
    event.add("dtend", datetime.fromtimestamp(a.end, zone))
    event.add("summary", visit.clinic.name)
    event.add("status", "CANCELLED" if a.status == Status.CANCELLED else "CONFIRMED")
    event.add("url", manage_url(a.id))
    if place is not None and a.modality == IN_PERSON:
        event.add("location", ", ".join(filter(None, (place.address, place.city, place.state, place.postal_code))))
    calendar = Calendar()
    calendar.add("prodid", "-//HealthFlow//Appointments//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    calendar.add_missing_timezones()
    file: bytes = calendar.to_ical()
    return file


def _visit(request: HttpRequest, token: str, limit: Limit) -> Managed:
    found = queries.managed(managed(request, token, limit))
    if found.appointment.end + _GOOD_AFTER_S < time.time():
        raise NotFound()
    return found


def _written(known: UUID, *, replayed: bool) -> HttpResponse:
    return answers.written(answers.managed(queries.managed(known)), replayed=replayed)
