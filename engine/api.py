"""The HTTP API of the engine, /api/engine/v1: what was asked and by whom, one call inward, the answer."""

import time
from datetime import date
from datetime import time as wall_time
from typing import Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.kernel import audit, auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import Forbidden, NotFound, ValidationFailed
from apps.kernel.shapes import ProblemOut
from apps.kernel.tokens import Claims
from engine import answers, bookings, envelopes, managing, openings, queries, shapes
from engine.callers import PUBLIC_READ, PUBLIC_WRITE, actor_of, anybody, holder, manage_url, once, own_only, staff
from engine.errors import HoldExpired
from engine.offers import Offer, parse
from engine.rows import Actor, Patient
from engine.rules import CalendarRules
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import MOVES, Appointment
from engine.taking import taken, with_alternatives

_KEYS_KEPT_S = 300
_SECRET = {"name": "Hold-Secret", "in": "header", "schema": {"type": "string"}}

api = Api(
    title="HealthFlow appointments",
    description="Slots, holds, appointments and live calendars. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="engine",
    headers={"{hold_id}": _SECRET},
)
api.add_router("/manage", managing.router)
auditor.routes(api)


# --- slots and holds ----------------------------------------------------------------------------------------------------


@api.get("/clinics/{clinic}", response={200: shapes.ClinicOut, PROBLEMS: ProblemOut}, tags=["slots"])
def clinic_profile(request: HttpRequest, clinic: str) -> HttpResponse:
    """A clinic's profile: what can be booked there, and with whom."""
    anybody(request, PUBLIC_READ)
    row, types, calendars, locations = queries.profile(clinic)
    return as_json(answers.clinic(row, types, calendars, locations))


@api.get("/clinics/{clinic}/slots", response={200: shapes.SlotsOut, PROBLEMS: ProblemOut}, tags=["slots"])
def slots(request: HttpRequest, clinic: str, query: Query[shapes.SlotsQuery]) -> HttpResponse:
    """Free slots of a visit type, by start; seven days from now unless asked otherwise, 62 at most."""
    anybody(request, PUBLIC_READ)
    visit_type = queries.visit_type_by_uid(as_id(query.visit_type), clinic=queries.clinic_by_slug(clinic).id)
    found = queries.slots(
        visit_type,
        _within(query.from_, query.to),
        calendar=queries.calendar_by_uid(as_id(query.calendar), clinic=clinic).uid if query.calendar else None,
        state=query.state,
        modality=query.modality,
        limit=query.limit,
        after=_place(query.cursor),
    )
    following = f"{found.next.start}.{found.next.calendar}" if found.next else None
    as_of = {str(day.rules.uid): day.version for day in found.days}
    return as_json({"items": answers.slots(found, query.tz), "next": following, "as_of": as_of})


@api.get("/slots/first", response={200: shapes.SlotsOut, PROBLEMS: ProblemOut}, tags=["slots"])
def first_available(request: HttpRequest, query: Query[shapes.FirstQuery]) -> HttpResponse:
    """The earliest free slots across all clinics, one a calendar."""
    anybody(request, PUBLIC_READ)
    found = queries.first_available(
        visit_type=queries.visit_type_by_uid(as_id(query.visit_type)).uid if query.visit_type else None,
        specialty=query.specialty,
        state=query.state,
        modality=query.modality,
        after=query.after if query.after is not None else int(time.time()),
        limit=query.limit,
    )
    as_of = {str(day.rules.uid): day.version for day in found.days}
    return as_json({"items": answers.slots(found, query.tz), "next": None, "as_of": as_of})


@api.post("/holds", response={201: shapes.HoldOut, PROBLEMS: ProblemOut}, tags=["holds"])
def hold(request: HttpRequest, body: shapes.HoldIn) -> HttpResponse:
    """Holds a slot for a while, so that it can be confirmed at leisure."""
    actor = anybody(request, PUBLIC_WRITE)
    mine = once(request, actor)
    done, offer = taken(_offer(body), lambda offer: bookings.hold(offer, seconds=body.seconds, actor=actor, once=mine))
    return answers.written(answers.hold(done.appointment, offer), status=201, replayed=done.replayed)


