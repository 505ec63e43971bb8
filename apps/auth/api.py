"""The HTTP API of auth, /api/auth/v1: one's own session, and the members of a clinic for its administrators."""

from datetime import UTC

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.auth import people, queries, sessions, shapes
from apps.auth.models import Membership, Session
from apps.auth.permissions import PERMISSIONS
from apps.auth.ui import page as pages
from apps.kernel import auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.callers import allowed, check_csrf
from apps.kernel.ids import as_id
from apps.kernel.once import once
from apps.kernel.problems import NotFound, SecondFactorRequired, Unauthenticated
from apps.kernel.shapes import ProblemOut

api = Api(
    title="HealthFlow accounts",
    description="One's own session, and who works in a clinic. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="auth",
)
auditor.routes(api)


# --- one's own session ------------------------------------------------------------------------------------------------


@api.get("/session", response={200: shapes.SessionOut, PROBLEMS: ProblemOut}, tags=["session"])
def session(request: HttpRequest) -> HttpResponse:
    """Who is signed in in this browser."""
    found = _session(request)
    membership = Membership.objects.filter(person=found.person, clinic=found.clinic).first()
    if membership is None:
        raise Unauthenticated("The session is not valid, or has ended.")
    expires_at = (found.created_at + sessions.LONGEST).astimezone(UTC)
    return as_json(
        {
            "name": found.person.name,
            "email": found.person.email,
            "clinic": found.clinic_id,
            "clinic_name": found.clinic.name,
            "role": membership.role,
            "calendar": membership.calendar,
            "idle_s": found.clinic.idle_minutes * 60,
            "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


@api.post("/session/renew", response={204: None, PROBLEMS: ProblemOut}, tags=["session"])
def renew(request: HttpRequest, body: shapes.RenewIn) -> HttpResponse:
    """A new access token for the page, as the cookie `hf_session`. To be asked every two minutes while a page is open."""
    check_csrf(request)
    response = pages.grant(HttpResponse(status=204), _session(request), active=body.active)
    if response.cookies.get(pages.SIGN_IN_COOKIE):  # taken away: it ended in this moment
        raise Unauthenticated("The session is not valid, or has ended.")
    return response


def _session(request: HttpRequest) -> Session:
    found = pages.session_of(request)
    if found is None:
        raise Unauthenticated("The session is not valid, or has ended.")
    if found.second_factor_at is None:
        raise SecondFactorRequired()
    return found


# --- members ----------------------------------------------------------------------------------------------------------


@api.get("/members", response={200: shapes.MembersOut, PROBLEMS: ProblemOut}, tags=["members"])
def members(request: HttpRequest, query: Query[shapes.MembersQuery]) -> HttpResponse:
    """Who works in the clinic."""
    claims = allowed(request, PERMISSIONS, "read_members")
    found = queries.members(claims.clinic, after=as_id(query.cursor), limit=query.limit)
    following = str(found[-1].id) if len(found) == query.limit else None
    return as_json({"items": [_member(one) for one in found], "next": following})


@api.patch("/members/{member_id}", response={200: shapes.MemberOut, PROBLEMS: ProblemOut}, tags=["members"])
def change_member(request: HttpRequest, member_id: str, body: shapes.MemberIn) -> HttpResponse:
    """Another role or calendar. What the person has open in the clinic ends; they sign in anew."""
    claims = allowed(request, PERMISSIONS, "manage_members")
    with transaction.atomic():
        found = _found(member_id, clinic=claims.clinic)
        role = body.role or found.role
        kept = found.calendar if role == found.role else ""
        people.change(request, claims, found, role=role, calendar=kept if body.calendar is None else body.calendar)
    return as_json(_member(found))


@api.delete("/members/{member_id}", response={204: None, PROBLEMS: ProblemOut}, tags=["members"])
def remove_member(request: HttpRequest, member_id: str) -> HttpResponse:
    """The person leaves the clinic; all that they have open there ends within 5 s."""
    claims = allowed(request, PERMISSIONS, "manage_members")
    with transaction.atomic():
        people.remove(request, claims, _found(member_id, clinic=claims.clinic))
    return HttpResponse(status=204)


@api.post("/invitations", response={201: shapes.InvitationOut, PROBLEMS: ProblemOut}, tags=["members"])
def invite(request: HttpRequest, body: shapes.InvitationIn) -> HttpResponse:
    """Sends a link that works once, for seven days. The answer does not say whether the address has an account elsewhere."""
    claims = allowed(request, PERMISSIONS, "manage_members")

    def run() -> HttpResponse:
        made = people.invite(request, claims, email=body.email, name=body.name, role=body.role, calendar=body.calendar)
        return as_json({"id": str(made.id), "email": made.email, "role": made.role}, status=201)

    return once(request, f"{claims.clinic}:{claims.subject}", run)


def _found(member_id: str, *, clinic: str) -> Membership:
    found = queries.member(as_id(member_id), clinic=clinic)
    if found is None:
        raise NotFound("No such member.")
    return found


def _member(membership: Membership) -> dict[str, object]:
    return {
        "id": str(membership.id),
        "person": str(membership.person_id),
        "name": membership.person.name,
        "email": membership.person.email,
        "role": membership.role,
        "calendar": membership.calendar,
        "active": membership.person.is_active,
    }
