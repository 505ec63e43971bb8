"""The wire shapes of the auth API."""

from typing import Literal

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
