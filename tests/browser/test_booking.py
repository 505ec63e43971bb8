"""The booking page as patients use it: back and forth, twice at once, asleep, without a network, in other zones and scripts."""

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import phonenumbers
import psycopg2
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.look import look
from tests.browser.screens import (
    DOCTOR,
    ZONE,
    choose_time,
    choose_visit,
    clock,
    day_of,
    fill_details,
    time_button,
)
from tests.browser.stack import PATIENT, Clinic, NewPage, Stack
from tests.sealing import opened

CONFIRM, HOLDS = re.compile("/confirm$"), re.compile("/holds$")
SOCKET = re.compile("/ws/v1/live$")
FIRST_TIME = "performance.getEntriesByName('first-time')[0]?.startTime"
SLOW_3G = {"offline": False, "latency": 400, "downloadThroughput": 400_000 / 8, "uploadThroughput": 400_000 / 8}
SOON_MS, LATE_MS = 3_000, 20_000
DETAILS = {"Full name": PATIENT["name"], "Email": PATIENT["email"], "Phone": PATIENT["phone"]}
# The name that has everything in it that names have, at the greatest length that is kept.
NAME = "D’Arcy O'Neil-Núñez 👩🏽‍⚕️ محمد עִבְרִית".ljust(200, "é")  # noqa: RUF001
PHONES = (
    "+1 (212) 555-0100 ext. 3",
    "212.555.0100",
    "٢١٢ ٥٥٥ ٠١٠٠",  # noqa: RUF001
    "۲۱۲-۵۵۵-۰۱۰۰",  # noqa: RUF001
    "２１２–５５５–０１００",  # noqa: RUF001
    "\u202a(212)\u00a0555\u20110100\u202c",
    "tel: 212 555 0100 x 12",
    "212-555-0100, extensión 7",
    "+34 912 34 56 78",
)


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def asked(page: Page, path: re.Pattern[str]) -> list[Request]:
    """What is posted to this path from now on."""
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request) if request.method == "POST" and path.search(request.url) else None)
    return requests


def statuses(stack: Stack, hold: str) -> list[str]:
    """What the database has of this hold."""
    environment = json.loads((stack.data / "environment.json").read_text())
    with psycopg2.connect(environment["DATABASE_URL_ENGINE"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT status FROM engine_appointment WHERE id = %s", [hold])
        return [status for (status,) in cursor.fetchall()]


def hold_of(confirm: Request) -> str:
    return confirm.url.split("/")[-2]


# --- fast ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["fast", "slow 3G"])
def test_the_first_free_time_is_on_show_soon(new_page: NewPage, line: str, record_property: Callable[[str, object], None]) -> None:
    page = new_page("/")
    if line == "slow 3G":
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW_3G)
    page.goto("/book/demo/")

    expect(page.locator("#visits small").first).to_have_text(re.compile("^Next free: "), timeout=LATE_MS)

    taken = page.evaluate(FIRST_TIME)
    record_property("ms_to_the_first_time", taken)
    print(f"first time after {taken:.0f} ms on a {line} line")
    assert taken < (SOON_MS if line == "fast" else LATE_MS)
    expect(page.locator("#connection")).to_have_text("Live", timeout=LATE_MS)


# --- back and forth, twice at once -----------------------------------------------------------------------------------------


def test_back_works_in_every_step_loses_nothing_that_was_typed_and_books_once(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/book/demo/")
    confirmed = asked(page, CONFIRM)
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[0])
    heading(page, "Your details")
    fill_details(page)
    steps = ["Choose a time", "With whom?", "Where will you be?", "What is it for?"]
    for step in steps:
        page.go_back()
        heading(page, step)
    for step in [*steps[-2::-1], "Your details"]:
        page.go_forward()
        heading(page, step)
    for label, typed in DETAILS.items():
        expect(page.get_by_label(label)).to_have_value(typed)
    expect(page.get_by_role("timer")).to_have_text(re.compile("^4:5|^5:00"))  # of a new hold

    page.get_by_role("button", name="Book this visit").click()
    heading(page, "Your visit is booked")
    page.go_back()
    heading(page, "Choose a time")
    page.go_forward()
    heading(page, "Your visit is booked")
    page.reload()
    heading(page, "What is it for?")
    page.go_back()  # to a step of before the page was loaded again
    heading(page, "What is it for?")

    assert len(confirmed) == 1
    assert PATIENT["email"] not in page.url


def test_a_double_click_is_one_click(new_page: NewPage, clinic: Clinic, stack: Stack) -> None:
    page = new_page("/book/demo/")
    held, confirmed = asked(page, HOLDS), asked(page, CONFIRM)
    time_button(page, clinic.slots("Follow-up", DOCTOR)[0]).dblclick()
    heading(page, "Your details")
    fill_details(page)
    page.get_by_role("button", name="Book this visit").dblclick()
    heading(page, "Your visit is booked")

    assert (len(held), len(confirmed)) == (1, 1)
    assert statuses(stack, hold_of(confirmed[0])) == ["booked"]


def test_the_second_half_of_a_double_click_presses_nothing_that_the_first_brought(new_page: NewPage) -> None:
    page = new_page("/book/demo/")
    page.locator("#visits").get_by_role("button", name=re.compile("^Follow-up In person")).dblclick()
    page.get_by_role("button", name=re.compile("^First available")).wait_for()
    heading(page, "With whom?")


def test_who_goes_on_before_a_time_is_kept_is_not_told_that_it_is(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/book/demo/")
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[0])
    heading(page, "Your details")
    page.go_back()
    heading(page, "Choose a time")
    waiting: list[Route] = []
    page.route(HOLDS, lambda route: waiting.append(route))
    with page.expect_request(HOLDS):
        page.locator("#times button:not([aria-disabled=true])").last.click()
    page.go_forward()
    heading(page, "Your details")
    expect(page.get_by_role("timer")).to_be_hidden()
    expect(page.get_by_role("alert")).to_contain_text("We could not keep this time any longer.")
    waiting[0].continue_()
    expect(page.get_by_role("timer")).to_have_text(re.compile("^4:5|^5:00"))
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_label("Full name")).to_be_focused()


