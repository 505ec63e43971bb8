"""What the live calendar costs a browser: `python -m loadtests.calendar_paint`.

Starts a stack of its own with one busy clinic, opens the week of all its calendars in Chromium, and takes the browser's own times:
how soon the page can be used, how soon a pushed change is painted after its frame came, and whether dragging keeps its sixty
frames a second. Writes results/calendar_paint.md; exits with 1 when one of the bars is missed. Only 127.0.0.1 is talked to.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import psycopg2
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from apps.local.environment import ROOT
from loadtests.target import Target, started

CALENDARS, A_DAY = 40, 10
"""So a week of five days has 2,000 appointments."""
LOADS, CHANGES, FRAMES = 7, 40, 300
INTERACTIVE_MS, PAINTED_MS, FRAME_MS = 1_000, 100, 1_000 / 60
API = "/api/engine/v1"
RESULTS = Path(__file__).parent / "results" / "calendar_paint.md"
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
# Each calendar has a visit every half hour from nine on, Monday to Friday of this week.
FILL = """
WITH slots AS (
    SELECT c.id AS calendar, k.id AS clinic, v.id AS visit_type, gen_random_uuid() AS id,
           (date_trunc('week', now() AT TIME ZONE k.zone) + make_interval(days => d, hours => 9, mins => 30 * n))
               AT TIME ZONE k.zone AS at
    FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id JOIN engine_visittype v ON v.clinic_id = k.id
    CROSS JOIN generate_series(0, 4) d CROSS JOIN generate_series(0, %(a_day)s - 1) n WHERE k.slug = %(clinic)s
), made AS (
    INSERT INTO engine_appointment (id, clinic_id, visit_type_id, calendar_id, calendars, status, starts, ends, modality, state,
                                    extended, version, history, created_at)
    SELECT id, clinic, visit_type, calendar, ARRAY[calendar], 'booked', at, at + interval '30 minutes', 'in_person', '',
           false, 1, '[]', now() FROM slots
)
INSERT INTO engine_allocation (appointment_id, calendar_id, unit, during)
SELECT id, calendar, 1, tstzrange(at, at + interval '30 minutes') FROM slots
"""
# In the page, before anything else: when the sheet can be used; for each visit, when a frame told of it and when it was painted.
WATCH = """
window.told = {}; window.painted = {};
const Native = WebSocket;
window.WebSocket = class extends Native {
    constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => {
            const frame = JSON.parse(data);
            if (frame.type === "event") told[frame.data.id + frame.data.status] ??= performance.now();
        });
    }
};
const afterPaint = (does) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = does;
    port2.postMessage(0);
});
new MutationObserver((changes) => {
    if (!window.ready && document.querySelector('hf-calendar .sheet[aria-busy="false"] .visit'))
        afterPaint(() => { window.ready ??= performance.now(); });
    for (const { target } of changes) {
        const visit = target.closest?.(".visit");
        const key = visit && visit.dataset.key + visit.dataset.status;
        if (key in told && !(key in painted)) { painted[key] = 0; afterPaint(() => { painted[key] = performance.now(); }); }
    }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-status", "aria-busy"] });
"""

SNAPSHOT = "performance.getEntriesByType('resource').find(({ name }) => name.includes('/snapshot?')).duration"
# The moves of a pointer that is down already, one before each frame.
DRAG = """async ([x, y, count]) => {
    const sheet = document.querySelector("hf-calendar"), stamps = [];
    for (let n = 0; n < count; n++) {
        stamps.push(await new Promise(requestAnimationFrame));
        const at = { clientX: x + ((n * 7) % 500), clientY: y + ((n * 11) % 300), pointerId: 1, bubbles: true };
        sheet.dispatchEvent(new PointerEvent("pointermove", at));
    }
    return stamps;
}"""


@dataclass(frozen=True, slots=True)
class Measured:
    appointments: int
    drawn: int
    interactive: list[float]
    work: list[float]
    asked: list[float]
    current: list[float]
    painted: list[float]
    frames: list[float]
    tasks: list[float]


def main() -> None:
    with started() as at, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        measured = measure(at, browser)
        browser.close()
    report = written(measured)
    RESULTS.write_text(report)
    print(report)
    sys.exit(0 if is_within(measured) else 1)


def measure(at: Target, browser: Browser) -> Measured:
    clinic = json.loads(_manage(at, "engine", "seed", "--calendars", CALENDARS, "--appointments", 0, "--json"))["clinics"][0]
    with closing(psycopg2.connect(at.database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(FILL, {"clinic": clinic, "a_day": A_DAY})
    token = _manage(at, "auth", "token", "--clinic", clinic, "--role", "front_desk").strip()
    with _page(browser, at, token) as (page, _):  # the push process has not heard of a clinic that was seeded just now
        page.locator('#connection[data-state="live"]').wait_for(timeout=60_000)
    interactive, work, asked, current = list[float](), list[float](), list[float](), list[float]()
    for _ in range(LOADS):
        with _page(browser, at, token) as (page, devtools):
            interactive.append(_number(page, "window.ready"))
            work.append(_work_ms(devtools))
            asked.append(_number(page, SNAPSHOT))
            page.locator('#connection[data-state="live"]').wait_for()
            current.append(_number(page, "performance.now()"))
    with _page(browser, at, token) as (page, _):
        page.locator('#connection[data-state="live"]').wait_for()
        items = "document.querySelector('hf-calendar').diary"
        count = f"{items}.calendars.reduce((sum, {{ id }}) => sum + {items}.itemsOf(id).length, 0)"
        appointments, drawn = int(_number(page, count)), page.locator(".visit").count()
        frames, tasks = _dragged(browser, page)
        painted = _pushed(page, at, token)
    return Measured(appointments, drawn, interactive, work, asked, current, painted, frames, tasks)


@contextmanager
def _page(browser: Browser, at: Target, token: str) -> Iterator[tuple[Page, CDPSession]]:
    """The week, as somebody of the front desk sees it who opens the browser anew."""
    context: BrowserContext = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="America/New_York")
    context.add_cookies([{"name": "hf_session", "value": token, "url": at.urls["edge"]}])
    context.add_init_script(WATCH)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"{at.urls['edge']}/calendar/?view=week&day={datetime.now(UTC):%Y-%m-%d}")
    page.locator('hf-calendar .sheet[aria-busy="false"] .visit').first.wait_for()
    page.wait_for_timeout(200)  # what is painted last has been noted
    yield page, devtools
    context.close()


def _work_ms(devtools: CDPSession) -> float:
    """The CPU time that the page's main thread has spent so far."""
    metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1_000


def _pushed(page: Page, at: Target, token: str) -> list[float]:
    """Steps of visits in view, taken by somebody else; from the frame to the paint, in milliseconds."""
    shown = page.locator('.visit[data-status="booked"]')
    ids = [str(shown.nth(n).get_attribute("data-key")) for n in range(min(CHANGES, shown.count()))]
    for visit in ids:
        answer = page.context.request.post(
            f"{at.urls['edge']}{API}/appointments/{visit}/arrive", data={}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.ok, answer.text()
        page.locator(f'.visit[data-key="{visit}"][data-status="arrived"]').wait_for()
    page.wait_for_timeout(200)
    times = page.evaluate("ids => ids.map((id) => painted[id + 'arrived'] - told[id + 'arrived'])", ids)
    return [float(time) for time in times]


def _dragged(browser: Browser, page: Page) -> tuple[list[float], list[float]]:
    """A visit is dragged over the sheet, in each frame elsewhere: from frame to frame, and what the page did itself for each."""
    box = page.locator('.visit[data-status="booked"]').first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    browser.start_tracing(page=page)
    stamps = page.evaluate(DRAG, [box["x"] + 60, box["y"] + 40, FRAMES])
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    page.keyboard.press("Escape")
    page.mouse.up()
    work = [event["dur"] / 1_000 for event in trace if event["name"] == "FireAnimationFrame" and "dur" in event]
    return [later - earlier for earlier, later in pairwise(stamps)], work


# --- what is written ----------------------------------------------------------------------------------------------------


def is_within(measured: Measured) -> bool:
    steady = statistics.median(measured.frames) < FRAME_MS * 1.1
    return max(measured.interactive) < INTERACTIVE_MS and max(measured.painted) < PAINTED_MS and steady


def written(measured: Measured) -> str:
    frames = f"{len(measured.frames)} frames, {sum(gap > 1.5 * FRAME_MS for gap in measured.frames)} of them late"
    return f"""# What the live calendar costs a browser

`python -m loadtests.calendar_paint`: the week of a clinic with {CALENDARS} calendars and {measured.appointments:,} appointments,
{CALENDARS * 5} columns, of which what is in view is in the document: {measured.drawn} appointments. Chromium without a graphics
card, 1440 by 900, on a machine of two cores that the whole stack shares. Milliseconds, by the browser's own clock and trace.

| | median | p95 | max | bar |
|---|---|---|---|---|
| from the address to a sheet that can be used ({LOADS} loads, nothing cached) | {_row(measured.interactive)} | {INTERACTIVE_MS} |
| of that the request of the snapshot, all appointments of the week | {_row(measured.asked)} | |
| of that the page's own work, in CPU | {_row(measured.work)} | |
| from the address until every calendar is proved current ("Live") | {_row(measured.current)} | |
| from a pushed frame to its paint ({len(measured.painted)} steps of visits in view) | {_row(measured.painted)} | {PAINTED_MS} |
| while dragging, from frame to frame ({frames}) | {_row(measured.frames)} | {FRAME_MS:.1f} |
| while dragging, the page's own work for a frame | {_row(measured.tasks)} | |
"""


def _row(times: list[float]) -> str:
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return f"{statistics.median(times):.1f} | {p95:.1f} | {max(times):.1f}"


def _number(page: Page, expression: str) -> float:
    return float(page.evaluate(expression))


def _manage(at: Target, *arguments: object) -> str:
    """A project's command in the stack; answers what it printed."""
    command = [sys.executable, str(ROOT / "manage.py"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **at.variables}).stdout


if __name__ == "__main__":
    main()
