"""The administrator's door: what a clinic is made of, who can be booked in it and how, without an engineer.

Who reads something gets its `revision`, and who changes it says which one they saw: another's change is never lost in silence.
"""

import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from apps.kernel import once as repeated
from apps.kernel.api import PROBLEMS, as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound, ValidationFailed
from apps.kernel.shapes import Closed, ProblemOut
from apps.kernel.tokens import Claims
from engine import answers, apart, clinics, files, ics, queries, rules, visit_types
from engine import setup_shapes as shapes
from engine.callers import actor_of, once, own_calendar, own_only, staff
from engine.clinics import Facts

router = Router(tags=["setup"])


@router.get("/clinics/{clinic}/settings", response={200: shapes.SettingsOut, PROBLEMS: ProblemOut})
def settings(request: HttpRequest, clinic: str) -> HttpResponse:
    """The clinic's own facts."""
    return as_json(_out(clinics.settings(_own(request, clinic).clinic)))


@router.patch("/clinics/{clinic}/settings", response={200: shapes.SettingsOut, PROBLEMS: ProblemOut})
def change_settings(request: HttpRequest, clinic: str, body: shapes.SettingsChange) -> HttpResponse:
    """Another name, zone, or other sites that may show the booking widget."""
    actor = actor_of(request, _own(request, clinic))
    return as_json(_out(clinics.change_settings(clinic, _changes(body), seen=body.revision, actor=actor)))


# --- places -------------------------------------------------------------------------------------------------------------


@router.get("/clinics/{clinic}/locations", response={200: shapes.PlacesOut, PROBLEMS: ProblemOut})
def locations(request: HttpRequest, clinic: str) -> HttpResponse:
    """Where the clinic sees patients."""
    return as_json({"items": [_out(place) for place in clinics.places(_own(request, clinic).clinic)]})


@router.post("/locations", response={201: shapes.PlaceOut, PROBLEMS: ProblemOut})
def add_location(request: HttpRequest, body: shapes.PlaceIn) -> HttpResponse:
    """Another place."""
    claims = staff(request, "administer")

    def run() -> HttpResponse:
        made = clinics.add_place(claims.clinic, body.model_dump(), actor=actor_of(request, claims))
        return as_json(_out(made), status=201)

    return repeated.once(request, _who(claims), run)


@router.patch("/locations/{location}", response={200: shapes.PlaceOut, PROBLEMS: ProblemOut})
def change_location(request: HttpRequest, location: str, body: shapes.PlaceChange) -> HttpResponse:
    """Another address, name or phone."""
    claims = staff(request, "administer")
    actor = actor_of(request, claims)
    with own_only(request, claims, "location.changed", f"location:{location}"):
        changed = clinics.change_place(as_id(location), _changes(body), seen=body.revision, actor=actor)
    return as_json(_out(changed))


# --- calendars ----------------------------------------------------------------------------------------------------------


@router.get("/clinics/{clinic}/calendars", response={200: shapes.CalendarsOut, PROBLEMS: ProblemOut})
def calendars(request: HttpRequest, clinic: str) -> HttpResponse:
    """All calendars, also those that cannot be booked any more."""
    found = clinics.timelines(_own(request, clinic).clinic)
    visits = clinics.visits_to_come(clinic)
    return as_json({"items": [{**_out(one), "future_visits": visits.get(one.id, 0)} for one in found]})


@router.post("/calendars", response={201: shapes.CalendarOut, PROBLEMS: ProblemOut})
def add_calendar(request: HttpRequest, body: shapes.CalendarIn) -> HttpResponse:
    """A practitioner, room or device that can be booked, once it has opening hours and visit types."""
    claims = staff(request, "administer")

    def run() -> HttpResponse:
        made = clinics.add_timeline(claims.clinic, body.model_dump(), actor=actor_of(request, claims))
        return as_json({**_out(made), "future_visits": 0}, status=201)

    return repeated.once(request, _who(claims), run)


@router.patch("/calendars/{calendar}", response={200: shapes.CalendarOut, PROBLEMS: ProblemOut})
def change_calendar(request: HttpRequest, calendar: str, body: shapes.CalendarChange) -> HttpResponse:
    """Changes a calendar. Inactive, it cannot be booked any more; its booked visits stay, and the answer counts them."""
    claims = staff(request, "administer")
    with own_only(request, claims, "calendar.changed", f"calendar:{calendar}"):
        known = queries.calendar_by_uid(as_id(calendar), clinic=claims.clinic)
    changed = clinics.change_timeline(known.id, _changes(body), seen=body.revision, actor=actor_of(request, claims))
    return as_json({**_out(changed), "future_visits": clinics.visits_to_come(claims.clinic).get(changed.id, 0)})


