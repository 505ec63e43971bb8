"""The auditor's page and the reader's pages beside it, in a real browser against the whole stack."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apps.kernel.tokens import SESSION_COOKIE
from tests.browser.look import look
from tests.browser.screens import DOCTOR
from tests.browser.stack import Clinic, NewPage, Stack, manage


def signed_in(new_page: NewPage, stack: Stack, role: str, path: str, *, width: int = 1280) -> Page:
    token = manage("auth", "token", "--clinic", "demo", "--role", role, data=stack.data).stdout.strip()
    page = new_page("/", viewport={"width": width, "height": 800})
    page.context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": stack.url}])
    page.goto(path)
    return page


@pytest.mark.parametrize("width", [320, 1280])
def test_an_auditor_finds_who_booked_and_the_page_fits(new_page: NewPage, stack: Stack, clinic: Clinic, width: int) -> None:
    booked = clinic.confirm(clinic.hold(clinic.slots("Follow-up", DOCTOR)[0]))
    page = signed_in(new_page, stack, "auditor", "/audit/", width=width)
    page.get_by_label("Object").fill(f"appointment:{booked['id']}")
    for action in ("appointment.booked", "appointment.held"):
        page.get_by_label("Action").fill(action)
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#entries tr").first).to_contain_text(action)
        expect(page.get_by_role("status")).to_have_text("1 entry")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_service_can_be_asked_and_the_next_page_follows(new_page: NewPage, stack: Stack, clinic: Clinic) -> None:
    for slot in clinic.slots("Follow-up", DOCTOR)[:2]:
        clinic.hold(slot)
    page = signed_in(new_page, stack, "auditor", "/audit/")
    for service in ("Sign-in and accounts", "Patient records", "Billing", "Notifications", "Appointments"):
        page.get_by_label("Service").select_option(service)
        expect(page.get_by_role("status")).to_have_text(re.compile("entr(y|ies)"))
        expect(page.locator("#problem")).to_be_hidden()
    with page.expect_response(lambda response: "/audit?" in response.url) as answered:
        page.get_by_role("button", name="Search").click()
    newest = answered.value.json()["items"]
    assert [entry["id"] for entry in newest] == sorted((entry["id"] for entry in newest), reverse=True)


def test_a_csv_file_computes_nothing(new_page: NewPage, stack: Stack, tmp_path: Path) -> None:
    page = signed_in(new_page, stack, "auditor", "/audit/")
    page.get_by_label("Patient").fill('=HYPERLINK("x")')  # whom was asked for is in the entry on the question
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_have_text("No entries.")
    page.get_by_label("Patient").fill("")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    saved.value.save_as(tmp_path / "audit.csv")

    rows = list(csv.reader((tmp_path / "audit.csv").open(newline="")))
    assert rows[0][:3] == ["id", "at", "actor"]
    assert '\'=HYPERLINK("x")' in [field for row in rows for field in row]
    assert not [field for row in rows for field in row if field[:1] in "=+-@" and field]


def test_another_role_is_told_why_not(new_page: NewPage, stack: Stack, complaints: list[str]) -> None:
    page = signed_in(new_page, stack, "front_desk", "/audit/")
    expect(page.get_by_text("Only the role auditor may read the audit log")).to_be_visible()
    assert page.locator("#search").count() == 0
    complaints[:] = [text for text in complaints if "403" not in text]


def test_without_a_session_the_page_leads_to_the_sign_in(new_page: NewPage, stack: Stack) -> None:
    assert new_page("/audit/").url == f"{stack.url}/login/?next=%2Faudit%2F"


def test_the_documents_of_all_services_can_be_read_and_one_that_is_away_is_said_so(
    new_page: NewPage, complaints: list[str]
) -> None:
    page = new_page("/api/docs/")
    for name in ("Sign-in and accounts", "Patient records", "Billing", "Notifications"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_text("/audit", exact=False).first).to_be_visible()
    page.route("**/api/billing/v1/openapi.json", lambda route: route.fulfill(status=503, body="{}"))
    page.get_by_role("link", name="Billing").click()
    expect(page.get_by_text("Billing cannot be reached at the moment")).to_be_visible()
    page.get_by_role("link", name="Events").click()
    page.get_by_text("appointment.booked.v1", exact=True).click()
    expect(page.get_by_text('"type": "healthflow.appointment.booked.v1"')).to_be_visible()
    complaints[:] = [text for text in complaints if "503" not in text]


def test_the_pages_around_look_right_and_speak_spanish(new_page: NewPage, stack: Stack, complaints: list[str]) -> None:
    page = signed_in(new_page, stack, "auditor", "/audit/")
    expect(page.get_by_role("status")).to_contain_text("entr")
    look(page, "audit")
    page.get_by_role("link", name="Español").click()
    expect(page.get_by_role("button", name="Buscar")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Citas que no se pueden reservar dos veces")).to_be_visible()
    look(page, "start")
    page.goto("/nowhere/")
    expect(page.get_by_role("heading", name="Esta página no existe")).to_be_visible()
    look(page, "missing")
    complaints[:] = [text for text in complaints if "404" not in text]
