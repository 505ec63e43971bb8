"""The demo's mailbox: takes e-mail by SMTP and SMS by Twilio's protocol, keeps the last 200 in memory, and shows them.

    python -m apps.local.mailbox --port P --smtp-port Q

Nothing leaves this machine. An e-mail whose Message-ID is here already is taken and not kept again, as mail systems do.
"""

import argparse
import json
import signal
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import format_datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 200
_LARGEST = 1 << 20
_REFRESH_S = 5
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:0 auto;padding:1rem;color:#14252a;background:#f4f7f7}"
    "article{background:#fff;border:1px solid #d3dde0;border-radius:.7rem;padding:.7rem 1.1rem;margin:.8rem 0}"
    "article{overflow-wrap:anywhere}"
    "h1{font-size:1.5rem}h2{font-size:1.05rem;margin:.1rem 0}p{margin:.1rem 0;color:#4c6068}pre{white-space:pre-wrap;font:inherit}"
    "@media(prefers-color-scheme:dark){body{background:#0f1719;color:#e7eff0}article{background:#182326;border-color:#2c3a3f}"
    "p{color:#a5b6bb}a{color:#62cbc4}}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Letter(NamedTuple):
    """What would have been sent. `kind` is "Email" or "SMS"; `id` is the sender's id of it; `source` all of an e-mail."""

    kind: str
    id: str
    at: datetime
    sender: str
    to: str
    subject: str
    text: str
    attachments: tuple[str, ...] = ()
    source: str = ""


class Mailbox:
    """The last letters, the newest first."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def put(self, letter: Letter) -> None:
        with self._lock:
            if all(known.id != letter.id for known in self._letters):
                self._letters.appendleft(letter)

    def letters(self) -> list[Letter]:
        with self._lock:
            return list(self._letters)


class MailHandler:
    """What aiosmtpd calls when a whole e-mail has come."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        self._mailbox.put(as_letter(raw, to=", ".join(envelope.rcpt_tos)))
        return "250 kept for the demo"


def as_letter(raw: bytes, *, to: str) -> Letter:
    message = message_from_bytes(raw, policy=policy.default)
    body = message.get_body(("plain", "html"))
    return Letter(
        "Email",
        str(message["Message-ID"] or uuid4()),
        datetime.now(UTC),
        str(message["From"] or ""),
        to,
        str(message["Subject"] or "").strip(),
        str(body.get_content()) if body is not None else "",
        tuple(str(part.get_filename() or part.get_content_type()) for part in message.iter_attachments()),
        raw.decode(errors="replace"),
    )


def page(letters: list[Letter]) -> str:
    """The list as HTML. All of it came from outside, so all of it is escaped; only our own links are made links."""
    articles = "".join(map(_article, letters)) or "<p>Nothing yet. Book a visit, and what the patient gets is here.</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Demo mailbox</title>'
        f'<meta http-equiv="refresh" content="{_REFRESH_S}"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>What would have been sent</h1>"
        f"<p>Email and SMS of the demo, the newest first. Nothing leaves this machine.</p>{articles}</main></body></html>"
    )


def _article(letter: Letter) -> str:
    heading = escape(letter.subject or letter.text[:80])
    files = f"<p>With {escape(', '.join(letter.attachments))}</p>" if letter.attachments else ""
    return (
        f"<article><p>{letter.kind} to {escape(letter.to)} from {escape(letter.sender)}, {letter.at:%H:%M:%S} UTC</p>"
        f"<h2>{heading}</h2><pre>{''.join(_linked(letter.text))}</pre>{files}</article>"
    )


def _linked(text: str) -> Iterator[str]:
    for number, word in enumerate(text.replace("\n", " \n ").split(" ")):
        shown = escape(word)
        yield " " * (number > 0)
        yield f'<a href="{shown}" rel="noreferrer">{shown}</a>' if word.startswith(("http://", "https://")) else shown


def handler(mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    """The page, the list as JSON, and the few addresses of Twilio that our client uses."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path.endswith("/Messages.json"):
                to = parse_qs(address.query).get("To", [""])[0]
                found = [as_twilio(one) for one in mailbox.letters() if one.kind == "SMS" and to in ("", one.to)]
                self._answer(200, {"messages": found, "next_page_uri": None, "page": 0, "page_size": 50})
            elif address.path.endswith("/letters.json"):
                self._answer(200, [one._asdict() | {"at": one.at.isoformat(), "source": ""} for one in mailbox.letters()])
            else:
                self._answer(200, page(mailbox.letters()))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not urlsplit(self.path).path.endswith("/Messages.json") or not length.isdigit() or int(length) > _LARGEST:
                self._answer(404, {"code": 20404, "message": "not here", "status": 404})
                return
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(int(length)).decode()).items()}
            sms = Letter(
                "SMS", f"SM{uuid4().hex}", datetime.now(UTC), form.get("From", ""), form.get("To", ""), "", form.get("Body", "")
            )
            mailbox.put(sms)
            self._answer(201, as_twilio(sms))

        def _answer(self, status: int, answer: Any) -> None:
            is_page = isinstance(answer, str)
            body = answer.encode() if is_page else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8" if is_page else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Addresses and texts are on the page, not in a log."""

    return Handler


def as_twilio(sms: Letter) -> dict[str, Any]:
    """An SMS as Twilio's API shows it, as far as its library looks."""
    at = format_datetime(sms.at)
    return {
        "sid": sms.id,
        "to": sms.to,
        "from": sms.sender,
        "body": sms.text,
        "status": "sent",
        "date_created": at,
        "date_sent": at,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.local.mailbox")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    given = parser.parse_args()
    mailbox = Mailbox()
    smtp = Controller(MailHandler(mailbox), hostname="127.0.0.1", port=given.smtp_port, data_size_limit=_LARGEST)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler(mailbox))
    # `shutdown` waits for the loop below to end, which it cannot while this thread is in a signal's handler.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    smtp.start()
    try:
        server.serve_forever()
    finally:
        smtp.stop()


if __name__ == "__main__":
    main()
