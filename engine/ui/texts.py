"""Every message of the screens: `texts/<area>.json`, as `apps.kernel.texts` reads it.

A page gets the areas it names in its reader's language: its template as `t.<area>.<key>`, its modules as `text("<area>.<key>")`
of `texts.js`.
"""

from pathlib import Path

from apps.kernel.texts import LANGUAGES, Catalogue, language_of, remember_language

__all__ = ["LANGUAGES", "language_of", "remember_language", "texts"]

texts = Catalogue(Path(__file__).parent / "texts", everywhere=("common", "connection", "problems")).texts
