"""What the booking page loads: little, and the code of others as it was made."""

import gzip
import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "engine/ui/static"
MOST_BYTES = 60 * 1024


def loaded(module: Path) -> set[Path]:
    """A module and all that it imports, and those import."""
    found, new = set[Path](), {module}
    while new:
        found |= new
        names = {(one, name) for one in new for name in re.findall(r'from "(\.[^"]+)"', one.read_text())}
        new = {(one.parent / name).resolve() for one, name in names} - found
    return found


def test_the_page_and_what_it_imports_are_small() -> None:
    files = loaded(STATIC / "booking.js") | {STATIC / "base.css", STATIC / "booking.css"}

    assert STATIC / "vendor/jose.js" in files
    assert sum(len(gzip.compress(file.read_bytes(), 6)) for file in files) <= MOST_BYTES


def test_the_code_of_others_is_what_was_made() -> None:
    told = [line.split() for line in (STATIC / "vendor/sha256").read_text().splitlines()]

    assert {name for _, name in told} == {file.name for file in (STATIC / "vendor").glob("*.js")}
    assert [hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() for _, name in told] == [hash_ for hash_, _ in told]
