"""Signing in with a real browser: with the code of an app, with a passkey, by keyboard alone, and without JavaScript."""

import time
from typing import Any

import pytest
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from tests.browser.stack import NewPage, Person, Stack

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def code(person: Person) -> str:
    """What the app on the person's phone shows."""
    totp = TOTP(person.totp_key)
    totp.time = time.time()
    return f"{totp.token():06d}"


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def test_by_keyboard_alone_with_password_and_app(new_page: NewPage, stack: Stack) -> None:
    person = stack.person("Dr. Maya Chen")
    page = new_page("/calendar/")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(person.email)
    tab_to(page, "#id_password")
    page.keyboard.type(person.password)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type(code(person))
    page.keyboard.press("Enter")
    page.wait_for_url("**/calendar/**")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_in_the_demo_three_clicks_lead_to_the_calendar(new_page: NewPage) -> None:
    page = new_page("/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Dr. James Okafor").click()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_without_javascript(new_page: NewPage, complaints: list[str]) -> None:
    page = new_page("/login/?next=/account/", java_script_enabled=False)
    page.get_by_label("E-mail").fill("nobody@demo.example")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    complaints[:] = [text for text in complaints if "422" not in text]
    page.get_by_role("button", name="Lena Fischer").click()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Lena Fischer")


def test_a_passkey_is_added_and_signs_in(new_page: NewPage, stack: Stack) -> None:
    # A passkey belongs to a name, so the page is opened by one.
    named = stack.url.replace("127.0.0.1", "localhost")
    page = new_page("/login/?next=/account/", base_url=named)
    page.get_by_role("button", name="Samuel Adeyemi").click()
    page.get_by_role("button", name="Sign in").click()
    browser = page.context.new_cdp_session(page)
    browser.send("WebAuthn.enable")
    browser.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("Passkey: This device")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/login/?next=/account/")
    page.get_by_role("button", name="Samuel Adeyemi").click()
    page.get_by_role("button", name="Use my passkey").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Samuel Adeyemi")


def test_a_session_that_is_ended_elsewhere_takes_the_page_to_the_sign_in_and_back(new_page: NewPage, stack: Stack) -> None:
    page = new_page("/account/", cookies=stack.cookies("Priya Nair"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Priya Nair")
    other = new_page("/account/", cookies=stack.cookies("Priya Nair"))
    other.get_by_role("button", name="End all others").click()
    page.reload()
    assert page.url == f"{stack.url}/login/?next=%2Faccount%2F"


@pytest.mark.parametrize("path", ["/login/", "/reset/", "/account/", "/account/app/", "/account/password/"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_control_has_a_name_and_nothing_runs_off_the_side(new_page: NewPage, stack: Stack, path: str, width: int) -> None:
    cookies: list[Any] = stack.cookies("Thomas Reed") if path.startswith("/account/") else []
    page = new_page(path, cookies=cookies, viewport={"width": width, "height": 700})
    assert page.url.endswith(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("main").count() == page.get_by_role("heading", level=1).count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input:not([type=hidden]), select, a")]
            .filter((control) => control.checkVisibility())
            .filter((control) => !(control.getAttribute("aria-label") || control.textContent.trim() || control.labels?.length))
            .map((control) => control.outerHTML)"""
    )
    assert nameless == []
