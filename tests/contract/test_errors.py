"""The catalogue of errors: one code a class, told in the README, spoken on the screens, provoked by a test."""

import re
from pathlib import Path

import pytest

from apps.billing import errors as billing
from apps.kernel import problems
from apps.kernel.problems import Problem
from engine import errors as engine

ROOT = Path(__file__).parents[2]


def catalogue() -> list[type[Problem]]:
    found = [kind for module in (problems, engine, billing) for kind in vars(module).values() if isinstance(kind, type)]
    return sorted({kind for kind in found if issubclass(kind, Problem) and kind is not Problem}, key=lambda kind: kind.code)


def test_every_code_belongs_to_one_error() -> None:
    codes = [kind.code for kind in catalogue()]

    assert len(codes) == len(set(codes))
    assert len(codes) >= 20


@pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.code)
def test_an_error_says_what_to_do_everywhere(kind: type[Problem]) -> None:
    row = rf"^\| `{kind.code}` \| {kind.status} \| (yes|no) \| .{{20,}} \|$"
    told = re.search(row, (ROOT / "README.md").read_text(), re.MULTILINE)
    spoken = (ROOT / "engine/ui/texts/problems.json").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))

    assert kind.__doc__
    assert told
    assert told.group(1) == ("yes" if kind.retryable else "no")
    assert re.search(rf"\b{kind.code}\b", spoken)
    assert f'"{kind.code}"' in tests


def test_the_readme_knows_no_code_that_is_not_ours() -> None:
    told = re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert sorted(told) == [kind.code for kind in catalogue()]
