"""What counts as the same name, telephone number and e-mail address, and that terms tell nothing across clinics and kinds."""

from datetime import date

import pytest

from apps.records.blind import TERM_BYTES, Findable, Kind, email_form, name_form, phone_form, terms
from apps.records.encryption import ClinicSecret

SECRET = ClinicSecret.first("demo")
ADA = Findable(given="Ada", family="Lovelace", born=date(1990, 2, 3), email="Ada@example.org", phone="(415) 555-2671")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("José", "JOSE"),
        ("Jose\u0301", "José"),
        ("O'Brien", "O\u2019BRIEN"),
        ("O'Brien", "obrien"),
        ("Smith-Jones", " smith  jones "),
        ("Lovelace, Ada", "ada lovelace"),
        ("Strauß", "STRAUSS"),
        ("İpek", "ipek"),
        ("\uff21\uff44\uff41", "Ada"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert name_form(one) == name_form(other)


def test_names_that_are_not_the_same() -> None:
    forms = [name_form(name) for name in ("Ada", "Adan", "Ida", "张伟", "王芳", "Анна", "Иван")]
    assert len(set(forms)) == len(forms)
    assert "" not in forms


@pytest.mark.parametrize("text", ["(415) 555-2671", "415.555.2671", "+1 415 555 2671", "1-415-555-2671", "\uff14155552671"])
def test_telephone_numbers_that_are_the_same(text: str) -> None:
    assert phone_form(text) == "+14155552671"


def test_other_countries_and_no_number() -> None:
    assert phone_form("+44 20 7946 0018") == "+442079460018"
    assert [phone_form(text) for text in ("", "none", "1")] == ["", "", ""]


def test_addresses_that_are_the_same() -> None:
    assert email_form(" Ada@Example.ORG ") == "ada@example.org"


def test_a_patient_has_one_term_of_each_kind_and_none_of_what_is_empty() -> None:
    found = terms(ADA, secret=SECRET)
    assert {kind for kind, _ in found} == set(Kind)
    assert {len(term) for _, term in found} == {TERM_BYTES}
    assert terms(Findable(), secret=SECRET) == set()
    assert {kind for kind, _ in terms(Findable(family="Lovelace"), secret=SECRET)} == {Kind.FAMILY}


def test_equal_texts_have_other_terms_in_another_clinic_and_kind() -> None:
    assert not terms(ADA, secret=SECRET) & terms(ADA, secret=ClinicSecret.first("other"))
    assert SECRET.term("given", "ada", size=8) != SECRET.term("family", "ada", size=8)


def test_what_is_searched_for_is_not_shown() -> None:
    assert "Lovelace" not in repr(ADA)
