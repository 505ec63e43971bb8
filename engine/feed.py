"""The engine's facts for the other services: what became of appointments, in the order of their transactions.

The outbox has a row for each calendar of an appointment; one of them is the fact.
"""

import json
from typing import Any
from uuid import UUID

from django.db import connection

from apps.kernel.events import Event, Placed, numbers, require_known
from engine.callers import manage_url
from engine.scheduling.lifecycle import Event as Fact

_TOLD = tuple(
    fact.value
    for fact in (
        Fact.BOOKED,
        Fact.RESCHEDULED,
        Fact.ARRIVED,
        Fact.ROOMED,
        Fact.STARTED,
        Fact.COMPLETED,
        Fact.CANCELLED,
        Fact.NO_SHOW,
        Fact.LINKED,
        Fact.REVERTED,
    )
)
_WITH_ENVELOPE = (Fact.BOOKED, Fact.RESCHEDULED)

# A change is one transaction, so its rows share a transaction; the first of them by calendar stands for all.
# The envelope is the row's, of now: it is in no outbox, and gone once it has served. One from before envelopes, which begins
# with \x01, nobody can open.
_AFTER = r"""
SELECT o.txid::text, o.calendar_id, o.version, o.id, o.type, o.at, o.data, a.id, k.slug, c.uid, a.patient_id, a.modality,
       a.state, jsonb_path_query_first(a.history, '$[*] ? (@.event == "appointment.cancelled").by') #>> '{}',
       CASE WHEN get_byte(a.patient_details || '\x00', 0) <> 1 THEN convert_from(a.patient_details, 'UTF8') END
FROM engine_outboxevent o
JOIN engine_appointment a ON a.id = o.appointment_id
JOIN engine_clinic k ON k.id = a.clinic_id
JOIN engine_calendar c ON c.id = a.calendar_id
WHERE (o.txid, o.calendar_id, o.version) > (%s::text::xid8, %s, %s) AND o.txid < pg_snapshot_xmin(pg_current_snapshot())
      AND o.type = ANY(%s) AND (o.type <> 'appointment.cancelled' OR a.history @> '[{"event": "appointment.booked"}]')
      AND NOT EXISTS (SELECT FROM engine_outboxevent p
                      WHERE p.txid = o.txid AND p.appointment_id = o.appointment_id AND p.calendar_id < o.calendar_id)
ORDER BY o.txid, o.calendar_id, o.version LIMIT %s
"""


def read(position: str, limit: int, reader: str) -> list[Placed]:
    """The facts after `position`, a txid, a calendar's key and a version. Raises VersionGone, ValidationFailed.

    Records alone gets the envelope of what the patient told us with them, as `sealed`.
    """
    txid, calendar, version = numbers(position, 3)
    with connection.cursor() as cursor:
        require_known(cursor, txid)
        cursor.execute(_AFTER, [str(txid), calendar, version, list(_TOLD), limit])
        placed = [_placed(row, reader=reader) for row in cursor.fetchall()]
    if reader == "notifications":
        # Whoever has it can cancel the visit: made for who sends it to the patient, and in no outbox.
        for one in placed:
            one.event.data["manage_url"] = manage_url(UUID(one.event.subject))
    return placed


def _placed(row: tuple[Any, ...], *, reader: str) -> Placed:
    txid, key, version, uid, type_, at, data, appointment, clinic, calendar, patient, modality, state, by, sealed = row
    seen = json.loads(data) if isinstance(data, str) else data
    told = {
        "appointment": str(appointment),
        "clinic": clinic,
        "calendar": str(calendar),
        "calendars": seen["calendars"],
        "visit_type": seen["visit_type"],
        "patient": patient,
        "start": seen["start"],
        "end": seen["end"],
        "status": seen["status"],
        "modality": modality,
        "state": state,
        "by": by if type_ == Fact.CANCELLED else None,
    }
    if reader == "records" and type_ in _WITH_ENVELOPE:
        told["sealed"] = sealed
    event = Event(uid, "/engine", f"{type_}.v1", str(appointment), clinic, at, told)
    return Placed(f"{txid}:{key}:{version}", event)
