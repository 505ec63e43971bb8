"""Which messages there should be: the writes that plan them, replan them and take them back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.kernel.problems import NotFound
from apps.notifications import clinics, policies
from apps.notifications.models import Message, Visit
from apps.notifications.timing import reminder_at

PLANNED_AT_ONCE = 500
_ABOUT_A_VISIT_TO_COME = ("confirmation", "reminder", "moved")

# A reminder that was taken back because the visit moved away is due again when it moves back; one that was sent is not.
_PUT = """
INSERT INTO notifications_message AS m
(clinic, appointment, patient, kind, occurrence, channel, visit_starts, due_at, next_try_at, state, attempts, provider_id, error)
VALUES {values}
ON CONFLICT (appointment, patient, kind, occurrence, channel) DO UPDATE
SET due_at = excluded.due_at, next_try_at = excluded.due_at, state = 'pending', error = ''
WHERE m.kind = 'reminder' AND m.state IN ('pending', 'dropped')
"""
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s, %s, 'pending', 0, '', '')"


def follow(visit: Visit, *, change: str, event: UUID, now: datetime) -> None:
    """What the patient is told of a change ("booked", "rescheduled", "cancelled", …), and what is void by it.

    In the transaction of the event: a change that is stored is told, exactly once.
    """
    waiting = Message.objects.filter(appointment=visit.id, state=Message.State.PENDING)
    ahead = visit.starts > now
    if visit.status != "booked":
        waiting.filter(kind__in=_ABOUT_A_VISIT_TO_COME).update(state=Message.State.DROPPED, error="visit_changed")
    elif change == "rescheduled":
        waiting.filter(kind__in=("moved", "reminder")).update(state=Message.State.DROPPED, error="visit_moved")
    if change == "booked" and ahead:
        _tell(visit, "confirmation", occurrence="", now=now)
    # A confirmation that is still to be sent will name the new time.
    elif change == "rescheduled" and ahead and not waiting.filter(kind="confirmation").exists():
        _tell(visit, "moved", occurrence=str(event), now=now)
    elif change == "cancelled" and ahead:
        _tell(visit, "cancelled", occurrence=str(event), now=now)
    elif change == "no_show":
        _tell(visit, "no_show", occurrence=str(event), now=now)


def plan_reminders(*, now: datetime) -> int:
    """Plans the reminders of visits whose facts have changed; how many visits. Raises ServiceDown when a zone is not known."""
    zones = {clinic: clinics.profile(clinic).zone for clinic in _unplanned_clinics()}
    with transaction.atomic():
        visits = list(
            Visit.objects.select_for_update(skip_locked=True)
            .filter(unplanned=True, clinic__in=zones)
            .order_by("changed_at")[:PLANNED_AT_ONCE]
        )
        kept = policies.of({visit.clinic for visit in visits})
        for visit in visits:
            _plan(visit, kept[visit.clinic], zone=visit.zone or zones[visit.clinic], now=now)
        Visit.objects.filter(id__in=[visit.id for visit in visits]).update(unplanned=False)
    return len(visits)


def replan(clinic: str, *, now: datetime) -> None:
    """Marks all visits of a clinic that are still to come: its policy has changed."""
    Visit.objects.filter(clinic=clinic, starts__gt=now, status="booked").update(unplanned=True)


def learn_zone(visit: Visit, zone: str | None) -> bool:
    """Keeps the patient's zone; whether it was news, so that reminders are planned anew."""
    if not zone or zone == visit.zone:
        return False
    Visit.objects.filter(id=visit.id).update(zone=zone, unplanned=True)
    return True


def offer(clinic: str, *, patient: str, starts: datetime, now: datetime) -> list[Message]:
    """Tells a patient of a free time, once a patient and time; the messages there are now."""
    occurrence = starts.astimezone(UTC).isoformat()
    rows = [
        (clinic, None, patient, "waitlist_offer", occurrence, channel, starts, now, now)
        for channel in policies.of([clinic])[clinic].channels
    ]
    _put(rows)
    return list(Message.objects.filter(clinic=clinic, patient=patient, kind="waitlist_offer", occurrence=occurrence).order_by("id"))


def retry(message: UUID | None, *, clinic: str, now: datetime) -> Message:
    """Makes a message that failed due again; any other stays as it is. Raises NotFound."""
    found = Message.objects.select_for_update().filter(id=message, clinic=clinic).first() if message else None
    if found is None:
        raise NotFound("No such message.")
    if found.state == Message.State.FAILED:
        found.state, found.attempts, found.next_try_at, found.error = Message.State.PENDING, 0, now, ""
        found.save(update_fields=["state", "attempts", "next_try_at", "error"])
    return found


def _plan(visit: Visit, policy: policies.Rules, *, zone: str, now: datetime) -> None:
    starts, wanted = int(visit.starts.timestamp()), []
    for minutes in policy.reminders if visit.status == "booked" and visit.starts > now else ():
        # As of the change: a reminder that fell due while nobody was there to plan it is late, not void.
        known = int(visit.changed_at.timestamp())
        due = reminder_at(starts, lead=minutes * 60, now=known, quiet=policy.quiet, zone=zone)
        if due is not None:
            wanted.append((f"{starts}-{minutes}", datetime.fromtimestamp(due, UTC)))
    void = Message.objects.filter(appointment=visit.id, kind="reminder", state=Message.State.PENDING)
    void.exclude(occurrence__in=[occurrence for occurrence, _ in wanted], channel__in=policy.channels).update(
        state=Message.State.DROPPED, error="not_planned"
    )
    _put(
        (visit.clinic, visit.id, "", "reminder", occurrence, channel, visit.starts, due, due)
        for occurrence, due in wanted
        for channel in policy.channels
    )


def _tell(visit: Visit, kind: str, *, occurrence: str, now: datetime) -> None:
    channels = policies.of([visit.clinic])[visit.clinic].channels
    _put((visit.clinic, visit.id, "", kind, occurrence, channel, visit.starts, now, now) for channel in channels)


def _put(rows: Iterable[Sequence[Any]]) -> None:
    found = list(rows)
    if not found:
        return
    with connection.cursor() as cursor:
        values = ", ".join([_ROW] * len(found))
        cursor.execute(_PUT.format(values=values), [value for row in found for value in row])


def _unplanned_clinics() -> list[str]:
    return list(Visit.objects.filter(unplanned=True).values_list("clinic", flat=True).distinct()[:50])


LATEST_NO_SHOW = timedelta(days=7)


def why_not(message: Message, visit: Visit | None, *, now: datetime) -> str:
    """Why a message is not worth sending any more, empty when it is. Asked when it is sent, for much may have changed."""
    if message.kind == "waitlist_offer":
        return "" if message.visit_starts > now else "visit_over"
    if visit is None:
        return "visit_unknown"
    expected = {"cancelled": "cancelled", "no_show": "no_show"}.get(message.kind, "booked")
    if visit.status != expected:
        return "visit_changed"
    if message.kind == "no_show":
        return "" if now - visit.starts < LATEST_NO_SHOW else "too_late"
    if visit.starts <= now:
        return "visit_over"
    return _why_not_remind(message, visit, now=now) if message.kind == "reminder" else ""


def _why_not_remind(message: Message, visit: Visit, *, now: datetime) -> str:
    if message.visit_starts != visit.starts:
        return "visit_moved"
    # After an outage: a reminder that is later than half of its lead is no reminder, and the next one is near.
    return "too_late" if now - message.due_at > (message.visit_starts - message.due_at) / 2 else ""
