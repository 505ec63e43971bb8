"""One stack for all browser tests, and a browser that must neither leave this machine nor complain."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, WebSocket, sync_playwright

from apps.local.environment import free_ports
from tests.browser.stack import NAMES, Clinic, NewPage, Stack, manage, status

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("stack")
    manage("up", "--detach", "--no-limits", "--port", "0", "--data", str(data))
    try:
        yield Stack(data, status(data)["url"])
    finally:
        manage("down", "--data", str(data))


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # A module at a time: between start and stop no other test can run an event loop in this thread.
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    yield launched
    launched.close()


@pytest.fixture
def tabs(playwright: Playwright) -> Iterator[BrowserContext]:
    """One window whose tabs hide each other. Playwright's own pages are made to believe that they are always looked at."""
    port = free_ports(1)[0]
    launched = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=[*FLAGS, f"--remote-debugging-port={port}"]
    )
    yield playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}", no_defaults=True).contexts[0]
    launched.close()


@pytest.fixture(scope="module")
def clinic(playwright: Playwright, stack: Stack) -> Iterator[Clinic]:
    request = playwright.request.new_context(base_url=stack.url)
    yield Clinic(request, stack)
    request.dispose()


@pytest.fixture
def complaints() -> list[str]:
    """What a browser complained about. A test that provokes a complaint removes it."""
    return []


@pytest.fixture
def elsewhere() -> list[str]:
    """Where a test's pages may go besides the stack: the sites of others that the test plays itself."""
    return []


@pytest.fixture
def new_page(browser: Browser, stack: Stack, complaints: list[str], elsewhere: list[str]) -> Iterator[NewPage]:
    """Opens a page in a browser of its own: `new_page(path, cookies=[…], **options of the context)`.

    At the end nobody may have complained.
    """
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        # Names come from another service, which may be away: the page says so in its own way, the browser in its own.
        if message.type in ("error", "warning") and not message.location.get("url", "").endswith(NAMES):
            complaints.append(message.text)

    def watch(request: Request | WebSocket) -> None:
        here = request.url.replace("localhost", "127.0.0.1")
        if not (here.startswith((stack.url, stack.url.replace("http", "ws"))) or request.url.startswith(tuple(elsewhere))):
            complaints.append(f"went to {request.url}")

    def open_page(path: str, *, cookies: Sequence[Any] = (), **options: Any) -> Page:
        context = browser.new_context(**{"base_url": stack.url, "timezone_id": "America/New_York", "locale": "en-US", **options})
        contexts.append(context)
        context.add_cookies(cookies)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", watch)
        page.on("websocket", watch)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
