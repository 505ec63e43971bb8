"""Looks at a page as people do: light and dark, on a desk and on a phone; each time axe must find nothing, and a picture is taken.

The pictures lie in `.pictures/`, for people to look at.
"""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.stack import ROOT

PICTURES = ROOT / ".pictures"
SIZES = {"desk": (1280, 800), "phone": (360, 740)}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_axe = Axe()


def look(page: Page, name: str, *, sizes: tuple[str, ...] = ("desk", "phone")) -> None:
    """Fails with what axe found. The page is left as it was: light, in its own size."""
    PICTURES.mkdir(exist_ok=True)
    before = page.viewport_size
    found: list[str] = []
    for size in sizes:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            page.screenshot(path=PICTURES / f"{name}-{size}-{scheme}.png")
            if scheme == "light" or size == sizes[0]:  # colours are the same in every size
                found += [f"{size} {scheme}: {text}" for text in violations(page)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} runs off the side of a {size}"
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    if before:
        page.set_viewport_size(before)
    assert found == []


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now: rule and element."""
    result = _axe.run(page, options=RULES)
    return [f"{rule['id']}: {node['html'][:200]}" for rule in result.response["violations"] for node in rule["nodes"]]
