"""The shapes of the wire, and of what is sealed. No framework here."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, WrapValidator, model_validator

from apps.kernel.shapes import Answer, BirthDate, Closed, Email, Identifier, Limit, Line, Name, Phone, Query, State, Zone

Language = Annotated[str, Field(pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$", description="BCP 47, like en or es-US")]
Reason = Annotated[Name, Field(min_length=10)]
# A note has lines and tabs, and nothing else that does not print or turns the direction.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
LARGEST_DOCUMENT = 5 * 1024 * 1024


def _readable(text: str) -> str:
    if not text.strip() or _HIDDEN.search(text.replace("\r\n", "\n")):
        raise ValueError("text without control characters, please")
    return text


NoteText = Annotated[str, Field(max_length=20_000), AfterValidator(_readable)]


class Address(Closed):
    line: Line = ""
    line2: Line = ""
    city: Line = ""
    state: State = ""
    postal_code: Annotated[str, Field(pattern=r"^[0-9A-Za-z -]{0,12}$")] = ""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "US"


class PatientIdentifier(Closed):
    """A number that somebody else gave: an insurer, a hospital, a state."""

    system: Name
    value: Name


class Details(Closed):
    """A patient's demographics. Without `given` and `family` the last word of the name counts as the family's."""

    name: Name
    given: Line = ""
    family: Line = ""
    aliases: Annotated[tuple[Name, ...], Field(max_length=50, strict=False)] = ()
    birth_date: BirthDate | None = None
    sex: Literal["female", "male", "other", "unknown"] = "unknown"
    pronouns: Line = ""
    language: Language = ""
    state: State = ""
    zone: Zone | None = None
    phones: Annotated[tuple[Phone, ...], Field(max_length=50, strict=False)] = ()
    emails: Annotated[tuple[Email, ...], Field(max_length=50, strict=False)] = ()
    address: Address | None = None
    identifiers: Annotated[tuple[PatientIdentifier, ...], Field(max_length=50, strict=False)] = ()

    def parts(self) -> tuple[str, str]:
        """The given and the family name."""
        return (self.given, self.family) if self.given or self.family else split(self.name)

    def born(self) -> date | None:
        return date.fromisoformat(self.birth_date) if self.birth_date else None


def split(name: str) -> tuple[str, str]:
    """A full name as given and family name; a single word is a given name."""
    given, _, family = name.strip().rpartition(" ")
    return (given.strip(), family) if given else (family, "")


def _or_none(value: Any, check: Any, _: ValidationInfo) -> Any:
    try:
        return check(value)
    except ValueError:
        return None


_Lenient = WrapValidator(_or_none)


class Envelope(BaseModel):
    """What a browser sealed. Nobody looked at it before: an unusable contact is left out, but without a name there is nobody."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    name: Name
    email: Annotated[Email | None, _Lenient] = None
    phone: Annotated[Phone | None, _Lenient] = None
    date_of_birth: Annotated[BirthDate | None, _Lenient] = None
    language: Annotated[Language | None, _Lenient] = None
    state: Annotated[State | None, _Lenient] = None
    zone: Annotated[Zone | None, _Lenient] = None
    answers: Annotated[dict[Line, Annotated[str, Field(max_length=2000)]] | None, _Lenient] = None

    def details(self, *, state: str) -> Details:
        """The demographics in it; `state` is what the booking says, if the envelope does not."""
        return Details(
            name=self.name,
            birth_date=self.date_of_birth,
            language=self.language or "",
            state=self.state or state,
            zone=self.zone,
            phones=(self.phone,) if self.phone else (),
            emails=(self.email,) if self.email else (),
        )


class PatientIn(Details):
    """A new patient."""


class PatientChange(Details):
    """What is to be different; what is left out stays."""

    name: Name = ""


class SearchIn(Closed):
    """All that is given must match, whole and exactly (accents, case and the order of a name do not count)."""

    name: Line = ""
    given: Line = ""
    family: Line = ""
    birth_date: BirthDate | None = None
    phone: Phone | None = None
    email: Email | None = None
    identifier: PatientIdentifier | None = None
    limit: Limit = 50
    cursor: Identifier = ""

    @model_validator(mode="after")
    def something(self) -> "SearchIn":
        if not any((self.name, self.given, self.family, self.birth_date, self.phone, self.email, self.identifier)):
            raise ValueError("give something to search for")
        return self