@api.delete("/holds/{hold_id}", response={204: None, PROBLEMS: ProblemOut}, tags=["holds"])
def release(request: HttpRequest, hold_id: str) -> HttpResponse:
    """Gives a hold back."""
    known = _id(hold_id)
    bookings.release(known, actor=holder(request, known))
    return HttpResponse(status=204)


@api.post("/holds/{hold_id}/extend", response={200: shapes.HoldOut, PROBLEMS: ProblemOut}, tags=["holds"])
def extend(request: HttpRequest, hold_id: str, body: shapes.ExtendIn | None = None) -> HttpResponse:
    """Gives a hold more time, once, up to 900 s in all."""
    known = _id(hold_id)
    actor = holder(request, known)
    seconds = body.seconds if body else shapes.ExtendIn().seconds
    try:
        done = bookings.extend(known, seconds=seconds, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise with_alternatives(expired, _offer_of(expired.hold)) from None
    return answers.written(answers.hold(done.appointment, _offer_of(done.appointment)), replayed=done.replayed)


@api.get("/sealing-keys", response={200: shapes.SealingKeysOut, PROBLEMS: ProblemOut}, tags=["holds"])
def sealing_keys(request: HttpRequest) -> HttpResponse:
    """The public keys that patient details are sealed to before they leave a page: a JWK set, the key to use first."""
    anybody(request, PUBLIC_READ)
    response = as_json({"keys": envelopes.public_keys()})
    response["Cache-Control"] = f"public, max-age={_KEYS_KEPT_S}"
    return response


@api.post("/holds/{hold_id}/confirm", response={201: shapes.AppointmentOut, PROBLEMS: ProblemOut}, tags=["holds"])
def confirm(request: HttpRequest, hold_id: str, body: shapes.ConfirmIn) -> HttpResponse:
    """Makes a hold an appointment."""
    known = _id(hold_id)
    actor = holder(request, known)
    patient = _patient(body, actor)
    try:
        done = bookings.confirm(known, patient=patient, state=body.state, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise with_alternatives(expired, _offer_of(expired.hold)) from None
    answer = answers.appointment(done.appointment)
    if actor.clinic is None:
        answer["manage_url"] = manage_url(known)
    return answers.written(answer, status=201, replayed=done.replayed)


# --- appointments -------------------------------------------------------------------------------------------------------


@api.post("/appointments", response={201: shapes.AppointmentOut, PROBLEMS: ProblemOut}, tags=["appointments"])
def book(request: HttpRequest, body: shapes.AppointmentIn) -> HttpResponse:
    """Hold and confirm in one, for staff and programs."""
    claims = staff(request, "book")
    actor = actor_of(request, claims)
    mine, patient = once(request, actor), _patient(body, actor)
    done, _ = taken(_offer(body), lambda offer: bookings.book(offer, patient=patient, state=body.state, actor=actor, once=mine))
    return answers.written(answers.appointment(done.appointment), status=201, replayed=done.replayed)


@api.get("/appointments", response={200: shapes.AppointmentsOut, PROBLEMS: ProblemOut}, tags=["appointments"])
def appointments(request: HttpRequest, query: Query[shapes.AppointmentsQuery]) -> HttpResponse:
    """Appointments of the caller's clinic, oldest first."""
    claims = staff(request, "read")
    if query.clinic not in ("", claims.clinic):
        raise NotFound("No such clinic.")
    found = queries.appointments(
        clinic=claims.clinic,
        calendar=queries.calendar_by_uid(as_id(query.calendar), clinic=claims.clinic).uid if query.calendar else None,
        patient=query.patient,
        status=query.status,
        within=Interval(query.from_ if query.from_ is not None else 0, query.to if query.to is not None else 2**32),
        limit=query.limit + 1,
        after=_cursor(query.cursor),
    )
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > query.limit else None
    audit.record(request, claims, "appointment.list", patient=query.patient, details={"count": len(page)})
    return as_json({"items": [answers.appointment(a) for a in page], "next": following})


@api.get("/appointments/{appointment_id}", response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut}, tags=["appointments"])
def appointment(request: HttpRequest, appointment_id: str, query: Query[shapes.AppointmentQuery]) -> HttpResponse:
    """One appointment. `expand=history` adds what happened to it. Who the patient is, records knows."""
    claims = staff(request, "read")
    object_ = f"appointment:{appointment_id}"
    with own_only(request, claims, "appointment.read", object_):
        found, history = queries.appointment(_id(appointment_id), clinic=claims.clinic)
    audit.record(
        request,
        claims,
        "appointment.read",
        object=object_,
        patient=found.patient_id or "",
        details={"expand": query.expand},
    )
    answer = answers.appointment(found)
    if query.expand == "history":
        answer["history"] = history
    return as_json(answer)


@api.post(
    "/appointments/{appointment_id}/reschedule",
    response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut},
    tags=["appointments"],
)
def reschedule(request: HttpRequest, appointment_id: str, body: shapes.RescheduleIn) -> HttpResponse:
    """Moves an appointment to another slot; when that is refused the old time stays."""
    claims = staff(request, "book")
    known, actor = _id(appointment_id), actor_of(request, claims)
    mine = once(request, actor)
    with own_only(request, claims, "appointment.rescheduled", f"appointment:{known}"):
        done, _ = taken(parse(body.slot), lambda offer: bookings.reschedule(known, offer, by="clinic", actor=actor, once=mine))
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)


