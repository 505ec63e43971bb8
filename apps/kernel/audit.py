"""The audit log: who did what to whose data, when, from where, with which outcome; reads of patient data too.

An entry is written in the transaction of what it tells of: without the entry it did not happen. Ids and codes only, never
patient data. `chain.py` makes it show if an entry is changed or removed later.
"""

import json
from typing import Any, NamedTuple

from django.db import connection
from django.http import HttpRequest

from apps.kernel.http import client_address
from apps.kernel.tokens import Claims

INSERT = """
INSERT INTO kernel_auditentry
(clinic, actor, role, session, request_id, address, action, object, patient, outcome, details)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
"""For writers that send their own statements; its parameters are those of `values`."""


class Origin(NamedTuple):
    """Who did something, in which role and session, for which clinic, and from where."""

    clinic: str
    actor: str
    role: str
    session: str
    request_id: str
    address: str


def origin(request: HttpRequest | None, who: Claims | str, *, clinic: str = "") -> Origin:
    """`who` are claims, or the name of a service, "system" or "public", and then `clinic` says where."""
    request_id = printable(request.headers.get("X-Request-Id", ""), 64) if request else ""
    address = printable(client_address(request), 45) if request else ""
    if isinstance(who, Claims):
        return Origin(clinic or who.clinic, who.subject[:80], who.role, who.token_id[:64], request_id, address)
    return Origin(clinic, who[:80], "public" if who == "public" else "service", "", request_id, address)


def values(
    by: Origin,
    action: str,
    *,
    object: str = "",  # noqa: A002 - the log's own word
    patient: str = "",
    outcome: str = "done",
    details: dict[str, Any] | None = None,
) -> tuple[str, ...]:
    """The parameters of `INSERT` for one entry."""
    return (*by, action[:60], printable(object, 120), printable(patient, 64), outcome, json.dumps(details or {}))


def record(
    request: HttpRequest | None,
    who: Claims | str,
    action: str,
    *,
    clinic: str = "",
    object: str = "",  # noqa: A002 - the log's own word
    patient: str = "",
    outcome: str = "done",
    details: dict[str, Any] | None = None,
) -> None:
    """Writes one entry: `who` are claims, or the name of a service or "system", and then `clinic` says where.

    `action` is `<thing>.<verb>` ("patient.read"), `object` is `<thing>:<id>`, `outcome` "done" or "denied".
    """
    by = origin(request, who, clinic=clinic)
    with connection.cursor() as cursor:
        cursor.execute(INSERT, values(by, action, object=object, patient=patient, outcome=outcome, details=details))


def printable(text: str, longest: int) -> str:
    """The text as the log can keep it: a zero byte would make the entry, and with it the request, fail."""
    return "".join(character for character in text[:longest] if character.isprintable())