class ClinicQuery(Query):
    """Which clinic asks, by way of another service: a patient of another one is not found."""

    clinic: Line


class PageQuery(Query):
    limit: Limit = 50
    cursor: Identifier = ""


class MergeIn(Closed):
    """The patient that becomes this one."""

    source: Identifier


class Nothing(Closed):
    """Nothing needs to be said."""


class NoteIn(Closed):
    text: NoteText
    signed: bool = False
    appointment: Identifier | None = None


class AmendIn(Closed):
    """The next version; `version` is the one that was read."""

    version: Annotated[int, Field(ge=1)]
    text: NoteText
    signed: bool = False


class ConsentIn(Closed):
    purpose: Literal["messages", "treatment", "data_sharing"]
    channel: Literal["", "email", "sms"] = ""
    granted: bool

    @model_validator(mode="after")
    def by_some_way(self) -> "ConsentIn":
        if (self.purpose == "messages") != bool(self.channel):
            raise ValueError("messages, and only they, have a channel")
        return self


class DocumentIn(Closed):
    """A file of at most 5 MiB, in base64."""

    name: Name
    type: Literal["application/pdf", "image/png", "image/jpeg", "text/plain"]
    content: Annotated[str, Field(max_length=LARGEST_DOCUMENT * 4 // 3 + 4)]


class BreakGlassIn(Closed):
    reason: Reason
    minutes: Annotated[int, Field(ge=1, le=60)] = 30


class AppointmentsIn(Closed):
    appointments: Annotated[list[Identifier], Field(min_length=1, max_length=100)]


class PhoneIn(Closed):
    phone: Phone


# --- answers: what the documents say ------------------------------------------------------------------------------------


class PatientOut(Answer):
    """What the caller's role sees of a patient: the other fields are left out, not empty."""

    id: str
    version: int
    possible_duplicate: bool
    name: str
    given: str
    family: str
    aliases: list[str]
    birth_date: str | None
    sex: str | None = None
    pronouns: str | None = None
    language: str | None = None
    state: str | None = None
    zone: str | None = None
    phones: list[str] | None = None
    emails: list[str] | None = None
    address: Address | None = None
    identifiers: list[PatientIdentifier] | None = None


class CardOut(Answer):
    """Who it is, for a list. `access` is "break_glass" for a patient who is not the practitioner's, and then there is no more."""

    id: str
    name: str | None = None
    birth_date: str | None = None
    access: str | None = None
    appointment: str | None = None
    score: float | None = None
    reasons: list[str] | None = None


class VisitOut(Answer):
    appointment: str
    calendar: str
    visit_type: str
    start: str
    end: str
    status: str
    opened_at: str | None
    closed_at: str | None


class NoteOut(Answer):
    id: str
    version: int
    text: str
    signed: bool
    author: str
    at: str
    appointment: str | None


class ConsentOut(Answer):
    id: str
    purpose: str
    channel: str
    granted: bool
    actor: str
    at: str


class DocumentOut(Answer):
    id: str
    name: str
    type: str
    size: int
    author: str
    at: str


class DisclosureOut(Answer):
    at: str
    actor: str
    role: str
    address: str
    action: str
    object: str
    outcome: str


class GlassOut(Answer):
    id: str
    patient: str
    until: str


class MergeOut(Answer):
    merge: str
    patient: str
    source: str


class ExportOut(Answer):
    patients: list[dict[str, Any]]
    visits: list[dict[str, Any]]
    notes: list[NoteOut]
    consents: list[ConsentOut]
    documents: list[DocumentOut]


class ContactOut(Answer):
    patient: str
    name: str
    email: str | None
    phone: str | None
    language: str
    channels: list[str]
    zone: str | None


class GivenAndFamily(Answer):
    given: str
    family: str


class BillingOut(Answer):
    name: GivenAndFamily
    date_of_birth: str | None
    sex: str
    address: Address
    identifiers: list[PatientIdentifier]


class PatientsOut(Answer):
    patients: list[str]


class CardsOut(Answer):
    items: list[CardOut]
    next: str | None


class VisitsOut(Answer):
    items: list[VisitOut]
    next: str | None


class NotesOut(Answer):
    items: list[NoteOut]
    next: str | None


class ConsentsOut(Answer):
    items: list[ConsentOut]
    next: str | None


class DocumentsOut(Answer):
    items: list[DocumentOut]
    next: str | None


class DisclosuresOut(Answer):
    items: list[DisclosureOut]
    next: str | None
