"""From a message and what is known when it is sent to what goes out."""

from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.conf import settings

from apps.notifications import invites, optouts, texts, visits
from apps.notifications.clinics import Profile
from apps.notifications.contacts import Contact
from apps.notifications.models import Message, Visit

_METHODS = {"confirmation": "REQUEST", "moved": "REQUEST", "cancelled": "CANCEL"}
_DAY_S = 24 * 3600
_OPTIONAL = ("reminder", "waitlist_offer")
_WHERE = {
    "en": {"in_person": "In person: {place}.", "video": "By video.", "phone": "By phone."},
    "es": {"in_person": "En persona: {place}.", "video": "Por vídeo.", "phone": "Por teléfono."},
}


@dataclass(frozen=True, repr=False)
class Case:
    """All that a message is made from."""

    message: Message
    visit: Visit | None
    contact: Contact
    clinic: Profile


def email(case: Case, *, now: int) -> tuple[texts.Email, str, bytes]:
    """(what it says, the address that ends such e-mails, a calendar file); the last two may be empty."""
    kind = case.message.kind
    unsubscribe = optouts.link(case.contact.patient) if kind in _OPTIONAL else ""
    said = texts.email(kind, _language(case), _facts(case), unsubscribe=unsubscribe)
    return said, unsubscribe, _invite(case, now=now)


def sms(case: Case) -> str:
    return texts.sms(case.message.kind, _language(case), _facts(case))


def samples(clinic: Profile, now: int) -> list[dict[str, str]]:
    """Every text in every language, as a patient who does not exist would read it: a visit of tomorrow."""
    return [_sample(clinic, kind, language, now + _DAY_S) for language in texts.LANGUAGES for kind in texts.KINDS]


def _sample(clinic: Profile, kind: str, language: str, starts: int) -> dict[str, str]:
    facts = texts.Facts(
        name="Alex Rivera",
        clinic=clinic.name,
        when=texts.when(starts, clinic.zone, language),
        where=_WHERE[language]["in_person"].format(place=next(filter(None, clinic.places.values()), "…")),
        link=f"{settings.ENV.public_url}/manage/…",
    )
    said = texts.email(kind, language, facts)
    return {
        "kind": kind,
        "language": language,
        "subject": said.subject,
        "body": said.text.strip().replace("\n\n", "\n"),
        "sms": texts.sms(kind, language, facts),
    }


def host() -> str:
    """What our Message-IDs and calendar entries are unique under."""
    return urlsplit(settings.ENV.public_url).hostname or "localhost"


def _language(case: Case) -> str:
    return texts.language_of(case.contact.language)


def _facts(case: Case) -> texts.Facts:
    starts = case.visit.starts if case.visit else case.message.visit_starts
    language = _language(case)
    return texts.Facts(
        name=case.contact.name,
        clinic=case.clinic.name,
        when=texts.when(int(starts.timestamp()), case.contact.zone or case.clinic.zone, language),
        where=_where(case, language),
        link=_link(case),
    )


def _where(case: Case, language: str) -> str:
    if case.visit is None:
        return ""
    place = case.clinic.places.get(case.visit.calendar, "")
    pattern = _WHERE[language].get(case.visit.modality, "")
    return "" if "{place}" in pattern and not place else pattern.replace("{place}", place)


def _link(case: Case) -> str:
    if case.visit is not None and case.visit.status == "booked" and (own := visits.link_of(case.visit)):
        return own
    return f"{settings.ENV.public_url}/book/{case.message.clinic}/"


def _invite(case: Case, *, now: int) -> bytes:
    method, visit = _METHODS.get(case.message.kind), case.visit
    if method is None or visit is None:
        return b""
    about = invites.Visit(
        uid=f"{visit.id}@{host()}",
        sequence=visits.sequence_of(visit),
        start=int(visit.starts.timestamp()),
        end=int(visit.ends.timestamp()),
        zone=case.clinic.zone,
        summary=case.clinic.name,
        location=case.clinic.places.get(visit.calendar, "") if visit.modality == "in_person" else "",
        url=_link(case),
        organizer=parseaddr(settings.DEFAULT_FROM_EMAIL)[1],
        clinic=case.clinic.name,
        attendee=case.contact.email,
    )
    return invites.invite(about, method="CANCEL" if method == "CANCEL" else "REQUEST", now=now)
