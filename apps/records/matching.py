"""Is this the same person? Terms of the blind index find who may be; what was opened decides. No I/O here.

Same name, same birth date, and a telephone number or e-mail address in common: the same patient. Anything less is for people to
decide: it is scored, with the reasons.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import jellyfish

from apps.records.blind import TERM_BYTES, Findable, Kind, Term, email_form, name_form, phone_form, terms
from apps.records.encryption import ClinicSecret
from apps.records.shapes import Details, PatientIdentifier, SearchIn, split

_IDENTIFIER = cast("Kind", "identifier")
LIKELY = 0.6
_SIMILAR, _ALIKE = 0.92, 0.84
_WEIGHTS = {
    "same name": 0.4,
    "similar name": 0.25,
    "same birth date": 0.35,
    "birth date with day and month exchanged": 0.2,
    "same telephone number": 0.2,
    "same e-mail address": 0.25,
    "same identifier": 0.5,
    "another birth date": -0.3,
}
"""What each observation adds to the score, which is kept between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Likeness:
    score: float
    reasons: list[str]


def index_terms(details: Details, *, secret: ClinicSecret) -> set[Term]:
    """All terms that a patient is found by: every name, number, address and identifier."""
    born = details.born()
    names = [details.parts(), *(split(alias) for alias in details.aliases)]
    found = set().union(*(terms(Findable(given=given, family=family, born=born), secret=secret) for given, family in names))
    for phone in details.phones:
        found |= terms(Findable(phone=phone), secret=secret)
    for email in details.emails:
        found |= terms(Findable(email=email), secret=secret)
    return found | {_identifier(one, secret) for one in details.identifiers}


def in_common(terms: Collection[Term]) -> set[Term]:
    """The terms of which two records of one person share some: name with birth date, numbers, addresses."""
    return {term for term in terms if term[0] in (Kind.NAME_BORN, Kind.EMAIL, Kind.PHONE)}


def telling(terms: Collection[Term]) -> set[Term]:
    """The terms that few people share: half of a name is not one of them."""
    return {term for term in terms if term[0] not in (Kind.GIVEN, Kind.FAMILY)}


def search_terms(asked: SearchIn, *, secret: ClinicSecret) -> list[set[Term]]:
    """Alternatives: a patient that has all terms of one of them is found. A name of one word may be given or family name."""
    born = Findable(given=asked.given, family=asked.family, phone=asked.phone or "", email=asked.email or "")
    fixed = {term for term in terms(born, secret=secret) if term[0] != Kind.NAME}
    if asked.birth_date:
        fixed |= terms(Findable(born=Details(name="-", birth_date=asked.birth_date).born()), secret=secret)
    if asked.identifier:
        fixed.add(_identifier(asked.identifier, secret))
    given, family = split(asked.name)
    if family:
        whole = terms(Findable(given=given, family=family), secret=secret)
        return [fixed | {term for term in whole if term[0] == Kind.NAME}]
    if given:
        return [fixed | terms(Findable(given=given), secret=secret), fixed | terms(Findable(family=given), secret=secret)]
    return [fixed]


def phone_term(phone: str, *, secret: ClinicSecret) -> bytes | None:
    return next((term for _, term in terms(Findable(phone=phone), secret=secret)), None)


def same_person(one: Details, other: Details) -> bool:
    """Beyond doubt: only then a booking goes to a known patient by itself."""
    return (
        bool(one.birth_date)
        and one.birth_date == other.birth_date
        and bool(_names(one) & _names(other))
        and bool(_phones(one) & _phones(other) or _emails(one) & _emails(other))
    )


def likeness(one: Details, other: Details) -> Likeness:
    """How much speaks for these being one person, and what."""
    reasons = [
        *_name_reasons(one, other),
        *_birth_reasons(one.birth_date or "", other.birth_date or ""),
        *(["same telephone number"] if _phones(one) & _phones(other) else []),
        *(["same e-mail address"] if _emails(one) & _emails(other) else []),
        *(["same identifier"] if set(one.identifiers) & set(other.identifiers) else []),
    ]
    score = sum(_WEIGHTS[reason] for reason in reasons)
    return Likeness(round(min(1.0, max(0.0, score)), 2), reasons)


def _name_reasons(one: Details, other: Details) -> list[str]:
    if _names(one) & _names(other):
        return ["same name"]
    pairs = ((mine, theirs) for mine in _names(one) for theirs in _names(other))
    best = max((jellyfish.jaro_winkler_similarity(mine, theirs) for mine, theirs in pairs), default=0.0)
    close = _SIMILAR if one.birth_date != other.birth_date else _ALIKE  # a slip of the pen is likelier on the same birthday
    return ["similar name"] if best >= close else []


def _birth_reasons(one: str, other: str) -> list[str]:
    if not one or not other:
        return []
    if one == other:
        return ["same birth date"]
    exchanged = f"{one[:4]}-{one[8:]}-{one[5:7]}" == other
    return ["birth date with day and month exchanged" if exchanged else "another birth date"]


def _names(details: Details) -> set[str]:
    return {form for name in (" ".join(details.parts()), *details.aliases) if (form := name_form(name))}


def _phones(details: Details) -> set[str]:
    return {form for phone in details.phones if (form := phone_form(phone))}


def _emails(details: Details) -> set[str]:
    return {email_form(email) for email in details.emails}


def _identifier(identifier: PatientIdentifier, secret: ClinicSecret) -> Term:
    text = f"{identifier.system.strip().casefold()}|{identifier.value.strip().casefold()}"
    return _IDENTIFIER, secret.term("identifier", text, size=TERM_BYTES)
