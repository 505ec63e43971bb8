"""What a person does on the two screens: opens a day of a calendar, chooses a time, fills in the form."""

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.browser.stack import PATIENT, Clinic, Json, NewPage

ZONE = ZoneInfo("America/New_York")
DOCTOR = "Dr. Sofia Alvarez"


def calendar_page(new_page: NewPage, clinic: Clinic, slot: Json, name: str = DOCTOR, **options: object) -> Page:
    """A page of somebody of the demo clinic that shows the calendar and the day of a slot, live."""
    page = new_page(calendar_path(clinic, slot), cookies=clinic.stack.cookies(name), **options)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page


def calendar_path(clinic: Clinic, slot: Json) -> str:
    return f"/calendar/?calendar={clinic.id_of('calendars', DOCTOR)}&view=day&day={day_of(slot)}"


def visit_on(appointment: Json) -> str:
    return f'.visit[data-key="{appointment["id"]}"]'


def day_of(slot: Json) -> date:
    return datetime.fromisoformat(slot["start"]).astimezone(ZONE).date()


def clock(slot: Json) -> str:
    return datetime.fromisoformat(slot["start"]).astimezone(ZONE).strftime("%-I:%M\u00a0%p")


def choose_visit(page: Page | FrameLocator, name: str = "Follow-up", how: str = "By video", *, state: str = "NY") -> None:
    """On the booking page: what for, and, by video, in which state."""
    page.locator("#visits").get_by_role("button", name=re.compile(f"^{name} {how}")).click()
    if how == "By video":
        page.get_by_label("State you will be in").select_option(state)
        page.get_by_role("button", name="Continue").click()


def fill_details(page: Page | FrameLocator) -> None:
    page.get_by_label("Full name").fill(PATIENT["name"])
    page.get_by_label("Email").fill(PATIENT["email"])
    page.get_by_label("Phone").fill(PATIENT["phone"])
    page.get_by_label("Date of birth").fill(PATIENT["date_of_birth"])


def time_button(page: Page, slot: Json, name: str = DOCTOR) -> Locator:
    """On the booking page: chooses the visit, the doctor and the day; the button of this time, free or taken."""
    choose_visit(page)
    page.locator("#people").get_by_role("button", name=re.compile(f"^{name}")).click()
    day = day_of(slot)
    for _ in range((day - datetime.now(ZONE).date()).days // 7):
        page.get_by_role("button", name="Later week").click()
    page.locator(f'#days [data-day="{day}"]').click()
    return page.locator("#times").get_by_role("button", name=re.compile(f"^{clock(slot)}( ?taken)?$".replace("\u00a0", r"\s")))


def choose_time(page: Page, slot: Json) -> None:
    """On the booking page: this doctor, this day, this time."""
    time_button(page, slot).click()


def choose_any_time(page: Page | FrameLocator) -> None:
    """On the booking page: the first time that is free with anybody."""
    choose_visit(page)
    page.locator("#people button").first.click()
    page.locator("#times button").first.click()