def test_a_time_that_has_passed_is_not_offered(new_page: NewPage, clinic: Clinic) -> None:
    """On a page that is open until then; the server's clock, which the page goes by, is as far."""
    slot = next(one for one, two in pairwise(clinic.slots("Follow-up", DOCTOR)) if day_of(one) == day_of(two))
    ahead = timedelta()

    def answer_later(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "date": format_datetime(datetime.now(UTC) + ahead, usegmt=True)})

    page = new_page("/")
    page.clock.install()
    page.route(re.compile("/api/"), answer_later)
    page.goto("/book/demo/")
    button = time_button(page, slot)
    expect(button).to_be_enabled()
    button.hover()
    ahead = datetime.fromisoformat(slot["start"]) - datetime.now(UTC) + timedelta(seconds=30)
    page.clock.fast_forward(int(ahead.total_seconds() * 1000))
    expect(button).to_have_count(0)
    expect(page.locator("#times button").first).to_be_enabled()
    expect(page.locator("#times-news")).to_be_empty()  # nobody took it
    page.unroute_all(behavior="wait")


def test_of_two_tabs_that_want_one_time_the_second_is_offered_others(
    new_page: NewPage, clinic: Clinic, complaints: list[str]
) -> None:
    slot = clinic.slots("Follow-up", DOCTOR)[3]
    first, second = new_page("/book/demo/"), new_page("/")
    second.route_web_socket(SOCKET, lambda socket: socket.close())  # so that it does not know better
    second.goto("/book/demo/")
    button = time_button(second, slot)
    expect(button).to_be_visible()
    choose_time(first, slot)
    heading(first, "Your details")
    button.click()

    alert = second.get_by_role("alert")
    expect(alert).to_contain_text("Somebody else just took this time.")
    complaints[:] = [text for text in complaints if "409" not in text and "WebSocket" not in text]
    alert.get_by_role("button").first.click()
    heading(second, "Your details")
    expect(alert).to_be_hidden()


# --- the hold --------------------------------------------------------------------------------------------------------------


