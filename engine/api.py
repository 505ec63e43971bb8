"""The HTTP API of the engine, /api/engine/v1: who may ask, what was asked, one call inward, the answer's shape."""

import hmac
import json
import logging
import re
import time
from collections.abc import Iterable
from datetime import date
from datetime import time as wall_time
from functools import cache
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from ninja import NinjaAPI, Query
from ninja.errors import HttpError
from ninja.errors import ValidationError as NinjaValidationError

from apps.kernel.http import as_response, client_address
from apps.kernel.ids import as_id
from apps.kernel.limits import Limit, Limiter
from apps.kernel.problems import Forbidden, NotFound, Problem, SecondFactorRequired, Unauthenticated, ValidationFailed
from apps.kernel.redis import connect
from apps.kernel.revocations import watched
from apps.kernel.sealing import unseal
from apps.kernel.tokens import SESSION_COOKIE, Claims, TokenRefused, Verifier
from engine import bookings, openings, queries, shapes
from engine.errors import HoldExpired, SlotTaken
from engine.offers import Offer, parse
from engine.rows import Actor, Done, Once, Patient
from engine.rules import CalendarRules, VisitTypeRules, calendar_uid, clinic_slug, visit_type_uid
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment, Status
from engine.shapes import in_zone

log = logging.getLogger(__name__)

STAFF = frozenset({"practitioner", "front_desk", "clinic_admin", "program"})
PERMISSIONS = {
    "read": STAFF | {"billing", "auditor"},
    "book": STAFF,
    "read_patient": STAFF,
    "configure": frozenset({"practitioner", "clinic_admin", "program"}),
}
"""Which roles may do what. Everything else is denied."""

PUBLIC_READ = Limit("read", requests=300, seconds=60)
PUBLIC_WRITE = Limit("write", requests=60, seconds=60)

PROBLEMS = frozenset({401, 403, 404, 409, 410, 413, 422, 429, 500, 503})
"""The statuses of problem details, for the documents."""

_KEY = re.compile(r"[\x21-\x7e]{1,128}")

api = NinjaAPI(
    title="HealthFlow appointments",
    version="1",
    description="Slots, holds, appointments and live calendars. Errors are problem details (RFC 9457) with a stable `code`.",
    docs_url=None,
    openapi_url="/openapi.json",
    urls_namespace="engine",
)


# --- who asks -----------------------------------------------------------------------------------------------------------


@cache
def _verifier() -> Verifier:
    return Verifier(settings.ENV.token_jwks_file, revoked=watched(settings.ENV.redis_url.get_secret_value()).reason)


@cache
def _limiter() -> Limiter:
    return Limiter(connect(settings.ENV.redis_url.get_secret_value(), timeout_s=0.1), enabled=settings.ENV.rate_limits)


def claims_of(request: HttpRequest) -> Claims | None:
    """Who the bearer token or the session cookie says asks; None for the public. Raises Unauthenticated, SecondFactorRequired."""
    header = request.headers.get("Authorization", "")
    token = header[7:] if header[:7].lower() == "bearer " else request.COOKIES.get(SESSION_COOKIE, "")
    if not token:
        if header:
            raise Unauthenticated("Authorization takes a bearer token.")
        return None
    try:
        claims = _verifier().claims(token)
    except TokenRefused:
        raise Unauthenticated("The token or session is not valid, or has ended.") from None
    if not header and request.method not in ("GET", "HEAD", "OPTIONS"):
        _check_csrf(request)
    if not claims.second_factor and claims.role != "program":
        raise SecondFactorRequired()
    return claims


def staff(request: HttpRequest, action: str) -> Claims:
    """The claims of someone who may do `action` (a key of PERMISSIONS). Raises Unauthenticated, Forbidden."""
    claims = claims_of(request)
    if claims is None:
        raise Unauthenticated()
    if claims.role not in PERMISSIONS[action]:
        raise Forbidden()
    return claims


def anybody(request: HttpRequest, limit: Limit) -> Actor:
    """Staff who may book, or the public within its limit. Raises what `staff` does, and RateLimited."""
    claims = claims_of(request)
    if claims is None:
        _limiter().check(limit, client_address(request))
        return Actor("public")
    if claims.role not in PERMISSIONS["read" if limit is PUBLIC_READ else "book"]:
        raise Forbidden()
    return Actor(claims.subject, claims.clinic)


