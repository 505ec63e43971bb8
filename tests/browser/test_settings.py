"""Setting up a clinic in a real browser, on the whole stack: what administrators and practitioners do, and how it looks."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Playwright, Route, expect

from tests.browser.look import look
from tests.browser.stack import API, Clinic, Json, NewPage, manage

ADMIN, PRACTITIONER = "Thomas Reed", "Dr. Maya Chen"
NEW = "Dr. Noor Haddad-O'Neill 🩺"
SECTIONS = ("people", "rooms", "hours", "visits", "policy", "widget", "messages", "import")


@pytest.fixture(scope="module")
def admin(clinic: Clinic) -> list[Json]:
    """The session of an administrator: one for all tests, for opening one takes seconds."""
    return clinic.stack.cookies(ADMIN)


@pytest.fixture(scope="module", autouse=True)
def as_it_was(clinic: Clinic, playwright: Playwright) -> Iterator[None]:
    """What was made here cannot be booked by the tests that follow."""
    yield
    token = manage("auth", "token", "--clinic", "demo", "--role", "clinic_admin", data=clinic.stack.data).stdout.strip()
    known = {one["id"] for kind in ("calendars", "visit_types") for one in clinic.profile[kind]}
    request = playwright.request.new_context(base_url=clinic.stack.url, extra_http_headers={"Authorization": f"Bearer {token}"})
    for kind in ("calendars", "visit-types"):
        for one in request.get(f"{API}/clinics/demo/{kind}").json()["items"]:
            if one["id"] not in known:
                request.patch(f"{API}/{kind}/{one['id']}", data={"revision": one["revision"], "active": False})
    request.dispose()


@pytest.fixture
def page(new_page: NewPage, admin: list[Json]) -> Page:
    return new_page("/settings/", cookies=admin)


def section(page: Page, name: str) -> Locator:
    """Goes to a section, as by its link, and waits until it is loaded."""
    page.locator(f'#sections a[href="#{name}"]').click()
    found = page.locator(f'[data-section="{name}"]')
    expect(found).to_be_visible()
    expect(found.locator(".loading")).to_have_count(0)
    return found


def cell(page: Page, day: str, time: str) -> Locator:
    return page.get_by_role("gridcell", name=re.compile(f"^{day} {time}".replace(" ", r"\s")))


def made_calendar(page: Page, name: str) -> Locator:
    """A new practitioner's calendar, and the section of the hours with it chosen."""
    people = section(page, "people")
    people.get_by_text(re.compile("Add a practitioner.s calendar")).click()
    form = people.locator("details.add", has_text=re.compile("Add a practitioner.s calendar"))
    form.get_by_label("Name").fill(name)
    form.get_by_role("checkbox", name="New York").check()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_role("status")).to_have_text("Saved.")
    hours = section(page, "hours")
    hours.get_by_label("Whose hours").select_option(label=name)
    expect(hours.get_by_text("Closed", exact=True)).to_have_count(8)  # seven days, and a choice
    return hours


def test_a_practitioner_is_added_gets_hours_by_keyboard_and_can_be_booked(page: Page, clinic: Clinic) -> None:
    made_calendar(page, NEW)
    grid = page.get_by_role("grid")
    grid.locator('[tabindex="0"]').focus()

    expect(cell(page, "Monday", "9:00 AM")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("hf-week [role=status]")).to_have_text(re.compile("Opening Monday to Tuesday, 9:00.AM to 12:00.PM"))
    page.keyboard.press("Enter")

    expect(page.locator("hf-week [role=status]")).to_have_text(re.compile("Open: Monday to Tuesday, 9:00.AM to 12:00.PM"))
    expect(page.get_by_label("Tuesday opens")).to_have_value("09:00")
    page.keyboard.press("Enter")  # begins to close
    page.keyboard.press("Escape")
    save = page.get_by_role("button", name="Save the hours")
    for _ in range(40):
        if save.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Hours saved. Everybody who is booking sees them now.")).to_be_visible()

    visits = section(page, "visits")
    visits.get_by_text("Add a visit type").click()
    form = visits.locator("details.add")
    form.get_by_label("Name").fill("Well visit")
    form.get_by_label("Length (minutes)").fill("60")
    form.get_by_label("A start every (minutes)").fill("60")
    form.get_by_label(NEW).check()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_role("status")).to_have_text("Saved.")
    kind = next(one for one in page.request.get(f"{API}/clinics/demo").json()["visit_types"] if one["name"] == "Well visit")
    found = page.request.get(f"{API}/clinics/demo/slots", params={"visit_type": kind["id"]}).json()["items"]
    assert {datetime.fromisoformat(slot["start"]).astimezone(UTC).weekday() for slot in found} <= {0, 1}
    assert len(found) >= 4
    held = clinic.hold(found[-1])
    booked = clinic.confirm(held)

    closing_shows_what_is_booked(page, booked["start"])


