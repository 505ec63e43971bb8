"""The ES modules behind a page's first one, so that a browser asks for all of them at once and not for one after the other."""

import posixpath
import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^(?:import|\}|export)[^"\n]* ?"(\.\.?/[^"]+)";$', re.MULTILINE)


@cache
def imported_by(module: str) -> tuple[str, ...]:
    """All that a module imports, directly or not, as paths below the static files; not itself."""
    found: dict[str, None] = {}
    waiting = [module]
    while waiting:
        path = waiting.pop()
        for url in _IMPORT.findall((STATIC / path).read_text()):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), url))
            if other not in found:
                found[other] = None
                waiting.append(other)
    return tuple(found)
