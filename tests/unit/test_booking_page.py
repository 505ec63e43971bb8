"""What the booking page loads: little, and the code of others as it was made."""

import gzip
import hashlib
import re
from pathlib import Path

from engine.ui.modules import imported_by

UI = Path(__file__).resolve().parents[2] / "engine/ui"
STATIC = UI / "static"
MOST_BYTES = 60 * 1024


def loaded(module: Path) -> set[Path]:
    """A module and all that it imports, and those import."""
    found, new = set[Path](), {module}
    while new:
        found |= new
        names = {(one, name) for one in new for name in re.findall(r'(?:from |\bimport\()"(\.[^"]+)"', one.read_text())}
        new = {(one.parent / name).resolve() for one, name in names} - found
    return found


def size(files: set[Path]) -> int:
    """On the wire, compressed."""
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files)


def test_the_page_and_what_it_imports_are_small() -> None:
    modules = loaded(STATIC / "booking/booking.js") | loaded(STATIC / "booking/theme.js")
    styles = {STATIC / "base.css", STATIC / "booking/booking.css"}
    pages = {UI / "templates" / name for name in ("page.html", "booking.html", "booking_steps.html", "widget.html", "states.html")}
    texts = {UI / "texts" / f"{name}.json" for name in ("common", "connection", "problems", "booking", "times")}

    assert STATIC / "vendor/jose.js" in modules
    assert STATIC / "live.js" in modules
    whole = size(modules | styles | pages | texts)
    print(f"{whole / 1024:.1f} KiB")
    assert whole <= MOST_BYTES


def test_what_seals_is_loaded_beside_the_page_and_not_before_it() -> None:
    at_once = {STATIC / name for name in imported_by("booking/booking.js")} | {STATIC / "booking/booking.js"}

    assert loaded(STATIC / "booking/booking.js") - at_once == {STATIC / "vendor/jose.js"}


def test_what_other_sites_load_is_tiny() -> None:
    assert (STATIC / "embed.js").stat().st_size < 2 * 1024


def test_the_code_of_others_is_what_was_made() -> None:
    told = [line.split() for line in (STATIC / "vendor/sha256").read_text().splitlines()]

    assert {name for _, name in told} == {file.name for file in (STATIC / "vendor").glob("*.js")}
    assert [hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() for _, name in told] == [hash_ for hash_, _ in told]