def closing_shows_what_is_booked(page: Page, start: str) -> None:
    hours = section(page, "hours")
    day = datetime.fromisoformat(start).date()
    hours.get_by_label("From", exact=True).fill(str(day))
    hours.get_by_label("To", exact=True).fill(str(day))
    hours.get_by_label("Note").fill("Team day")
    hours.get_by_role("button", name="Close", exact=True).click()
    expect(hours.get_by_role("alert")).to_contain_text("1 booked visit lies in this time. It stays booked")
    look(page, "settings-closing", sizes=("phone",))
    hours.get_by_role("button", name="Close anyway").click()
    expect(hours.get_by_text("Team day")).to_be_visible()
    hours.get_by_role("button", name=re.compile("^Remove .*day, ")).last.click()
    expect(hours.get_by_text("Team day")).to_have_count(0)
    hours.locator("hf-days").get_by_role("button", name="Undo").click()
    expect(hours.get_by_text("Team day")).to_be_visible()


def test_hours_are_drawn_dragged_copied_typed_and_taken_back(page: Page, complaints: list[str]) -> None:
    page.set_viewport_size({"width": 1280, "height": 1200})
    hours = made_calendar(page, "Dr. Drag")
    drag(page, cell(page, "Monday", "8:00 AM"), cell(page, "Tuesday", "11:30 AM"))
    expect(hours.get_by_label("Tuesday closes")).to_have_value("12:00")
    drag(page, cell(page, "Monday", "11:30 AM"), cell(page, "Monday", "12:30 PM"), edge=True)
    expect(hours.get_by_label("Monday closes")).to_have_value("13:00")
    drag(page, cell(page, "Monday", "10:00 AM"), cell(page, "Monday", "10:30 AM"))
    expect(hours.get_by_label("Monday closes")).to_have_count(2)
    hours.get_by_role("button", name="Undo", exact=True).first.click()
    expect(hours.get_by_label("Monday closes")).to_have_count(1)
    hours.get_by_text("Copy a day to others").click()
    hours.get_by_role("button", name="Copy", exact=True).click()
    expect(hours.get_by_label("Friday closes")).to_have_value("13:00")
    hours.get_by_label("Friday closes").fill("02:00")
    hours.get_by_label("Friday closes").blur()
    expect(hours.get_by_text("next day")).to_be_visible()
    expect(cell(page, "Saturday", "1:30 AM")).to_have_attribute("aria-selected", "true")
    page.once("dialog", lambda dialog: dialog.dismiss())  # what is not saved is not lost in silence
    page.evaluate("location.reload()")
    hours.get_by_role("button", name="Save the hours").click()
    expect(hours.get_by_text("Hours saved.")).to_be_visible()

    several_days_are_closed_once_each(page, hours)
    complaints[:] = [text for text in complaints if "403" not in text]


def several_days_are_closed_once_each(page: Page, hours: Locator) -> None:
    """Also when one of them fails, and all are asked for again."""
    day = datetime.now(UTC).date() + timedelta(days=20)
    hours.get_by_label("From", exact=True).fill(str(day))
    hours.get_by_label("To", exact=True).fill(str(day + timedelta(days=1)))
    hours.get_by_label("Whole days").uncheck()
    hours.get_by_label("Note").fill("Course")
    fails = iter((False, True))
    page.route(
        "**/exceptions",
        lambda route: route.fulfill(status=403, json={"code": "forbidden"}) if next(fails) else route.continue_(),
        times=2,
    )
    hours.get_by_role("button", name="Close", exact=True).click()
    expect(hours.get_by_role("alert")).to_have_text("Your role does not allow this.")
    expect(hours.get_by_text("Course")).to_have_count(1)
    hours.get_by_role("button", name="Close", exact=True).click()
    expect(hours.get_by_text(re.compile("^Closed from "))).to_be_visible()
    expect(hours.get_by_text("Course")).to_have_count(2)


