"""The widget in the page of somebody else: on a site of its own, in a frame that only the sites of the clinic may have."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx
import psycopg2
import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.look import look, violations
from tests.browser.screens import choose_any_time, fill_details
from tests.browser.stack import Clinic, NewPage, Stack
from tests.serving import serving

# What the host page hears: every message and every event of ours.
SITE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Harbor</title><link rel="icon" href="data:,"><style>body {{ margin: 0 auto; max-width: 44rem; font: 1rem serif }}</style>
<script>
  window.heard = [];
  addEventListener("message", ({{ data }}) => heard.push(data));
  document.addEventListener("healthflow:booked", ({{ detail, target }}) => heard.push(["booked", detail, target.title]));
</script>
<main><h1>Harbor Family Medicine</h1><p>This is a site of the clinic.</p>
<script src="{url}/widget/v1/embed.js" data-clinic="demo" data-accent="#b5179e" data-scheme="light" async></script>
<noscript><a href="{url}/book/demo/">Book a visit</a></noscript>
<script src="{url}/widget/v1/embed.js" data-clinic="demo" data-lang="es" data-scheme="dark" data-title="Citas" async></script>
</main></html>"""


@pytest.fixture
def site(stack: Stack) -> Iterator[int]:
    """The port of a web site that is not ours, and has the widget twice."""
    page = SITE.format(url=stack.url).encode()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Nobody wants to know."""

    with serving(Site) as url:
        yield int(url.rpartition(":")[2])


@contextmanager
def allowed(stack: Stack, *origins: str) -> Iterator[None]:
    """The demo clinic lets these sites have the widget."""
    environment = json.loads((stack.data / "environment.json").read_text())
    with psycopg2.connect(environment["DATABASE_URL_ENGINE"]) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE engine_clinic SET widget_origins = %s WHERE slug = 'demo'", [list(origins)])
        connection.commit()
        yield
        cursor.execute("UPDATE engine_clinic SET widget_origins = '{}' WHERE slug = 'demo'")


def fits(page: Page, frame: FrameLocator, title: str) -> None:
    """The frame is as high as what is in it."""
    inside = frame.locator("body").evaluate("(body) => Math.ceil(body.getBoundingClientRect().height)")
    expect(page.locator(f"iframe[title='{title}']")).to_have_css("height", f"{inside}px")


def test_a_visit_is_booked_in_the_page_of_somebody_else(new_page: NewPage, stack: Stack, site: int, elsewhere: list[str]) -> None:
    host = f"http://localhost:{site}"  # another site than 127.0.0.1
    elsewhere += [host, "data:"]
    with allowed(stack, host):
        page = new_page(host + "/")
        frame, other = page.frame_locator("iframe[title='Book a visit']"), page.frame_locator("iframe[title='Citas']")
        expect(other.get_by_role("heading", name="¿Para qué es la cita?")).to_be_visible()
        expect(frame.locator("#visits small").first).to_have_text(re.compile("^Next free: "))
        look(page, "widget")
        fits(page, frame, "Book a visit")
        choose_any_time(frame)
        expect(frame.get_by_role("heading", name="Your details")).to_be_focused()
        fits(page, frame, "Book a visit")
        fill_details(frame)
        frame.get_by_role("button", name="Book this visit").click()
        expect(frame.get_by_role("heading", name="Your visit is booked")).to_be_visible()
        with page.context.expect_page() as opening:
            frame.get_by_role("link", name="See, move or cancel this visit").click()
        expect(opening.value.get_by_role("heading", name="Your visit is booked")).to_be_visible()
        page.evaluate("history.back()")  # Back goes through the steps in the frame
        expect(frame.get_by_role("heading", name="Choose a time")).to_be_visible()
        fits(page, other, "Citas")  # what the one frame says of itself is not taken for the other's
    heard = page.evaluate("window.heard")
    messages = [one for one in heard if isinstance(one, dict)]
    assert {one["healthflow"] for one in messages} == {"height", "booked"}
    assert all(set(one) <= {"healthflow", "value"} and isinstance(one.get("value") or 0, int) for one in messages)
    assert [one for one in heard if isinstance(one, list)] == [["booked", None, "Book a visit"]]
    assert page.context.cookies() == []


def test_a_site_that_the_clinic_has_not_named_shows_nothing(
    new_page: NewPage, stack: Stack, site: int, elsewhere: list[str], complaints: list[str]
) -> None:
    elsewhere += [f"http://127.0.0.1:{site}", "data:", "chrome-error:"]
    with allowed(stack, f"http://localhost:{site}", "https://clinic.example"):
        page = new_page(f"http://127.0.0.1:{site}/")
        expect(page.locator("iframe")).to_have_count(2)
        expect(page.frame_locator("iframe >> nth=0").get_by_role("heading", name="What is it for?")).to_have_count(0)
    assert len([text for text in complaints if "frame-ancestors" in text]) == 2
    complaints.clear()


def test_who_may_frame_what_is_said_in_its_headers(stack: Stack) -> None:
    def ancestors(path: str) -> str:
        answer = httpx.get(stack.url + path)
        assert "x-frame-options" not in answer.headers
        assert "hf_language" not in answer.headers.get("set-cookie", "") or path.startswith("/book/")
        return str(re.findall("frame-ancestors ([^;]+)", answer.headers["content-security-policy"])[0])

    with allowed(stack, "https://clinic.example", "https://www.clinic.example"):
        assert ancestors("/widget/v1/demo/?lang=es") == "'self' https://clinic.example https://www.clinic.example"
        assert ancestors("/book/demo/?lang=es") == "'none'"
    assert ancestors("/widget/v1/demo/") == "'self'"
    assert httpx.get(stack.url + "/widget/v1/nowhere/").status_code == 404


def test_the_script_can_be_kept_and_checked_by_everybody(stack: Stack) -> None:
    answer = httpx.get(stack.url + "/widget/v1/embed.js", headers={"Origin": "https://clinic.example"})

    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize(("accent", "scheme"), [("ffee00", "light"), ("101060", "dark"), ("red;}", "auto")])
def test_an_accent_can_be_read_whatever_it_is(new_page: NewPage, clinic: Clinic, accent: str, scheme: str) -> None:
    page = new_page(f"/widget/v1/demo/?visit_type={clinic.id_of('visit_types', 'Ultrasound')}&accent={accent}&scheme={scheme}")
    page.locator("#people button").first.click()
    expect(page.locator("#times button").first).to_be_visible()
    expect(page.get_by_role("button", name="Back")).to_be_visible()

    dark = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground')") == "#0f1719"
    assert dark == (scheme == "dark")
    assert violations(page) == []
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("button", name="Back")).to_be_hidden()  # it would leave the page around it
