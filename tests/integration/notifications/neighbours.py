"""Engine and records as notifications sees them: the addresses it asks, over real HTTP, and they can go away."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CLINIC = "harbor"
ZOE = {
    "patient": "01930000-0000-7000-8000-00000000aaaa",
    "name": "Zoë Canary 🦊",
    "email": "zoe.canary@example.org",
    "phone": "(212) 555-0177",
    "language": "en",
    "channels": ["email", "sms"],
    "zone": None,
}
CALENDAR = "01930000-0000-7000-8000-00000000cccc"
PROFILE = {
    "slug": CLINIC,
    "name": "Harbor Clinic",
    "zone": "America/New_York",
    "visit_types": [],
    "calendars": [{"id": CALENDAR, "name": "Dr. Secret Cardiologist", "location": "L1", "specialty": "cardiology"}],
    "locations": [{"id": "L1", "name": "Harbor", "address": "12 Harbor Street", "city": "New York", "phone": "(212) 555-0142"}],
}


class Neighbours:
    """`contacts` by appointment or patient; `down` makes every answer 503."""

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, Any]] = {}
        self.everybody: dict[str, Any] | None = dict(ZOE)
        self.down = False
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any], *, by: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.down:
            return 503, {}
        if path.startswith("/api/engine/"):
            return 200, PROFILE
        if not by.startswith("Bearer "):
            return 401, {}
        if path.endswith("/contacts/find"):
            known = [*self.contacts.values(), *([self.everybody] if self.everybody else [])]
            return 200, {"patients": [one["patient"] for one in known if digits(one["phone"]) == digits(body["phone"])]}
        contact = self.contacts.get(path.split("/")[-2], self.everybody)
        return (200, contact) if contact else (404, {"code": "not_found"})


def digits(phone: str) -> str:
    return "".join(filter(str.isdigit, phone))[-10:]


def _handler(neighbours: Neighbours) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, given: dict[str, Any]) -> None:
            status, answer = neighbours.answer(self.path, given, by=self.headers.get("Authorization", ""))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Quiet."""

    return Handler
