"""The catalogues of messages: each message in every language, with the same places; used, and none missing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = {"engine": ROOT / "engine/ui", "auth": ROOT / "apps/auth"}
"""Whose pages → where they are; beside them lies their catalogue, `texts/`."""
AREAS = {
    service: {path.stem: json.loads(path.read_text()) for path in sorted((pages / "texts").glob("*.json"))}
    for service, pages in CATALOGUES.items()
}
MESSAGES = [
    (f"{service}: {area}.{key}", forms)
    for service, areas in AREAS.items()
    for area, messages in areas.items()
    for key, forms in messages.items()
]
NAMES = (
    re.compile(r'(?:text|has)\(\s*"(\w+)\.(\w+)"'),  # modules
    re.compile(r"\bt\.([a-z_]+)\.(\w+)"),  # templates
    re.compile(r'(?:\bt|texts_for\(request\))\["(\w+)"\]\["(\w+)"\]'),  # views
)


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


@pytest.mark.parametrize("service", CATALOGUES)
def test_every_message_that_is_named_is_there(service: str) -> None:
    pages = CATALOGUES[service]
    sources = [path for kind in ("*.html", "*.js", "*.py") for path in pages.rglob(kind) if "vendor" not in path.parts]
    named = {(path.name, key) for path in sources for name in NAMES for key in name.findall(path.read_text())}
    known = {(area, key) for area, messages in AREAS[service].items() for key in messages}

    assert len(named) > 40
    assert sorted((file, key) for file, key in named if key not in known) == []
