"""The HTTP API of the engine, /api/engine/v1: what was asked and by whom, one call inward, the answer."""

import time

from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.kernel import auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.http import client_address
from apps.kernel.ids import as_id
from apps.kernel.shapes import ProblemOut
from engine import (
    answers,
    asked,
    availability,
    bookings,
    calendars,
    envelopes,
    first,
    managing,
    queries,
    replicas,
    setup,
    shapes,
    visits,
)
from engine.callers import ADMITTED, PUBLIC_READ, PUBLIC_WRITE, anybody, holder, manage_url, once
from engine.errors import HoldExpired
from engine.kept import Kept
from engine.offers import Offer
from engine.rows import Done
from engine.scheduling.fairness import Policy
from engine.taking import admit, taken, with_alternatives

_KEYS_KEPT_S = 300
_profiles = Kept[bytes](8 * 2**20, weigh=lambda body: 2 * len(body) + 2000)
"""By all that they are made of: what is no longer so is never asked for again."""
_SECRET = {"name": "Hold-Secret", "in": "header", "schema": {"type": "string"}}
_TICKET = {"name": "Waiting-Ticket", "in": "header", "schema": {"type": "string"}}
_FRESHNESS = {
    "name": "Freshness",
    "in": "header",
    "schema": {"type": "string"},
    "description": "From the answer to a write, where it had one: what was written is seen.",
}

api = Api(
    title="HealthFlow appointments",
    description="Slots, holds, appointments and live calendars. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="engine",
    headers={"{hold_id}": _SECRET, "{calendar}/snapshot": _FRESHNESS},
)
api.add_router("/manage", managing.router)
api.add_router("/appointments", visits.router)
api.add_router("", calendars.router)
api.add_router("", setup.router)
auditor.routes(api)


# --- slots and holds ----------------------------------------------------------------------------------------------------


@api.get(
    "/clinics/{clinic}",
    response={200: shapes.ClinicOut, PROBLEMS: ProblemOut},
    tags=["slots"],
    openapi_extra={"parameters": [_FRESHNESS]},
)
def clinic_profile(request: HttpRequest, clinic: str) -> HttpResponse:
    """A clinic's profile: what can be booked there, and with whom."""
    anybody(request, PUBLIC_READ)
    found = replicas.read(request, lambda: queries.profile(clinic))
    body = _profiles.made(found, lambda: as_json(answers.clinic(found)).content)
    return HttpResponse(body, content_type="application/json")


@api.get("/clinics/{clinic}/slots", response={200: shapes.SlotsOut, PROBLEMS: ProblemOut}, tags=["slots"])
def slots(request: HttpRequest, clinic: str, query: Query[shapes.SlotsQuery]) -> HttpResponse:
    """Free slots of a visit type, by start; seven days from now unless asked otherwise, 62 at most."""
    anybody(request, PUBLIC_READ)
    question = availability.Question(clinic, query)
    body = availability.answer(question)
    if request.resolver_match is not None:
        availability.remember(request.META, question, route=request.resolver_match.route)
    return HttpResponse(body, content_type="application/json")


@api.get("/slots/first", response={200: shapes.FirstOut, PROBLEMS: ProblemOut}, tags=["slots"])
def first_available(request: HttpRequest, query: Query[shapes.FirstQuery]) -> HttpResponse:
    """The earliest free slots across all clinics, one a calendar."""
    anybody(request, PUBLIC_READ)
    wish = first.Wish(
        visit_type=queries.visit_type_by_uid(as_id(query.visit_type)).id if query.visit_type else None,
        specialty=query.specialty,
        state=query.state,
        modality=query.modality,
        language=query.language,
        after=query.after if query.after is not None else int(time.time()),
        limit=query.limit,
        policy=Policy(query.policy),
    )
    found, complete = first.first_available(wish)
    as_of = {str(day.rules.uid): day.version for day in found.days}
    return as_json({"items": answers.slots(found, query.tz), "next": None, "as_of": as_of, "complete": complete})


@api.post("/holds", response={201: shapes.HoldOut, PROBLEMS: ProblemOut}, tags=["holds"], openapi_extra={"parameters": [_TICKET]})
def hold(request: HttpRequest, body: shapes.HoldIn) -> HttpResponse:
    """Holds a slot for a while, so that it can be confirmed at leisure.

    Where a crowd books at one clinic, `rate_limited` comes with a `ticket`: sent after `retry_after` seconds as Waiting-Ticket,
    it lets its holder in.
    """
    actor = anybody(request, PUBLIC_WRITE)
    mine, wanted = once(request, actor), asked.offer(body)
    if actor.clinic is None and ADMITTED not in request.META:
        ticket, digest = request.headers.get("Waiting-Ticket", ""), mine.digest if mine else ""
        admit(wanted, ticket=ticket, address=client_address(request), digest=digest, state=body.state)

    def take(offer: Offer) -> Done:
        return bookings.hold(offer, seconds=body.seconds, actor=actor, once=mine)

    done, offer = taken(wanted, take, state=body.state)
    return answers.written(answers.hold(done.appointment, offer), status=201, replayed=done.replayed)


@api.delete("/holds/{hold_id}", response={204: None, PROBLEMS: ProblemOut}, tags=["holds"])
def release(request: HttpRequest, hold_id: str) -> HttpResponse:
    """Gives a hold back."""
    known = asked.known_id(hold_id)
    bookings.release(known, actor=holder(request, known))
    return HttpResponse(status=204)


@api.post("/holds/{hold_id}/extend", response={200: shapes.HoldOut, PROBLEMS: ProblemOut}, tags=["holds"])
def extend(request: HttpRequest, hold_id: str, body: shapes.ExtendIn | None = None) -> HttpResponse:
    """Gives a hold more time, once, up to 900 s in all."""
    known = asked.known_id(hold_id)
    actor = holder(request, known)
    body = body or shapes.ExtendIn()
    try:
        done = bookings.extend(known, seconds=body.seconds, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise with_alternatives(expired, asked.offer_of(expired.hold), state=body.state) from None
    return answers.written(answers.hold(done.appointment, asked.offer_of(done.appointment)), replayed=done.replayed)


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
    known = asked.known_id(hold_id)
    actor = holder(request, known)
    patient = asked.patient(body, actor)
    try:
        done = bookings.confirm(known, patient=patient, state=body.state, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise with_alternatives(expired, asked.offer_of(expired.hold), state=body.state) from None
    answer = answers.appointment(done.appointment)
    if actor.clinic is None:
        answer["manage_url"] = manage_url(known)
    return answers.written(answer, status=201, replayed=done.replayed)
