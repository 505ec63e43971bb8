"""live.js stays small and on its own: it is on every page, and other people's pages will load it."""

import gzip
import re
from pathlib import Path

MOST_BYTES = 6 * 1024
SOURCE = Path(__file__).resolve().parents[2] / "engine/ui/static/live.js"


def test_the_live_path_is_at_most_6_kib_on_the_wire() -> None:
    assert len(gzip.compress(SOURCE.read_bytes(), 6)) <= MOST_BYTES


def test_the_live_path_needs_nothing_else() -> None:
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", SOURCE.read_text(), flags=re.DOTALL)
    assert not re.search(r"\b(import|require|importScripts|eval)\b", code)
