"""The door to appointments for staff and programs, /appointments: book, read, move, cancel, and each step of a visit."""

from typing import Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from apps.kernel import audit
from apps.kernel.api import PROBLEMS, as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound
from apps.kernel.shapes import ProblemOut
from engine import answers, asked, bookings, naming, queries, shapes
from engine.callers import actor_of, once, own_only, staff
from engine.naming import Named
from engine.offers import Offer, parse
from engine.rows import Done
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import MOVES, Event
from engine.taking import taken, taken_as_named

router = Router(tags=["appointments"])


@router.post("", response={201: shapes.AppointmentOut, PROBLEMS: ProblemOut})
def book(request: HttpRequest, body: shapes.AppointmentIn) -> HttpResponse:
    """Hold and confirm in one, for staff and programs.

    Who names a time may give it a length of its own, and staff may override what stands against it, but nobody who is there.
    """
    claims = staff(request, "override" if body.override else "book")
    actor = actor_of(request, claims)
    mine, patient = once(request, actor), asked.patient(body, actor)

    def take(offer: Offer) -> Done:
        return bookings.book(offer, patient=patient, state=body.state, actor=actor, once=mine)

    if body.slot is not None:
        done, _ = taken(parse(body.slot), take, state=body.state)
    else:
        done = taken_as_named(asked.named(body, clinic=claims.clinic), take, state=body.state)
    return answers.written(answers.appointment(done.appointment), status=201, replayed=done.replayed)


@router.get("", response={200: shapes.AppointmentsOut, PROBLEMS: ProblemOut})
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
        after=asked.cursor(query.cursor),
    )
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > query.limit else None
    audit.record(request, claims, "appointment.list", patient=query.patient, details={"count": len(page)})
    return as_json({"items": [answers.appointment(a) for a in page], "next": following})


@router.post("/conflicts", response={200: shapes.ConflictsOut, PROBLEMS: ProblemOut})
def conflicts(request: HttpRequest, body: shapes.ConflictsIn) -> HttpResponse:
    """What stands against a time at the moment, for who is about to name it; empty when it can be booked."""
    claims = staff(request, "book")
    calendar = queries.calendar_by_uid(as_id(body.calendar), clinic=claims.clinic)
    visit_type = queries.visit_type_by_uid(as_id(body.visit_type), clinic=calendar.clinic)
    moving = queries.appointment(as_id(body.appointment), clinic=claims.clinic)[0] if body.appointment else None
    named = Named(
        visit_type,
        calendar,
        start=body.start,
        seconds=body.duration_minutes * 60 if body.duration_minutes is not None else None,
        modality=body.modality or (moving.modality if moving else ""),
        moving=moving.id if moving else None,
    )
    found = naming.conflicts(named, state=body.state or (moving.state if moving else ""))
    return as_json({"conflicts": [answers.conflict(one) for one in found]})


@router.get("/{appointment_id}", response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut})
def appointment(request: HttpRequest, appointment_id: str, query: Query[shapes.AppointmentQuery]) -> HttpResponse:
    """One appointment. `expand=history` adds what happened to it. Who the patient is, records knows."""
    claims = staff(request, "read")
    object_ = f"appointment:{appointment_id}"
    with own_only(request, claims, "appointment.read", object_):
        found, history = queries.appointment(asked.known_id(appointment_id), clinic=claims.clinic)
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


@router.post("/{appointment_id}/reschedule", response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut})
def reschedule(request: HttpRequest, appointment_id: str, body: shapes.StaffRescheduleIn) -> HttpResponse:
    """Moves an appointment to another slot, or to a time that is named; when that is refused the old time stays."""
    claims = staff(request, "override" if body.override else "book")
    known, actor = asked.known_id(appointment_id), actor_of(request, claims)
    mine = once(request, actor)

    def take(offer: Offer) -> Done:
        return bookings.reschedule(known, offer, by="clinic", actor=actor, once=mine)

    with own_only(request, claims, "appointment.rescheduled", f"appointment:{known}"):
        if body.slot is not None:
            done, _ = taken(parse(body.slot), take)
        else:
            moving, _ = queries.appointment(known, clinic=claims.clinic)
            done = taken_as_named(asked.named_again(body, moving, clinic=claims.clinic), take, state=moving.state)
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)


@router.post("/{appointment_id}/cancel", response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut})
def cancel(request: HttpRequest, appointment_id: str, body: shapes.CancelIn) -> HttpResponse:
    """Cancels an appointment, for the patient (who must keep the notice) or the clinic."""
    claims = staff(request, "book")
    actor = actor_of(request, claims)
    with own_only(request, claims, "appointment.cancelled", f"appointment:{appointment_id}"):
        done = bookings.cancel(
            asked.known_id(appointment_id), reason=body.reason, by=body.by, actor=actor, once=once(request, actor)
        )
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)


@router.post("/{appointment_id}/{move}", response={200: shapes.AppointmentOut, PROBLEMS: ProblemOut})
def move(
    request: HttpRequest,
    appointment_id: str,
    move: Literal["arrive", "room", "start", "complete", "no-show", "revert"],
    body: shapes.MoveIn | None = None,
) -> HttpResponse:
    """One step of the visit, or the last one back."""
    claims = staff(request, "book")
    actor = actor_of(request, claims)
    event = Event.REVERTED if move == "revert" else MOVES[move].event
    with own_only(request, claims, event, f"appointment:{appointment_id}"):
        known, mine = asked.known_id(appointment_id), once(request, actor)
        if move == "revert":
            done = bookings.revert(known, actor=actor, once=mine)
        else:
            done = bookings.move(known, move, actor=actor, once=mine)
    return answers.written(answers.appointment(done.appointment), replayed=done.replayed)
