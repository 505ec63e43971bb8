"""The live calendar as people work with it: with keys, with a pointer, beside others who are quicker, and without a network."""

import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.look import PICTURES, look
from tests.browser.screens import DOCTOR, ZONE, calendar_page, calendar_path, clock, day_of, visit_on
from tests.browser.stack import PATIENT, Clinic, Json, NewPage

DASH = "\u2013"
QUARTERS = 44
LONG_NAME = "Zoë O\u2019Brien \U0001f9d1\u200d\u2695\ufe0f \u0645\u062d\u0645\u062f " + "Wolfeschlegelsteinhausen" * 7
BEFORE_OPENING = 6
"""The doctor's calendar opens at seven."""


@pytest.fixture
def slots(clinic: Clinic) -> list[Json]:
    """The slots of a day on which nobody has anything, from seven in the morning on, every quarter of an hour."""
    days = (clinic.slots("Follow-up", DOCTOR) for _ in range(40))
    return next(day for day in days if len(day) == QUARTERS)


def book(clinic: Clinic, slot: Json) -> str:
    """Books a slot behind the pages' backs; answers the selector of the visit."""
    return visit_on(clinic.confirm(clinic.hold(slot)))


def time_of(page: Page, visit: str) -> Locator:
    return page.locator(f"{visit} .from")


def span(first: Json, after: Json) -> str:
    """From the start of one slot to the start of another."""
    return f"{clock(first)} {DASH} {clock(after)}"


def cell(page: Page, slot: Json, *, minutes: int = 0) -> Locator:
    """The half hour of the sheet that a slot, or a time so much later, is in."""
    start = datetime.fromisoformat(slot["start"]).astimezone(ZONE) + timedelta(minutes=minutes)
    row = start.hour * 2 + start.minute // 30
    return page.locator(f'.line[aria-rowindex="{row + 2}"] .cell[data-column="0"]')


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def drag(page: Page, start: Locator, end: Locator, *, corner: bool = False) -> None:
    """With the mouse, from the middle (or the lower edge) of one thing to the top of another."""
    one, other = start.bounding_box(), end.bounding_box()
    assert one
    assert other
    page.mouse.move(one["x"] + one["width"] / 2, one["y"] + (one["height"] - 3 if corner else 6))
    page.mouse.down()
    page.mouse.move(one["x"] + one["width"] / 2, one["y"] + one["height"] + 10)
    page.mouse.move(other["x"] + other["width"] / 2, other["y"] + 6, steps=5)
    page.mouse.up()


# --- with the keys ---------------------------------------------------------------------------------------------------------


