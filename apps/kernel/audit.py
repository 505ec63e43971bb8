"""The audit log: who did what to whose data, when, from where, with which outcome; reads of patient data too.

An entry is written in the transaction of what it tells of: without the entry it did not happen. Ids and codes only, never
patient data.
"""

import json
from typing import Any

from django.db import connection
from django.http import HttpRequest

from apps.kernel.http import client_address
from apps.kernel.tokens import Claims

_INSERT = """
INSERT INTO kernel_auditentry
(clinic, actor, role, session, action, object, patient, outcome, request_id, address, details)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


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
    claims = who if isinstance(who, Claims) else None
    actor, role, session = (claims.subject, claims.role, claims.token_id) if claims else (str(who), "service", "")
    request_id = request.headers.get("X-Request-Id", "")[:64] if request else ""
    address = client_address(request)[:45] if request else ""
    where = clinic or (claims.clinic if claims else "")
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [where, actor[:80], role, session, action, object, patient, outcome, request_id, address, json.dumps(details or {})],
        )
