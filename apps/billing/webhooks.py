"""What the payment provider tells by itself: its events, verified, each taken once, in whatever order they come."""

from datetime import UTC, datetime
from uuid import UUID

import stripe
from django.db import transaction

from apps.billing import payments
from apps.billing.errors import WebhookForged, WebhookTooOld
from apps.billing.models import Payment, Refund, WebhookEvent
from apps.billing.providers import Checkout, checkout_of, returned
from apps.kernel.ids import as_id
from apps.kernel.problems import NotFound, ValidationFailed

TOLERANCE_S = 300
_CHECKOUTS = frozenset(
    f"checkout.session.{what}" for what in ("completed", "expired", "async_payment_succeeded", "async_payment_failed")
)
_REFUNDS = frozenset({"refund.created", "refund.updated", "refund.failed"})


def verified(body: bytes, signature: str, *, secret: str) -> stripe.Event:
    """The event in a webhook's body. Raises WebhookForged, WebhookTooOld, ValidationFailed."""
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, signature, secret)
    except (UnicodeDecodeError, stripe.SignatureVerificationError):
        raise WebhookForged() from None
    try:
        event: stripe.Event = stripe.Webhook.construct_event(text, signature, secret, tolerance=TOLERANCE_S)
        known = isinstance(event, stripe.Event) and isinstance(event.id, str) and event.data.object is not None
    except stripe.SignatureVerificationError:
        raise WebhookTooOld() from None
    except (ValueError, AttributeError, KeyError, TypeError):
        known = False
    if not known:
        raise ValidationFailed("This is not an event.", param="body")
    return event


def take(event: stripe.Event) -> str:
    """Applies an event; "taken", "duplicate", or "ignored" for what is none of ours.

    Raises NotFound for a refund whose payment is not known yet: the provider sends it again later.
    """
    with transaction.atomic(durable=True):
        _, new = WebhookEvent.objects.get_or_create(id=event.id[:255], defaults={"type": event.type[:100], "at": datetime.now(UTC)})
        if not new:
            return "duplicate"
        if event.type in _CHECKOUTS:
            return _checkout(event)
        return _refund(event) if event.type in _REFUNDS else "ignored"


def _checkout(event: stripe.Event) -> str:
    session: stripe.checkout.Session = event.data.object  # type: ignore[assignment]
    payment = _ours(session, "payment")
    if payment is None or not Payment.objects.filter(id=payment).exists():
        return "ignored"
    told = checkout_of(session)
    if event.type == "checkout.session.async_payment_failed":
        told = Checkout(told.reference, "expired", "", "")
    payments.settle(payment, told)
    return "taken"


def _refund(event: stripe.Event) -> str:
    refund: stripe.Refund = event.data.object  # type: ignore[assignment]
    told, ours = returned(refund), _ours(refund, "refund")
    if ours is not None and Refund.objects.filter(id=ours).exists():
        payments.settle_refund(ours, told)
        return "taken"
    intent = refund.payment_intent
    try:
        payments.found(intent if isinstance(intent, str) else "", told, amount=refund.amount)
    except Payment.DoesNotExist:
        raise NotFound("The payment of this refund is not known, or not yet.") from None
    return "taken"


def _ours(thing: stripe.checkout.Session | stripe.Refund, name: str) -> UUID | None:
    """The id of our row that we gave the provider with it."""
    return as_id(str(getattr(thing.metadata, name, "")))
