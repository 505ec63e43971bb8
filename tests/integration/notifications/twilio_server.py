"""A server that speaks the part of Twilio's protocol that we use: create, list, basic authentication, errors, signed callbacks."""

import base64
import json
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from twilio.request_validator import RequestValidator

ACCOUNT, TOKEN = "AC" + "1" * 32, "twilio-test-token"


class Twilio:
    """`sent` are the messages it took. `answers` are taken one a request, before the usual one: (status, code), or "hang up" and
    "take and hang up", for a connection that breaks before or after the message was taken.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.answers: list[tuple[int, int] | str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, form: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        """The answer to a new message; None to say nothing and hang up."""
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, tuple):
            return answer[0], {"code": answer[1], "message": "refused", "status": answer[0]}
        taken = self._take(form) if answer != "hang up" else {}
        return (201, taken) if answer is None else None

    def _take(self, form: dict[str, str]) -> dict[str, Any]:
        message = {"sid": f"SM{uuid4().hex}", "to": form["To"], "from": form["From"], "body": form["Body"]}
        self.sent.append({**message, "callback": form.get("StatusCallback", "")})
        return as_resource(message)


def signature(url: str, form: dict[str, str]) -> str:
    """What Twilio puts into X-Twilio-Signature."""
    return str(RequestValidator(TOKEN).compute_signature(url, form))


def as_resource(message: dict[str, str]) -> dict[str, Any]:
    now = format_datetime(datetime.now(UTC))
    shown = {name: message[name] for name in ("sid", "to", "from", "body")}
    return {**shown, "status": "queued", "date_created": now, "date_sent": now, "account_sid": ACCOUNT, "num_segments": "1"}


def _handler(twilio: Twilio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = {
                name: values[0] for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
            }
            done = twilio.create(form) if self._may() else (401, {"code": 20003, "message": "Authenticate", "status": 401})
            if done is None:
                self.close_connection = True
            else:
                self._answer(*done)

        def do_GET(self) -> None:
            to = parse_qs(urlsplit(self.path).query).get("To", [""])[0]
            found = [as_resource(one) for one in twilio.sent if one["to"] == to]
            self._answer(200, {"messages": found, "next_page_uri": None, "page": 0, "page_size": 50})

        def _may(self) -> bool:
            right = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
            path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
            return self.headers.get("Authorization") == f"Basic {right}" and self.path == path

        def _answer(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Quiet."""

    return Handler
