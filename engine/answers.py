"""How the engine's facts look on the wire: the answers of /api/engine/v1, as `shapes` documents them."""

import json
from functools import lru_cache
from typing import Any

from django.http import HttpResponse

from apps.kernel.api import as_json
from apps.kernel.shapes import in_zone
from engine import outbox, queries, snapshots
from engine.callers import hold_secret
from engine.deciding import Conflict
from engine.models import Location
from engine.offers import Offer
from engine.rules import (
    CalendarRules,
    VisitTypeRules,
    calendar_rules,
    calendar_uid,
    clinic_slug,
    visit_type_rules,
    visit_type_uid,
)
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment, Status
from engine.statistics import Figures, Statistics

_VIDEO = "video"


def written(answer: dict[str, Any], *, status: int = 200, replayed: bool) -> HttpResponse:
    """The answer to a write; `replayed` when an earlier request with the same Idempotency-Key had done it."""
    response = as_json(answer, status=status)
    if replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def interval(during: Interval) -> dict[str, str]:
    return {"start": in_zone(during.start, "UTC"), "end": in_zone(during.end, "UTC")}


def hold(held: Appointment, offer: Offer) -> dict[str, Any]:
    return {
        "id": str(held.id),
        "slot": offer.token(),
        **interval(Interval(held.start, held.end)),
        "calendar": _calendar(held.calendar),
        "calendars": list(map(_calendar, held.calendars)),
        "expires_at": in_zone(held.expires_at or held.created_at, "UTC"),
        "secret": hold_secret(held.id),
        "version": held.version,
    }


def appointment(a: Appointment) -> dict[str, Any]:
    answer = {
        "id": str(a.id),
        "clinic": clinic_slug(a.clinic),
        "calendar": _calendar(a.calendar),
        "calendars": list(map(_calendar, a.calendars)),
        "visit_type": _visit_type(a.visit_type),
        "status": a.status.value,
        **interval(Interval(a.start, a.end)),
        "patient": {"id": a.patient_id} if a.patient_id else None,
        "modality": a.modality,
        "state": a.state,
        "version": a.version,
        "created_at": in_zone(a.created_at, "UTC"),
        "stages": outbox.stages(a),
    }
    return answer | {"expires_at": in_zone(a.expires_at, "UTC")} if a.expires_at is not None else answer


def conflict(one: Conflict) -> dict[str, Any]:
    return {
        "code": one.refusal.code,
        "reason": one.reason,
        "calendar": _calendar(one.calendar),
        **(interval(one.during) if one.during else {}),
        **({"appointment": str(one.appointment)} if one.appointment else {}),
        "overridable": one.overridable,
    }


def slots(found: queries.Found, zone: str) -> list[dict[str, Any]]:
    known = {day.rules.id: day.rules for day in found.days}
    return [_slot(offer, [known[key] for key in offer.calendars], zone) for offer in found.offers]


def _slot(offer: Offer, calendars: list[CalendarRules], zone: str) -> dict[str, Any]:
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


def visit_type(rules: VisitTypeRules) -> dict[str, Any]:
    return {
        "id": str(rules.uid),
        "name": rules.name,
        "duration_minutes": rules.visit.duration // 60 if rules.visit.duration is not None else None,
        "before_minutes": rules.visit.before // 60,
        "after_minutes": rules.visit.after // 60,
        "step_minutes": rules.visit.step // 60,
        "modalities": list(rules.modalities),
        "needs": list(rules.needs),
        "calendars": list(map(_calendar, rules.calendars)),
    }


def calendar(rules: CalendarRules) -> dict[str, Any]:
    return {
        "id": str(rules.uid),
        "name": rules.name,
        "kind": rules.kind,
        "zone": rules.hours.zone,
        "specialty": rules.specialty,
        "states": sorted(rules.states),
        "location": str(rules.location) if rules.location else None,
    }


def clinic(found: queries.Profile) -> dict[str, Any]:
    return {
        "slug": found.slug,
        "name": found.name,
        "zone": found.zone,
        "visit_types": [visit_type(visit_type_rules(*each)) for each in found.visit_types],
        "calendars": [calendar(calendar_rules(*each)) for each in found.calendars],
        "locations": json.loads(found.locations),
    }


