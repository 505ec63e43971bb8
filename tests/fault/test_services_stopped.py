"""The other four services are stopped: booking goes on, live; when they are back they catch up, and nothing is lost or doubled."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.browser.stack import manage, status

OTHERS = ("auth", "records", "billing", "notifications")
BOOKINGS = 6
Json = dict[str, Any]


class Desk:
    """The front desk of the demo clinic of one stack, by HTTP through the edge."""

    def __init__(self, data: Path) -> None:
        self.data, self.url = data, str(status(data)["url"])
        self._tokens = {
            role: manage("auth", "token", "--clinic", "demo", "--role", role, data=data).stdout.strip()
            for role in ("front_desk", "clinic_admin", "billing")
        }
        self._http = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def ask(self, method: str, path: str, *, role: str = "front_desk", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[role]}", **more.pop("headers", {})}
        return self._http.request(method, path, headers=headers, **more)

    def get(self, path: str, *, role: str = "front_desk", **query: str) -> Json:
        answer = self.ask("GET", path, role=role, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def slots(self, visit_type: str) -> list[Json]:
        """One free slot a day, so that no booking is in another's way."""
        clinic = self.get("/api/engine/v1/clinics/demo")
        wanted = next(one["id"] for one in clinic["visit_types"] if one["name"] == visit_type)
        query = {"calendar": next(one["id"] for one in clinic["calendars"] if one["name"] == "Dr. Sofia Alvarez")}
        first = datetime.now(UTC) + timedelta(days=3)
        query |= {"from": f"{first:%Y-%m-%dT00:00:00Z}", "to": f"{first + timedelta(days=20):%Y-%m-%dT00:00:00Z}"}
        found = self.get("/api/engine/v1/clinics/demo/slots", visit_type=wanted, limit="500", **query)["items"]
        return list({slot["start"][:10]: slot for slot in found}.values())

    @contextmanager
    def live(self, calendar: str) -> Iterator[ClientConnection]:
        address = f"ws{self.url[4:]}/ws/v1/live"
        with connect(address, subprotocols=[Subprotocol("healthflow.v1")], proxy=None) as socket:
            socket.send(json.dumps({"type": "auth", "token": self._tokens["front_desk"]}))
            socket.send(json.dumps({"type": "subscribe", "calendar": calendar}))
            while json.loads(socket.recv(5))["type"] != "subscribed":
                pass
            yield socket

    def book(self, slot: Json) -> Json:
        """As a patient does: hold, then confirm with details."""
        held = self._http.post("/api/engine/v1/holds", json={"slot": slot["slot"]})
        assert held.status_code == 201, held.text
        person = {"name": f"Ada {uuid4().hex[:8]}", "email": f"{uuid4().hex}@example.org", "date_of_birth": "1980-02-03"}
        secret = {"Hold-Secret": held.json()["secret"]}
        where = f"/api/engine/v1/holds/{held.json()['id']}/confirm"
        done = self._http.post(where, json={"patient": person, "state": "NY"}, headers=secret)
        assert done.status_code == 201, done.text
        return dict(done.json())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    data = tmp_path_factory.mktemp("stack")
    manage("up", "--detach", "--no-limits", "--port", "0", "--data", str(data))
    try:
        yield Desk(data)
    finally:
        manage("down", "--data", str(data))


@contextmanager
def stopped(data: Path) -> Iterator[None]:
    """All processes of the four services are frozen: they take connections and answer none, which is worse than being gone."""
    groups = [one["pid"] for one in status(data)["processes"] if one["name"].startswith(OTHERS)]
    assert len(groups) >= 2 * len(OTHERS)
    for group in groups:
        os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)


def until(found: Callable[[], Any], *, what: str, within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.2)
    return answer


def linked(desk: Desk, appointment: str) -> str | None:
    found: Json | None = desk.get(f"/api/engine/v1/appointments/{appointment}")["patient"]
    return found["id"] if found else None


def confirmations(desk: Desk, appointment: str) -> list[Json]:
    found = desk.get("/api/notifications/v1/messages", appointment=appointment)["items"]
    return [one for one in found if one["kind"] == "confirmation" and one["channel"] == "email" and one["state"] == "sent"]


def test_booking_goes_on_live_while_four_services_are_stopped_and_they_catch_up(desk: Desk) -> None:
    slots = desk.slots("Follow-up")[:BOOKINGS]
    assert len(slots) == BOOKINGS

    with stopped(desk.data), desk.live(slots[0]["calendar"]) as screen:
        began = time.monotonic()
        booked = [desk.book(slot) for slot in slots]
        took = time.monotonic() - began
        told = [json.loads(screen.recv(5)) for _ in range(2)]
    print(f"{BOOKINGS} bookings in {took:.2f} s while four services were stopped")

    assert [frame["event"] for frame in told] == ["appointment.held", "appointment.booked"]
    ids = [one["id"] for one in booked]
    patients = {until(lambda id_=id_: linked(desk, id_), what="records has linked the patient") for id_ in ids}  # type: ignore[misc]
    assert len(patients) == BOOKINGS
    for id_ in ids:
        until(lambda id_=id_: confirmations(desk, id_), what="the confirmation was sent")  # type: ignore[misc]
        assert len(confirmations(desk, id_)) == 1


def test_a_visit_that_ended_while_billing_was_stopped_is_charged_once(desk: Desk) -> None:
    booked = desk.book(desk.slots("Follow-up")[0])

    with stopped(desk.data):
        for move in ("arrive", "start", "complete"):
            assert desk.ask("POST", f"/api/engine/v1/appointments/{booked['id']}/{move}").status_code == 200

    charged = until(lambda: charges(desk, booked["id"]), what="the visit was charged")
    patient = until(lambda: charges(desk, booked["id"])[0]["patient"], what="billing knows whose visit it was")
    assert len(charged) == 1
    assert patient == until(lambda: linked(desk, booked["id"]), what="the engine knows it too")


def charges(desk: Desk, appointment: str) -> list[Json]:
    found = desk.get("/api/billing/v1/charges", role="billing", limit="500")["items"]
    return [one for one in found if one["appointment"] == appointment]
