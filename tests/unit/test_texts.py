"""The catalogue of messages: each in every language, with the same places; used, and none missing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

UI = Path(__file__).resolve().parents[2] / "engine/ui"
AREAS = {path.stem: json.loads(path.read_text()) for path in sorted((UI / "texts").glob("*.json"))}
MESSAGES = [(f"{area}.{key}", forms) for area, messages in AREAS.items() for key, forms in messages.items()]
SOURCES = {
    path: path.read_text() for kind in ("*.html", "*.js", "views.py") for path in UI.rglob(kind) if "vendor" not in path.parts
}


def places(form: Any) -> set[str]:
    texts = form.values() if isinstance(form, dict) else [form]
    return {name for text in texts for name in re.findall(r"\{(\w+)\}", text)}


@pytest.mark.parametrize(("key", "forms"), MESSAGES, ids=[key for key, _ in MESSAGES])
def test_a_message_is_there_in_every_language_with_the_same_places(key: str, forms: dict[str, Any]) -> None:
    assert set(forms) == {"en", "es"}
    assert places(forms["en"]) == places(forms["es"])
    for form in forms.values():
        assert isinstance(form, str) or {"one", "other"} <= set(form)
        assert form


def test_every_message_that_is_named_is_there() -> None:
    named = {
        (path.name, key)
        for path, source in SOURCES.items()
        for key in (*re.findall(r'(?:text|has)\(\s*"([\w.]+)"', source), *re.findall(r"\bt\.([a-z_]+\.\w+)", source))
    }
    known = {key for key, _ in MESSAGES}

    assert len(named) > 40
    assert sorted((file, key) for file, key in named if key not in known) == []