def test_who_sleeps_through_a_hold_is_told_and_goes_on_with_another_time(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/")
    # A jump of the clock would end a handshake that is under way, of which the browser complains.
    page.route_web_socket("**/ws/**", lambda _socket: None)
    page.clock.install()
    page.goto("/book/demo/")
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[5])
    fill_details(page)
    news = page.locator("#hold-news")
    page.clock.fast_forward(200_000)
    expect(page.get_by_role("timer")).to_have_text(re.compile("^1:3"))
    expect(news).to_be_empty()  # not every second is read out
    page.clock.fast_forward(42_000)
    expect(news).to_have_text(re.compile(r"^We keep this time for you for \d\d more seconds\.$"))
    said = news.text_content()
    page.clock.fast_forward(5_000)
    expect(news).to_have_text(said or "")
    page.clock.fast_forward(25_000)
    expect(news).to_have_text(re.compile(r" (30|2\d) more seconds\.$"))

    page.clock.fast_forward("01:00:00")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("We could not keep this time any longer.")
    expect(page.get_by_role("timer")).to_be_hidden()
    look(page, "booking-lost")
    alert.get_by_role("button").first.click()
    expect(page.get_by_role("button", name="Book this visit")).to_be_focused()  # nothing is missing
    for label, typed in DETAILS.items():
        expect(page.get_by_label(label)).to_have_value(typed)
    page.get_by_role("button", name="Book this visit").click()
    heading(page, "Your visit is booked")


def test_a_clock_that_is_wrong_by_a_day_changes_nothing(new_page: NewPage) -> None:
    page = new_page("/")
    page.clock.install(time=datetime.now(UTC) + timedelta(days=1))
    page.goto("/book/demo/")
    choose_visit(page)
    page.locator("#people button").first.click()
    today = datetime.now(ZONE).date()
    expect(page.locator("#days [data-day]").first).to_have_attribute("data-day", str(today))
    page.locator("#times button").last.click()
    expect(page.get_by_role("timer")).to_have_text(re.compile("^4:5|^5:0"))
    fill_details(page)
    page.get_by_role("button", name="Book this visit").click()
    heading(page, "Your visit is booked")


# --- the network -----------------------------------------------------------------------------------------------------------


def test_who_loses_the_network_at_the_end_finds_out_when_it_is_back(
    new_page: NewPage, clinic: Clinic, stack: Stack, complaints: list[str]
) -> None:
    page = new_page("/book/demo/")
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[7])
    fill_details(page)
    confirmed = asked(page, CONFIRM)

    def lose_the_answer(route: Route) -> None:
        route.fetch()  # it is booked, and nobody hears of it
        page.context.set_offline(True)
        route.abort()

    page.route(CONFIRM, lose_the_answer, times=1)
    page.get_by_role("button", name="Book this visit").click()
    expect(page.get_by_role("alert")).to_contain_text("do not know yet whether your visit is booked", timeout=15_000)
    page.go_back()
    heading(page, "Your details")  # nobody leaves before it is known
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.get_by_role("timer")).to_be_visible()  # nothing is lost
    name = page.get_by_label("Full name")
    expect(name).not_to_be_editable()
    look(page, "booking-undecided", sizes=("phone",))
    name.evaluate("(input) => (input.value = 'Somebody else')")  # what was sent stays what is asked about
    page.context.set_offline(False)
    heading(page, "Your visit is booked")

    complaints[:] = [text for text in complaints if not re.search("ERR_FAILED|ERR_INTERNET_DISCONNECTED|WebSocket", text)]
    assert len({(request.post_data, request.headers["idempotency-key"]) for request in confirmed}) == 1
    assert statuses(stack, hold_of(confirmed[0])) == ["booked"]


def test_who_loads_the_page_again_before_the_answer_came_has_booked_all_the_same(
    new_page: NewPage, clinic: Clinic, stack: Stack, complaints: list[str]
) -> None:
    page = new_page("/book/demo/")
    choose_time(page, clinic.slots("Follow-up", DOCTOR)[9])
    fill_details(page)

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(CONFIRM, lose_the_answer)
    with page.expect_event("requestfailed") as failed:
        page.get_by_role("button", name="Book this visit").click()
    page.reload()
    heading(page, "What is it for?")

    complaints[:] = [text for text in complaints if "ERR_FAILED" not in text]
    assert statuses(stack, hold_of(failed.value)) == ["booked"]


