"""The port to whoever moves the money. One implementation: Stripe, by its own library, at an address of our choosing.

Never called inside a database transaction. Every call that changes something carries our own idempotency key, made from the id of
the row that asks for it: repeated after a crash or a time-out it happens once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, cast
from uuid import UUID

import stripe
from django.conf import settings

from apps.billing.settings import BillingEnvironment

_TIMEOUT_S = 10.0


class Unreachable(Exception):
    """No answer, or not now: whether it happened is unknown. Repeat with the same row."""


class Declined(Exception):
    """A definite no; the text is the provider's code."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page where a patient pays. `transaction` is known once it is paid, `url` as long as it is open."""

    reference: str
    status: Literal["open", "paid", "expired"]
    url: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Money on its way back."""

    reference: str
    status: Literal["pending", "succeeded", "failed"]


class Provider(Protocol):
    """Each method raises Unreachable or Declined."""

    def open_checkout(self, payment: UUID, *, amount: int, currency: str, label: str, back: str) -> Checkout: ...

    def checkout(self, reference: str) -> Checkout: ...

    def close_checkout(self, reference: str) -> Checkout: ...

    def give_back(self, refund: UUID, *, transaction: str, amount: int) -> Returned: ...

    def refund(self, reference: str) -> Returned: ...


class Stripe:
    """Checkout sessions and refunds. What Stripe is told of us: amounts, our ids, and `label`; nothing of the patient."""

    def __init__(self, key: str, *, base: str) -> None:
        addresses: stripe._base_address.BaseAddresses = {"api": base} if base else {}
        self._client = stripe.StripeClient(
            key,
            base_addresses=addresses,
            http_client=stripe.RequestsClient(timeout=_TIMEOUT_S),
            # We repeat by ourselves, from the row; a request must not last for three time-outs.
            max_network_retries=0,
        )

    def open_checkout(self, payment: UUID, *, amount: int, currency: str, label: str, back: str) -> Checkout:
        ours = {"payment": str(payment)}
        price = {"currency": currency.lower(), "unit_amount": amount, "product_data": {"name": label}}
        with _refusals():
            session = self._client.v1.checkout.sessions.create(
                {  # type: ignore[arg-type]
                    "mode": "payment",
                    "client_reference_id": str(payment),
                    "line_items": [{"price_data": price, "quantity": 1}],
                    "metadata": ours,
                    "payment_intent_data": {"metadata": ours},
                    "success_url": back,
                    "cancel_url": back,
                },
                {"idempotency_key": f"payment-{payment}"},
            )
        return checkout_of(session)

    def checkout(self, reference: str) -> Checkout:
        with _refusals():
            return checkout_of(self._client.v1.checkout.sessions.retrieve(reference))

    def close_checkout(self, reference: str) -> Checkout:
        """Ends an open page; one that was paid meanwhile is answered as it is."""
        with _refusals():
            try:
                return checkout_of(self._client.v1.checkout.sessions.expire(reference))
            except stripe.InvalidRequestError:
                return checkout_of(self._client.v1.checkout.sessions.retrieve(reference))

    def give_back(self, refund: UUID, *, transaction: str, amount: int) -> Returned:
        with _refusals():
            given = self._client.v1.refunds.create(
                {"payment_intent": transaction, "amount": amount, "metadata": {"refund": str(refund)}},
                {"idempotency_key": f"refund-{refund}"},
            )
        return returned(given)

    def refund(self, reference: str) -> Returned:
        with _refusals():
            return returned(self._client.v1.refunds.retrieve(reference))


class _refusals:
    """The library's errors as ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, stripe.InvalidRequestError | stripe.CardError | stripe.IdempotencyError):
            raise Declined(fault.code or "invalid_request") from None
        if isinstance(fault, stripe.StripeError):
            # A wrong key among them: once it is mended, the same row goes through.
            raise Unreachable(type(fault).__name__) from None


def checkout_of(session: stripe.checkout.Session) -> Checkout:
    """A session as Stripe tells of it, in an answer or an event."""
    paid = session.payment_status in ("paid", "no_payment_required")
    status: Literal["open", "paid", "expired"] = "paid" if paid else "expired" if session.status == "expired" else "open"
    intent = session.payment_intent
    transaction = intent if isinstance(intent, str) else intent.id if intent is not None else ""
    return Checkout(session.id, status, session.url or "", transaction)


def returned(refund: stripe.Refund) -> Returned:
    """A refund as Stripe tells of it, in an answer or an event."""
    failed = refund.status in ("failed", "canceled")
    return Returned(refund.id, "failed" if failed else "succeeded" if refund.status == "succeeded" else "pending")


@cache
def provider() -> Provider:
    """The provider that the environment names (`STRIPE_API_KEY`, `STRIPE_API_BASE`)."""
    return Stripe(environment().stripe_api_key.get_secret_value(), base=environment().stripe_api_base)


def environment() -> BillingEnvironment:
    """This service's own environment."""
    return cast(BillingEnvironment, settings.ENV)
