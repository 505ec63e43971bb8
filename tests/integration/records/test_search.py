"""The blind index in the database: found by every term, in order, page by page, and only in one's own clinic."""

from datetime import date
from uuid import UUID

import pytest

from apps.kernel.ids import new_id
from apps.records.blind import Findable, Kind, Term, terms
from apps.records.keys import Keyring
from apps.records.models import BlindIndex
from apps.records.search import find, index

pytestmark = pytest.mark.django_db
ADA = Findable(given="Ada", family="O'Brien", born=date(1990, 2, 3), email="ada@example.org", phone="415-555-2671")


@pytest.fixture
def patient(keyring: Keyring) -> UUID:
    patient = new_id()
    keyring.make(patient, clinic="demo")
    index(patient, clinic="demo", terms=terms(ADA, secret=keyring.newest("demo")))
    return patient


def wanted(keyring: Keyring, asked: Findable, clinic: str = "demo") -> set[Term]:
    return terms(asked, secret=keyring.newest(clinic))


@pytest.mark.parametrize(
    "asked",
    [
        Findable(given="ADA"),
        Findable(family="obrien"),
        Findable(born=date(1990, 2, 3)),
        Findable(email=" ADA@example.org"),
        Findable(phone="+1 (415) 555-2671"),
        ADA,
    ],
)
def test_a_patient_is_found_by_every_term(keyring: Keyring, patient: UUID, asked: Findable) -> None:
    assert find("demo", terms=wanted(keyring, asked), limit=10) == [patient]


def test_all_terms_must_fit(keyring: Keyring, patient: UUID) -> None:
    asked = Findable(email="ada@example.org", born=date(1990, 2, 4))
    assert find("demo", terms=wanted(keyring, asked), limit=10) == []
    assert find("demo", terms=[], limit=10) == []


def test_another_clinic_finds_nothing(keyring: Keyring, patient: UUID) -> None:
    assert find("other", terms=wanted(keyring, ADA), limit=10) == []
    assert find("other", terms=wanted(keyring, ADA, "other"), limit=10) == []


def test_what_was_indexed_before_is_replaced(keyring: Keyring, patient: UUID) -> None:
    index(patient, clinic="demo", terms=wanted(keyring, Findable(email="new@example.org")))
    assert find("demo", terms=wanted(keyring, Findable(email="ada@example.org")), limit=10) == []
    assert find("demo", terms=wanted(keyring, Findable(email="new@example.org")), limit=10) == [patient]
    assert BlindIndex.objects.count() == 1


def test_many_are_found_page_by_page(keyring: Keyring) -> None:
    patients = sorted(new_id() for _ in range(5))
    smith = wanted(keyring, Findable(family="Smith"))
    for patient in patients:
        index(patient, clinic="demo", terms=smith)
    first = find("demo", terms=smith, limit=3)
    assert first + find("demo", terms=smith, limit=3, after=first[-1]) == patients


def test_the_terms_survive_a_rotation(keyring: Keyring, patient: UUID) -> None:
    keyring.add(keyring.newest("demo").next())
    assert keyring.newest("demo").version == 2
    assert find("demo", terms=wanted(keyring, Findable(given="Ada")), limit=10) == [patient]


def test_the_table_holds_no_text(keyring: Keyring, patient: UUID) -> None:
    rows = repr([(row.kind, bytes(row.term)) for row in BlindIndex.objects.all()]).lower()
    assert not [text for text in ("brien", "example", "4155552671", "1990") if text in rows]
    assert {row.kind for row in BlindIndex.objects.all()} == set(Kind)