@router.post("/calendars/{calendar}/imports", response={200: shapes.ImportOut, PROBLEMS: ProblemOut})
def import_file(request: HttpRequest, calendar: str, body: shapes.ImportIn) -> HttpResponse:
    """A calendar file (.ics) as busy times or as weekly hours: what would become of it, or, with `apply`, what became of it."""
    claims = staff(request, "configure")
    with own_only(request, claims, "calendar.imported", f"calendar:{calendar}"):
        known = queries.calendar_by_uid(as_id(calendar), clinic=claims.clinic)
    own_calendar(request, claims, known.uid)
    zone, now, actor = known.hours.zone, int(time.time()), actor_of(request, claims)
    if len(body.ics.encode(errors="surrogatepass")) > ics.LARGEST:
        raise ValidationFailed("A calendar file has at most 512 KiB.", param="ics")
    mine = once(request, actor)
    if body.as_ == "busy":
        done = files.busy(known.id, apart.busy_times(body.ics, zone, now), apply=body.apply, actor=actor, once=mine)
    else:
        week = apart.weekly_hours(body.ics, zone, datetime.fromtimestamp(now, ZoneInfo(zone)).date())
        done = files.hours(known.id, week, apply=body.apply, actor=actor, once=mine)
    return answers.written(done.answer, replayed=done.replayed)


@router.get("/holidays", response={200: shapes.HolidaysOut, PROBLEMS: ProblemOut})
def holidays(request: HttpRequest, query: Query[shapes.HolidaysQuery]) -> HttpResponse:
    """The regions whose public holidays can close a calendar, and the days of one of them in a year."""
    staff(request, "read")
    days = [{"date": day.isoformat(), "name": name} for day, name in rules.named_holidays(query.region, query.year)]
    return as_json({"regions": list(rules.regions()), "days": days})


# --- visit types --------------------------------------------------------------------------------------------------------


@router.get("/clinics/{clinic}/visit-types", response={200: shapes.VisitTypesOut, PROBLEMS: ProblemOut})
def list_visit_types(request: HttpRequest, clinic: str) -> HttpResponse:
    """All visit types with their booking policy, also those that cannot be booked any more."""
    return as_json({"items": [_out(one) for one in visit_types.visit_types(_own(request, clinic).clinic)]})


@router.post("/visit-types", response={201: shapes.VisitTypeOut, PROBLEMS: ProblemOut})
def add_visit_type(request: HttpRequest, body: shapes.VisitTypeIn) -> HttpResponse:
    """Something that can be booked."""
    claims = staff(request, "administer")
    actor = actor_of(request, claims)
    added = visit_types.add(claims.clinic, _facts(body), actor=actor, once=once(request, actor))
    return answers.written(_out(added.visit_type), status=201, replayed=added.replayed)


@router.patch("/visit-types/{visit_type}", response={200: shapes.VisitTypeOut, PROBLEMS: ProblemOut})
def change_visit_type(request: HttpRequest, visit_type: str, body: shapes.VisitTypeChange) -> HttpResponse:
    """Changes what can be booked from now on; what is booked stays as it is."""
    claims = staff(request, "administer")
    actor = actor_of(request, claims)
    with own_only(request, claims, "visit_type.changed", f"visit_type:{visit_type}"):
        changed = visit_types.change(as_id(visit_type), _changes(body), seen=body.revision, actor=actor)
    return as_json(_out(changed))


# --- from the wire and to it --------------------------------------------------------------------------------------------


def _own(request: HttpRequest, clinic: str) -> Claims:
    """An administrator of this clinic. Raises NotFound for another's."""
    claims = staff(request, "administer")
    with own_only(request, claims, "administer", f"clinic:{clinic}"):
        if clinic != claims.clinic:
            raise NotFound("No such clinic.")
    return claims


def _changes(body: Closed) -> dict[str, Any]:
    return {name: value for name, value in _facts(body).items() if value is not None and name != "revision"}


def _facts(body: Closed) -> dict[str, Any]:
    """Lists as tuples: what is compared is immutable."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in body.model_dump().items()}


def _out(facts: Facts) -> dict[str, Any]:
    return {"revision": facts.revision, **facts.asdict()}


def _who(claims: Claims) -> str:
    return f"{claims.clinic}:{claims.subject}"
