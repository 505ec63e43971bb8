"""Every message of the screens, English and Spanish: `texts/<area>.json`, {key: {"en": …, "es": …}}.

A message may have places, `{name}`, and forms by number, {"one": …, "other": …} (the categories of CLDR). A page gets the areas it
names in its reader's language: its template as `t.<area>.<key>`, its modules as `text("<area>.<key>")` of `texts.js`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from django.http import HttpRequest

LANGUAGES = ("en", "es")
LANGUAGE_COOKIE = "hf_language"
FOLDER = Path(__file__).parent / "texts"
EVERYWHERE = ("common", "connection", "problems")

Texts = dict[str, dict[str, Any]]


@cache
def texts(language: str, areas: tuple[str, ...]) -> Texts:
    """Area → key → the message in this language."""
    return {area: {key: forms[language] for key, forms in _area(area).items()} for area in (*EVERYWHERE, *areas)}


def language_of(request: HttpRequest) -> str:
    """What the address asks for (`?lang=`), else what was chosen before, else the first that the browser names and we speak."""
    asked = [request.GET.get("lang", ""), request.COOKIES.get(LANGUAGE_COOKIE, "")]
    named = (part.strip()[:2].lower() for part in request.headers.get("Accept-Language", "").split(","))
    return next((name for name in (*asked, *named) if name in LANGUAGES), LANGUAGES[0])


@cache
def _area(name: str) -> dict[str, dict[str, Any]]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))
