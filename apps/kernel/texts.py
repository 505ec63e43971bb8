"""What pages say, in every language we speak: a folder of `<area>.json`, {key: {"en": …, "es": …}}.

A message may have places, `{name}`, and forms by number, {"one": …, "other": …} (the categories of CLDR).
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse

LANGUAGES = ("en", "es")
LANGUAGE_COOKIE = "hf_language"
_YEAR_S = 365 * 24 * 3600

Texts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Catalogue:
    """The messages of one service's pages; those of the areas `everywhere` are on each of them."""

    folder: Path
    everywhere: tuple[str, ...]

    def texts(self, language: str, areas: tuple[str, ...] = ()) -> Texts:
        """Area → key → the message in this language."""
        return _texts(self.folder, language, (*self.everywhere, *areas))


def language_of(request: HttpRequest) -> str:
    """What the address asks for (`?lang=`), else what was chosen before, else the first that the browser names and we speak."""
    asked = [request.GET.get("lang", ""), request.COOKIES.get(LANGUAGE_COOKIE, "")]
    named = (part.strip()[:2].lower() for part in request.headers.get("Accept-Language", "").split(","))
    return next((name for name in (*asked, *named) if name in LANGUAGES), LANGUAGES[0])


def remember_language(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response, with which the browser keeps the language that the address asked for."""
    if request.GET.get("lang") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language_of(request), max_age=_YEAR_S, samesite="Lax")
    return response


@cache
def _texts(folder: Path, language: str, areas: tuple[str, ...]) -> Texts:
    return {area: {key: forms[language] for key, forms in _area(folder, area).items()} for area in areas}


@cache
def _area(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    return dict(json.loads((folder / f"{name}.json").read_text()))
