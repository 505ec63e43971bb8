"""The wire shapes of the auth API."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from apps.kernel.shapes import Answer, Closed, Email, Identifier, Limit, Name, Query

RoleName = Literal["practitioner", "front_desk", "clinic_admin", "billing", "auditor"]


class RenewIn(Closed):
    active: bool
    """Whether somebody did something on the page since the last time."""


class SessionOut(Answer):
    name: str
    email: str
    clinic: str
    clinic_name: str
    role: str
    calendar: str
    idle_s: int
    """The session ends after so many seconds in which nobody does anything."""
    expires_at: str
    """The session ends then at the latest."""


class MemberOut(Answer):
    id: str
    person: str
    name: str
    email: str
    role: str
    calendar: str
    active: bool


class MembersOut(Answer):
    items: list[MemberOut]
    next: str | None


class MembersQuery(Query):
    limit: Limit = 100
    cursor: Identifier = ""


class MemberIn(Closed):
    """What changes; what is left out stays."""

    role: RoleName | None = None
    calendar: Identifier | None = None


class InvitationIn(Closed):
    email: Email
    name: Name
    role: RoleName
    calendar: Identifier = ""


class InvitationOut(Answer):
    id: str
    email: str
    role: str


def _redirect_uri(value: str) -> str:
    """Where a browser carries an authorization code: to this very address, over TLS or on the person's own machine."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not an address") from None
    if not value.isascii() or not value.isprintable() or set(value) & set(' "<>\\^`{|}*'):
        raise ValueError("only characters that an address may have, and no wildcard")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in ("127.0.0.1", "::1")):
        raise ValueError("must be https, or http on 127.0.0.1 or [::1]")
    if not host or "@" in parts.netloc or "#" in value:
        raise ValueError("a host, no user and no fragment")
    return value


RedirectUri = Annotated[str, Field(max_length=500), AfterValidator(_redirect_uri)]


class ProgramIn(Closed):
    name: Name
    redirect_uris: list[RedirectUri] = Field(default=[], max_length=10)
    """With them it is an app, through which staff work after they allowed it; without, a program of its own with a secret."""


class ProgramOut(Answer):
    id: str
    name: str
    client_id: str
    kind: Literal["program", "app"]
    redirect_uris: list[str]
    created_at: str
    created_by: str
    disabled_at: str | None


class NewProgramOut(ProgramOut):
    client_secret: str
    """Only here, and only now. Empty for an app."""


class ProgramsOut(Answer):
    items: list[ProgramOut]
    next: str | None


class ProgramsQuery(Query):
    limit: Limit = 100
    cursor: Identifier = ""


class TokenOut(Answer):
    """RFC 6749, 5.1. `refresh_token` is for apps; it works once, and the answer has the next."""

    access_token: str
    expires_in: int
    token_type: Literal["Bearer"]
    scope: str
    refresh_token: str = ""


class RefusedOut(Answer):
    """RFC 6749, 5.2."""

    error: str
    error_description: str = ""


class KeysOut(Answer):
    """RFC 7517."""

    keys: list[dict[str, str]]
