"""The patient's own page, from the booking on: seen, moved, cancelled, in English and Spanish."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.screens import DOCTOR, choose_time, fill_details
from tests.browser.stack import Clinic, Json, NewPage


def book(new_page: NewPage, clinic: Clinic, **options: object) -> tuple[Page, Json]:
    """A page on which a visit has just been booked, and what it was told."""
    page = new_page("/book/demo/", **options)
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[3])
    fill_details(page)
    with page.expect_response(lambda response: response.url.endswith("/confirm")) as confirmed:
        page.get_by_role("button", name="Book this visit").click()
    return page, dict(confirmed.value.json())


def test_a_visit_is_moved_and_cancelled_by_its_patient(new_page: NewPage, clinic: Clinic) -> None:
    page, _ = book(new_page, clinic)
    page.get_by_role("link", name="See, move or cancel this visit").click()
    expect(page.get_by_role("heading", name="Your visit is booked")).to_be_visible()
    before = page.locator("#when").text_content()
    expect(page.get_by_text(DOCTOR, exact=True).first).to_be_visible()

    page.get_by_role("button", name="Choose another time").click()
    expect(page.get_by_role("heading", name="Choose another time")).to_be_focused()
    page.locator("#days button:not([disabled])").last.click()
    page.locator("#times button").last.click()
    expect(page.get_by_role("heading", name="Your visit has a new time")).to_be_focused()
    assert page.locator("#when").text_content() != before

    page.get_by_role("button", name="Cancel this visit").click()
    page.get_by_role("button", name="No, keep it").click()
    page.get_by_role("button", name="Cancel this visit").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.get_by_role("heading", name="Your visit is cancelled")).to_be_focused()
    expect(page.get_by_role("button", name="Cancel this visit")).to_be_hidden()
    expect(page.get_by_role("link", name="Book another visit")).to_be_visible()
    assert "Test Patient" not in page.content()


def test_the_visit_can_be_put_into_a_calendar(new_page: NewPage, clinic: Clinic) -> None:
    page, booked = book(new_page, clinic)
    page.get_by_role("link", name="See, move or cancel this visit").click()
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Add to calendar").click()

    assert loaded.value.suggested_filename == "visit.ics"
    file = loaded.value.path().read_text()
    assert f"UID:{booked['id']}" in file.replace("\n ", "")


def test_a_spanish_browser_gets_a_spanish_page(new_page: NewPage, clinic: Clinic) -> None:
    _, booked = book(new_page, clinic)
    page = new_page(booked["manage_url"], locale="es-MX", timezone_id="America/Los_Angeles")

    expect(page.get_by_role("heading", name="Su cita está reservada")).to_be_visible()
    expect(page.get_by_text("en la clínica")).to_be_visible()
    expect(page.locator("#when")).to_have_text(re.compile("(lunes|martes|miércoles|jueves|viernes|sábado|domingo)"))
    assert page.evaluate("document.documentElement.lang") == "es"


@pytest.mark.parametrize("width", [320, 1280])
def test_every_control_has_a_name_and_nothing_runs_off_the_side(new_page: NewPage, clinic: Clinic, width: int) -> None:
    _, booked = book(new_page, clinic)
    page = new_page(booked["manage_url"], viewport={"width": width, "height": 700})
    page.get_by_role("button", name="Choose another time").click()
    page.locator("#times button").first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("main").count() == page.get_by_role("heading", level=1).count() == 1
    nameless = "[...document.querySelectorAll('button, select, a')].filter((one) => one.checkVisibility()"
    nameless += " && !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).length"
    assert page.evaluate(nameless) == 0


def test_a_link_that_opens_nothing_says_so(new_page: NewPage, complaints: list[str]) -> None:
    page = new_page(f"/manage/{'A' * 43}/")
    expect(page.get_by_role("heading", name="This page does not exist")).to_be_visible()
    complaints[:] = [text for text in complaints if "404" not in text]