@api.post(
    "/appointments/{appointment_id}/cancel",
    response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut},
    tags=["appointments"],
)
def cancel(request: HttpRequest, appointment_id: str, body: shapes.CancelIn) -> HttpResponse:
    """Cancels an appointment, for the patient (who must keep the notice) or the clinic."""
    claims = staff(request, "book")
    actor = actor_of(request, claims)
    with own_only(request, claims, "appointment.cancelled", f"appointment:{appointment_id}"):
        done = bookings.cancel(_id(appointment_id), reason=body.reason, by=body.by, actor=actor, once=once(request, actor))
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)


@api.post(
    "/appointments/{appointment_id}/{move}",
    response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut},
    tags=["appointments"],
)
def move(
    request: HttpRequest,
    appointment_id: str,
    move: Literal["arrive", "start", "complete", "no-show"],
    body: shapes.MoveIn | None = None,
) -> HttpResponse:
    """One step of the visit."""
    claims = staff(request, "book")
    actor = actor_of(request, claims)
    with own_only(request, claims, MOVES[move].event, f"appointment:{appointment_id}"):
        done = bookings.move(_id(appointment_id), move, actor=actor, once=once(request, actor))
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)


# --- calendars ----------------------------------------------------------------------------------------------------------


@api.get("/calendars/{calendar}/snapshot", response={200: shapes.SnapshotOut, PROBLEMS: ProblemOut}, tags=["calendars"])
def snapshot(request: HttpRequest, calendar: str, query: Query[shapes.RangeQuery]) -> HttpResponse:
    """A calendar's appointments, holds and open times at one version; the version is the ETag."""
    claims = staff(request, "read")
    found = queries.snapshot(as_id(calendar), _window(query), clinic=claims.clinic)
    etag = f'"{found.version}"'
    asked = request.headers.get("If-None-Match", "")
    if etag in asked or asked == "*":
        return HttpResponse(status=304, headers={"ETag": etag})
    # Times alone are nobody's data, so polls of `changes` leave no entry; an id of a patient is.
    if patients := sum(a.patient_id is not None for a in found.appointments):
        audit.record(request, claims, "calendar.read", object=f"calendar:{found.calendar.uid}", details={"patients": patients})
    response = as_json(answers.snapshot(found))
    response["ETag"] = etag
    return response


@api.get("/calendars/{calendar}/changes", response={200: shapes.ChangesOut, PROBLEMS: ProblemOut}, tags=["calendars"])
def changes(request: HttpRequest, calendar: str, query: Query[shapes.ChangesQuery]) -> HttpResponse:
    """What happened to a calendar after a version, in order, without a hole."""
    claims = staff(request, "read")
    epoch, version, events = queries.changes(as_id(calendar), since=query.since, limit=query.limit, clinic=claims.clinic)
    return as_json({"epoch": str(epoch), "version": version, "events": events})


