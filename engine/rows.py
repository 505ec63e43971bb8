"""What the writes read under the locks, and what they leave: the rows of the booking core and their SQL.

Plain SQL, because this is the hot path: a booking's statements are few, go out as one message, and touch what they must.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, overload
from uuid import UUID

from apps.kernel import audit
from apps.kernel.audit import Origin
from apps.kernel.problems import IdempotencyMismatch, NotFound
from engine import outbox
from engine.errors import CalendarBusy
from engine.locks import LOCKED, Statement, Transaction
from engine.offers import Offer
from engine.rules import CalendarRules, VisitTypeRules, calendar_rules, visit_type_rules
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Appointment, Event, Status
from engine.scheduling.slots import Taken


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `clinic` is the slug that staff or a program may act for; None is the public, who prove a hold by its secret.

    `origin` is what the audit log says of them; without a request there is none, and the log names the subject alone.
    """

    subject: str
    clinic: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key with whom it belongs to and the digest of the whole request."""

    scope: str
    key: str
    fingerprint: bytes

    @property
    def digest(self) -> str:
        return blake2b(f"{self.scope}\0{self.key}".encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Patient:
    """Who the visit is for: a known id, or an envelope with what the patient told us, or both."""

    id: str | None = None
    sealed: str | None = None

    @property
    def kept(self) -> bytes | None:
        """What the row keeps of the envelope."""
        return self.sealed.encode("ascii") if self.sealed is not None else None


class Done(NamedTuple):
    """The appointment after the write; `replayed` when an earlier request with the same Idempotency-Key had done it."""

    appointment: Appointment
    replayed: bool = False


class Overdue(Exception):
    """Holds that have run out are in the way; they end in transactions of their own, under their own calendars' locks."""

    def __init__(self, holds: list[UUID]) -> None:
        super().__init__()
        self.holds = holds


# --- reading under the lock ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenOffer:
    """What the database says about an offer, under the locks of its calendars. `calendars` in the offer's order."""

    now: int
    visit_type: VisitTypeRules
    calendars: list[CalendarRules]
    versions: dict[int, int]
    taken: dict[int, list[Taken]]
    replay: Done | None


@dataclass(frozen=True, slots=True)
class SeenAppointment:
    """What the database says about an appointment, under the locks of its calendars."""

    now: int
    appointment: Appointment
    visit_type: VisitTypeRules
    versions: dict[int, int]
    counters: dict[int, int]
    replay: Done | None = None


OFFER = """
SELECT floor(extract(epoch FROM clock_timestamp()))::bigint, v.revision, k.fingerprint, k.result, c.id, c.version, c.rules,
       l.unit, extract(epoch FROM lower(l.during))::bigint, extract(epoch FROM upper(l.during))::bigint,
       a.id, a.expires_at <= clock_timestamp()
FROM engine_calendar c
JOIN engine_visittype v ON v.id = %s
LEFT JOIN engine_idempotencykey k ON k.scope = %s AND k.key = %s
LEFT JOIN (engine_allocation l JOIN engine_appointment a ON a.id = l.appointment_id) ON l.calendar_id = c.id
      AND l.during && tstzrange(to_timestamp(%s) - make_interval(mins => v.before),
                                to_timestamp(%s) + make_interval(mins => v.after))
WHERE c.id = ANY(%s)
"""


def read_offer(transaction: Transaction, offer: Offer, once: Once | None, *, leaving: UUID | None = None) -> SeenOffer:
    scope, key = (once.scope, once.key) if once else (None, None)
    rows = transaction.ask(Statement(OFFER, (offer.visit_type, scope, key, offer.start, offer.end, list(offer.calendars))))
    if len({row[4] for row in rows}) != len(set(offer.calendars)):
        raise NotFound()
    now, revision, fingerprint, result = rows[0][:4]
    replay = as_replay(once, fingerprint, result) if once and fingerprint is not None else None
    others = [row for row in rows if row[7] is not None and row[10] != leaving]
    if not replay and (overdue := sorted({row[10] for row in others if row[11]})):
        raise Overdue(overdue)
    taken: dict[int, list[Taken]] = {calendar: [] for calendar in offer.calendars}
    for row in others:
        taken[row[4]].append(Taken(row[7], Interval(row[8], row[9]), row[10]))
    counters = {row[4]: row[6] for row in rows}
    return SeenOffer(
        now=now,
        visit_type=visit_type_rules(offer.visit_type, revision),
        calendars=[calendar_rules(calendar, counters[calendar]) for calendar in offer.calendars],
        versions={row[4]: row[5] for row in rows},
        taken=taken,
        replay=replay,
    )


