"""The catalogue of facts: each that a service can record has a golden example, and each example is of one that can be."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from apps.kernel.events import PREFIX, Event
from engine.feed import _TOLD

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests/data/events"
FILES = sorted(EXAMPLES.glob("*/*.json"))
PRODUCERS = ("auth", "records", "billing", "notifications")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_CODE = re.compile(r"[A-Za-z0-9_-]{0,36}")


def examples(producer: str) -> set[str]:
    return {file.stem.removesuffix(".v1") for file in (EXAMPLES / producer).glob("*.json")}


def recordings(producer: str) -> tuple[set[str], set[str], int]:
    """The literal types of a service's calls of `events.record`, all texts in its code, and the number of such calls."""
    literal, texts, calls = set[str](), set[str](), 0
    for file in (ROOT / "apps" / producer).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "events.record":
                calls += 1
                given = next(keyword.value for keyword in node.keywords if keyword.arg == "type")
                literal |= {given.value} if isinstance(given, ast.Constant) and isinstance(given.value, str) else set()
    return literal, texts, calls


def leaves(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in leaves(value)]
    return [leaf for value in data for leaf in leaves(value)] if isinstance(data, list) else [data]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_example_is_what_goes_over_the_wire(file: Path) -> None:
    wire = json.loads(file.read_text())
    event = Event.parse(wire)

    assert event.wire() == wire
    assert (event.source, event.type) == (f"/{file.parent.name}", file.stem)
    assert wire["type"] == PREFIX + file.stem
    assert event.data["clinic"] == event.clinic


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_example_has_ids_codes_and_times_only(file: Path) -> None:
    for leaf in leaves(json.loads(file.read_text())["data"]):
        assert leaf is None or _TIME.fullmatch(leaf) or _CODE.fullmatch(leaf), leaf


def test_the_engine_s_facts_and_examples_are_the_same() -> None:
    assert examples("engine") == set(_TOLD)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_service_s_facts_and_examples_are_the_same(producer: str) -> None:
    literal, texts, calls = recordings(producer)

    assert literal <= examples(producer)
    # What a call takes from a variable is named somewhere in the service's code.
    assert not calls or examples(producer) <= texts
