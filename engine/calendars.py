"""The door to calendars for staff and programs: what they look like, what happened to them, and their opening times."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time as wall_time
from functools import partial

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from apps.kernel import audit
from apps.kernel.api import PROBLEMS, as_json
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound, ValidationFailed
from apps.kernel.shapes import ProblemOut
from apps.kernel.tokens import Claims
from engine import answers, asked, calendar_shapes, openings, pictures, queries, replicas, snapshots
from engine.callers import PERMISSIONS, actor_of, once, own_calendar, own_only, staff
from engine.rules import CalendarRules
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from engine.statistics import statistics

_LONGEST_SCREEN_DAYS, _LONGEST_LIST_DAYS, _USUAL_LIST_DAYS, _MOST_DAYS = 31, 400, 365, 92

router = Router(tags=["calendars"])


@router.get("/calendars/{calendar}/snapshot", response={200: calendar_shapes.SnapshotOut, PROBLEMS: ProblemOut})
def snapshot(request: HttpRequest, calendar: str, query: Query[calendar_shapes.SnapshotQuery]) -> HttpResponse:
    """A calendar's appointments, holds and open times at one version; the version is the ETag."""
    named = query.version
    with _reading(request, calendar) as claims:
        look = partial(pictures.picture, as_id(calendar), asked.window(query), clinic=claims.clinic, joins=_joins(claims))
        # Whoever names no version wants the present one.
        found = look() if named is None else replicas.read(request, look, enough=lambda found: found.version >= named)
    etag = f'"{found.version}"'
    known = request.headers.get("If-None-Match", "")
    if etag in known or known == "*":
        return HttpResponse(status=304, headers={"ETag": etag})
    # Times alone are nobody's data, so polls of `changes` leave no entry; an id of a patient is.
    if found.patients:
        audit.record(request, claims, "calendar.read", object=f"calendar:{found.calendar}", details={"patients": found.patients})
    response = HttpResponse(found.body, content_type="application/json")
    response["ETag"] = etag
    return response


@router.get("/clinics/{clinic}/snapshot", response={200: calendar_shapes.ClinicSnapshotOut, PROBLEMS: ProblemOut})
def clinic_snapshot(request: HttpRequest, clinic: str, query: Query[calendar_shapes.ClinicRangeQuery]) -> HttpResponse:
    """The calendars of the caller's clinic at one moment, all that are active unless some are named; 31 days at most."""
    claims = staff(request, "read")
    with own_only(request, claims, "calendar.read", f"clinic:{clinic}"):
        if clinic != claims.clinic:
            raise NotFound("No such clinic.")
        named = [as_id(calendar) for calendar in query.calendar] if query.calendar else None
        within = asked.window(query, longest_days=_LONGEST_SCREEN_DAYS)
        found = pictures.pictures(named, within, clinic=clinic, joins=_joins(claims))
    if patients := sum(one.patients for one in found):
        details = {"patients": patients, "calendars": len(found)}
        audit.record(request, claims, "calendar.read", object=f"clinic:{clinic}", details=details)
    body = b'{"epoch":"%b","calendars":[%b]}' % (found[0].epoch.encode(), b",".join(one.body for one in found))
    return HttpResponse(body, content_type="application/json")


@router.get("/clinics/{clinic}/statistics", response={200: calendar_shapes.StatisticsOut, PROBLEMS: ProblemOut})
def clinic_statistics(request: HttpRequest, clinic: str, query: Query[calendar_shapes.StatisticsQuery]) -> HttpResponse:
    """How the days of the caller's clinic went, and what is booked of those to come; 92 at most."""
    claims = staff(request, "read")
    with own_only(request, claims, "statistics.read", f"clinic:{clinic}"):
        if clinic != claims.clinic:
            raise NotFound("No such clinic.")
    first, last = asked.day(query.from_, "from"), asked.day(query.to, "to")
    if last < first:
        raise ValidationFailed("to must not be before from.", param="to")
    if (last - first).days >= _MOST_DAYS:
        raise ValidationFailed(f"This spans at most {_MOST_DAYS} days.", param="to")
    return as_json(answers.statistics(statistics(queries.clinic_by_slug(clinic), first, last)))


@router.get("/calendars/{calendar}/changes", response={200: calendar_shapes.ChangesOut, PROBLEMS: ProblemOut})
def changes(request: HttpRequest, calendar: str, query: Query[calendar_shapes.ChangesQuery]) -> HttpResponse:
    """What happened to a calendar after a version, in order, without a hole."""
    with _reading(request, calendar) as claims:
        epoch, version, events = snapshots.changes(as_id(calendar), since=query.since, limit=query.limit, clinic=claims.clinic)
    return as_json({"epoch": str(epoch), "version": version, "events": events})


