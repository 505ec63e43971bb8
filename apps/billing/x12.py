"""Claims as payers read them: X12 837P, implementation 005010X222A1. Pure: data in, text out.

The patient is the subscriber; a claim for somebody's dependent has another loop and is refused before it gets here.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

VERSION = "005010X222A1"
_ELEMENT, _COMPONENT, _REPEAT, _SEGMENT = "*", ":", "^", "~"
# The basic character set, with the lower case folded; what separates is not allowed inside.
_OUTSIDE = re.compile(r"[^A-Z0-9 !\"&'()+,\-./;?=]")
# Letters that do not come apart into a plain one and an accent.
_LETTERS = str.maketrans({"ß": "SS", "Ø": "O", "ø": "O", "Ł": "L", "ł": "L", "Đ": "D", "đ": "D", "Æ": "AE", "æ": "AE", "Œ": "OE"})


@dataclass(frozen=True, slots=True)
class Address:
    line: str
    city: str
    state: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class Clinic:
    """Who bills. `npi` is ten digits, `tax_id` nine, `taxonomy` a NUCC code; `postal_code` has all nine digits."""

    name: str
    address: Address
    npi: str
    tax_id: str
    taxonomy: str
    contact: str
    phone: str


@dataclass(frozen=True, slots=True)
class Party:
    """One end of an interchange: a submitter, a clearing house, a payer."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Person:
    """`sex` is M, F or U."""

    family: str
    given: str
    date_of_birth: date
    sex: str
    address: Address


@dataclass(frozen=True, slots=True)
class Practitioner:
    family: str
    given: str
    npi: str


@dataclass(frozen=True, slots=True)
class Service:
    code: str
    modifiers: tuple[str, ...]
    place: str
    amount: Decimal
    on: date


@dataclass(frozen=True, slots=True)
class Claim:
    """One visit of one patient. `number` comes back in the payer's answer; `filing` is SBR09 (CI, MB, MC …)."""

    number: str
    subscriber: Person
    subscriber_id: str
    payer: Party
    filing: str
    diagnoses: tuple[str, ...]
    service: Service
    rendering: Practitioner | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """`control` numbers the interchange (up to nine digits); `production` is false for a trial with the clearing house."""

    submitter: Party
    receiver: Party
    control: int
    at: datetime
    production: bool


def writable(text: str) -> str:
    """`text` in the characters of a claim: upper case, accents dropped, everything else left out. May be empty."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).upper()
    return " ".join(_OUTSIDE.sub("", plain).split())


def interchange(clinic: Clinic, claims: Sequence[Claim], envelope: Envelope) -> str:
    """One file with all `claims` of `clinic`. The claims' amounts are in US dollars."""
    body = [*_header(clinic, envelope), *_billing_provider(clinic)]
    for level, claim in enumerate(claims, start=2):
        body += _claim(claim, level)
    day, time, control = envelope.at.strftime("%Y%m%d"), envelope.at.strftime("%H%M"), f"{envelope.control:09d}"
    sender, receiver = writable(envelope.submitter.id), writable(envelope.receiver.id)
    isa = (day[2:], time, _REPEAT, "00501", control, "0", "P" if envelope.production else "T", _COMPONENT)
    segments = [
        # Fixed widths: a reader finds the separators by their place in this segment.
        ["ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{sender:<15.15}", "ZZ", f"{receiver:<15.15}", *isa],
        ["GS", "HC", sender[:15], receiver[:15], day, time, str(envelope.control), "X", VERSION],
        ["ST", "837", "0001", VERSION],
        *body,
        ["SE", str(len(body) + 2), "0001"],
        ["GE", "1", str(envelope.control)],
        ["IEA", "1", control],
    ]
    return "".join(_written(segment) for segment in segments)


def _header(clinic: Clinic, envelope: Envelope) -> Iterator[list[str]]:
    submitter, receiver = envelope.submitter, envelope.receiver
    at = envelope.at
    yield ["BHT", "0019", "00", str(envelope.control), at.strftime("%Y%m%d"), at.strftime("%H%M"), "CH"]
    yield ["NM1", "41", "2", _name(submitter.name), "", "", "", "", "46", writable(submitter.id)]
    yield ["PER", "IC", _name(clinic.contact), "TE", _digits(clinic.phone)[-10:]]
    yield ["NM1", "40", "2", _name(receiver.name), "", "", "", "", "46", writable(receiver.id)]


def _billing_provider(clinic: Clinic) -> Iterator[list[str]]:
    yield ["HL", "1", "", "20", "1"]
    yield ["PRV", "BI", "PXC", clinic.taxonomy]
    yield ["NM1", "85", "2", _name(clinic.name), "", "", "", "", "XX", clinic.npi]
    yield from _address(clinic.address)
    yield ["REF", "EI", _digits(clinic.tax_id)]


def _claim(claim: Claim, level: int) -> Iterator[list[str]]:
    person, service = claim.subscriber, claim.service
    yield ["HL", str(level), "1", "22", "0"]
    yield ["SBR", "P", "18", "", "", "", "", "", "", claim.filing]
    yield ["NM1", "IL", "1", _name(person.family), _given(person.given), "", "", "", "MI", writable(claim.subscriber_id)]
    yield from _address(person.address)
    yield ["DMG", "D8", person.date_of_birth.strftime("%Y%m%d"), person.sex]
    yield ["NM1", "PR", "2", _name(claim.payer.name), "", "", "", "", "PI", writable(claim.payer.id)]
    place = _COMPONENT.join((service.place, "B", "1"))
    yield ["CLM", claim.number, _amount(service.amount), "", "", place, "Y", "A", "Y", "Y"]
    codes = [_COMPONENT.join(("ABF" if n else "ABK", code.replace(".", ""))) for n, code in enumerate(claim.diagnoses)]
    yield ["HI", *codes]
    if claim.rendering is not None:
        doctor = claim.rendering
        yield ["NM1", "82", "1", _name(doctor.family), _given(doctor.given), "", "", "", "XX", doctor.npi]
    yield ["LX", "1"]
    procedure = _COMPONENT.join(("HC", service.code, *service.modifiers))
    pointers = _COMPONENT.join(str(n) for n in range(1, min(len(codes), 4) + 1))
    yield ["SV1", procedure, _amount(service.amount), "UN", "1", "", "", pointers]
    yield ["DTP", "472", "D8", service.on.strftime("%Y%m%d")]


def _address(address: Address) -> Iterator[list[str]]:
    yield ["N3", writable(address.line)[:55]]
    yield ["N4", writable(address.city)[:30], address.state, _digits(address.postal_code)]


def _name(text: str) -> str:
    return writable(text)[:60]


def _given(text: str) -> str:
    return writable(text)[:35]


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")


def _amount(amount: Decimal) -> str:
    """As X12 wants a decimal: no zeros at the end, no point without a fraction."""
    text = f"{amount:.2f}"
    return text.rstrip("0").rstrip(".")


def _written(elements: Iterable[str]) -> str:
    return _ELEMENT.join(elements).rstrip(_ELEMENT) + _SEGMENT