def test_a_visit_is_moved_made_longer_and_put_back_by_keyboard_alone(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page, watching = calendar_page(new_page, clinic, slots[0]), calendar_page(new_page, clinic, slots[0])
    said, press = page.locator("#said"), page.keyboard.press
    expect(page.locator(visit)).to_be_visible()
    expect(watching.locator(visit)).to_be_visible()
    tab_to(page, f"{visit} .open")
    assert page.evaluate("document.querySelectorAll('hf-calendar [tabindex=\"0\"]').length") == 1

    press("m")
    expect(said).to_contain_text(f"Follow-up, {span(slots[0], slots[1])}, picked up.")
    press("ArrowDown")
    press("ArrowDown")
    expect(said).to_have_text(f"{DOCTOR}, {span(slots[2], slots[3])}, free")
    press("Escape")
    expect(said).to_have_text("Left where it was.")
    expect(time_of(page, visit)).to_have_text(clock(slots[0]))

    press("Enter")
    press("ArrowDown")
    press("Shift+ArrowDown")
    look(page, "calendar-moving")
    press("Enter")
    expect(said).to_contain_text(f"Moved to {span(slots[1], slots[3])}, {DOCTOR}.")
    expect(time_of(watching, visit)).to_have_text(clock(slots[1]))
    expect(watching.locator("#news")).to_have_text(f"{span(slots[1], slots[3])} Follow-up: Booked")
    expect(page.locator(f"{visit} .open")).to_be_focused()
    expect(page.locator("#news")).to_be_empty()
    press("Control+z")
    expect(time_of(watching, visit)).to_have_text(clock(slots[0]))
    expect(said).to_have_text(f"Taken back: {span(slots[0], slots[1])} Follow-up.")


def test_a_known_patient_is_booked_by_keyboard_alone(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page, watching = calendar_page(new_page, clinic, slots[0]), calendar_page(new_page, clinic, slots[0])
    press = page.keyboard.press
    expect(page.locator(f"{visit} .patient")).to_have_text(PATIENT["name"], timeout=20_000)
    tab_to(page, f"{visit} .open")
    press("ArrowDown")
    expect(page.locator("hf-calendar [tabindex='0']")).to_have_attribute("aria-label", f"{DOCTOR}, {clock(slots[1])}, free")
    press("Enter")
    expect(page.locator("#patient-search")).to_be_focused()
    page.keyboard.type("test patient")
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(re.compile(r"^[1-9]\d* patients? found$"))
    look(page, "calendar-booking")
    press("Tab")
    press("Enter")
    expect(page.locator(".chosen")).to_contain_text(PATIENT["name"])
    tab_to(page, "hf-booking .primary")
    press("Enter")
    expect(page.locator("#said")).to_contain_text("The appointment is booked.")
    expect(page.locator("hf-booking dialog")).to_be_hidden()
    booked = watching.locator(".visit").filter(has=watching.locator(".from", has_text=clock(slots[1])))
    expect(booked).to_contain_text("Follow-up")
    press("Control+z")
    expect(booked).to_have_count(0)
    assert PATIENT["name"].lower() not in page.url.lower()


def test_an_answer_that_comes_late_leaves_alone_what_is_open_then(
    new_page: NewPage, clinic: Clinic, slots: list[Json], complaints: list[str]
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    dialog, book_it = page.get_by_role("dialog"), page.locator("hf-booking .primary")
    cell(page, slots[0]).click(position={"x": 20, "y": 4})
    dialog.get_by_role("button", name="New patient").click()
    for field in ("name", "date_of_birth", "phone"):
        dialog.locator(f"[name={field}]").fill(PATIENT[field])
    page.route("**/sealing-keys", lambda route: route.fulfill(status=403, json={"code": "forbidden"}), times=1)
    book_it.click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(book_it).to_have_attribute("aria-disabled", "false")

    held: list[Route] = []
    page.route("**/v1/appointments", lambda route: held.append(route), times=1)
    with page.expect_request("**/v1/appointments"):
        book_it.click()
    dialog.get_by_role("button", name="Back to the calendar").click()
    cell(page, slots[8]).click(position={"x": 20, "y": 4})
    expect(page.locator("#patient-search")).to_be_focused()
    held[0].continue_()
    expect(page.locator("#said")).to_contain_text("The appointment is booked.")
    expect(dialog.get_by_label("Start").locator("option:checked")).to_have_text(clock(slots[8]))
    complaints[:] = [text for text in complaints if "403" not in text]


# --- with the pointer ------------------------------------------------------------------------------------------------------


def test_a_visit_is_dragged_and_stretched_and_free_time_is_chosen_by_dragging(
    new_page: NewPage, clinic: Clinic, slots: list[Json]
) -> None:
    visit = book(clinic, slots[0])
    page = calendar_page(new_page, clinic, slots[0])
    drag(page, page.locator(visit), cell(page, slots[4]))
    expect(time_of(page, visit)).to_have_text(clock(slots[4]))
    expect(page.locator(visit)).to_contain_text("Booked")
    drag(page, page.locator(visit), cell(page, slots[6]), corner=True)
    expect(page.locator(f"{visit} .until")).to_have_text(f"{DASH} {clock(slots[7])}")
    expect(page.locator("#done")).to_contain_text("Moved to")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f"{visit} .until")).to_have_text(f"{DASH} {clock(slots[5])}")

    drag(page, cell(page, slots[8]), cell(page, slots[10]))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Length")).to_have_value("45")
    expect(dialog.get_by_label("Start").locator("option:checked")).to_have_text(clock(slots[8]))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_finger_that_rests_on_a_visit_moves_it(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page = calendar_page(new_page, clinic, slots[0], has_touch=True)
    box, goal = page.locator(visit).bounding_box(), cell(page, slots[4]).bounding_box()
    assert box
    assert goal
    devtools, x = page.context.new_cdp_session(page), box["x"] + 60

    def touch(kind: str, *, y: float | None = None) -> None:
        points = [] if y is None else [{"x": x, "y": y}]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", y=box["y"] + 6)
    expect(page.locator("hf-calendar")).to_have_attribute("data-dragging", "")
    touch("touchMove", y=goal["y"] - 20)
    touch("touchMove", y=goal["y"] + 6)
    touch("touchEnd")
    expect(time_of(page, visit)).to_have_text(clock(slots[4]))


# --- when the answer is no -------------------------------------------------------------------------------------------------


def test_a_move_that_loses_goes_back_says_why_and_offers_what_is_near(
    new_page: NewPage, clinic: Clinic, slots: list[Json], complaints: list[str]
) -> None:
    visit = book(clinic, slots[0])
    page = calendar_page(new_page, clinic, slots[0])
    press = page.keyboard.press
    tab_to(page, f"{visit} .open")
    press("m")
    for _ in range(4):
        press("ArrowDown")
    # The other one is faster than the news of it: the booking is made while this page's request is on its way.
    page.route("**/reschedule", lambda route: (book(clinic, slots[4]), route.continue_()), times=1)
    press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It stays at")
    expect(dialog.get_by_role("alert")).to_contain_text("Somebody else has this time.")
    expect(time_of(page, visit)).to_have_text(clock(slots[0]))
    expect(dialog.get_by_role("button", name="Book anyway")).to_have_count(0)
    look(page, "calendar-refused")
    nearest = dialog.locator(".refusal .choices button").first
    offered = nearest.inner_text()
    nearest.click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#said")).to_contain_text("Moved to")
    moved_to = re.match(r"Moved to (.*?), ", page.locator("#said").inner_text())
    assert moved_to
    assert moved_to[1] in offered
    complaints[:] = [text for text in complaints if "409" not in text]


def test_a_rule_is_set_aside_with_a_reason_but_nobody_elses_visit_is(
    new_page: NewPage, clinic: Clinic, slots: list[Json], complaints: list[str]
) -> None:
    visit = book(clinic, slots[0])
    page = calendar_page(new_page, clinic, slots[0])
    tab_to(page, f"{visit} .open")
    page.keyboard.press("m")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("Closed then.")
    dialog.get_by_label("Why it is to be booked all the same").fill("The patient has to catch a train")
    dialog.get_by_role("button", name="Book anyway").click()
    expect(time_of(page, visit)).to_have_text(f"{BEFORE_OPENING}:45\u00a0AM")
    expect(page.locator(visit)).to_contain_text("Booked")
    complaints[:] = [text for text in complaints if "422" not in text]


# --- time off, steps, what a day looks like --------------------------------------------------------------------------------


def test_time_is_blocked_with_a_note_and_given_back_on_every_screen(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    page, watching = calendar_page(new_page, clinic, slots[0]), calendar_page(new_page, clinic, slots[0])
    cell(page, slots[4]).click(position={"x": 20, "y": 4})
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Time off").click()
    dialog.get_by_label("Length").select_option("60")
    dialog.get_by_label("Note").fill("Team meeting")
    dialog.get_by_role("button", name="Block this time").click()
    block = page.locator(".block")
    expect(block).to_contain_text("Team meeting")
    expect(watching.locator(".block")).to_contain_text("Team meeting")
    block.get_by_role("button").click()
    dialog.get_by_role("button", name="Take this time off back").click()
    expect(watching.locator(".block")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(watching.locator(".block")).to_contain_text("Team meeting")


def test_a_step_is_one_tap_and_can_be_taken_back(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page, watching = calendar_page(new_page, clinic, slots[0]), calendar_page(new_page, clinic, slots[0])
    status = watching.locator(f"{visit} .status")
    page.locator(visit).get_by_role("button", name="Arrived,").dblclick()
    expect(page.locator("#said")).to_contain_text("Arrived: done.")
    expect(status).to_have_text("Arrived")
    page.keyboard.press("Control+z")
    expect(page.locator("#said")).to_have_text(f"Taken back: {span(slots[0], slots[1])} Follow-up.")
    expect(status).to_have_text("Booked")
    page.locator(f"{visit} .open").click()
    page.get_by_role("dialog").get_by_role("button", name="No-show").click()
    expect(status).to_have_text("No-show")
    page.locator(f"{visit} .open").click()
    look(page, "calendar-visit", sizes=("phone",))
    page.get_by_role("dialog").get_by_role("button", name="One step back").click()
    expect(status).to_have_text("Booked")


def test_what_somebody_else_did_since_is_not_undone(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page, other = calendar_page(new_page, clinic, slots[0]), calendar_page(new_page, clinic, slots[0])
    page.locator(visit).get_by_role("button", name="Arrived,").click()
    other.locator(visit).get_by_role("button", name="Start,").click()
    expect(page.locator(f"{visit} .status")).to_have_text("In progress")
    page.keyboard.press("Control+z")
    expect(page.locator("#problem")).to_contain_text("Somebody else changed this meanwhile.")
    expect(other.locator(f"{visit} .status")).to_have_text("In progress")


def test_a_visit_of_the_agenda_is_moved_on_its_own_day_on_a_phone(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    chosen = "&".join(f"calendar={clinic.id_of('calendars', name)}" for name in ("Dr. Maya Chen", DOCTOR))
    path = f"/calendar/?view=agenda&day={day_of(slots[0]) - timedelta(days=2)}&{chosen}"
    page = new_page(path, cookies=clinic.stack.cookies(DOCTOR), viewport={"width": 360, "height": 740})
    page.locator(f"{visit} .open").click()
    page.get_by_role("dialog").get_by_role("button", name="Move", exact=True).click()
    expect(page.locator("#said")).to_contain_text("picked up")
    expect(page.locator("#day")).to_have_value(str(day_of(slots[0])))
    expect(page.locator(f"hf-calendar {visit} .open")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(time_of(page, visit)).to_have_text(clock(slots[1]))

    page.locator(f"{visit} .open").click()
    page.get_by_role("dialog").get_by_role("button", name="Move", exact=True).click()
    expect(page.locator(visit)).to_have_attribute("data-lifted", "")
    cell(page, slots[4]).click(position={"x": 20, "y": 4})
    expect(time_of(page, visit)).to_have_text(clock(slots[4]))


def test_both_zones_can_be_read_and_a_day_has_as_many_rows_as_half_hours(new_page: NewPage, clinic: Clinic) -> None:
    cookies, doctor = clinic.stack.cookies(DOCTOR), clinic.id_of("calendars", DOCTOR)
    page = new_page(f"/calendar/?calendar={doctor}&day=2026-11-01", cookies=cookies, timezone_id="Asia/Tokyo")
    grid = page.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", str(1 + 50))
    expect(page.locator("#zones")).to_contain_text("Japan Standard Time")
    page.locator(".sheet").evaluate("(sheet) => sheet.scrollTo(0, 0)")
    for text, theirs in (("1:30\u00a0AM\u00a0EDT", "2:30\u00a0PM"), ("1:30\u00a0AM\u00a0EST", "3:30\u00a0PM")):
        row = page.get_by_role("rowheader").filter(has_text=text)
        expect(row).to_contain_text(theirs)
    page.goto(f"/calendar/?calendar={doctor}&day=2026-03-08")
    expect(grid).to_have_attribute("aria-rowcount", str(1 + 46))


def test_a_clock_that_is_a_day_ahead_does_not_change_what_today_is(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/", cookies=clinic.stack.cookies(DOCTOR))
    page.add_init_script("{ const now = Date.now; Date.now = () => now() + 86_400_000; }")
    page.goto("/calendar/")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert page.evaluate("Date.now()") > datetime.now(ZONE).timestamp() * 1_000 + 80_000_000
    expect(page.locator("#day")).to_have_value(str(datetime.now(ZONE).date()))
    expect(page.locator(".now")).to_have_count(1)


def test_the_address_keeps_what_is_on_show_and_the_back_button_leads_back(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/calendar/", cookies=clinic.stack.cookies(DOCTOR))
    grid = page.get_by_role("grid")
    expect(page.get_by_role("columnheader", name=DOCTOR)).to_be_visible()  # her own, and nobody else's
    page.get_by_text("Calendars", exact=True).click()
    look(page, "calendar-chooser", sizes=("phone",))
    page.get_by_label("Exam room 1").check()
    page.get_by_text("Calendars", exact=True).click()
    expect(page.get_by_role("columnheader", name="Exam room 1")).to_be_visible()
    page.get_by_role("button", name="Week", exact=True).click()
    expect(grid).to_have_attribute("aria-rowcount", str(2 + 48))
    page.reload()
    expect(page.get_by_role("columnheader", name="Exam room 1").first).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    look(page, "calendar-week")
    page.go_back()
    expect(grid).to_have_attribute("aria-rowcount", str(1 + 48))
    tab_to(page, "hf-calendar [tabindex='0']")
    page.keyboard.press("a")
    expect(page.locator("hf-agenda section").first).to_be_visible()


def test_a_day_looks_right_empty_closed_full_and_without_a_network(
    new_page: NewPage, clinic: Clinic, slots: list[Json], complaints: list[str]
) -> None:
    named = visit_on(clinic.confirm(clinic.hold(slots[0]), {**PATIENT, "name": LONG_NAME}))
    visit = book(clinic, slots[3])
    clinic.hold(slots[5])
    page = calendar_page(new_page, clinic, slots[0])
    page.locator(visit).get_by_role("button", name="Arrived,").click()
    expect(page.locator(f"{visit} .status")).to_have_text("Arrived")
    expect(page.locator(f"{named} .patient")).to_have_text(LONG_NAME, timeout=20_000)
    look(page, "calendar-day")
    page.get_by_role("button", name="Agenda").click()
    expect(page.locator(visit)).to_contain_text("Arrived")
    look(page, "calendar-agenda")
    page.goto(f"/calendar/?calendar={clinic.id_of('calendars', 'Dr. Maya Chen')}&view=day&day=2027-01-01")
    expect(page.get_by_role("columnheader", name="Dr. Maya Chen")).to_contain_text("closed")
    look(page, "calendar-closed")

    page.goto(calendar_path(clinic, slots[0]))
    expect(page.locator(visit)).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("You see what was true then")
    expect(page.get_by_role("button", name="New appointment")).to_be_disabled()
    page.locator(f"{visit} .open").click()
    expect(page.get_by_role("dialog")).to_contain_text("nothing can be changed now")
    expect(page.get_by_role("dialog").get_by_role("button", name="Start")).to_be_disabled()
    page.keyboard.press("Escape")
    cell(page, slots[8]).click(position={"x": 20, "y": 4})
    expect(page.locator("#problem")).to_contain_text("nothing can be changed now")
    look(page, "calendar-offline")
    page.context.set_offline(False)
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="New appointment")).to_be_enabled()
    complaints[:] = [text for text in complaints if "ERR_INTERNET_DISCONNECTED" not in text and "WebSocket" not in text]


def test_the_day_sheet_is_all_that_is_printed(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    visit = book(clinic, slots[0])
    page = calendar_page(new_page, clinic, slots[0])
    expect(page.locator(f"{visit} .patient")).to_have_text(PATIENT["name"], timeout=20_000)
    page.evaluate("window.print = () => { dispatchEvent(new Event('beforeprint')); window.printed = true; }")
    page.get_by_role("button", name="Print").click()
    expect(page.locator(".paper")).to_have_count(1)
    page.emulate_media(media="print")
    row = page.get_by_role("row").filter(has_text=clock(slots[0]))
    for text in (PATIENT["name"], "Follow-up", "Booked"):
        expect(row).to_contain_text(text)
    expect(page.locator("#board")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    page.screenshot(path=PICTURES / "calendar-paper.png")