# --- names, numbers, zones, languages --------------------------------------------------------------------------------------


def test_a_name_in_any_script_arrives_whole_and_in_the_page_s_language(new_page: NewPage, stack: Stack) -> None:
    assert len(NAME) == 200
    page = new_page("/book/demo/?lang=es", timezone_id="America/Chicago")
    page.locator("#visits").get_by_role("button", name=re.compile("^Follow-up Por vídeo")).click()
    page.get_by_label("Estado en el que estará").select_option("NY")
    page.get_by_role("button", name="Continuar").click()
    page.get_by_role("button", name=re.compile("^Primera hora libre")).click()
    expect(page.locator("#times-title")).to_have_text(
        re.compile("^Horas del (lunes|martes|miércoles|jueves|viernes|sábado|domingo)")
    )
    look(page, "booking-when-es", sizes=("phone",))
    page.locator("#times button").nth(1).click()
    name = page.get_by_label("Nombre completo")
    page.get_by_label("Correo").fill(PATIENT["email"])
    page.get_by_label("Teléfono").fill(PHONES[0])
    page.get_by_label("Fecha de nacimiento").fill(PATIENT["date_of_birth"])
    name.fill(NAME + "é")
    book = page.get_by_role("button", name="Reservar esta cita")
    book.click()
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill(f"\u202e{NAME} ")
    with page.expect_request(CONFIRM) as confirming:
        book.click()
    heading(page, "Su cita está reservada")

    key_file = json.loads((stack.data / "environment.json").read_text())["SEALING_KEY_FILE"]
    told = opened(json.loads(confirming.value.post_data or "")["patient"]["sealed"], key_file=key_file)
    assert told["name"] == NAME
    assert told["phone"] == "+1 (212) 555-0100 x3"
    assert (told["language"], told["zone"], told["state"]) == ("es", "America/Chicago", "NY")


def test_a_number_that_is_pasted_in_any_form_is_the_number_that_was_meant(new_page: NewPage) -> None:
    page = new_page("/book/demo/")
    sent = page.evaluate("async (phones) => phones.map((await import('/static/booking/details.js')).dialled)", PHONES)

    for pasted, dialled in zip(PHONES, sent, strict=True):
        assert re.fullmatch(r"[0-9+(). x/-]{5,40}", dialled), dialled  # what records keeps
        meant = phonenumbers.parse(unicodedata.normalize("NFKC", pasted), "US")
        assert phonenumbers.parse(dialled, "US") == meant, (pasted, dialled)


