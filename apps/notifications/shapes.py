"""The shapes of the wire (/api/notifications/v1): closed, strict, and free of any web framework."""

from datetime import datetime, time
from typing import Annotated, Literal

from pydantic import Field, model_validator

from apps.kernel.shapes import Answer, Closed, Email, Identifier, Instant, Limit, Query, Time

Channel = Literal["email", "sms"]
State = Literal["pending", "sending", "sent", "dropped", "failed"]
_LONGEST_QUIET_MINUTES = 16 * 60
_DAY_MINUTES = 24 * 60


class PolicyIn(Closed):
    """`reminders` in minutes before the visit, none for no reminders. Quiet hours that begin when they end are none."""

    reminders: Annotated[list[Annotated[int, Field(ge=15, le=30 * _DAY_MINUTES)]], Field(max_length=5)]
    quiet_begins: Time
    quiet_ends: Time
    channels: Annotated[list[Channel], Field(max_length=2)]
    reply_to: Email | Literal[""] = ""

    @model_validator(mode="after")
    def some_time_is_left(self) -> "PolicyIn":
        begins, ends = (_minutes(text) for text in (self.quiet_begins, self.quiet_ends))
        if (ends - begins) % _DAY_MINUTES > _LONGEST_QUIET_MINUTES:
            raise ValueError("at most 16 hours of a day can be quiet")
        return self

    def quiet(self) -> tuple[time, time]:
        return time.fromisoformat(self.quiet_begins), time.fromisoformat(self.quiet_ends)


class OfferIn(Closed):
    """A free time for a patient on the waitlist."""

    patient: Identifier
    start: Instant


class RetryIn(Closed):
    """Nothing needs to be said."""


class MessagesQuery(Query):
    appointment: Identifier | None = None
    state: State | None = None
    limit: Limit = 100
    cursor: Identifier | None = None


class PolicyOut(Answer):
    reminders: list[int]
    quiet_begins: str
    quiet_ends: str
    channels: list[Channel]
    reply_to: str


class TextOut(Answer):
    """One message as a patient reads it: by e-mail with one paragraph a line, by SMS in one."""

    kind: str
    language: str
    subject: str
    body: str
    sms: str


class TextsOut(Answer):
    items: list[TextOut]


class MessageOut(Answer):
    """Neither the recipient nor the text: they are not stored."""

    id: str
    appointment: str | None
    kind: str
    channel: Channel
    state: State
    due_at: datetime
    attempts: int
    next_try_at: datetime | None
    error: str | None


class MessagesOut(Answer):
    items: list[MessageOut]
    next: str | None


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