def managed(found: queries.Managed) -> dict[str, Any]:
    """A visit as its patient's link shows it: nothing of the patient, for links are passed on."""
    a, clinic = found.appointment, found.clinic
    return {
        "status": a.status.value,
        **interval(Interval(a.start, a.end)),
        "change_until": in_zone(a.start - found.visit_type.change_notice, "UTC"),
        "modality": a.modality,
        "state": a.state,
        "clinic": {"slug": clinic.slug, "name": clinic.name, "zone": clinic.zone, "phone": found.phone},
        "visit_type": {"id": str(found.visit_type.uid), "name": found.visit_type.name},
        "calendar": {"id": str(found.calendar.uid), "name": found.calendar.name},
        "location": location(found.location) if found.location else None,
    }


def location(place: Location) -> dict[str, Any]:
    columns = ("name", "address", "city", "state", "postal_code", "phone", "zone")
    return {"id": str(place.uid)} | {name: getattr(place, name) for name in columns}


def snapshot(found: snapshots.Snapshot, *, joins: bool) -> dict[str, Any]:
    """`joins`: for who may enter video rooms."""
    room = (found.join_url or None) if joins else None
    return {
        "epoch": found.epoch,
        "version": found.version,
        "calendar": str(found.calendar.uid),
        "zone": found.calendar.hours.zone,
        "appointments": [
            appointment(a) | ({"join_url": room if a.calendar == found.calendar.id else None} if a.modality == _VIDEO else {})
            for a in found.appointments
            if a.status != Status.HELD
        ],
        "holds": [_held(a) for a in found.appointments if a.status == Status.HELD and a.expires_at is not None],
        "open": [interval(during) for during in found.open],
        "exceptions": [exception(one) for one in found.exceptions],
        "join_url": room,
    }


def exception(one: snapshots.KeptException) -> dict[str, Any]:
    return {
        "id": str(one.uid),
        **interval(one.during),
        "open": one.open,
        "capacity": one.capacity,
        "visit_type": _visit_type(one.visit_type) if one.visit_type is not None else None,
        "note": one.note,
    }


def week(found: snapshots.Week) -> dict[str, Any]:
    return {
        "hours": [
            {
                "weekday": rule.weekday,
                "opens": rule.opens.strftime("%H:%M"),
                "closes": rule.closes.strftime("%H:%M"),
                "valid_from": rule.valid_from.isoformat() if rule.valid_from else None,
                "valid_until": rule.valid_until.isoformat() if rule.valid_until else None,
            }
            for rule in found.hours
        ],
        "zone": found.zone,
        "holidays": found.holidays,
        "version": found.version,
    }


def statistics(found: Statistics) -> dict[str, Any]:
    return {
        "days": [{"date": day.isoformat()} | _figures(figures) for day, figures in found.days.items()],
        "calendars": [{"calendar": _calendar(key)} | _figures(figures) for key, figures in found.calendars.items()],
        "total": _figures(found.total),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    counted = ("open_minutes", "booked_minutes", "utilisation", "booked", "completed", "cancelled", "no_show", "no_show_rate")
    medians = ("lead_time_hours", "wait_minutes")
    known = {name: getattr(figures, name) for name in (*counted, *medians)}
    return known | {name: round(known[name], 1) for name in medians if known[name] is not None}


def _held(a: Appointment) -> dict[str, Any]:
    """A hold as others see it: without what proves whose it is."""
    return {
        "id": str(a.id),
        **interval(Interval(a.start, a.end)),
        "status": a.status.value,
        "visit_type": _visit_type(a.visit_type),
        "calendars": list(map(_calendar, a.calendars)),
        "modality": a.modality,
        "expires_at": in_zone(a.expires_at or 0, "UTC"),
    }


@lru_cache(maxsize=200_000)
def _calendar(key: int) -> str:
    return str(calendar_uid(key))


@lru_cache(maxsize=50_000)
def _visit_type(key: int) -> str:
    return str(visit_type_uid(key))