def test_the_zone_can_be_changed_and_who_travels_is_asked_first(new_page: NewPage, clinic: Clinic) -> None:
    page = new_page("/", timezone_id=None)
    machine = page.context.new_cdp_session(page)
    machine.send("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
    page.goto("/book/demo/")
    slot = clinic.slots("Follow-up", DOCTOR)[0]
    expect(time_button(page, slot)).to_be_visible()
    first, note = page.locator("#times button").first, page.locator("#zone-note")
    expect(note).to_have_text("Times are in Eastern Standard Time.")
    here = first.text_content()

    page.get_by_label("Time zone", exact=True).select_option("America/Los_Angeles")
    expect(note).to_have_text("Times are in Pacific Standard Time. The clinic’s time zone is Eastern Standard Time.")  # noqa: RUF001
    expect(first).not_to_have_text(here or "")
    page.get_by_label("Time zone", exact=True).select_option("")
    search = page.get_by_label("Search for a time zone")
    search.fill("nowhere")
    search.press("Enter")
    expect(page.get_by_text("Please choose one from the list.")).to_be_visible()
    search.fill("Asia/Tokyo")
    search.press("Enter")
    expect(note).to_contain_text("Japan Standard Time")

    there = first.text_content()
    machine.send("Emulation.setTimezoneOverride", {"timezoneId": "America/Denver"})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    offer = page.locator("#travel")
    expect(offer).to_contain_text("Mountain Standard Time")
    expect(first).to_have_text(there or "")  # nothing moves without a word
    offer.get_by_role("button", name="Show the times where I am").click()
    expect(note).to_contain_text("Mountain Standard Time")
    expect(offer).to_be_hidden()


# --- how it looks ----------------------------------------------------------------------------------------------------------


def test_every_step_can_be_read_by_everybody(new_page: NewPage, complaints: list[str]) -> None:
    page = new_page("/book/demo/")
    expect(page.locator("#visits small").first).to_have_text(re.compile("^Next free: "))
    look(page, "booking-visit")
    page.locator("#visits button").first.click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("State you will be in")).to_be_focused()
    look(page, "booking-state", sizes=("phone",))
    page.get_by_label("State you will be in").select_option("AK")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Nobody here may see patients in this state.")).to_be_visible()
    page.get_by_role("button", name="Back").click()
    page.get_by_label("State you will be in").select_option("NY")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#people small").first).to_have_text(re.compile("^Next free: "))
    look(page, "booking-with")
    page.locator("#people button").first.click()
    expect(page.locator("#times button").first).to_be_visible()
    look(page, "booking-when")
    page.locator("#times button").last.click()
    heading(page, "Your details")
    page.get_by_role("button", name="Book this visit").click()
    look(page, "booking-details")
    fill_details(page)
    page.get_by_role("button", name="Book this visit").click()
    heading(page, "Your visit is booked")
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Add to calendar").click()
    assert loaded.value.suggested_filename == "visit.ics"
    look(page, "booking-done")


def test_who_waits_in_line_comes_back_with_the_ticket_and_need_not_wait_for_a_time_that_is_gone(
    new_page: NewPage, clinic: Clinic, complaints: list[str]
) -> None:
    slot, other, another = clinic.slots("Follow-up", DOCTOR)[1:4]
    page = new_page("/book/demo/")
    waits = iter((1, 600, 600, 600))

    def wait_in_line(route: Route) -> None:
        problem = {"code": "rate_limited", "retryable": True, "retry_after": next(waits), "ticket": "a-ticket"}
        route.fulfill(status=429, content_type="application/problem+json", body=json.dumps(problem))

    page.route(HOLDS, wait_in_line, times=1)
    holds = asked(page, HOLDS)
    time_button(page, slot).click()
    expect(page.get_by_role("alert")).to_contain_text("You have a place in line: your turn comes in about 1 second.")
    heading(page, "Your details")
    assert [request.headers.get("waiting-ticket") for request in holds] == [None, "a-ticket"]

    page.get_by_role("button", name="Choose another time").click()
    page.route(HOLDS, wait_in_line, times=1)
    times = page.locator("#times")
    times.get_by_role("button", name=re.compile(clock(other).replace("\u00a0", r"\s"))).click()
    expect(page.get_by_role("alert")).to_contain_text("about 600 seconds")
    look(page, "booking-line")
    times.get_by_role("button", name=re.compile(clock(another).replace("\u00a0", r"\s"))).click()
    clinic.confirm(clinic.hold(another))
    expect(page.get_by_role("alert")).to_contain_text("Somebody else just took this time.")
    assert [request.headers.get("waiting-ticket") for request in holds[2:]] == [None, "a-ticket"]
    assert [json.loads(request.post_data or "")["slot"] == other["slot"] for request in holds[2:]] == [True, False]

    times.get_by_role("button", name=re.compile(clock(other).replace("\u00a0", r"\s"))).click()
    expect(page.get_by_role("alert")).to_contain_text("You have a place in line")
    assert len(holds) == 4, "another time has the same place, and is asked for when the turn comes"
    page.route(HOLDS, wait_in_line)
    for week, asked_for in (("Later", 5), ("Earlier", 6)):  # the time goes out of sight, and comes back
        with page.expect_console_message(lambda message: "429" in message.text):
            page.get_by_role("button", name=week).click()
        assert len(holds) == asked_for, "once"
    complaints[:] = [text for text in complaints if "429" not in text and "409" not in text]
