"""Claims: read back by an independent parser, which finds nothing in ours and something in a broken one."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyx12.params import params
from pyx12.x12n_document import x12n_document

from apps.billing import x12

ADDRESS = x12.Address("12 Harbor Street", "New York", "NY", "10004-1412")
CLINIC = x12.Clinic("Harbor Family Medicine", ADDRESS, "1234567893", "12-3456789", "207Q00000X", "Billing", "(212) 555-0142")
PERSON = x12.Person("Marín", "Rosa", date(1984, 5, 6), "F", replace(ADDRESS, postal_code="10001"))
SERVICE = x12.Service("99213", ("25", "95"), "10", Decimal("95.50"), date(2026, 11, 20))
CLAIM = x12.Claim("000000007", PERSON, "W123-45", x12.Party("60054", "Aetna"), "CI", ("J06.9", "I10"), SERVICE, None)
ENVELOPE = x12.Envelope(
    x12.Party("HARBOR", "Harbor"), x12.Party("CLEAR", "Clearing"), 7, datetime(2026, 11, 24, 7, tzinfo=UTC), False
)


def valid(text: str) -> bool:
    return bool(x12n_document(param=params(), src_file=io.StringIO(text), fd_997=None, fd_html=None))


def segments(text: str, name: str) -> list[list[str]]:
    return [elements for elements in (segment.split("*") for segment in text.split("~")) if elements[0] == name]


@pytest.mark.parametrize("claims", [1, 2, 40])
def test_an_independent_parser_finds_nothing(claims: int) -> None:
    doctor = x12.Practitioner("Chen", "Maya", "1234567893")
    many = [replace(CLAIM, number=f"{n:09d}", rendering=doctor if n % 2 else None) for n in range(claims)]

    assert valid(x12.interchange(CLINIC, many, ENVELOPE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HC:99213", "HC:"),
        ("HC:99213", "QQ:99213"),
        ("DTP*472", "DTP*999"),
        ("HI*ABK:J069*ABF:I10~", ""),
        ("SE*24", "SE*23"),
        ("NM1*85*2", "NM1*85*7"),
        ("CLM*000000007*95.5", "CLM*000000007*95.5O"),
    ],
)
def test_the_same_parser_finds_what_is_broken(old: str, new: str) -> None:
    text = x12.interchange(CLINIC, [CLAIM], ENVELOPE)
    assert old in text

    assert not valid(text.replace(old, new))


def test_what_a_claim_says() -> None:
    text = x12.interchange(CLINIC, [CLAIM], ENVELOPE)

    assert segments(text, "SV1") == [["SV1", "HC:99213:25:95", "95.5", "UN", "1", "", "", "1:2"]]
    assert segments(text, "CLM")[0][2:6] == ["95.5", "", "", "10:B:1"]
    assert segments(text, "HI") == [["HI", "ABK:J069", "ABF:I10"]]
    assert ["NM1", "IL", "1", "MARIN", "ROSA", "", "", "", "MI", "W123-45"] in segments(text, "NM1")
    assert len(text.split("~")[0]) == 105


# The parser takes a quarter of a second to begin, and nothing for a claim more.
@settings(deadline=None, max_examples=8)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=40)), min_size=5, max_size=20))
def test_no_name_breaks_out_of_its_place(names: list[tuple[str, str]]) -> None:
    people = [replace(PERSON, family=family + "X", given=given_name + "X") for family, given_name in names]

    text = x12.interchange(CLINIC, [replace(CLAIM, subscriber=person) for person in people], ENVELOPE)

    assert len(segments(text, "NM1")) == 3 + 2 * len(people)
    assert valid(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [("Márquez", "MARQUEZ"), ("Łukasz Ødegård", "LUKASZ ODEGARD"), ("Groß", "GROSS"), ("a*b~c:d^e\r\nf", "ABCDEF"), ("王小明", "")],
)
def test_names_are_written_in_the_characters_of_a_claim(text: str, written: str) -> None:
    assert x12.writable(text) == written