def holder(request: HttpRequest, hold: UUID) -> Actor:
    """Staff, or whoever shows the hold's secret; a wrong secret finds nothing. Raises what `anybody` does, and NotFound."""
    actor = anybody(request, PUBLIC_WRITE)
    if actor.clinic is None and not hmac.compare_digest(
        request.headers.get("Hold-Secret", "").encode(), hold_secret(hold).encode()
    ):
        raise NotFound("No such hold.")
    return actor


def hold_secret(hold: UUID) -> str:
    """What proves that somebody made this hold. Derived, so that it is stored nowhere."""
    return blake2b(hold.bytes, key=_hold_key(), digest_size=20).hexdigest()


@cache
def _hold_key() -> bytes:
    return blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"hold-secret").digest()


def _check_csrf(request: HttpRequest) -> None:
    refused = CsrfViewMiddleware(lambda _: HttpResponse()).process_view(request, lambda: HttpResponse(), (), {})
    if refused is not None:
        raise Forbidden("A request by session cookie needs the X-CSRFToken header.")


def once(request: HttpRequest, actor: Actor) -> Once | None:
    """The request's Idempotency-Key, bound to who asks and to all that was asked. Raises ValidationFailed."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ValidationFailed("1 to 128 visible ASCII characters are allowed.", param="Idempotency-Key")
    fingerprint = blake2b(f"{request.method} {request.path}\n".encode() + request.body, digest_size=16).digest()
    return Once(f"{actor.clinic or ''}:{actor.subject}", key, fingerprint)


# --- slots and holds ----------------------------------------------------------------------------------------------------


@api.get("/clinics/{clinic}", response={200: shapes.ClinicOut, PROBLEMS: shapes.ProblemOut}, tags=["slots"])
def clinic_profile(request: HttpRequest, clinic: str) -> HttpResponse:
    """A clinic's profile: what can be booked there, and with whom."""
    anybody(request, PUBLIC_READ)
    row, types, calendars, locations = queries.profile(clinic)
    return _json(
        {
            "slug": row.slug,
            "name": row.name,
            "zone": row.zone,
            "visit_types": [_visit_type_out(rules) for rules in types],
            "calendars": [_calendar_out(rules) for rules in calendars],
            "locations": [
                {"id": str(place.uid)}
                | {name: getattr(place, name) for name in ("name", "address", "city", "state", "postal_code", "phone", "zone")}
                for place in locations
            ],
        }
    )


@api.get("/clinics/{clinic}/slots", response={200: shapes.SlotsOut, PROBLEMS: shapes.ProblemOut}, tags=["slots"])
def slots(request: HttpRequest, clinic: str, query: Query[shapes.SlotsQuery]) -> HttpResponse:
    """Free slots of a visit type, by start; seven days from now unless asked otherwise, 62 at most."""
    anybody(request, PUBLIC_READ)
    visit_type = queries.visit_type_by_uid(as_id(query.visit_type), clinic=queries.clinic_by_slug(clinic).id)
    found = queries.slots(
        visit_type,
        _within(query.from_, query.to),
        calendar=queries.calendar_by_uid(as_id(query.calendar)).uid if query.calendar else None,
        state=query.state,
        modality=query.modality,
        limit=query.limit,
        after=_place(query.cursor),
    )
    following = f"{found.next.start}.{found.next.calendar}" if found.next else None
    as_of = {str(day.rules.uid): day.version for day in found.days}
    return _json({"items": _slots_out(found, query.tz), "next": following, "as_of": as_of})


@api.get("/slots/first", response={200: shapes.SlotsOut, PROBLEMS: shapes.ProblemOut}, tags=["slots"])
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
    return _json({"items": _slots_out(found, query.tz), "next": None, "as_of": as_of})


