"""The auditor's door: `GET /audit` of every service, for the role auditor, of the own clinic only, and audited itself."""

from datetime import UTC, datetime
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query as InQuery
from pydantic import Field

from apps.kernel import audit
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.callers import Permissions, allowed
from apps.kernel.models import AuditEntry
from apps.kernel.shapes import Answer, Instant, Limit, Line, ProblemOut, Query

PERMISSIONS: Permissions = {"audit.read": frozenset({"auditor"})}


class AuditQuery(Query):
    """All that is given must fit."""

    from_: Instant | None = Field(None, alias="from")
    to: Instant | None = None
    actor: Line = ""
    patient: Line = ""
    object: Line = ""
    action: Line = ""
    outcome: Literal["", "done", "denied"] = ""
    limit: Limit = 100
    cursor: int | None = Field(None, ge=1, lt=2**63)


class EntryOut(Answer):
    id: int
    at: str
    actor: str
    role: str
    session: str
    action: str
    object: str
    patient: str
    outcome: str
    request_id: str
    address: str
    details: dict[str, Any]


class EntriesOut(Answer):
    items: list[EntryOut]
    next: int | None


def routes(api: Api) -> None:
    """Adds `GET /audit` to a service's API."""
    api.get("/audit", response={200: EntriesOut, PROBLEMS: ProblemOut}, tags=["audit"])(entries)


def entries(request: HttpRequest, query: InQuery[AuditQuery]) -> HttpResponse:
    """Who did what in the caller's clinic, newest first; `next` is the cursor of the next page. For the role auditor."""
    claims = allowed(request, PERMISSIONS, "audit.read")
    asked = query.model_dump(exclude_defaults=True, include={"actor", "patient", "object", "action", "outcome"})
    found = AuditEntry.objects.filter(clinic=claims.clinic, **asked).order_by("-id")
    if query.from_ is not None:
        found = found.filter(at__gte=datetime.fromtimestamp(query.from_, UTC))
    if query.to is not None:
        found = found.filter(at__lt=datetime.fromtimestamp(query.to, UTC))
    if query.cursor is not None:
        found = found.filter(id__lt=query.cursor)
    page = list(found[: query.limit + 1])
    audit.record(request, claims, "audit.read", patient=query.patient, details=asked)
    following = page[query.limit - 1].id if len(page) > query.limit else None
    return as_json({"items": [_entry(one) for one in page[: query.limit]], "next": following})


def _entry(one: AuditEntry) -> dict[str, Any]:
    answer = {name: getattr(one, name) for name in EntryOut.model_fields}
    return answer | {"at": one.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
