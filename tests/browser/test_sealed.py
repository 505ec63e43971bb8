"""What a patient types leaves the page sealed, and a booking needs nobody who could open it."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Request, Route, ViewportSize, expect

from tests.browser.screens import DOCTOR, calendar_page, calendar_path, choose_any_time, choose_time, fill_details, visit_on
from tests.browser.stack import NAMES, PATIENT, Clinic, Json, NewPage, Stack, status
from tests.sealing import opened

ARRIVING = "Details arriving"


WHOLE_DAY: ViewportSize = {"width": 1280, "height": 2_400}
"""A calendar draws what is in sight, and how late the first free time is depends on the tests before."""


@contextmanager
def without_records(stack: Stack) -> Iterator[None]:
    """All processes of records stand still, so that whoever asks them waits in vain."""
    groups = [process["pid"] for process in status(stack.data)["processes"] if process["name"].startswith("records")]
    assert groups
    for group in groups:
        os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        for group in groups:
            os.killpg(group, signal.SIGCONT)


def test_what_was_typed_leaves_the_page_in_an_envelope(new_page: NewPage, clinic: Clinic, stack: Stack) -> None:
    page = new_page("/book/demo/", timezone_id="America/Chicago")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    choose_any_time(page)
    fill_details(page)
    with page.expect_request(lambda request: request.url.endswith("/confirm")) as confirming:
        page.get_by_role("button", name="Book this visit").click()
    expect(page.get_by_role("heading", name="Your visit is booked")).to_be_visible()

    body = json.loads(confirming.value.post_data or "")
    assert body.keys() == {"patient", "state"}
    assert body["patient"].keys() == {"sealed"}
    key_file = json.loads((stack.data / "environment.json").read_text())["SEALING_KEY_FILE"]
    typed = {**PATIENT, "state": "NY", "language": "en", "zone": "America/Chicago"}
    assert opened(body["patient"]["sealed"], key_file=key_file) == typed
    for request in sent:
        said = request.url + (request.post_data or "") + str(request.headers)
        assert not any(detail in said for detail in PATIENT.values())
    assert page.locator("#name").input_value() == ""


def test_a_repeated_confirmation_is_the_same_request(new_page: NewPage, complaints: list[str]) -> None:
    page = new_page("/book/demo/")
    choose_any_time(page)
    fill_details(page)
    asked: list[tuple[Any, Any]] = []

    def lose_the_answer(route: Route) -> None:
        asked.append((route.request.post_data, route.request.headers["idempotency-key"]))
        if len(asked) > 1:
            return route.continue_()
        route.fetch()  # it is booked, and nobody hears of it
        return route.abort()

    page.route(re.compile("/confirm$"), lose_the_answer)
    page.get_by_role("button", name="Book this visit").click()
    expect(page.get_by_role("heading", name="Your visit is booked")).to_be_visible()
    complaints[:] = [text for text in complaints if "ERR_FAILED" not in text]

    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_where_nothing_can_be_sealed_nothing_is_asked(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    page.add_init_script("Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })")  # as in a page without TLS
    page.goto("/book/demo/")

    expect(page.get_by_role("alert")).to_contain_text("Please open this page with https")
    expect(page.locator("#visits button")).to_have_count(0)
    context.close()


def test_booking_and_the_calendar_need_no_records(new_page: NewPage, clinic: Clinic, stack: Stack) -> None:
    slot = clinic.slots("Follow-up", DOCTOR)[0]
    page, patient = calendar_page(new_page, clinic, slot, viewport=WHOLE_DAY), new_page("/book/demo/")
    with without_records(stack):
        with patient.expect_response(lambda response: response.url.endswith("/holds")) as held:
            choose_time(patient, slot)
        fill_details(patient)
        patient.get_by_role("button", name="Book this visit").click()
        expect(patient.get_by_role("heading", name="Your visit is booked")).to_be_visible()

        visit = page.locator(visit_on(held.value.json()))
        expect(visit.locator(".status")).to_have_text("Booked")
        expect(visit.locator(".patient")).to_have_text(ARRIVING)
        visit.get_by_role("button", name="Arrived,").click()
        expect(visit.locator(".status")).to_have_text("Arrived")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_a_practitioner_reads_from_records_who_comes(new_page: NewPage, clinic: Clinic) -> None:
    slot = clinic.slots("Follow-up", DOCTOR)[0]
    booked = clinic.confirm(clinic.hold(slot))

    page = calendar_page(new_page, clinic, slot, viewport=WHOLE_DAY)

    # Not before records has opened the envelope.
    expect(page.locator(visit_on(booked)).locator(".patient")).to_have_text(PATIENT["name"], timeout=30_000)


def test_names_are_asked_for_once_and_together(new_page: NewPage, clinic: Clinic) -> None:
    slots = clinic.slots("Follow-up", DOCTOR)
    booked = [clinic.confirm(clinic.hold(slot)) for slot in slots[:2]]
    held = clinic.hold(slots[4])
    asked: list[list[str]] = []

    def answer(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or "")["appointments"])
        items: list[Json] = [{"appointment": one, "id": "p", "name": "<b>Zoe</b>"} for one in asked[-1] if one == booked[0]["id"]]
        route.fulfill(json={"items": items})

    page = new_page("/", cookies=clinic.stack.cookies(DOCTOR))
    page.route(re.compile(NAMES + "$"), answer)
    page.goto(calendar_path(clinic, slots[0]))

    expect(page.locator(visit_on(booked[0])).locator(".patient")).to_have_text("<b>Zoe</b>")
    expect(page.locator(visit_on(booked[1])).locator(".patient")).to_have_text(ARRIVING)
    expect(page.locator(visit_on(held)).locator(".patient")).to_have_text("")
    assert {booked[0]["id"], booked[1]["id"]} <= set(asked[0])
    assert held["id"] not in asked[0]

    with page.expect_request(re.compile(NAMES + "$")):  # there is news of it, so the patient may be known now
        page.locator(visit_on(booked[1])).get_by_role("button", name="Arrived,").click()
    expect(page.locator(visit_on(booked[1])).locator(".status")).to_have_text("Arrived")
    assert all(booked[0]["id"] not in again for again in asked[1:])
    assert booked[1]["id"] in asked[-1]