_FIELDS = tuple(field.name for field in fields(Appointment))
COLUMNS = (
    *("id", "clinic_id", "visit_type_id", "calendar_id", "calendars", "status"),
    *("extract(epoch FROM starts)::bigint", "extract(epoch FROM ends)::bigint", "modality", "state"),
    *("extract(epoch FROM expires_at)::bigint", "extended", "patient_id", "version", "extract(epoch FROM created_at)::bigint"),
    "stages::text",
)
"""What `from_row` takes, from the appointments table; alias it `a` where names could clash."""
_APPOINTMENT = f"""
SELECT floor(extract(epoch FROM clock_timestamp()))::bigint,
       (SELECT revision FROM engine_visittype WHERE id = a.visit_type_id), k.fingerprint, k.result,
       (SELECT array_agg(ARRAY[c.id, c.version, c.rules]) FROM engine_calendar c WHERE c.id = ANY({LOCKED})),
       {", ".join(f"a.{column}" if "(" not in column else column for column in COLUMNS)}
FROM engine_appointment a LEFT JOIN engine_idempotencykey k ON k.scope = %s AND k.key = %s
WHERE a.id = %s
"""


def read_appointment(transaction: Transaction, appointment_id: UUID, *, actor: Actor, once: Once | None = None) -> SeenAppointment:
    """What is known of an appointment under the locks of its calendars, with the versions of all that are locked.

    Raises NotFound, CalendarBusy, IdempotencyMismatch.
    """
    scope, key = (once.scope, once.key) if once else (None, None)
    rows = transaction.ask(Statement(_APPOINTMENT, (scope, key, appointment_id)))
    if not rows:
        raise NotFound()
    now, revision, fingerprint, result, calendars, *columns = rows[0]
    appointment, locked = from_row(columns), {id_ for id_, _, _ in calendars or ()}
    # Moved to other calendars between the look and the lock: as rare as it is harmless to ask again.
    if not locked.issuperset(appointment.calendars):
        raise CalendarBusy()
    seen = SeenAppointment(
        now=now,
        appointment=appointment,
        visit_type=visit_type_rules(appointment.visit_type, revision),
        versions={id_: version for id_, version, _ in calendars},
        counters={id_: counter for id_, _, counter in calendars},
    )
    if actor.clinic is not None and actor.clinic != rules_of(appointment.calendar, seen).clinic_slug:
        raise NotFound()
    return replace(seen, replay=as_replay(once, fingerprint, result)) if once and fingerprint is not None else seen


def from_row(columns: Sequence[Any]) -> Appointment:
    """An appointment from the columns of `COLUMNS`."""
    id_, clinic, visit_type, calendar, calendars, status, *rest = columns
    rest[-1] = json.loads(rest[-1]) if rest[-1] != "{}" else {}
    return Appointment(id_, clinic, visit_type, calendar, tuple(calendars), Status(status), *rest)


def is_overdue(seen: SeenAppointment) -> bool:
    held = seen.appointment
    return held.status == Status.HELD and held.expires_at is not None and held.expires_at <= seen.now


def rules_of(calendar: int, seen: SeenAppointment) -> CalendarRules:
    return calendar_rules(calendar, seen.counters[calendar])


# --- writing -----------------------------------------------------------------------------------------------------------


def insert(appointment: Appointment, patient: Patient | None, entry: dict[str, Any]) -> Statement:
    a = appointment
    return Statement(
        "INSERT INTO engine_appointment (id, clinic_id, visit_type_id, calendar_id, calendars, status, starts, ends, modality,"
        " state, expires_at, extended, patient_id, patient_details, version, history, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, false, %s, %s, %s, %s, %s)",
        (
            *(a.id, a.clinic, a.visit_type, a.calendar, list(a.calendars), a.status.value, at(a.start), at(a.end), a.modality),
            *(
                a.state,
                at(a.expires_at),
                a.patient_id,
                patient.kept if patient else None,
                a.version,
                json.dumps([entry]),
                at(a.created_at),
            ),
        ),
    )


NOTHING = b""
"""Instead of an envelope: what was kept goes."""


