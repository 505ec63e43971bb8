"""Sending: takes one due message at a time, asks what is true now, hands it to the provider, and notes what became of it.

    claim (a transaction: `sending`, a lease) → ask records and the engine → note `handed_at` → the provider → note the outcome

No transaction is open while anybody is asked. A process that dies leaves a message whose lease runs out, and the next one takes
it. If it died before `handed_at` was noted, nothing was sent. After that the provider may have it: an SMS is looked for in the
provider's list before it is sent again; an e-mail is sent again with the same Message-ID, by which mail systems know that they
have it already. That is as far as the two protocols go.
"""

import logging
import random
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from prometheus_client import Counter, Gauge

from apps.kernel import audit
from apps.kernel.services import ServiceDown
from apps.notifications import clinics, contacts, letters, mail, messages, optouts, policies, sms
from apps.notifications.contacts import Contact
from apps.notifications.letters import Case
from apps.notifications.models import Message, Visit
from apps.notifications.sending import Refused, TryLater
from apps.notifications.timing import quiet_around

log = logging.getLogger(__name__)

TRIES = 10
"""About four hours of a provider that takes the message badly; then it is left for somebody to look at."""
LEASE_S = 120
_BACK_OFF_S = (30, 3_600)
_PAUSE_S = (5, 900)

OUTCOMES = Counter("messages", "Messages by what became of them", ["kind", "channel", "outcome"])
FAILED = Gauge("messages_failed", "Messages that were given up")
WAITING = Gauge("messages_due", "Messages that are due and not sent")


class _Later(Exception):
    """Somebody who must be asked does not know or does not answer: it counts as no attempt. `away`: nor will they for others."""

    def __init__(self, reason: str, *, away: bool) -> None:
        super().__init__(reason)
        self.reason, self.away = reason, away


class _Dropped(Exception):
    """It is not to be sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Postponed(Exception):
    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


def deliver(channel: str, *, limit: int) -> int:
    """Sends what is due over one channel, at most `limit`: called once a second, that is the provider's rate. How many it took."""
    for taken in range(limit):
        message = _claim(channel)
        if message is None:
            return taken
        if not _attend(message):
            return taken + 1  # whoever is away is away for the rest too
    return limit


def measure() -> None:
    FAILED.set(Message.objects.filter(state=Message.State.FAILED).count())
    WAITING.set(Message.objects.filter(state__in=["pending", "sending"], next_try_at__lte=_now()).count())


_CLAIM = """
UPDATE notifications_message SET state = 'sending', attempts = attempts + 1,
  next_try_at = clock_timestamp() + make_interval(secs => %s)
WHERE id = (
    SELECT id FROM notifications_message
    WHERE channel = %s AND state IN ('pending', 'sending') AND next_try_at <= clock_timestamp()
    ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


def _claim(channel: str) -> Message | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE_S, channel])
        row = cursor.fetchone()
    return Message.objects.get(id=row[0]) if row else None


def _attend(message: Message) -> bool:
    """One attempt; whether the next message is worth one."""
    if message.attempts > TRIES:
        # What ends the process that attends to it never gets as far as an outcome.
        _note(message, Message.State.FAILED, error=message.error or "gave_up")
        return True
    try:
        sent = _send(message)
    except _Dropped as dropped:
        _note(message, Message.State.DROPPED, error=dropped.reason)
    except _Postponed as postponed:
        _give_back(message, error="quiet_hours", until=postponed.until, attempts=message.attempts - 1)
    except _Later as later:
        _give_back(message, error=later.reason, until=_now() + _pause(message), attempts=message.attempts - 1)
        return not later.away
    except Refused as refused:
        _refused(message, refused.code)
    except TryLater as later:
        _try_later(message, later)
        return False
    else:
        _note(message, Message.State.SENT, provider_id=sent)
    return True


def _send(message: Message) -> str:
    """Hands the message to its provider; the provider's id. Raises what `_attend` knows."""
    visit = Visit.objects.filter(id=message.appointment).first() if message.appointment else None
    if reason := messages.why_not(message, visit, now=_now()):
        raise _Dropped(reason)
    try:
        contact, clinic = contacts.of(message), clinics.profile(message.clinic)
    except ServiceDown as down:
        raise _Later(f"{str(down).partition(':')[0]}_away", away=True) from None
    if contact is None:
        raise _Later("contact_unknown", away=False)
    case = Case(message, visit, contact, clinic)
    _check(case)
    return _by_email(case) if message.channel == "email" else _by_sms(case)