@router.get("/calendars/{calendar}/hours", response={200: calendar_shapes.WeekOut, PROBLEMS: ProblemOut})
def hours(request: HttpRequest, calendar: str) -> HttpResponse:
    """The weekly opening hours as they were set."""
    with _reading(request, calendar) as claims:
        return as_json(answers.week(snapshots.week(as_id(calendar), clinic=claims.clinic)))


@router.put("/calendars/{calendar}/hours", response={200: calendar_shapes.VersionOut, PROBLEMS: ProblemOut})
def set_hours(request: HttpRequest, calendar: str, body: calendar_shapes.WeekIn) -> HttpResponse:
    """Replaces the weekly opening hours."""
    claims, rules = _own_calendar(request, calendar)
    hours = [
        OpeningHours(
            rule.weekday,
            wall_time.fromisoformat(rule.opens),
            wall_time.fromisoformat(rule.closes),
            asked.day(rule.valid_from, f"hours.{number}.valid_from") if rule.valid_from else None,
            asked.day(rule.valid_until, f"hours.{number}.valid_until") if rule.valid_until else None,
        )
        for number, rule in enumerate(body.hours)
    ]
    return as_json({"version": openings.set_hours(rules.id, hours, actor=actor_of(request, claims))})


@router.get("/calendars/{calendar}/exceptions", response={200: calendar_shapes.CalendarExceptionsOut, PROBLEMS: ProblemOut})
def exceptions(request: HttpRequest, calendar: str, query: Query[calendar_shapes.ExceptionsQuery]) -> HttpResponse:
    """When a calendar is open or closed whatever its weekly hours say, by start; a year from today on unless asked otherwise."""
    with _reading(request, calendar) as claims:
        known = queries.calendar_by_uid(as_id(calendar), clinic=claims.clinic)
    within = asked.window(query, longest_days=_LONGEST_LIST_DAYS, usual_days=_USUAL_LIST_DAYS)
    after = asked.place(query.cursor) or (0, 0)
    found, following = snapshots.exceptions(known.id, within, limit=query.limit, after=after)
    return as_json({"items": [answers.exception(one) for one in found], "next": following})


@router.post("/calendars/{calendar}/exceptions", response={201: calendar_shapes.ExceptionOut, PROBLEMS: ProblemOut})
def add_exception(request: HttpRequest, calendar: str, body: calendar_shapes.ExceptionIn) -> HttpResponse:
    """Opens or closes a calendar for one interval, whatever the weekly hours say."""
    claims, rules = _own_calendar(request, calendar)
    actor = actor_of(request, claims)
    visit_type = queries.visit_type_by_uid(as_id(body.visit_type), clinic=rules.clinic).id if body.visit_type else None
    during = Interval(body.start, body.end)
    added = openings.add_exception(
        rules.id,
        OpeningException(during, body.open, body.capacity, visit_type),
        note=body.note,
        actor=actor,
        once=once(request, actor),
    )
    one = snapshots.KeptException(added.uid, during, body.open, body.capacity, visit_type, body.note)
    return answers.written(answers.exception(one) | {"version": added.version}, status=201, replayed=added.replayed)


@router.delete("/calendars/{calendar}/exceptions/{exception}", response={204: None, PROBLEMS: ProblemOut})
def remove_exception(request: HttpRequest, calendar: str, exception: str) -> HttpResponse:
    """Takes an exception back."""
    claims, rules = _own_calendar(request, calendar)
    openings.remove_exception(rules.id, asked.known_id(exception), actor=actor_of(request, claims))
    return HttpResponse(status=204)


@contextmanager
def _reading(request: HttpRequest, calendar: str) -> Iterator[Claims]:
    """Around a look at one calendar: who looks; when it is not theirs, the audit log has the try. Raises Forbidden."""
    claims = staff(request, "read")
    with own_only(request, claims, "calendar.read", f"calendar:{calendar}"):
        yield claims


def _joins(claims: Claims) -> bool:
    """Whether somebody takes part in visits: the way into a video room is for nobody else."""
    return claims.role in PERMISSIONS["book"]


def _own_calendar(request: HttpRequest, calendar: str) -> tuple[Claims, CalendarRules]:
    """The calendar whose hours somebody wants to change: a practitioner's must be her own. Raises NotFound, Forbidden."""
    claims = staff(request, "configure")
    with own_only(request, claims, "calendar.configured", f"calendar:{calendar}"):
        found = queries.calendar_by_uid(as_id(calendar), clinic=claims.clinic)
    own_calendar(request, claims, found.uid)
    return claims, found
