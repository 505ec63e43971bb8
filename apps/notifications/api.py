"""The HTTP API of notifications, /api/notifications/v1."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.kernel import audit, auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.callers import allowed
from apps.kernel.ids import as_id
from apps.kernel.once import once
from apps.kernel.problems import NotFound, Unavailable, ValidationFailed
from apps.kernel.services import ServiceDown
from apps.kernel.shapes import ProblemOut, in_zone
from apps.kernel.tokens import Claims
from apps.notifications import clinics, letters, messages, policies, queries, shapes
from apps.notifications.models import Message
from apps.notifications.permissions import PERMISSIONS

api = Api(
    title="HealthFlow notifications",
    description="What patients are told and when. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="notifications",
)
auditor.routes(api)


@api.get("/policy", response={200: shapes.PolicyOut, PROBLEMS: ProblemOut}, tags=["policy"])
def policy(request: HttpRequest) -> HttpResponse:
    """How the caller's clinic tells its patients."""
    claims = allowed(request, PERMISSIONS, "policy.read")
    return as_json(_policy(policies.of([claims.clinic])[claims.clinic]))


@api.put("/policy", response={200: shapes.PolicyOut, PROBLEMS: ProblemOut}, tags=["policy"])
def set_policy(request: HttpRequest, body: shapes.PolicyIn) -> HttpResponse:
    """Replaces the policy; reminders that are still to be sent follow it."""
    claims = allowed(request, PERMISSIONS, "policy.write")
    with transaction.atomic(durable=True):
        kept = policies.put(
            claims.clinic, reminders=body.reminders, quiet=body.quiet(), channels=list(body.channels), reply_to=body.reply_to
        )
        messages.replan(claims.clinic, now=_now())
        audit.record(request, claims, "policy.changed", object=f"policy:{claims.clinic}")
    return as_json(_policy(kept))


@api.get("/texts", response={200: shapes.TextsOut, PROBLEMS: ProblemOut}, tags=["policy"])
def sample_texts(request: HttpRequest) -> HttpResponse:
    """What patients read, in every language, with a name and a time in it that are made up."""
    claims = allowed(request, PERMISSIONS, "policy.read")
    try:
        clinic = clinics.profile(claims.clinic)
    except ServiceDown:
        raise Unavailable(retry_after=5) from None
    return as_json({"items": letters.samples(clinic, int(_now().timestamp()) // 3600 * 3600)})


@api.get("/messages", response={200: shapes.MessagesOut, PROBLEMS: ProblemOut}, tags=["messages"])
def list_messages(request: HttpRequest, query: Query[shapes.MessagesQuery]) -> HttpResponse:
    """Messages of the caller's clinic, oldest first: ids, times and states."""
    claims = allowed(request, PERMISSIONS, "messages.read")
    found = queries.messages(
        clinic=claims.clinic,
        appointment=_known(query.appointment, "appointment"),
        state=query.state,
        limit=query.limit + 1,
        after=_known(query.cursor, "cursor"),
    )
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > query.limit else None
    return as_json({"items": [_message(one) for one in page], "next": following})


@api.post("/messages/{message_id}/retry", response={200: shapes.MessageOut, PROBLEMS: ProblemOut}, tags=["messages"])
def retry(request: HttpRequest, message_id: str, body: shapes.RetryIn | None = None) -> HttpResponse:
    """Tries a failed message again; one that did not fail stays as it is."""
    claims = allowed(request, PERMISSIONS, "messages.retry")

    def run() -> HttpResponse:
        message = messages.retry(as_id(message_id), clinic=claims.clinic, now=_now())
        audit.record(request, claims, "message.retried", object=f"message:{message.id}")
        return as_json(_message(message))

    return once(request, _who(claims), run)


@api.post("/offers", response={201: shapes.MessagesOut, PROBLEMS: ProblemOut}, tags=["messages"])
def offer(request: HttpRequest, body: shapes.OfferIn) -> HttpResponse:
    """Tells a patient on the waitlist that a time is free; the same patient and time once."""
    claims = allowed(request, PERMISSIONS, "offers.send")
    patient, now = as_id(body.patient), _now()
    if patient is None:
        raise NotFound("No such patient.", param="patient")
    if body.start <= int(now.timestamp()):
        raise ValidationFailed("This time is over.", param="start")

    def run() -> HttpResponse:
        told = messages.offer(claims.clinic, patient=str(patient), starts=datetime.fromtimestamp(body.start, UTC), now=now)
        audit.record(request, claims, "offer.sent", patient=str(patient))
        return as_json({"items": [_message(one) for one in told], "next": None}, status=201)

    return once(request, _who(claims), run)


def _policy(rules: policies.Rules) -> dict[str, Any]:
    return {
        "reminders": list(rules.reminders),
        "quiet_begins": rules.quiet.begins.strftime("%H:%M"),
        "quiet_ends": rules.quiet.ends.strftime("%H:%M"),
        "channels": list(rules.channels),
        "reply_to": rules.reply_to,
    }


def _message(message: Message) -> dict[str, Any]:
    waiting = message.state in ("pending", "sending")
    return {
        "id": str(message.id),
        "appointment": str(message.appointment) if message.appointment else None,
        "kind": message.kind,
        "channel": message.channel,
        "state": message.state,
        "due_at": _instant(message.due_at),
        "attempts": message.attempts,
        "next_try_at": _instant(message.next_try_at) if waiting else None,
        "error": message.error or None,
    }


def _instant(at: datetime) -> str:
    return in_zone(int(at.timestamp()), "UTC")


def _known(text: str | None, param: str) -> UUID | None:
    found = as_id(text) if text else None
    if text and found is None:
        raise ValidationFailed("This is not an identifier.", param=param)
    return found


def _who(claims: Claims) -> str:
    return f"{claims.clinic}:{claims.subject}"


def _now() -> datetime:
    return datetime.now(UTC)
