"""The front desk in a real browser, against the whole stack: by keyboard alone, two windows at once, and what is read out."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.look import look
from tests.browser.screens import DOCTOR, ZONE, day_of
from tests.browser.stack import API, Clinic, Json, NewPage, Stack, manage

DESK = "Priya Nair"
STRANGE = f"محمد O'Brien-Núñez 🎉 {'Wolfeschlegelstein' * 12}"[:199]
"""200 characters as browsers count them."""
MOST_KEYS = 10
FIND = "Name, telephone number or birth date"


@pytest.fixture
def slots(clinic: Clinic) -> list[Json]:
    return clinic.slots("Follow-up", DOCTOR)


@pytest.fixture(scope="module")
def staff(stack: Stack, clinic: Clinic) -> Callable[..., Json]:
    """staff(path, body) -> the answer to a write of the clinic's administrator."""
    token = manage("auth", "token", "--clinic", "demo", "--role", "clinic_admin", data=stack.data).stdout.strip()
    return lambda path, body: clinic.post(path, body, {"Authorization": f"Bearer {token}"})


class Keys:
    """Counts the presses of keys; the letters of a name are typed and do not count."""

    def __init__(self, page: Page) -> None:
        self._page, self.pressed = page, list[str]()

    def press(self, key: str) -> None:
        self.pressed.append(key)
        self._page.keyboard.press(key)

    def type(self, text: str) -> None:
        self._page.keyboard.type(text)


def desk(new_page: NewPage, stack: Stack, slot: Json | None = None, name: str = DESK, **options: Any) -> Page:
    """The front desk's page, live, on the day of a slot or today."""
    page = new_page(f"/desk/?day={day_of(slot)}" if slot else "/desk/", cookies=stack.cookies(name), **options)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.locator("#view-board")).to_have_attribute("aria-busy", "false")
    return page


def card(page: Page, appointment: Json, column: str = "") -> Locator:
    """A visit's card, in this column if one is named."""
    within = f'[data-column="{column}"] ' if column else ""
    return page.locator(f'{within}.card[data-key="{appointment["id"]}"]')


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.dataset.visit"))


def told(page: Page) -> list[str]:
    return page.locator("#news p").all_inner_texts()


def found(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Patients found").get_by_role("option")


def find(page: Page, typed: str) -> Locator:
    """Types into the open finder; answers who is found."""
    page.get_by_label(FIND).fill(typed)
    return found(page)


# --- the journey -----------------------------------------------------------------------------------------------------------


def test_who_was_booked_a_moment_ago_is_checked_in_by_keys_and_a_second_window_sees_it(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json], complaints: list[str]
) -> None:
    page, other = desk(new_page, stack, slots[0]), desk(new_page, stack, slots[0], DOCTOR)
    visit, later = clinic.confirm(clinic.hold(slots[0])), clinic.confirm(clinic.hold(slots[4]))
    expect(card(page, visit, "expected")).to_contain_text("Test Patient")
    expect(card(page, later, "expected")).to_contain_text("Test Patient")
    expected = page.locator('[data-column="expected"]')
    expect(expected.locator(".count")).to_have_text(str(expected.locator(".card").count()))
    look(page, "desk-board")

    card(page, visit).locator(".open").focus()
    page.keyboard.press("ArrowDown")
    assert focused(page) != visit["id"]
    page.keyboard.press("ArrowUp")
    assert focused(page) == visit["id"]
    page.keyboard.press("a")
    for window in (page, other):
        expect(card(window, visit, "arrived")).to_contain_text("Waiting 0 min")
        expect(window.locator("#news p")).to_have_text([re.compile(r"^Arrived: \d+:\d\d\s[AP]M Test Patient$")])
    assert focused(page) == visit["id"], "the focus goes with the card"
    for key, column in (("r", "roomed"), ("s", "in_progress"), ("z", "roomed"), ("s", "in_progress"), ("c", "completed")):
        page.keyboard.press(key)
        expect(card(page, visit, column)).to_be_visible()
        expect(card(other, visit, column)).to_be_visible()
        assert focused(page) == visit["id"]
    assert len(told(page)) == len(told(other)) == 1, "what is on the board for who looks is not read out"

    def first_no_show(route: Route) -> None:
        card(page, later).get_by_role("button", name="No-show").click()
        route.continue_()

    # Two windows at once: the later one is told, and sees the truth.
    with page.expect_response("**/no-show"):
        other.route("**/arrive", first_no_show)
        card(other, later).get_by_role("button", name="Arrived").dblclick()
    expect(card(page, later)).to_have_count(1)
    complaints[:] = [text for text in complaints if "409" not in text]


