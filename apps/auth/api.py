"""The HTTP API of auth, /api/auth/v1: one's own session, the members and programs of a clinic, and OAuth 2 for programs."""

import hashlib
from datetime import UTC, datetime

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.auth import grants, keys, people, programs, queries, sessions, shapes
from apps.auth.models import Membership, Program, Session
from apps.auth.permissions import PERMISSIONS
from apps.auth.settings import ENV
from apps.auth.ui import page as pages
from apps.kernel import auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.callers import allowed, check_csrf
from apps.kernel.ids import as_id
from apps.kernel.once import once
from apps.kernel.problems import NotFound, SecondFactorRequired, Unauthenticated
from apps.kernel.shapes import ProblemOut
from apps.kernel.tokens import Claims

api = Api(
    title="HealthFlow accounts",
    description="One's own session, and who works in a clinic. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="auth",
)
auditor.routes(api)

# RFC 6749 has errors of its own for what a client did; the rest is as everywhere.
_REFUSED, _OTHER = frozenset({400, 401}), PROBLEMS - {401, 403, 404, 409, 410, 422}


# --- one's own session ------------------------------------------------------------------------------------------------


@api.get("/session", response={200: shapes.SessionOut, PROBLEMS: ProblemOut}, tags=["session"])
def session(request: HttpRequest) -> HttpResponse:
    """Who is signed in in this browser."""
    found = _session(request)
    membership = Membership.objects.filter(person=found.person, clinic=found.clinic).first()
    if membership is None:
        raise Unauthenticated("The session is not valid, or has ended.")
    return as_json(
        {
            "name": found.person.name,
            "email": found.person.email,
            "clinic": found.clinic_id,
            "clinic_name": found.clinic.name,
            "role": membership.role,
            "calendar": membership.calendar,
            "idle_s": found.clinic.idle_minutes * 60,
            "expires_at": _text(found.created_at + sessions.LONGEST),
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

    return once(request, _who(claims), run)


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


# --- programs and apps ------------------------------------------------------------------------------------------------


@api.get("/programs", response={200: shapes.ProgramsOut, PROBLEMS: ProblemOut}, tags=["programs"])
def list_programs(request: HttpRequest, query: Query[shapes.ProgramsQuery]) -> HttpResponse:
    """The programs of the clinic, and the apps through which its staff work; also those that were disabled."""
    claims = allowed(request, PERMISSIONS, "read_programs")
    found = queries.programs(claims.clinic, after=as_id(query.cursor), limit=query.limit)
    following = str(found[-1].id) if len(found) == query.limit else None
    return as_json({"items": [_program(one) for one in found], "next": following})


@api.post("/programs", response={201: shapes.NewProgramOut, PROBLEMS: ProblemOut}, tags=["programs"])
def make_program(request: HttpRequest, body: shapes.ProgramIn) -> HttpResponse:
    """Lets a program into the clinic. Its secret is in this answer and nowhere else."""
    claims = allowed(request, PERMISSIONS, "manage_programs")

    def run() -> HttpResponse:
        made = programs.make(request, claims, clinic=claims.clinic, name=body.name, redirect_uris=body.redirect_uris)
        return as_json({**_program(made.program), "client_secret": made.secret}, status=201)

    return once(request, _who(claims), run)


@api.post("/programs/{program_id}/secret", response={200: shapes.NewProgramOut, PROBLEMS: ProblemOut}, tags=["programs"])
def new_program_secret(request: HttpRequest, program_id: str) -> HttpResponse:
    """Another secret. The old one is void at once, its tokens within 5 s."""
    claims = allowed(request, PERMISSIONS, "manage_programs")

    def run() -> HttpResponse:
        made = programs.new_secret_for(request, claims, as_id(program_id))
        return as_json({**_program(made.program), "client_secret": made.secret})

    return once(request, _who(claims), run)


@api.delete("/programs/{program_id}", response={204: None, PROBLEMS: ProblemOut}, tags=["programs"])
def disable_program(request: HttpRequest, program_id: str) -> HttpResponse:
    """Ends it for good, with all its tokens within 5 s. It stays in the list."""
    claims = allowed(request, PERMISSIONS, "manage_programs")
    with transaction.atomic():
        programs.disable(request, claims, as_id(program_id))
    return HttpResponse(status=204)


@api.post("/token", response={200: shapes.TokenOut, _REFUSED: shapes.RefusedOut, _OTHER: ProblemOut}, tags=["oauth"])
def token(request: HttpRequest) -> HttpResponse:
    """A token for a program (client credentials) or an app (code with PKCE, refresh token), as a form (RFC 6749)."""
    return grants.token(request)


@api.post("/revoke", response={200: None, _REFUSED: shapes.RefusedOut, _OTHER: ProblemOut}, tags=["oauth"])
def revoke(request: HttpRequest) -> HttpResponse:
    """An app gives back what it was allowed, by a refresh token (RFC 7009)."""
    return grants.revoke(request)


@api.get("/jwks.json", response={200: shapes.KeysOut}, tags=["oauth"])
def public_keys(request: HttpRequest) -> HttpResponse:
    """The public keys of access tokens. A new key is here for two minutes before it signs; the answer is good for one."""
    response = as_json({"keys": keys.public(ENV.token_jwks_file)})
    response["Cache-Control"] = "public, max-age=60"
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == response["ETag"]:
        response.status_code, response.content = 304, b""
    return response


def _program(program: Program) -> dict[str, object]:
    client = program.application
    return {
        "id": str(program.id),
        "name": client.name,
        "client_id": client.client_id,
        "kind": "app" if client.redirect_uris else "program",
        "redirect_uris": client.redirect_uris.split(),
        "created_at": _text(program.created_at),
        "created_by": program.created_by,
        "disabled_at": _text(program.disabled_at) if program.disabled_at else None,
    }


def _who(claims: Claims) -> str:
    return f"{claims.clinic}:{claims.subject}"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
