"""Every open screen is right within a blink, and knows when it is not: sockets killed, tabs asleep, networks closed."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect

from tests.browser.screens import DOCTOR, calendar_page, calendar_path, clock, day_of, time_button, visit_on
from tests.browser.stack import HEARTBEAT_S, Clinic, Json, NewPage, Stack

SOCKET = re.compile("/ws/v1/live$")
OFFLINE = re.compile(r"^Offline since \d+:\d\d\s[AP]M$")
WITHIN_MS = 20_000
# Notes all that the mark says, each with what is on show at that moment.
LISTEN = """(selector) => {
    const mark = document.getElementById("connection");
    window.said = [];
    new MutationObserver(() => said.push([mark.textContent, Boolean(document.querySelector(selector))]))
        .observe(mark, { childList: true, characterData: true, subtree: true });
}"""
# Notes when a button is no longer free, on the clock that all pages of one machine share.
NOTE_TAKEN = """(button) => {
    window.taken = new Promise((resolve) => {
        const now = () => performance.timeOrigin + performance.now();
        const look = () => button.getAttribute("aria-disabled") === "true" && resolve(now());
        new MutationObserver(look).observe(button, { attributes: true });
    });
}"""


@pytest.fixture(autouse=True)
def lost_sockets_are_no_complaint(complaints: list[str]) -> Iterator[None]:
    yield
    complaints[:] = [text for text in complaints if "WebSocket connection" not in text]


@pytest.fixture
def slots(clinic: Clinic) -> list[Json]:
    return clinic.slots("Follow-up", DOCTOR)


def book(clinic: Clinic, slot: Json) -> str:
    """Books a slot behind the pages' backs; answers the selector of the visit."""
    return visit_on(clinic.confirm(clinic.hold(slot)))


