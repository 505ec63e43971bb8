"""Under which terms a patient is found, though names and numbers are sealed: exact search by HMAC of what was made uniform.

A term says nothing without the clinic's index key, but equal values have equal terms: the table shows how often a name occurs.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import phonenumbers

from apps.records.encryption import ClinicSecret

TERM_BYTES = 8
"""Among 10^7 terms a search finds one that is not equal once in 10^12; the caller compares after opening in any case."""
_REGION = "US"
_APOSTROPHES = re.compile("['`\u00b4\u02bc\u2018\u2019]")


class Kind(StrEnum):
    GIVEN = "given"
    FAMILY = "family"
    NAME = "name"
    BORN = "born"
    NAME_BORN = "name_born"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Findable:
    """What a patient can be found by, as the patient writes it; what is empty is not indexed."""

    given: str = ""
    family: str = ""
    born: date | None = None
    email: str = ""
    phone: str = ""


Term = tuple[Kind, bytes]


def terms(patient: Findable, *, secret: ClinicSecret) -> set[Term]:
    """All terms of a patient: at most one of each kind."""
    return {(kind, secret.term(kind, text, size=TERM_BYTES)) for kind, text in _uniform(patient) if text}


def name_form(text: str) -> str:
    """Letters and digits of a name, without accents, apostrophes and case, its words in order of the alphabet.

    "O'Brien, José" and "jose OBRIEN" are the same. What is left of scripts that need their marks is less than a name, equally so
    for the index and for the search.
    """
    # Twice: what casefold makes of some letters has marks again.
    folded = _unmarked(_unmarked(text).casefold())
    words = re.sub(r"[^\w]|_", " ", _APOSTROPHES.sub("", folded)).split()
    return " ".join(sorted(words))


def email_form(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def phone_form(text: str) -> str:
    """E.164, with the United States for a number without a country; "" for what cannot be a telephone number."""
    try:
        number = phonenumbers.parse(unicodedata.normalize("NFKC", text), _REGION)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _uniform(patient: Findable) -> Iterator[tuple[Kind, str]]:
    full = name_form(f"{patient.given} {patient.family}")
    born = patient.born.isoformat() if patient.born else ""
    yield Kind.GIVEN, name_form(patient.given)
    yield Kind.FAMILY, name_form(patient.family)
    if patient.given and patient.family:
        yield Kind.NAME, full
    yield Kind.BORN, born
    if full and born:
        yield Kind.NAME_BORN, f"{full}|{born}"
    yield Kind.EMAIL, email_form(patient.email)
    yield Kind.PHONE, phone_form(patient.phone)


def _unmarked(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