def test_the_second_click_of_two_never_marks_the_patient_who_moved_up(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    page = desk(new_page, stack, slots[0])
    visit, following = (clinic.confirm(clinic.hold(slots[index])) for index in (0, 4))
    expect(card(page, following, "expected")).to_contain_text("Test Patient")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/arrive") else None)
    card(page, visit).get_by_role("button", name="Arrived").click()
    expect(card(page, visit, "arrived")).to_be_visible()
    card(page, following).get_by_role("button", name="Arrived").hover()
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    card(page, visit).locator(".open").press("r")
    expect(card(page, visit, "roomed")).to_be_visible()
    assert [url for url in asked if visit["id"] not in url] == []


def test_a_step_whose_outcome_is_unknown_is_repeated_as_itself_until_the_calendar_tells(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json], staff: Callable[..., Json], complaints: list[str]
) -> None:
    visit = clinic.confirm(clinic.hold(slots[0]))
    page = desk(new_page, stack, slots[0])
    away = json.dumps({"code": "unavailable", "retryable": True, "retry_after": 60})
    page.route("**/arrive", lambda route: route.fulfill(status=503, content_type="application/json", body=away))

    def key_of_arrival() -> str:
        card(page, visit, "expected").locator(".open").focus()
        with page.expect_request("**/arrive") as asked:
            page.keyboard.press("a")
        return asked.value.headers["idempotency-key"]

    first = key_of_arrival()
    expect(page.get_by_role("alert").last).to_contain_text("We cannot be reached at the moment")
    assert key_of_arrival() == first
    staff(f"/appointments/{visit['id']}/arrive", {})
    expect(card(page, visit, "arrived")).to_be_visible()
    staff(f"/appointments/{visit['id']}/revert", {})
    expect(card(page, visit, "expected")).to_be_visible()
    page.unroute("**/arrive")
    assert key_of_arrival() != first
    expect(card(page, visit, "arrived")).to_be_visible()
    complaints[:] = [text for text in complaints if "503" not in text]