@api.post("/holds", response={201: shapes.HoldOut, PROBLEMS: shapes.ProblemOut}, tags=["holds"])
def hold(request: HttpRequest, body: shapes.HoldIn) -> HttpResponse:
    """Holds a slot for a while, so that it can be confirmed at leisure."""
    actor = anybody(request, PUBLIC_WRITE)
    offer = _offer(body)
    try:
        done = bookings.hold(offer, seconds=body.seconds, actor=actor, once=once(request, actor))
    except SlotTaken as taken:
        raise _with_alternatives(taken, offer) from None
    return _done(done, _hold_out(done.appointment, offer), status=201)


@api.delete("/holds/{hold_id}", response={204: None, PROBLEMS: shapes.ProblemOut}, tags=["holds"])
def release(request: HttpRequest, hold_id: str) -> HttpResponse:
    """Gives a hold back."""
    known = _id(hold_id)
    bookings.release(known, actor=holder(request, known))
    return HttpResponse(status=204)


@api.post("/holds/{hold_id}/extend", response={200: shapes.HoldOut, PROBLEMS: shapes.ProblemOut}, tags=["holds"])
def extend(request: HttpRequest, hold_id: str, body: shapes.ExtendIn | None = None) -> HttpResponse:
    """Gives a hold more time, once, up to 900 s in all."""
    known = _id(hold_id)
    actor = holder(request, known)
    seconds = body.seconds if body else shapes.ExtendIn().seconds
    try:
        done = bookings.extend(known, seconds=seconds, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise _with_alternatives(expired, _offer_of(expired.hold)) from None
    return _done(done, _hold_out(done.appointment, _offer_of(done.appointment)))


@api.post("/holds/{hold_id}/confirm", response={201: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut}, tags=["holds"])
def confirm(request: HttpRequest, hold_id: str, body: shapes.ConfirmIn) -> HttpResponse:
    """Makes a hold an appointment."""
    known = _id(hold_id)
    actor = holder(request, known)
    patient = _patient(body.patient, body.answers, actor)
    try:
        done = bookings.confirm(known, patient=patient, state=body.state, actor=actor, once=once(request, actor))
    except HoldExpired as expired:
        raise _with_alternatives(expired, _offer_of(expired.hold)) from None
    return _done(done, _appointment_out(done.appointment), status=201)


# --- appointments -------------------------------------------------------------------------------------------------------


@api.post("/appointments", response={201: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut}, tags=["appointments"])
def book(request: HttpRequest, body: shapes.AppointmentIn) -> HttpResponse:
    """Hold and confirm in one, for staff and programs."""
    claims = staff(request, "book")
    actor = Actor(claims.subject, claims.clinic)
    offer, patient = _offer(body), _patient(body.patient, body.answers, actor)
    try:
        done = bookings.book(offer, patient=patient, state=body.state, actor=actor, once=once(request, actor))
    except SlotTaken as taken:
        raise _with_alternatives(taken, offer) from None
    return _done(done, _appointment_out(done.appointment), status=201)


@api.get("/appointments", response={200: shapes.AppointmentsOut, PROBLEMS: shapes.ProblemOut}, tags=["appointments"])
def appointments(request: HttpRequest, query: Query[shapes.AppointmentsQuery]) -> HttpResponse:
    """Appointments of the caller's clinic, oldest first."""
    claims = staff(request, "read")
    if query.clinic not in ("", claims.clinic):
        raise NotFound("No such clinic.")
    found = queries.appointments(
        clinic=claims.clinic,
        calendar=queries.calendar_by_uid(as_id(query.calendar)).uid if query.calendar else None,
        patient=query.patient,
        status=query.status,
        within=Interval(query.from_ if query.from_ is not None else 0, query.to if query.to is not None else 2**32),
        limit=query.limit + 1,
        after=_id(query.cursor) if query.cursor else None,
    )
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > query.limit else None
    return _json({"items": [_appointment_out(a) for a in page], "next": following})


@api.get(
    "/appointments/{appointment_id}", response={200: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut}, tags=["appointments"]
)
def appointment(request: HttpRequest, appointment_id: str, query: Query[shapes.AppointmentQuery]) -> HttpResponse:
    """One appointment. `expand=history` adds what happened to it, `expand=patient` the details given when it was booked."""
    claims = staff(request, "read")
    found, history, sealed = queries.appointment(_id(appointment_id), clinic=claims.clinic)
    answer = _appointment_out(found)
    if "history" in query.expand:
        answer["history"] = history
    if "patient" in query.expand and sealed is not None:
        staff(request, "read_patient")
        key = settings.ENV.patient_details_key.get_secret_value()
        answer["patient"] = json.loads(unseal(sealed, key=key, row=found.id.bytes))
        log.info("patient_details_read", extra={"appointment": str(found.id), "by": claims.subject, "role": claims.role})
    return _json(answer)


@api.post(
    "/appointments/{appointment_id}/reschedule",
    response={200: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut},
    tags=["appointments"],
)
def reschedule(request: HttpRequest, appointment_id: str, body: shapes.RescheduleIn) -> HttpResponse:
    """Moves an appointment to another slot; when that is refused the old time stays."""
    claims = staff(request, "book")
    actor, offer = Actor(claims.subject, claims.clinic), parse(body.slot)
    try:
        done = bookings.reschedule(_id(appointment_id), offer, by="clinic", actor=actor, once=once(request, actor))
    except SlotTaken as taken:
        raise _with_alternatives(taken, offer) from None
    return _done(done, _appointment_out(done.appointment))


@api.post(
    "/appointments/{appointment_id}/cancel",
    response={200: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut},
    tags=["appointments"],
)
def cancel(request: HttpRequest, appointment_id: str, body: shapes.CancelIn) -> HttpResponse:
    """Cancels an appointment, for the patient (who must keep the notice) or the clinic."""
    claims = staff(request, "book")
    actor = Actor(claims.subject, claims.clinic)
    done = bookings.cancel(_id(appointment_id), reason=body.reason, by=body.by, actor=actor, once=once(request, actor))
    return _done(done, _appointment_out(done.appointment))


@api.post(
    "/appointments/{appointment_id}/{move}",
    response={200: shapes.AppointmentOut, PROBLEMS: shapes.ProblemOut},
    tags=["appointments"],
)
def move(request: HttpRequest, appointment_id: str, move: Literal["arrive", "start", "complete", "no-show"]) -> HttpResponse:
    """One step of the visit."""
    claims = staff(request, "book")
    actor = Actor(claims.subject, claims.clinic)
    done = bookings.move(_id(appointment_id), move, actor=actor, once=once(request, actor))
    return _done(done, _appointment_out(done.appointment))


# --- calendars ----------------------------------------------------------------------------------------------------------


@api.get("/calendars/{calendar}/snapshot", response={200: shapes.SnapshotOut, PROBLEMS: shapes.ProblemOut}, tags=["calendars"])
def snapshot(request: HttpRequest, calendar: str, query: Query[shapes.RangeQuery]) -> HttpResponse:
    """A calendar's appointments, holds and open times at one version; the version is the ETag."""
    claims = staff(request, "read")
    found = queries.snapshot(as_id(calendar), Interval(query.from_, query.to), clinic=claims.clinic)
    etag = f'"{found.version}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    booked = [a for a in found.appointments if a.status != Status.HELD]
    held = [a for a in found.appointments if a.status == Status.HELD and a.expires_at is not None]
    response = _json(
        {
            "epoch": str(found.epoch),
            "version": found.version,
            "calendar": str(found.calendar.uid),
            "zone": found.calendar.hours.zone,
            "appointments": [_appointment_out(a) for a in booked],
            "holds": [
                {
                    "id": str(a.id),
                    **_interval_out(Interval(a.start, a.end)),
                    "status": a.status.value,
                    "visit_type": str(visit_type_uid(a.visit_type)),
                    "calendars": [str(calendar_uid(calendar)) for calendar in a.calendars],
                    "expires_at": in_zone(a.expires_at or 0, "UTC"),
                }
                for a in held
            ],
            "open": [_interval_out(interval) for interval in found.open],
        }
    )
    response["ETag"] = etag
    return response


@api.get("/calendars/{calendar}/changes", response={200: shapes.ChangesOut, PROBLEMS: shapes.ProblemOut}, tags=["calendars"])
def changes(request: HttpRequest, calendar: str, query: Query[shapes.ChangesQuery]) -> HttpResponse:
    """What happened to a calendar after a version, in order, without a hole."""
    claims = staff(request, "read")
    epoch, version, events = queries.changes(as_id(calendar), since=query.since, limit=query.limit, clinic=claims.clinic)
    return _json({"epoch": str(epoch), "version": version, "events": events})


@api.put("/calendars/{calendar}/hours", response={200: shapes.VersionOut, PROBLEMS: shapes.ProblemOut}, tags=["calendars"])
def set_hours(request: HttpRequest, calendar: str, body: shapes.WeekIn) -> HttpResponse:
    """Replaces the weekly opening hours."""
    rules = _own_calendar(request, calendar)
    hours = [
        OpeningHours(
            rule.weekday,
            wall_time.fromisoformat(rule.opens),
            wall_time.fromisoformat(rule.closes),
            _date(rule.valid_from, "valid_from"),
            _date(rule.valid_until, "valid_until"),
        )
        for rule in body.hours
    ]
    return _json({"version": openings.set_hours(rules.id, hours)})


@api.post("/calendars/{calendar}/exceptions", response={201: shapes.ExceptionOut, PROBLEMS: shapes.ProblemOut}, tags=["calendars"])
def add_exception(request: HttpRequest, calendar: str, body: shapes.ExceptionIn) -> HttpResponse:
    """Opens or closes a calendar for one interval, whatever the weekly hours say."""
    rules = _own_calendar(request, calendar)
    visit_type = queries.visit_type_by_uid(as_id(body.visit_type), clinic=rules.clinic).id if body.visit_type else None
    during = Interval(body.start, body.end)
    uid, version = openings.add_exception(rules.id, OpeningException(during, body.open, body.capacity, visit_type))
    answer = {"id": str(uid), **_interval_out(during), "open": body.open, "capacity": body.capacity, "version": version}
    return _json(answer, status=201)


@api.delete("/calendars/{calendar}/exceptions/{exception}", response={204: None, PROBLEMS: shapes.ProblemOut}, tags=["calendars"])
def remove_exception(request: HttpRequest, calendar: str, exception: str) -> HttpResponse:
    """Takes an exception back."""
    openings.remove_exception(_own_calendar(request, calendar).id, _id(exception))
    return HttpResponse(status=204)


# --- from the wire ------------------------------------------------------------------------------------------------------


def _id(text: str) -> UUID:
    known = as_id(text)
    if known is None:
        raise NotFound()
    return known


def _own_calendar(request: HttpRequest, calendar: str) -> CalendarRules:
    claims = staff(request, "configure")
    rules = queries.calendar_by_uid(as_id(calendar))
    if rules.clinic_slug != claims.clinic:
        raise NotFound("No such calendar.")
    return rules


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


def _patient(given: shapes.PatientIn, answers: dict[str, str] | None, actor: Actor) -> Patient:
    if given.id is not None and actor.clinic is None:
        raise Forbidden("Only staff and programs may book for a patient by id.")
    details = given.model_dump(exclude_none=True, exclude={"id"})
    if answers:
        details["answers"] = answers
    return Patient(given.id, json.dumps(details) if details else None)


def _within(start: int | None, end: int | None) -> Interval:
    first = start if start is not None else int(time.time())
    last = end if end is not None else first + 7 * queries.DAY_S
    if not first < last:
        raise ValidationFailed("to must be after from.", param="to")
    if last - first > queries.LONGEST_SEARCH_S:
        raise ValidationFailed("A search spans at most 62 days.", param="to")
    return Interval(first, last)


def _place(cursor: str | None) -> queries.Place | None:
    if cursor is None:
        return None
    start, _, calendar = cursor.partition(".")
    if not (start.isdigit() and calendar.isdigit() and len(cursor) < 32):
        raise ValidationFailed("This is not a cursor we gave.", param="cursor")
    return queries.Place(int(start), int(calendar))


def _date(text: str | None, param: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValidationFailed("This date does not exist.", param=param) from None


# --- to the wire --------------------------------------------------------------------------------------------------------


def _json(answer: Any, *, status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(answer, separators=(",", ":")), status=status, content_type="application/json")


def _done(done: Done, answer: dict[str, Any], *, status: int = 200) -> HttpResponse:
    response = _json(answer, status=status)
    if done.replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def _interval_out(interval: Interval) -> dict[str, str]:
    return {"start": in_zone(interval.start, "UTC"), "end": in_zone(interval.end, "UTC")}


def _hold_out(held: Appointment, offer: Offer) -> dict[str, Any]:
    return {
        "id": str(held.id),
        "slot": offer.token(),
        **_interval_out(Interval(held.start, held.end)),
        "calendar": str(calendar_uid(held.calendar)),
        "calendars": [str(calendar_uid(calendar)) for calendar in held.calendars],
        "expires_at": in_zone(held.expires_at or held.created_at, "UTC"),
        "secret": hold_secret(held.id),
        "version": held.version,
    }


def _appointment_out(appointment: Appointment) -> dict[str, Any]:
    a = appointment
    answer = {
        "id": str(a.id),
        "clinic": clinic_slug(a.clinic),
        "calendar": str(calendar_uid(a.calendar)),
        "calendars": [str(calendar_uid(calendar)) for calendar in a.calendars],
        "visit_type": str(visit_type_uid(a.visit_type)),
        "status": a.status.value,
        **_interval_out(Interval(a.start, a.end)),
        "patient": {"id": a.patient_id} if a.patient_id else None,
        "modality": a.modality,
        "state": a.state,
        "version": a.version,
        "created_at": in_zone(a.created_at, "UTC"),
    }
    return answer | {"expires_at": in_zone(a.expires_at, "UTC")} if a.expires_at is not None else answer


def _slots_out(found: queries.Found, zone: str) -> list[dict[str, Any]]:
    known = {day.rules.id: day.rules for day in found.days}
    return [_slot_out(offer, [known[key] for key in offer.calendars], zone) for offer in found.offers]


def _slot_out(offer: Offer, calendars: list[CalendarRules], zone: str) -> dict[str, Any]:
    location = next((c.location for c in calendars if c.location is not None), None)
    return {
        "slot": offer.token(),
        "start": in_zone(offer.start, zone),
        "end": in_zone(offer.end, zone),
        "calendar": str(calendars[0].uid),
        "calendars": [str(c.uid) for c in calendars],
        "modality": offer.modality,
        "capacity": offer.capacity,
        "location": str(location) if location else None,
    }


def _visit_type_out(rules: VisitTypeRules) -> dict[str, Any]:
    return {
        "id": str(rules.uid),
        "name": rules.name,
        "duration_minutes": rules.visit.duration // 60 if rules.visit.duration is not None else None,
        "modalities": list(rules.modalities),
        "needs": list(rules.needs),
        "calendars": [str(calendar_uid(calendar)) for calendar in rules.calendars],
    }


def _calendar_out(rules: CalendarRules) -> dict[str, Any]:
    return {
        "id": str(rules.uid),
        "name": rules.name,
        "kind": rules.kind,
        "zone": rules.hours.zone,
        "specialty": rules.specialty,
        "states": sorted(rules.states),
        "location": str(rules.location) if rules.location else None,
    }


def _with_alternatives(taken: SlotTaken, offer: Offer) -> SlotTaken:
    taken.alternatives = tuple(_slots_out(queries.alternatives(offer), "UTC"))
    return taken


# --- refusals -----------------------------------------------------------------------------------------------------------


@api.exception_handler(NinjaValidationError)
def _invalid(request: HttpRequest, refused: NinjaValidationError) -> HttpResponse:
    return _as_validation_failed(refused.errors).response()


@api.exception_handler(HttpError)
def _unreadable(request: HttpRequest, refused: HttpError) -> HttpResponse:
    if refused.status_code == 400:
        return ValidationFailed("The body is not JSON.", param="body").response()
    return as_response(request, refused)


@api.exception_handler(Exception)
def _refused(request: HttpRequest, fault: Exception) -> HttpResponse:
    return as_response(request, fault)


def _as_validation_failed(errors: Iterable[dict[str, Any]]) -> Problem:
    first = next(iter(errors))
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    # The outermost name is the view's own parameter, which callers do not know.
    named = place[1:] if place[:1] in (["query"], ["body"]) else place
    message = str(first["msg"]).removeprefix("Value error, ")
    return ValidationFailed(message, param=".".join(named) or "body")
