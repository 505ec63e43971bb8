"""What a request says, as the core takes it: identifiers, ranges, cursors, offers, patients."""

import time
from dataclasses import replace
from datetime import date
from uuid import UUID

from apps.kernel.ids import as_id
from apps.kernel.problems import Forbidden, NotFound, ValidationFailed
from engine import envelopes, naming, queries, shapes
from engine.calendar_shapes import RangeQuery
from engine.naming import Named
from engine.offers import Offer, parse
from engine.rows import Actor, Patient
from engine.scheduling.intervals import DAY_S, Interval
from engine.scheduling.lifecycle import Appointment

LONGEST_SEARCH_DAYS = 62
_YEARS = (2000, 2200)


def known_id(text: str) -> UUID:
    """Raises NotFound for what is no identifier at all."""
    known = as_id(text)
    if known is None:
        raise NotFound()
    return known


def cursor(text: str | None) -> UUID | None:
    known = as_id(text) if text else None
    if text and known is None:
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return known


def place(cursor: str | None) -> queries.Place | None:
    if cursor is None:
        return None
    start, _, calendar = cursor.partition(".")
    if not (cursor.isascii() and start.isdigit() and calendar.isdigit() and len(start) < 12 and len(calendar) < 10):
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return queries.Place(int(start), int(calendar))


def within(start: int | None, end: int | None, *, longest_days: int = LONGEST_SEARCH_DAYS, usual_days: int = 7) -> Interval:
    """From `start`, or now, to `end`, or so many days later. Raises ValidationFailed."""
    first = start if start is not None else int(time.time())
    last = end if end is not None else first + usual_days * DAY_S
    if not first < last:
        raise ValidationFailed("to must be after from.", param="to")
    if last - first > longest_days * DAY_S:
        raise ValidationFailed(f"This spans at most {longest_days} days.", param="to")
    return Interval(first, last)


def window(query: RangeQuery, *, longest_days: int = LONGEST_SEARCH_DAYS, usual_days: int = 7) -> Interval:
    """What is asked for; from today's midnight (UTC) on unless said otherwise."""
    now = int(time.time())
    start = query.from_ if query.from_ is not None else now - now % DAY_S
    return within(start, query.to, longest_days=longest_days, usual_days=usual_days)


def day(text: str, param: str) -> date:
    """A date of the calendar, of the years that instants have. Raises ValidationFailed for one that does not exist."""
    try:
        known = date.fromisoformat(text)
    except ValueError:
        known = date.min
    if not _YEARS[0] <= known.year < _YEARS[1]:
        raise ValidationFailed("This date does not exist.", param=param)
    return known


def offer(choice: shapes.SlotChoice) -> Offer:
    if choice.slot is not None:
        return parse(choice.slot)
    visit_type = queries.visit_type_by_uid(as_id(choice.visit_type or ""))
    calendar = queries.calendar_by_uid(as_id(choice.calendar or ""))
    return naming.offered(Named(visit_type, calendar, start=choice.start or 0, end=choice.end, modality=choice.modality))


def named(body: shapes.AppointmentIn, *, clinic: str) -> Named:
    """The time that staff of this clinic named. Raises NotFound, for another clinic's calendar too."""
    calendar = queries.calendar_by_uid(as_id(body.calendar or ""), clinic=clinic)
    visit_type = queries.visit_type_by_uid(as_id(body.visit_type or ""), clinic=calendar.clinic)
    return _by_staff(Named(visit_type, calendar, start=body.start or 0, end=body.end, modality=body.modality), body)


def named_again(body: shapes.StaffRescheduleIn, moving: Appointment, *, clinic: str) -> Named:
    """The time that staff of this clinic named for an appointment of theirs. Raises NotFound."""
    calendar = queries.calendar_by_uid(as_id(body.calendar or ""), clinic=clinic)
    visit_type, modality = queries.visit_type(moving.visit_type), body.modality or moving.modality
    return _by_staff(Named(visit_type, calendar, start=body.start or 0, modality=modality, moving=moving.id), body)


def _by_staff(named: Named, body: shapes.StaffTime) -> Named:
    seconds = body.duration_minutes * 60 if body.duration_minutes is not None else None
    return replace(named, seconds=seconds, override=body.override.reason if body.override else "")


def offer_of(appointment: Appointment) -> Offer:
    a = appointment
    others = tuple(calendar for calendar in a.calendars if calendar != a.calendar)
    return Offer(a.clinic, a.visit_type, (a.calendar, *others), a.start, a.end, a.modality)


def patient(body: shapes.ConfirmIn | shapes.AppointmentIn, actor: Actor) -> Patient:
    """What is plain is sealed here, at the door: nothing behind it has ever seen it."""
    given = body.patient
    if given.id is not None and actor.clinic is None:
        raise Forbidden("Only staff and programs may book for a patient by id.")
    if given.sealed is not None:
        if body.answers:
            raise ValidationFailed("Answers belong into the envelope, with the other details.", param="answers")
        return Patient(sealed=envelopes.checked(given.sealed))
    details = given.model_dump(exclude_none=True, exclude={"id"}) | ({"answers": body.answers} if body.answers else {})
    if details and body.state:
        details["state"] = body.state
    envelope = envelopes.seal(details) if details else None
    if envelope is not None and len(envelope) > shapes.LARGEST_ENVELOPE:
        raise ValidationFailed("All answers together are too long.", param="answers")
    return Patient(given.id, envelope)
