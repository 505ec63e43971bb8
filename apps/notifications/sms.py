"""The port to the SMS provider: Twilio's library, at whatever address the environment names."""

import logging
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import phonenumbers
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from apps.notifications import settings
from apps.notifications.sending import Refused, TryLater

UNSUBSCRIBED = "twilio_21610"
"""The error of a number that was opted out at the provider."""
_TIMEOUT_S = 10
_COUNTRY = "US"
_NOT_ARRIVED = frozenset({"failed", "undelivered", "canceled"})
"""Whose numbers are written without a country code."""


def is_configured() -> bool:
    return bool(settings.ENV.twilio_auth_token.get_secret_value())


def number(phone: str) -> str:
    """The number in E.164. Raises Refused for what no phone can have."""
    try:
        parsed = phonenumbers.parse(phone, _COUNTRY)
    except phonenumbers.NumberParseException:
        raise Refused("bad_number") from None
    if not phonenumbers.is_possible_number(parsed):
        raise Refused("bad_number")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def send(to: str, body: str, *, callback: str) -> str:
    """Hands an SMS over; the provider's id of it. It is told of its fate at `callback`. Raises Refused, TryLater."""
    try:
        made = client().messages.create(to=to, body=body, from_=settings.ENV.twilio_from, status_callback=callback)
    except TwilioRestException as refused:
        raise _refusal(refused) from None
    except requests.RequestException as failed:
        raise TryLater("provider_down", maybe_done=not _never_arrived(failed)) from None
    return str(made.sid)


def find(to: str, body: str, *, since: datetime) -> str | None:
    """The provider's id of an SMS that was handed over since then, None if it has none. Raises TryLater.

    The provider has no idempotency keys for messages; but it keeps a list, and no two messages of ours to one number are alike:
    each names its time and has its own link. One that did not arrive may be sent again.
    """
    try:
        sent = client().messages.list(to=to, date_sent_after=since - timedelta(minutes=5), limit=50)
    except (TwilioRestException, requests.RequestException):
        raise TryLater("provider_down", maybe_done=True) from None
    return next((str(one.sid) for one in sent if one.body == body and one.status not in _NOT_ARRIVED), None)


def is_genuine(url: str, form: dict[str, str], signature: str) -> bool:
    """Whether the provider itself sent this form to `url`."""
    return is_configured() and bool(validator().validate(url, form, signature))


def _never_arrived(failed: requests.RequestException) -> bool:
    """Whether there was no connection at all: one that broke may have carried the message."""
    reason = getattr(failed.args[0], "reason", None) if failed.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _refusal(refused: TwilioRestException) -> Refused | TryLater:
    if refused.status in (401, 403, 429):
        # Our account or our speed, not this message.
        return TryLater(f"provider_{refused.status}")
    if refused.status >= 500:
        return TryLater(f"provider_{refused.status}", maybe_done=True)
    return Refused(f"twilio_{refused.code or refused.status}")


@cache
def client() -> Client:
    env = settings.ENV
    # The library's own logger tells whom we write to, and what.
    quiet = logging.getLogger(f"{__name__}.library")
    quiet.setLevel(logging.WARNING)
    http = TwilioHttpClient(timeout=_TIMEOUT_S, logger=quiet)
    made = Client(env.twilio_account_sid, env.twilio_auth_token.get_secret_value(), http_client=http)
    made.api.base_url = urlunsplit((*urlsplit(env.twilio_url)[:2], "", "", ""))
    return made


@cache
def validator() -> RequestValidator:
    return RequestValidator(settings.ENV.twilio_auth_token.get_secret_value())