def mark(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#connection")).to_have_text(text, timeout=WITHIN_MS)


def said_live_without(page: Page) -> bool:
    """Whether a page that listens ever said that it is live while the visit was not on show."""
    return any(text == "Live" and not shown for text, shown in page.evaluate("window.said"))


# --- the socket goes -------------------------------------------------------------------------------------------------------


def test_a_calendar_comes_back_after_the_push_processes_were_killed_and_shows_the_truth(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    pids = stack.push_processes()
    hold = clinic.hold(slots[0])
    page.evaluate(LISTEN, f'{visit_on(hold)}[data-status="booked"]')
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    missed = clinic.confirm(hold)
    expect(page.locator(visit_on(missed))).to_contain_text("Booked")
    mark(page, "Live")
    said = [text for text, _ in page.evaluate("window.said")]
    assert OFFLINE.match(said[0])
    assert not said_live_without(page)
    assert not pids & stack.push_processes()
    expect(page.locator(book(clinic, slots[2]))).to_contain_text("Booked")


def test_a_server_that_falls_silent_is_noticed_and_said_and_forgotten_when_it_is_back(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    banner, news = page.locator("#banner"), page.locator("#connection-news")
    expect(banner).to_be_hidden()
    pids = stack.push_processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        frozen = time.monotonic()
        mark(page, OFFLINE)
        assert time.monotonic() - frozen < 2 * HEARTBEAT_S + 1.5
        expect(banner).to_contain_text("You see what was true then")
        expect(news).to_contain_text("Offline since")
        visit = book(clinic, slots[0])
        expect(page.locator(visit)).to_have_count(0)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    expect(page.locator(visit)).to_contain_text("Booked", timeout=WITHIN_MS)
    mark(page, "Live")
    expect(banner).to_be_hidden()
    expect(news).to_have_text("Connected again.")


@pytest.mark.parametrize("cookie", [None, "not-a-token"], ids=["no session", "a session that is not good any more"])
def test_who_is_signed_out_is_told_and_led_to_the_sign_in(
    new_page: NewPage, clinic: Clinic, slots: list[Json], cookie: str | None
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    page.context.clear_cookies(name="hf_session")
    if cookie:
        page.context.add_cookies([{"name": "hf_session", "value": cookie, "url": page.url}])
    sockets: list[str] = []
    page.evaluate("dispatchEvent(new Event('offline'))")
    mark(page, "Signed out")
    page.on("websocket", lambda socket: sockets.append(socket.url))
    expect(page.locator("#connection-news")).to_contain_text("You are signed out")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(1_000)
    assert sockets == []
    # The session itself is still good, so the sign-in only gives the page a new token.
    page.locator("#banner").get_by_role("link", name="Sign in").click()
    mark(page, "Live")


def test_a_hint_when_to_come_back_is_followed_and_spread(new_page: NewPage) -> None:
    page = new_page("/")
    connections = 0

    def serve(socket: WebSocketRoute) -> None:
        nonlocal connections
        connections += 1
        socket.send(json.dumps({"type": "ready", "session": "s", "heartbeat_s": 25}))
        if connections <= 20:
            socket.send(json.dumps({"type": "reconnect", "after_ms": 1_500}))
            socket.close(code=4503)

    page.route_web_socket(SOCKET, serve)
    page.reload()
    pauses = page.evaluate(
        """async () => {
            const { Live } = await import("/static/live.js");
            const comesBack = (_, index) => new Promise((resolve) => {
                let lost, opened = false;
                const live = new Live(location.origin.replace("http", "ws") + "/ws/v1/live", { onState: (state) => {
                    if (state === "offline") lost = performance.now();
                    else if (lost) resolve(performance.now() - lost);
                } });
            });
            return Promise.all(Array.from({ length: 20 }, comesBack));
        }"""
    )
    assert len(pauses) == 20
    assert min(pauses) >= 1_500
    assert max(pauses) <= 1_500 * 1.25 + 500 + 500
    assert max(pauses) - min(pauses) > 100


def test_a_client_at_fault_stays_away_for_long(new_page: NewPage) -> None:
    page = new_page("/")
    opened: list[float] = []

    def serve(socket: WebSocketRoute) -> None:
        opened.append(time.monotonic())
        socket.close(code=4429)

    page.route_web_socket(SOCKET, serve)
    page.reload()
    page.evaluate(
        """async () => {
            const { Live } = await import("/static/live.js");
            new Live(location.origin.replace("http", "ws") + "/ws/v1/live");
        }"""
    )
    page.wait_for_timeout(500)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(3_000)
    assert len(opened) == 1


# --- asleep and awake ------------------------------------------------------------------------------------------------------


def test_a_frozen_tab_says_nothing_when_woken_before_it_knows_while_its_neighbour_goes_on(
    tabs: BrowserContext, stack: Stack, clinic: Clinic, slots: list[Json]
) -> None:
    asleep = tabs.new_page()
    tabs.add_cookies(stack.cookies(DOCTOR))  # type: ignore[arg-type]
    asleep.goto(stack.url + calendar_path(clinic, slots[0]))
    mark(asleep, "Live")
    hold = clinic.hold(slots[0])
    expect(asleep.locator(visit_on(hold))).to_contain_text("Being booked")
    awake = tabs.new_page()
    awake.goto(asleep.url)
    mark(awake, "Live")
    visit = f'{visit_on(hold)}[data-status="booked"]'
    asleep.evaluate(LISTEN, visit)
    devtools = tabs.new_cdp_session(asleep)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    clinic.confirm(hold)
    expect(awake.locator(visit)).to_be_visible()
    awake.wait_for_timeout(2_000 * HEARTBEAT_S + 1_000)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    asleep.bring_to_front()
    expect(asleep.locator(visit)).to_be_visible()
    mark(asleep, "Live")
    assert OFFLINE.match(asleep.evaluate("window.said")[0][0])
    assert not said_live_without(asleep)


def test_a_clock_that_jumps_breaks_nothing_and_a_sleep_that_only_the_clock_shows_is_noticed(
    new_page: NewPage, clinic: Clinic, slots: list[Json]
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.evaluate("() => { const now = Date.now; window.skew = 0; Date.now = () => now() + window.skew; }")
    page.evaluate("window.skew = -7_200_000")
    expect(page.locator(book(clinic, slots[0]))).to_contain_text("Booked")
    page.wait_for_timeout(2_000 * HEARTBEAT_S)
    assert sockets == []
    mark(page, "Live")

    # A machine that slept for eight hours, on a system that stops the monotonic clock meanwhile: nothing else shows it.
    page.evaluate(LISTEN, "body")
    page.evaluate("window.skew += 28_800_000")
    page.wait_for_timeout(6_000)
    said = [text for text, _ in page.evaluate("window.said")]
    assert OFFLINE.match(said[0])
    assert said[-1] == "Live"
    assert len(sockets) == 1
    expect(page.locator(book(clinic, slots[2]))).to_contain_text("Booked")


# --- where sockets are blocked ---------------------------------------------------------------------------------------------


def refuse(socket: WebSocketRoute) -> None:
    socket.close(code=1011)


def swallow(socket: WebSocketRoute) -> None:
    """A proxy that takes the connection and lets nothing through."""
    socket.on_message(lambda _: None)


@pytest.mark.parametrize("blocked", [refuse, swallow])
def test_a_calendar_stays_right_where_sockets_are_blocked(
    new_page: NewPage, clinic: Clinic, slots: list[Json], blocked: Callable[[WebSocketRoute], None]
) -> None:
    page = calendar_page(new_page, clinic, slots[0])
    page.route_web_socket(SOCKET, blocked)
    polls: list[str] = []
    page.on("response", lambda answer: polls.append(answer.url) if "wait=" in answer.url and answer.ok else None)
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live", timeout=45_000)
    for slot in slots[:3]:
        expect(page.locator(book(clinic, slot))).to_contain_text("Booked")
        mark(page, "Live")
    assert len(polls) >= 3


def test_free_times_stay_right_where_sockets_are_blocked(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    page = new_page("/")
    page.route_web_socket(SOCKET, refuse)
    page.goto("/book/demo/")
    button = time_button(page, slots[0])
    mark(page, re.compile("^Checked at "))
    clinic.hold(slots[0])
    expect(button).to_have_attribute("aria-disabled", "false")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # somebody looks at the tab again
    expect(button).to_have_attribute("aria-disabled", "true")
    other = page.locator("#times").get_by_role("button", name=clock(slots[1]), exact=True)
    clinic.hold(slots[1])
    expect(other).to_have_count(0, timeout=35_000)


# --- free times ------------------------------------------------------------------------------------------------------------


def test_a_time_that_somebody_takes_keeps_its_place_and_is_free_again_when_it_is_given_back(
    new_page: NewPage, clinic: Clinic, slots: list[Json]
) -> None:
    watching, other = new_page("/book/demo/"), new_page("/book/demo/")
    button = time_button(watching, slots[1])
    button.focus()
    mark(watching, "Live")
    button.evaluate(NOTE_TAKEN)
    place = button.bounding_box()
    with other.expect_response(lambda response: response.url.endswith("/holds")) as held:
        time_button(other, slots[1]).click()
    timing = held.value.request.timing
    seconds = (watching.evaluate("window.taken") - timing["startTime"] - timing["responseStart"]) / 1_000
    print(f"taken on the other screen {seconds:.3f} s after the answer")
    assert seconds < 1.0
    expect(button).to_be_focused()
    expect(button).to_have_text(f"{clock(slots[1])}taken")
    assert button.bounding_box() == place
    expect(watching.locator("#times-news")).to_have_text(f"{clock(slots[1])} was just taken.")
    watching.keyboard.press("Enter")
    expect(watching.get_by_role("heading", name="Your details")).to_be_hidden()

    expect(other.get_by_role("timer")).to_have_text("5:00")
    other.get_by_role("button", name="I need more time").click()
    expect(other.get_by_role("timer")).to_have_text(re.compile("^9:"))
    other.go_back()
    expect(button).to_have_attribute("aria-disabled", "false")
    expect(button).to_be_focused()
    expect(watching.locator("#times-news")).to_have_text(f"{clock(slots[1])} is free again.")
    watching.keyboard.press("Enter")
    expect(watching.get_by_role("heading", name="Your details")).to_be_focused()


def test_a_hold_that_runs_out_gives_its_time_back_on_every_screen(
    new_page: NewPage, clinic: Clinic, stack: Stack, slots: list[Json]
) -> None:
    page = new_page("/book/demo/")
    button = time_button(page, slots[0])
    mark(page, "Live")
    hold = clinic.hold(slots[0])
    expect(button).to_have_attribute("aria-disabled", "true")
    environment = json.loads((stack.data / "environment.json").read_text())
    with psycopg2.connect(environment["DATABASE_URL_ENGINE"]) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE engine_appointment SET expires_at = date_trunc('second', now()) WHERE id = %s", [hold["id"]])
    expect(button).to_have_attribute("aria-disabled", "false")
    mark(page, "Live")


def test_the_chosen_day_stays_chosen_when_its_last_time_goes(new_page: NewPage, clinic: Clinic, slots: list[Json]) -> None:
    page = new_page("/book/demo/")

    def only_one(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["items"] = [item for item in body["items"] if day_of(item) != day_of(slots[0]) or item["start"] == slots[0]["start"]]
        route.fulfill(response=answer, json=body)

    page.route("**/slots?*", only_one)
    page.reload()
    button = time_button(page, slots[0])
    mark(page, "Live")
    chosen = page.locator('#days [aria-pressed="true"]').get_attribute("data-day")
    clinic.hold(slots[0])
    expect(button).to_have_attribute("aria-disabled", "true")
    mark(page, "Live")
    expect(page.get_by_text("No more times are free on this day.")).to_be_visible()
    expect(page.locator('#days [aria-pressed="true"]')).to_have_attribute("data-day", chosen or "")