def test_a_visit_is_cancelled_with_a_reason_and_moved_and_its_history_says_who_did_what(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    page = desk(new_page, stack, slots[0])
    kept, gone = clinic.confirm(clinic.hold(slots[0])), clinic.confirm(clinic.hold(slots[3]))
    card(page, gone).locator(".open").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel the visit").click()
    dialog.get_by_label("Why is it cancelled?").select_option("The patient asked for it")
    dialog.get_by_role("button", name="Cancel this visit").click()
    expect(card(page, gone)).to_have_count(0)
    expect(page.locator("#news p")).to_have_text([re.compile("^Cancelled: ")])

    card(page, kept).locator(".open").press("Enter")
    dialog.get_by_role("button", name="Move").click()
    moved_to = dialog.locator(".offers button").nth(1)
    when = moved_to.locator("strong").inner_text()
    moved_to.click()
    expect(dialog.locator(".history")).to_contain_text("Moved, you")
    expect(dialog.locator(".history")).to_contain_text("Booked, the patient, online")
    expect(dialog.locator(".chosen")).to_contain_text(when)
    look(page, "desk-visit")


# --- booking ---------------------------------------------------------------------------------------------------------------


def test_a_visit_is_booked_by_telephone_in_under_ten_keys(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json], record_property: Callable[[str, object], None]
) -> None:
    clinic.confirm(clinic.hold(slots[0]))
    page = desk(new_page, stack, slots[0])
    expect(page.locator(".card").first).to_contain_text("Test Patient")
    keys = Keys(page)
    keys.press("b")
    keys.type("Patient")
    expect(found(page).first).to_contain_text("Test Patient")
    keys.press("Enter")
    expect(page.get_by_role("list", name="What is it for?").get_by_role("button").first).to_be_focused()
    keys.press("f")
    keys.press("Enter")
    expect(page.locator(".offers button").first).to_be_focused()
    look(page, "desk-booking-when")
    with page.expect_response(f"**{API}/appointments") as booked:
        keys.press("Enter")
    expect(page.locator(".done")).to_be_focused()
    expect(page.locator(".done")).to_contain_text("Booked for ")
    record_property("keys", keys.pressed)
    print(f"{len(keys.pressed)} keys besides the letters of the name: {' '.join(keys.pressed)}")
    assert booked.value.status == 201
    assert len(keys.pressed) < MOST_KEYS
    assert "Patient" not in page.url
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_a_walk_in_who_is_new_has_arrived_at_once(
    new_page: NewPage, stack: Stack, clinic: Clinic, staff: Callable[..., Json]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    doctor = clinic.id_of("calendars", DOCTOR)
    staff(
        f"/calendars/{doctor}/exceptions", {"start": now.isoformat(), "end": (now + timedelta(hours=5)).isoformat(), "open": True}
    )
    page = desk(new_page, stack)
    page.keyboard.press("w")
    page.get_by_label(FIND).fill(STRANGE)
    found(page).last.click()
    expect(page.get_by_label("Full name")).to_have_value(STRANGE)
    page.get_by_label("Telephone").fill("+1 (212) 555-0186")
    look(page, "desk-new-patient", sizes=("phone",))
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    expect(page.locator(".offers button").first).to_be_focused()
    with page.expect_response("**/arrive") as arrived:
        page.locator(".offers button").first.dblclick()
    visit = arrived.value.json()
    expect(page.locator(".done")).to_contain_text("Arrived. ")
    page.keyboard.press("Escape")
    expect(card(page, visit, "arrived").locator("strong")).to_have_text(STRANGE)
    assert page.viewport_size
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_the_finder_finds_by_name_number_and_birth_date_and_shows_the_visits(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    patient = {"name": "Zoë O'Hara-Lindström", "email": "zoe@example.org", "phone": "(212) 555-0193", "date_of_birth": "1971-04-09"}
    visit = clinic.confirm(clinic.hold(slots[0]), patient)
    page = desk(new_page, stack, slots[0])
    expect(card(page, visit)).to_contain_text(patient["name"])
    page.keyboard.press("f")
    for typed in ("o'hara-lindstrom", "1971-04-09", "4/9/1971", "212.555.0193"):
        expect(find(page, typed)).to_contain_text([patient["name"]])
    page.get_by_label(FIND).press("Enter")
    about = page.get_by_role("heading", name="Zoë")
    expect(about).to_be_focused()
    row = page.locator(f'.about [data-visit="{visit["id"]}"]')
    expect(row).to_contain_text("Follow-up")
    look(page, "desk-finder")
    row.click()
    expect(page.get_by_role("dialog")).to_contain_text("Booked, the patient, online")
    page.get_by_role("dialog").get_by_role("button", name="Arrived").click()
    expect(card(page, visit, "arrived")).to_be_visible()
    assert "Zo" not in page.url


# --- overriding ------------------------------------------------------------------------------------------------------------


def test_what_speaks_against_a_time_is_listed_and_an_overlap_is_never_overridden(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json], complaints: list[str]
) -> None:
    taken = clinic.confirm(clinic.hold(slots[0]))
    page = desk(new_page, stack, slots[0])
    expect(card(page, taken)).to_contain_text("Test Patient")
    page.keyboard.press("b")
    expect(find(page, "Patient").first).to_contain_text("Test Patient")
    page.keyboard.press("Enter")
    page.keyboard.press("f")
    page.keyboard.press("Enter")

    def name_time(time: str) -> None:
        page.get_by_text("Name another time").click()
        page.locator("#named-day").fill(str(day_of(slots[0])))
        page.locator("#named-time").fill(time)
        page.locator("#named-calendar").select_option(label=DOCTOR)
        page.get_by_role("button", name="Take this time").click()

    name_time(datetime.fromisoformat(slots[0]["start"]).astimezone(ZONE).strftime("%H:%M"))
    expect(page.locator('[data-reason="taken"]')).to_contain_text(f"{DOCTOR} has another visit then")
    expect(page.get_by_text("Two visits can never be at one time")).to_be_visible()
    expect(page.get_by_label("Why is it booked all the same?")).to_have_count(0)
    expect(page.get_by_role("list", name="Free near it").get_by_role("button")).not_to_have_count(0)
    page.get_by_role("button", name="Choose another time").click()

    name_time("23:15")
    expect(page.locator('[data-reason="closed"]')).to_have_text(f"{DOCTOR} is not open then.")
    look(page, "desk-override")
    reason = page.get_by_label("Why is it booked all the same?")
    reason.fill("he's leaving 🎉 tonight")
    with page.expect_response(f"**{API}/appointments") as booked:
        reason.press("Enter")
    expect(page.locator(".done")).to_contain_text("11:15")
    page.keyboard.press("Escape")
    card(page, booked.value.json()).locator(".open").click()
    expect(page.locator(".history q")).to_have_text("he's leaving 🎉 tonight")
    complaints[:] = [text for text in complaints if "409" not in text]


def test_late_patients_and_gaps_are_listed_and_a_gap_is_filled_in_place(
    new_page: NewPage, clinic: Clinic, stack: Stack, staff: Callable[..., Json]
) -> None:
    page = desk(new_page, stack)
    late = overdue(clinic, staff)
    expect(card(page, late, "expected")).to_contain_text("min late")
    page.keyboard.press("2")
    expect(page.get_by_role("tabpanel")).to_contain_text("min late")
    expect(page.locator("#news p")).to_have_text([re.compile("^Late: ")])
    look(page, "desk-gaps")
    gap = page.locator("#view-gaps section").last.get_by_role("button").last
    start = gap.locator("strong").inner_text().split(" \u2013 ")[0]
    gap.click()
    expect(find(page, "Patient").first).to_contain_text("Test Patient")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator(".offers button strong").first).to_have_text(start)