def update(appointment: Appointment, entry: dict[str, Any], sealed: bytes | None = None) -> Statement:
    a = appointment
    return Statement(
        "UPDATE engine_appointment SET calendar_id = %s, calendars = %s, status = %s, starts = %s, ends = %s, modality = %s,"
        " state = %s, expires_at = %s, extended = %s, patient_id = %s, stages = %s,"
        " patient_details = nullif(coalesce(%s, patient_details), ''::bytea), version = %s,"
        " history = history || %s::jsonb WHERE id = %s",
        (
            *(a.calendar, list(a.calendars), a.status.value, at(a.start), at(a.end), a.modality, a.state, at(a.expires_at)),
            *(a.extended, a.patient_id, json.dumps(a.stages), sealed, a.version, json.dumps([entry]), a.id),
        ),
    )


SETTLED_S = 400 * 24 * 3600
"""So long after its end an allocation is history, and goes: no time that far back can be taken any more (`deciding`)."""


def allocate(appointment: Appointment, blocked: Interval, units: dict[int, int]) -> Statement:
    rows = [(appointment.id, calendar, unit, at(blocked.start), at(blocked.end)) for calendar, unit in units.items()]
    values = ", ".join(["(%s, %s, %s, tstzrange(%s, %s))"] * len(rows))
    return Statement(
        f"INSERT INTO engine_allocation (appointment_id, calendar_id, unit, during) VALUES {values}",
        tuple(value for row in rows for value in row),
    )


def record(
    appointment: Appointment, event: Event, versions: dict[int, int], *, visit_type: UUID, calendars: Iterable[CalendarRules]
) -> list[Statement]:
    data = outbox.appointment_data(appointment, visit_type=visit_type, calendars=[c.uid for c in calendars])
    return outbox.record(versions, event, data, appointment=appointment.id)


def audited(actor: Actor, appointment: Appointment, event: Event, *, clinic: str, waived: Sequence[str] = ()) -> Statement:
    """The audit log's entry on a write, by the name of its fact. `clinic` is the slug of the appointment's clinic.

    What was waived is told by its codes; the reason that somebody typed stays in the appointment's history.
    """
    by = actor.origin or audit.origin(None, actor.subject)
    object_, patient = f"appointment:{appointment.id}", appointment.patient_id or ""
    details = {"waived": list(waived)} if waived else None
    values = audit.values(by._replace(clinic=clinic), event.value, object=object_, patient=patient, details=details)
    return Statement(audit.INSERT, values)


def noted(actor: Actor, action: str, *, object: str, details: dict[str, Any]) -> Statement:  # noqa: A002 - the log's own word
    """The audit log's entry on a write to what a clinic is made of; names of what changed, no values."""
    by = actor.origin or audit.origin(None, actor.subject, clinic=actor.clinic or "")
    return Statement(audit.INSERT, audit.values(by, action, object=object, details=details))


def remember(once: Once | None, appointment: Appointment, now: int) -> list[Statement]:
    *rest, stages = (getattr(appointment, name) for name in _FIELDS)
    # Without stages as it was before there were any: during an update the code before reads this too.
    return keep(once, [*rest, json.dumps(stages)] if stages else rest, now)


def keep(once: Once | None, result: list[Any], now: int) -> list[Statement]:
    """Keeps the result of a write for whoever repeats the request; `kept` gives it back."""
    if once is None:
        return []
    return [
        Statement(
            "INSERT INTO engine_idempotencykey (scope, key, fingerprint, result, at) VALUES (%s, %s, %s, %s, %s)",
            (once.scope, once.key, once.fingerprint, json.dumps(result, default=str), at(now)),
        )
    ]


def kept(once: Once, fingerprint: bytes, result: Any) -> list[Any]:
    """The result of the first request with this key. Raises IdempotencyMismatch when that was another request."""
    if bytes(fingerprint) != once.fingerprint:
        raise IdempotencyMismatch()
    return list(json.loads(result) if isinstance(result, str) else result)


def as_replay(once: Once, fingerprint: bytes, result: Any) -> Done:
    id_, *rest = kept(once, fingerprint, result)
    none = ["{}"] * (len(_FIELDS) - 1 - len(rest))
    return Done(from_row([UUID(id_), *rest, *none]), replayed=True)


def entry(event: Event, now: int, actor: Actor) -> dict[str, Any]:
    return {"event": event.value, "at": outbox.rfc3339(now), "by": actor.subject}


@overload
def at(instant: int) -> datetime: ...
@overload
def at(instant: int | None) -> datetime | None: ...
def at(instant: int | None) -> datetime | None:
    return None if instant is None else datetime.fromtimestamp(instant, UTC)
