"""The modules that a page asks for at once are those that it needs, all of them."""

import re

from engine.ui.modules import STATIC, imported_by


def test_all_that_the_calendar_imports_is_found() -> None:
    found = imported_by("calendar/page.js")

    assert {"calendar/layout.js", "live.js", "vendor/lit.js"} <= set(found)
    assert {f"calendar/{path.name}" for path in (STATIC / "calendar").glob("*.js")} == {
        *(path for path in found if path.startswith("calendar/")),
        "calendar/page.js",
    }
    named = {url for path in found for url in re.findall(r'from "(?:[^"]*/)?([\w-]+\.js)"', (STATIC / path).read_text())}
    assert named <= {path.rpartition("/")[2] for path in found}


def test_a_module_that_imports_nothing_has_nothing_behind_it() -> None:
    assert imported_by("live.js") == ()
