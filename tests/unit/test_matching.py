"""Who is the same person, who may be, and who is not."""

from typing import Any

import pytest

from apps.records.matching import LIKELY, likeness, same_person
from apps.records.shapes import Details, split

ADA: dict[str, Any] = {"name": "Ada O'Brien", "birth_date": "1990-02-03", "phones": ["415-555-2671"], "emails": ["ada@example.org"]}


def details(**changes: Any) -> Details:
    return Details(**ADA | changes)


@pytest.mark.parametrize(
    ("other", "same", "likely"),
    [
        (details(), True, True),
        (details(name="obrien ADA", phones=[]), True, True),
        (details(phones=["+1 (415) 555 2671"], emails=[]), True, True),
        (details(phones=[], emails=[]), False, True),
        (details(name="Ada O'Bryen", emails=[]), False, True),
        (details(name="Ada Miller", aliases=["Ada O'Brien"]), True, True),
        (details(birth_date="1990-03-02"), False, True),
        (details(birth_date=None), False, True),
        (details(birth_date="1961-07-08", phones=[]), False, False),
        (details(name="Bob Sparrow", emails=[]), False, False),
        (details(name="🦊", phones=[], emails=[]), False, False),
    ],
)
def test_likeness_is_the_same_from_both_sides(other: Details, same: bool, likely: bool) -> None:
    mine = details()

    assert same_person(mine, other) is same_person(other, mine) is same
    assert likeness(mine, other).score == likeness(other, mine).score
    assert (likeness(mine, other).score >= LIKELY) is likely


def test_names_without_letters_are_not_the_same_name() -> None:
    assert not same_person(details(name="🦊"), details(name="🐢"))


@pytest.mark.parametrize(
    ("name", "parts"), [("Ada O'Brien", ("Ada", "O'Brien")), ("Ada de la Cruz", ("Ada de la", "Cruz")), (" Cher ", ("Cher", ""))]
)
def test_the_last_word_is_the_family_name(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts
