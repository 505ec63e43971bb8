"""Every message of the pages of auth and of its mails: `texts/<area>.json`, as `apps.kernel.texts` reads it.

A template has them as `t.<area>.<key>`, and fills in places with `{% say t.<area>.<key> name=… %}`.
"""

from pathlib import Path

from django.http import HttpRequest

from apps.kernel.texts import Catalogue, Texts, language_of

_FOLDER = Path(__file__).parent / "texts"

texts = Catalogue(_FOLDER, everywhere=tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))).texts


def texts_for(request: HttpRequest) -> Texts:
    """Area → key → the message in the reader's language."""
    return texts(language_of(request))