def test_the_hours_on_show_are_those_of_whoever_is_chosen(page: Page, clinic: Clinic, complaints: list[str]) -> None:
    """Whatever answers are slow or fail: and what is drawn while they are saved stays."""
    hours = section(page, "hours")
    whose, save = hours.get_by_label("Whose hours"), hours.get_by_role("button", name="Save the hours")
    names = [one["name"] for one in clinic.profile["calendars"] if one["kind"] == "practitioner"]
    shown = whose.evaluate("select => select.selectedOptions[0].label")
    slow, quick, broken = [(name, clinic.id_of("calendars", name)) for name in names if name != shown][:3]
    held: list[Route] = []

    page.route(f"**/{slow[1]}/hours", lambda route: held.append(route), times=1)
    with page.expect_request(f"**/{slow[1]}/hours"):
        whose.select_option(label=slow[0])
    expect(save).to_have_count(0)
    whose.select_option(label=quick[0])
    expect(save).to_be_visible()
    with page.expect_response(f"**/{slow[1]}/hours") as answer:
        held.pop().continue_()
    answer.value.finished()
    expect(whose).to_have_value(quick[1])

    theirs = page.request.get(f"{API}/calendars/{quick[1]}/hours").json()["hours"]
    page.route(f"**/{quick[1]}/hours", lambda route: held.append(route), times=1)
    with page.expect_request(lambda request: request.method == "PUT") as put:
        save.click()
        expect(hours.get_by_role("button", name="Saving …")).to_be_visible()
        hours.get_by_label("Monday opens").first.fill("06:00")
        hours.get_by_label("Monday opens").first.blur()
        held.pop().continue_()
    assert quick[1] in put.value.url
    sent = json.loads(put.value.post_data or "")["hours"]
    assert sorted(map(str, map(dict.values, sent))) == sorted(map(str, map(dict.values, theirs)))
    expect(save).to_be_visible()
    expect(hours.get_by_label("Monday opens").first).to_have_value("06:00")
    expect(hours.locator(".actions [role=status]")).to_have_text("Not saved yet.")
    hours.get_by_role("button", name="Discard changes").click()

    page.route(f"**/{broken[1]}/hours", lambda route: route.fulfill(status=403, json={"code": "forbidden"}), times=1)
    whose.select_option(label=broken[0])
    expect(hours.get_by_role("alert")).to_contain_text("Your role does not allow this.")
    expect(hours.get_by_role("grid")).to_have_count(0)
    hours.get_by_role("button", name="Try again").click()
    expect(save).to_be_visible()
    expect(whose).to_have_value(broken[1])
    complaints[:] = [text for text in complaints if "403" not in text]


def drag(page: Page, start: Locator, end: Locator, *, edge: bool = False) -> None:
    start.scroll_into_view_if_needed()
    begins = start.bounding_box()
    assert begins
    page.mouse.move(begins["x"] + 20, begins["y"] + begins["height"] - 2 if edge else begins["y"] + 10)
    page.mouse.down()
    ends = end.bounding_box()
    assert ends
    page.mouse.move(ends["x"] + 20, ends["y"] + 10, steps=4)
    page.mouse.up()


