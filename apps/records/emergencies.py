"""Break-glass: somebody without a part in a patient's care looks all the same, for a while, and everybody will know."""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import connection
from prometheus_client import Counter

from apps.kernel import events
from apps.kernel.ids import new_id
from apps.kernel.problems import SecondFactorRequired
from apps.kernel.tokens import Claims
from apps.records.keys import keyring
from apps.records.models import BreakGlass, Patient

OPENED = Counter("records_break_glass", "How often somebody looked at a patient outside their care")

log = logging.getLogger(__name__)


def open_glass(patient: Patient, claims: Claims, *, reason: str, minutes: int) -> BreakGlass:
    """Lets the person see this one patient for so many minutes, and tells. In the caller's transaction.

    It asks no other service and no Redis: in an emergency this works when they do not. Raises SecondFactorRequired.
    """
    if not claims.second_factor:
        raise SecondFactorRequired()
    key: UUID = new_id()
    cipher = keyring().of(patient.id, clinic=patient.clinic)
    sealed = cipher.seal_bytes(reason.encode(), table="break_glass", row=key, column="reason")
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        until = cursor.fetchone()[0] + timedelta(minutes=minutes)
    glass = BreakGlass(id=key, clinic=patient.clinic, patient=patient.id, actor=claims.subject, reason=sealed, until=until)
    glass.save(force_insert=True)
    told = {"patient": str(patient.id), "clinic": patient.clinic, "actor": claims.subject, "until": until.isoformat()}
    events.record(type="break_glass.opened", clinic=patient.clinic, subject=str(patient.id), data=told)
    OPENED.inc()
    log.warning("break_glass_opened", extra={"patient": str(patient.id), "actor": claims.subject})
    return glass