def _check(case: Case) -> None:
    message, contact = case.message, case.contact
    if message.channel == "sms" and not sms.is_configured():
        raise _Dropped("no_provider")
    if not contact.address(message.channel):
        raise _Dropped("no_address")
    if optouts.stops(contact.patient, channel=message.channel, kind=message.kind):
        raise _Dropped("opted_out")
    if case.visit is not None and messages.learn_zone(case.visit, contact.zone) and message.kind == "reminder":
        # It was planned for the clinic's night; the tick that plans moves it to where it belongs in the patient's.
        raise _Later("zone_learnt", away=False)
    if message.kind == "reminder":
        _check_quiet(case)


def _check_quiet(case: Case) -> None:
    now, quiet = int(_now().timestamp()), policies.of([case.message.clinic])[case.message.clinic].quiet
    around = quiet_around(now, quiet, case.contact.zone or case.clinic.zone)
    if around is not None:
        if around[1] >= int(case.message.visit_starts.timestamp()):
            raise _Dropped("quiet_hours")
        raise _Postponed(datetime.fromtimestamp(around[1], UTC))


def _by_email(case: Case) -> str:
    said, unsubscribe, invite = letters.email(case, now=int(_now().timestamp()))
    reply_to = policies.of([case.message.clinic])[case.message.clinic].reply_to
    _handing_over(case)
    return mail.send(
        case.contact.email,
        said,
        clinic=case.clinic.name,
        message_id=f"<{case.message.id}@{letters.host()}>",
        reply_to=reply_to,
        unsubscribe=unsubscribe,
        invite=invite,
    )


def _by_sms(case: Case) -> str:
    to, body = sms.number(case.contact.phone), letters.sms(case)
    if case.message.handed_at is not None and (found := sms.find(to, body, since=case.message.handed_at)):
        return found
    _handing_over(case)
    callback = f"{settings.ENV.public_url}/api/notifications/v1/webhooks/twilio?message={case.message.id}"
    return sms.send(to, body, callback=callback)


def _handing_over(case: Case) -> None:
    """From here on the provider may have it, and the contact has been used: both are noted before it is so."""
    message, contact = case.message, case.contact
    with transaction.atomic():
        Message.objects.filter(id=message.id, handed_at=None).update(handed_at=_now())
        audit.record(
            None,
            "notifications",
            "contact.used",
            clinic=message.clinic,
            object=f"message:{message.id}",
            patient=contact.patient,
            details={"kind": message.kind, "channel": message.channel},
        )


def _refused(message: Message, code: str) -> None:
    if code != sms.UNSUBSCRIBED:
        _note(message, Message.State.FAILED, error=code)
        return
    # The provider heard the STOP and we did not.
    contact = _contact_again(message)
    if contact is not None:
        optouts.stop([contact.patient], message.channel)
    _note(message, Message.State.DROPPED, error="opted_out")


def _contact_again(message: Message) -> Contact | None:
    try:
        return contacts.of(message)
    except ServiceDown:
        return None


def _try_later(message: Message, later: TryLater) -> None:
    if not later.maybe_done:
        Message.objects.filter(id=message.id).update(handed_at=None)
    if message.attempts >= TRIES:
        _note(message, Message.State.FAILED, error=later.code)
        return
    pause = min(_BACK_OFF_S[0] * 2 ** (message.attempts - 1), _BACK_OFF_S[1]) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
    _give_back(message, error=later.code, until=_now() + timedelta(seconds=pause), attempts=message.attempts)


def _note(message: Message, state: str, *, error: str = "", provider_id: str = "") -> None:
    """What became of it, unless its lease ran out and somebody else has taken it since."""
    mine = Message.objects.filter(id=message.id, state=Message.State.SENDING, attempts=message.attempts)
    if mine.update(state=state, error=error[:60], provider_id=provider_id[:200]):
        OUTCOMES.labels(message.kind, message.channel, state).inc()
    if state == Message.State.FAILED:
        log.error("message_failed", extra={"message_id": str(message.id), "kind": message.kind, "code": error})


def _give_back(message: Message, *, error: str, until: datetime, attempts: int) -> None:
    mine = Message.objects.filter(id=message.id, state=Message.State.SENDING, attempts=message.attempts)
    mine.update(state=Message.State.PENDING, error=error[:60], next_try_at=until, attempts=attempts)
    OUTCOMES.labels(message.kind, message.channel, "later").inc()


def _pause(message: Message) -> timedelta:
    """The longer it has waited, the longer it can wait."""
    waited = (_now() - message.due_at).total_seconds()
    return timedelta(seconds=min(max(waited / 2, _PAUSE_S[0]), _PAUSE_S[1]) * random.uniform(0.8, 1.2))  # noqa: S311 - jitter


def _now() -> datetime:
    return datetime.now(UTC)