def overdue(clinic: Clinic, staff: Callable[..., Json]) -> Json:
    """A visit that should have begun a while ago, with whoever was free then."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=8)
    for calendar in (one for one in clinic.profile["calendars"] if one["kind"] == "practitioner"):
        asked = {"visit_type": clinic.id_of("visit_types", "Follow-up"), "calendar": calendar["id"], "start": start.isoformat()}
        given = {"patient": {"name": "Test Patient"}, "duration_minutes": 1, "override": {"reason": "test of lateness"}}
        answer = staff("/appointments", {**asked, **given})
        if answer.get("status") == "booked":
            return answer
    raise AssertionError(json.dumps(answer))


# --- keys, statistics, being offline ---------------------------------------------------------------------------------------


def test_letters_never_fire_while_somebody_types_and_can_be_switched_off(new_page: NewPage, stack: Stack) -> None:
    page = desk(new_page, stack)
    page.keyboard.press("?")
    look(page, "desk-shortcuts")
    page.get_by_label("Single-letter shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.reload()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.keyboard.press("b")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Shortcuts").click()
    page.get_by_label("Single-letter shortcuts").check()
    page.keyboard.press("Escape")
    page.locator("#filter-calendar").focus()
    page.keyboard.press("w")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("heading", level=2).click()
    page.keyboard.press("b")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("bwf?")
    expect(page.get_by_label(FIND)).to_have_value("bwf?")


def test_statistics_are_charts_that_a_table_says_too(new_page: NewPage, stack: Stack) -> None:
    page = desk(new_page, stack, viewport={"width": 1280, "height": 1400})
    assert not page.evaluate("performance.getEntriesByType('resource').some(({ name }) => name.endsWith('chart.js'))")
    page.keyboard.press("3")
    expect(page.get_by_role("img", name="Utilisation over 7 days")).to_be_visible()
    page.get_by_text("Utilisation as a table").click()
    expect(page.get_by_role("row")).not_to_have_count(0)
    page.get_by_label("Which days").select_option("30")
    expect(page.get_by_role("img", name="Utilisation over 30 days")).to_be_visible()
    look(page, "desk-statistics")


def test_nothing_is_changed_while_offline_and_the_page_says_so(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json], complaints: list[str]
) -> None:
    visit = clinic.confirm(clinic.hold(slots[0]))
    page = desk(new_page, stack, slots[0])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/arrive") else None)
    page.context.set_offline(True)
    expect(page.get_by_text("Nothing can be changed until we are connected again.")).to_be_visible()
    card(page, visit).locator(".open").focus()
    page.keyboard.press("a")
    expect(page.get_by_role("alert").last).to_contain_text("Nothing can be changed")
    look(page, "desk-offline", sizes=("desk",))
    page.context.set_offline(False)
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=20_000)
    assert asked == []
    card(page, visit).locator(".open").press("a")
    expect(card(page, visit, "arrived")).to_be_visible()
    complaints[:] = [text for text in complaints if "ERR_INTERNET_DISCONNECTED" not in text and "WebSocket" not in text]


def test_the_desk_is_for_those_who_work_there(new_page: NewPage, stack: Stack, complaints: list[str]) -> None:
    page = new_page("/desk/", cookies=stack.cookies("Samuel Adeyemi"))
    expect(page.get_by_role("heading", name="Your role does not allow this.")).to_be_visible()
    complaints[:] = [text for text in complaints if "403" not in text]