def test_who_was_slower_is_told_what_somebody_else_changed(
    page: Page, new_page: NewPage, admin: list[Json], complaints: list[str]
) -> None:
    other = new_page("/settings/", cookies=admin)
    forms = []
    for one in (page, other):
        policy = section(one, "policy")
        policy.get_by_text("Ultrasound").click()
        forms.append(policy.locator("details", has_text="Ultrasound").locator("hf-form"))
    forms[0].get_by_label("Book at most this far ahead").fill("90")
    forms[0].get_by_role("button", name="Save").click()
    expect(forms[0].get_by_role("status")).to_have_text("Saved.")

    forms[1].get_by_label("Move or cancel").fill("240")
    forms[1].get_by_role("button", name="Save").click()
    expect(forms[1].get_by_role("alert")).to_contain_text("Book at most this far ahead (days) is now: 90.")
    expect(forms[1].get_by_label("Move or cancel")).to_have_value("240")
    forms[1].get_by_role("button", name="Save").click()
    expect(forms[1].get_by_role("status")).to_have_text("Saved.")

    forms[1].get_by_role("button", name="Undo").click()
    expect(forms[1].get_by_label("Move or cancel")).to_have_value("120")
    forms[1].get_by_label("Book at most this far ahead").fill("0")
    forms[1].get_by_role("button", name="Save").click()
    expect(forms[1].get_by_label("Book at most this far ahead")).to_be_focused()
    expect(forms[1].get_by_role("alert")).to_have_text("This is not possible here. Please check it.")
    complaints[:] = [text for text in complaints if "409" not in text and "422" not in text]


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """A calendar file: a meeting on three days in 200 days, and something that repeats too often."""
    day = (datetime.now(UTC) + timedelta(days=200)).strftime("%Y%m%d")
    series = f"UID:series\nDTSTART:{day}T140000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\nSUMMARY:Jane Doe"
    often = f"UID:often\nDTSTART:{day}T140000Z\nDURATION:PT1S\nRRULE:FREQ=SECONDLY"
    events = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in (series, often))
    file = tmp_path / "meetings.ics"
    file.write_text(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{events}END:VCALENDAR\n")
    return file


def test_a_file_is_shown_before_it_is_taken_over(page: Page, meeting: Path) -> None:
    found = section(page, "import")
    found.get_by_label("Into the calendar of").select_option(label="Ultrasound scanner")
    found.get_by_label("Calendar file").set_input_files(meeting)
    found.get_by_role("button", name="Preview").click()
    expect(found.get_by_role("heading", name="This is what would change")).to_be_focused()
    expect(found.locator('.counts [data-outcome="created"]')).to_have_text("3 new")
    found.get_by_text("What was left out, and why").click()
    expect(found.get_by_text("Event 2: it repeats too often.")).to_be_visible()
    look(page, "settings-import-preview")
    found.get_by_role("button", name="Take over 3 changes").click()
    expect(found.get_by_role("heading", name="Imported")).to_be_visible()
    found.get_by_role("button", name="Preview").click()
    expect(found.locator('.counts [data-outcome="unchanged"]')).to_have_text("3 as before")
    assert "Jane" not in page.locator("body").inner_text()


def test_sites_are_checked_at_the_field_and_messages_are_read_as_patients_will(page: Page, complaints: list[str]) -> None:
    rooms = section(page, "rooms")
    widget = section(page, "widget")
    widget.get_by_label("Sites that may show it").fill("https://www.harbor.example\nhttps://evil.example/path")
    widget.get_by_role("button", name="Save").click()
    expect(widget.get_by_role("alert")).to_contain_text("One site a line")
    widget.get_by_label("Sites that may show it").fill("https://www.harbor.example")
    widget.get_by_role("button", name="Save").click()
    expect(widget.locator("hf-form").get_by_role("status")).to_have_text("Saved.")
    assert page.request.get(f"{API}/clinics/demo/settings").json()["widget_origins"] == ["https://www.harbor.example"]

    # The same settings, seen before that: what is typed while they are saved stays.
    section(page, "rooms")
    clinic_form = rooms.locator("hf-form").first
    name = clinic_form.get_by_label("Name")
    was = name.input_value()
    held: list[Route] = []
    page.route("**/clinics/demo/settings", lambda route: held.append(route), times=1)
    name.fill(f"{was} A")
    with page.expect_request(lambda request: request.method == "PATCH"):
        clinic_form.get_by_role("button", name="Save").click()
    name.fill(was)
    held.pop().continue_()
    expect(clinic_form.get_by_role("button", name="Save", exact=True)).to_be_visible()
    assert page.request.get(f"{API}/clinics/demo/settings").json()["name"] == f"{was} A"
    expect(clinic_form.get_by_role("status")).to_have_text("Not saved yet.")
    expect(name).to_have_value(was)
    clinic_form.get_by_role("button", name="Save").click()
    expect(clinic_form.get_by_role("status")).to_have_text("Saved.")

    messages = section(page, "messages")
    messages.get_by_label("1 day before").check()
    messages.get_by_role("button", name="Save").click()
    expect(messages.locator("hf-form").get_by_role("status")).to_have_text("Saved.")
    messages.get_by_role("button", name="Undo").click()
    expect(messages.get_by_label("1 day before")).not_to_be_checked()
    messages.get_by_label("Language").select_option("es")
    expect(messages.get_by_role("heading", name="Recordatorio: su cita en Harbor Family Medicine")).to_be_visible()
    complaints[:] = [text for text in complaints if "409" not in text and "422" not in text]


def test_a_practitioner_sees_her_own_calendar_and_nothing_else(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/settings/", cookies=clinic.stack.cookies(PRACTITIONER))
    expect(page.get_by_label("Whose hours").locator("option")).to_have_text([PRACTITIONER])
    expect(page.locator("#sections a")).to_have_text(["Opening hours", "Import"])
    expect(page.get_by_label("Monday opens").first).to_have_value("08:00")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_looks_right(page: Page, name: str) -> None:
    found = section(page, name)
    if found.locator("details").count():
        found.locator("summary").first.click()
    page.evaluate("scrollTo(0, 0)")
    look(page, f"settings-{name}")