@api.put("/calendars/{calendar}/hours", response={200: shapes.VersionOut, PROBLEMS: ProblemOut}, tags=["calendars"])
def set_hours(request: HttpRequest, calendar: str, body: shapes.WeekIn) -> HttpResponse:
    """Replaces the weekly opening hours."""
    _, rules = _own_calendar(request, calendar)
    hours = [
        OpeningHours(
            rule.weekday,
            wall_time.fromisoformat(rule.opens),
            wall_time.fromisoformat(rule.closes),
            _date(rule.valid_from, f"hours.{number}.valid_from"),
            _date(rule.valid_until, f"hours.{number}.valid_until"),
        )
        for number, rule in enumerate(body.hours)
    ]
    return as_json({"version": openings.set_hours(rules.id, hours)})


@api.post("/calendars/{calendar}/exceptions", response={201: shapes.ExceptionOut, PROBLEMS: ProblemOut}, tags=["calendars"])
def add_exception(request: HttpRequest, calendar: str, body: shapes.ExceptionIn) -> HttpResponse:
    """Opens or closes a calendar for one interval, whatever the weekly hours say."""
    claims, rules = _own_calendar(request, calendar)
    visit_type = queries.visit_type_by_uid(as_id(body.visit_type), clinic=rules.clinic).id if body.visit_type else None
    during = Interval(body.start, body.end)
    added = openings.add_exception(
        rules.id,
        OpeningException(during, body.open, body.capacity, visit_type),
        once=once(request, actor_of(request, claims)),
    )
    given = {"open": body.open, "capacity": body.capacity}
    answer = {"id": str(added.uid), **answers.interval(during), **given, "version": added.version}
    return answers.written(answer, status=201, replayed=added.replayed)


@api.delete("/calendars/{calendar}/exceptions/{exception}", response={204: None, PROBLEMS: ProblemOut}, tags=["calendars"])
def remove_exception(request: HttpRequest, calendar: str, exception: str) -> HttpResponse:
    """Takes an exception back."""
    _, rules = _own_calendar(request, calendar)
    openings.remove_exception(rules.id, _id(exception))
    return HttpResponse(status=204)


# --- from the wire ------------------------------------------------------------------------------------------------------


def _id(text: str) -> UUID:
    known = as_id(text)
    if known is None:
        raise NotFound()
    return known


def _own_calendar(request: HttpRequest, calendar: str) -> tuple[Claims, CalendarRules]:
    claims = staff(request, "configure")
    return claims, queries.calendar_by_uid(as_id(calendar), clinic=claims.clinic)


def _offer(choice: shapes.SlotChoice) -> Offer:
    if choice.slot is not None:
        return parse(choice.slot)
    visit_type = queries.visit_type_by_uid(as_id(choice.visit_type or ""))
    calendar = queries.calendar_by_uid(as_id(choice.calendar or ""))
    return queries.offer_for(visit_type, calendar, start=choice.start or 0, end=choice.end, modality=choice.modality)


def _offer_of(appointment: Appointment) -> Offer:
    a = appointment
    others = tuple(calendar for calendar in a.calendars if calendar != a.calendar)
    return Offer(a.clinic, a.visit_type, (a.calendar, *others), a.start, a.end, a.modality)


def _patient(body: shapes.ConfirmIn | shapes.AppointmentIn, actor: Actor) -> Patient:
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


def _within(start: int | None, end: int | None) -> Interval:
    first = start if start is not None else int(time.time())
    last = end if end is not None else first + 7 * queries.DAY_S
    if not first < last:
        raise ValidationFailed("to must be after from.", param="to")
    if last - first > queries.LONGEST_SEARCH_S:
        raise ValidationFailed("A search spans at most 62 days.", param="to")
    return Interval(first, last)


def _window(query: shapes.RangeQuery) -> Interval:
    """What is asked for; a week from today's midnight (UTC) on unless said otherwise."""
    now = int(time.time())
    start = query.from_ if query.from_ is not None else now - now % queries.DAY_S
    return _within(start, query.to)


def _place(cursor: str | None) -> queries.Place | None:
    if cursor is None:
        return None
    start, _, calendar = cursor.partition(".")
    if not (start.isdigit() and calendar.isdigit() and len(cursor) < 32):
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return queries.Place(int(start), int(calendar))


def _cursor(text: str | None) -> UUID | None:
    known = as_id(text) if text else None
    if text and known is None:
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return known


def _date(text: str | None, param: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValidationFailed("This date does not exist.", param=param) from None
