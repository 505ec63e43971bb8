"""Sessions: begun by a password, opened by a second factor, kept alive by what is done in them, ended in the database.

The database is the truth. An access token is good for 5 minutes at most and never outlives its session's rights; what ends a
session also voids its tokens everywhere (`rights.py`).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.functions import Least, Now

from apps.auth import rights
from apps.auth.models import Membership, Person, Session
from apps.auth.settings import ENV
from apps.auth.words import digest, new_secret
from apps.kernel import revocations
from apps.kernel.tokens import Claims, sign

LONGEST = timedelta(hours=12)
HALF_WAY = timedelta(minutes=10)
"""So long the second factor may be waited for."""
FRESH = timedelta(minutes=10)
"""So long after a second factor its owner may change factors and the password."""
TOKEN_S = 300


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a sign-in comes from: the address and a shortened User-Agent."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Access:
    """An access token and how long it is good, in seconds."""

    token: str
    seconds: int


def begin(person: Person, membership: Membership, visitor: Visitor) -> str:
    """A session that waits for its second factor; the browser's secret."""
    secret = new_secret()
    Session.objects.create(
        person=person, clinic_id=membership.clinic_id, secret=digest(secret), address=visitor.address, agent=visitor.agent
    )
    return secret


def find(secret: str) -> Session | None:
    """The living session of this secret, also one that waits for its second factor, as `living` reads it."""
    return living().filter(secret=digest(secret)).first() if secret else None


def second_factor_shown(session: Session) -> str:
    """Opens the session, or renews its right to change factors. A new secret: who knew the old one has nothing."""
    secret = new_secret()
    living().filter(id=session.id).update(second_factor_at=Now(), last_active_at=Now(), last_seen_at=Now(), secret=digest(secret))
    return secret


def moved(session: Session, *, clinic: str) -> str:
    """The same sign-in in another clinic of the person, as a new session: its tokens are others, and the old ones are void.

    Its secret; empty when the session has ended.
    """
    secret = new_secret()
    with transaction.atomic():
        if not end(Session.objects.filter(id=session.id), reason="moved"):
            return ""  # it has ended meanwhile, and must not live on in another clinic
        Session.objects.create(
            person_id=session.person_id,
            clinic_id=clinic,
            secret=digest(secret),
            created_at=session.created_at,
            second_factor_at=session.second_factor_at,
            address=session.address,
            agent=session.agent,
        )
    return secret


def renew(session: Session, *, active: bool) -> Access | None:
    """Notes that the session is still there and, if `active`, that somebody did something in it; None when it has ended.

    The token is signed under the lock of the session's row: whoever ends the session waits, and then voids this token too.
    """
    with transaction.atomic():
        found = living().filter(id=session.id, second_factor_at__isnull=False).select_for_update(of=("self",)).first()
        membership = Membership.objects.filter(person_id=session.person_id, clinic_id=session.clinic_id).first()
        if found is None or membership is None:
            return None
        seen = {"last_seen_at": Now(), **({"last_active_at": Now()} if active else {})}
        Session.objects.filter(id=session.id).update(**seen)
        left = living().get(id=session.id).left  # type: ignore[attr-defined] # annotated
        seconds = max(1, min(TOKEN_S, int(left.total_seconds())))
        return Access(_token(session, membership, seconds=seconds), seconds)


def _token(session: Session, membership: Membership, *, seconds: int) -> str:
    return sign(
        ENV.token_signing_key_file,
        subject=str(session.person_id),
        clinic=session.clinic_id,
        role=membership.role,
        seconds=seconds,
        calendar=membership.calendar,
        token_id=str(session.id),
    )


def claims(session: Session) -> Claims:
    """Who acts in the session, for the audit log; the role is empty for who has left the clinic."""
    role = (
        Membership.objects.filter(person_id=session.person_id, clinic_id=session.clinic_id).values_list("role", flat=True).first()
    )
    return Claims(
        subject=str(session.person_id),
        clinic=session.clinic_id,
        role=role or "",
        second_factor=session.second_factor_at is not None,
        token_id=str(session.id),
        issued_at=0,
        expires_at=0,
    )


def _idle() -> Any:
    return F("clinic__idle_minutes") * Value(timedelta(minutes=1))


def living() -> QuerySet[Session]:
    """Sessions that are not over, each with `left`, what remains of it if nothing is done in it, and `fresh` (see FRESH)."""
    return (
        Session.objects.select_related("person", "clinic")
        .annotate(
            left=ExpressionWrapper(
                Least(F("last_active_at") + _idle(), F("created_at") + LONGEST) - Now(), output_field=DurationField()
            ),
            fresh=ExpressionWrapper(Q(second_factor_at__gt=Now() - FRESH), output_field=BooleanField()),
        )
        .filter(
            Q(second_factor_at__isnull=False) | Q(created_at__gt=Now() - HALF_WAY),
            ended_at=None,
            left__gt=timedelta(0),
            person__is_active=True,
        )
    )


# --- the end ----------------------------------------------------------------------------------------------------------


def end(sessions: QuerySet[Session], *, reason: str) -> int:
    """Ends those that have not ended yet, and their tokens; how many. Needs a transaction."""
    ids = list(sessions.filter(ended_at=None).order_by("id").select_for_update().values_list("id", flat=True))
    Session.objects.filter(id__in=ids).update(ended_at=Now(), end_reason=reason, challenge=None)
    rights.end(*(revocations.session(str(key)) for key in ids))
    return len(ids)


def end_overdue() -> int:
    """The tick: ends sessions that nobody used."""
    with transaction.atomic():
        over = Session.objects.filter(ended_at=None).exclude(id__in=living().values("id"))
        return end(over, reason="idle")


def forget() -> None:
    """Deletes sessions that ended 90 days ago; the audit log keeps what was done in them."""
    Session.objects.filter(ended_at__lt=Now() - timedelta(days=90)).delete()
