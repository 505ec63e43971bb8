"""A small server that speaks Stripe's protocol over real HTTP: checkout sessions, refunds, idempotency, signed webhooks.

For the demo, where no money moves, and for the tests. Written from Stripe's documentation and without its library, so that
it checks ours. `python -m apps.local.stripe_server --port 12111 --webhook http://…/webhooks/stripe --secret whsec_…`
"""

import argparse
import hashlib
import hmac
import html
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

Json = dict[str, Any]
_PAY_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pay</title><body style="font:16px/1.5 system-ui;max-width:24rem;margin:4rem auto;padding:0 1rem">
<p>Test page of the payment provider. No money moves.</p><h1>{amount}</h1><p>{label}</p>
<form method="post"><button style="font:inherit;padding:.6rem 1.4rem">Pay</button></form></body></html>"""


class Refused(Exception):
    def __init__(self, status: int, code: str, *, kind: str = "invalid_request_error") -> None:
        super().__init__(code)
        self.status, self.code, self.kind = status, code, kind


def signature(body: str, *, secret: str, at: int) -> str:
    """The Stripe-Signature header of a webhook body."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.{body}'.encode(), hashlib.sha256).hexdigest()}"


def nested(pairs: list[tuple[str, str]]) -> Json:
    """`a[b][0][c]=1` as {"a": {"b": {"0": {"c": "1"}}}}."""
    found: Json = {}
    for name, value in pairs:
        *path, last = re.findall(r"[^\[\]]+", name)
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


@dataclass
class Ledger:
    """What the provider knows. `faults` are statuses to answer next *after* the work is done: 0 drops the connection."""

    webhook: str = ""
    secret: str = "whsec_test"  # noqa: S105 - of tests and the demo
    key: str = "sk_test_local"
    refund_status: str = "succeeded"
    sessions: dict[str, Json] = field(default_factory=dict)
    intents: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    answered: dict[str, tuple[Json, int, Json]] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and idempotency key of each request to the API."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create_session(self, given: Json, url: str) -> Json:
        price = given["line_items"]["0"]["price_data"]
        amount, currency = int(price["unit_amount"]), price["currency"]
        if amount < 50 or not re.fullmatch("[a-z]{3}", currency):
            raise Refused(400, "amount_too_small" if amount < 50 else "parameter_invalid")
        session_id = f"cs_test_{secrets.token_hex(12)}"
        self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "mode": given["mode"],
            "amount_total": amount,
            "currency": currency,
            "client_reference_id": given.get("client_reference_id"),
            "metadata": given.get("metadata", {}),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": given["success_url"],
            "label": price["product_data"]["name"],
            "url": f"{url}/pay/{session_id}",
        }
        return self.sessions[session_id]

    def expire(self, session: Json) -> Json:
        if session["status"] != "open":
            raise Refused(400, "resource_not_open")
        session.update(status="expired", url=None)
        self.tell("checkout.session.expired", session)
        return session

    def pay(self, session_id: str) -> Json:
        """The patient pays."""
        with self.lock:
            session = self.sessions[session_id]
            if session["status"] != "open":
                raise Refused(400, "resource_not_open")
            intent = {"id": f"pi_{secrets.token_hex(12)}", "amount": session["amount_total"], "refunded": 0}
            self.intents[intent["id"]] = intent
            session.update(status="complete", payment_status="paid", payment_intent=intent["id"], url=None)
            self.tell("checkout.session.completed", session)
            return session

    def create_refund(self, given: Json) -> Json:
        with self.lock:
            intent = self.intents.get(given.get("payment_intent", ""))
            if intent is None:
                raise Refused(404, "resource_missing")
            amount = int(given.get("amount", intent["amount"] - intent["refunded"]))
            if not 0 < amount <= intent["amount"] - intent["refunded"]:
                raise Refused(400, "charge_already_refunded" if intent["refunded"] else "amount_too_large")
            intent["refunded"] += amount
            refund_id = f"re_{secrets.token_hex(12)}"
            self.refunds[refund_id] = {
                "id": refund_id,
                "object": "refund",
                "amount": amount,
                "payment_intent": intent["id"],
                "metadata": given.get("metadata", {}),
                "status": self.refund_status,
            }
            self.tell("refund.created", self.refunds[refund_id])
            return self.refunds[refund_id]

    def finish_refund(self, refund_id: str, status: str) -> None:
        self.refunds[refund_id]["status"] = status
        self.tell("refund.updated", self.refunds[refund_id])

    def tell(self, kind: str, told: Json) -> None:
        """An event, kept, and sent to the webhook's address if there is one; a receiver that is away does not matter here."""
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "type": kind,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": json.loads(json.dumps(told))},
        }
        self.events.append(event)
        if self.webhook:
            threading.Thread(target=self._send, args=(event,), daemon=True).start()

    def _send(self, event: Json) -> None:
        body = json.dumps(event)
        for wait in (0.2, 1, 5):
            headers = {
                "Stripe-Signature": signature(body, secret=self.secret, at=int(time.time())),
                "Content-Type": "application/json",
            }
            try:
                if requests.post(self.webhook, data=body, headers=headers, timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(wait)


class _Handler(BaseHTTPRequestHandler):
    ledger: Ledger
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._serve(nested(parse_qsl(body, keep_blank_values=True)))

    def _serve(self, given: Json) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/pay/"):
            return self._page(path.removeprefix("/pay/"))
        try:
            status, answer = self._answered(path, given)
        except Refused as refused:
            status, answer = refused.status, {"error": {"type": refused.kind, "code": refused.code, "message": refused.code}}
        fault = self.ledger.faults.pop(0) if self.ledger.faults and self.command == "POST" else None
        if fault == 0:
            self.close_connection = True
            return None
        if fault is not None:
            status, answer = fault, {"error": {"type": "api_error", "message": "try again"}}
        return self._write(status, json.dumps(answer), "application/json")

    def _answered(self, path: str, given: Json) -> tuple[int, Json]:
        key = self.headers.get("Idempotency-Key") or ""
        self.ledger.requests.append((self.command, path, key))
        if self.headers.get("Authorization") != f"Bearer {self.ledger.key}":
            raise Refused(401, "api_key_invalid")
        if self.command == "GET" or not key:
            return 200, self._work(path, given)
        with self.ledger.lock:
            known = self.ledger.answered.get(key)
            if known is not None:
                if known[0] != {"path": path, **given}:
                    raise Refused(400, "idempotency_key_reused", kind="idempotency_error")
                return known[1], known[2]
            answer = self._work(path, given)
            self.ledger.answered[key] = ({"path": path, **given}, 200, dict(answer))
            return 200, answer

    def _work(self, path: str, given: Json) -> Json:
        parts = path.strip("/").split("/")
        match (self.command, *parts):
            case ("POST", "v1", "checkout", "sessions"):
                return self.ledger.create_session(given, f"http://{self.headers['Host']}")
            case ("POST", "v1", "refunds"):
                return self.ledger.create_refund(given)
            case ("GET", "v1", "checkout", "sessions", name) if name in self.ledger.sessions:
                return self.ledger.sessions[name]
            case ("POST", "v1", "checkout", "sessions", name, "expire") if name in self.ledger.sessions:
                return self.ledger.expire(self.ledger.sessions[name])
            case ("GET", "v1", "refunds", name) if name in self.ledger.refunds:
                return self.ledger.refunds[name]
        raise Refused(404, "resource_missing")

    def _page(self, session_id: str) -> None:
        session = self.ledger.sessions.get(session_id)
        if session is None or session["status"] != "open":
            return self._write(404, "This page is closed.", "text/plain")
        if self.command == "POST":
            self.ledger.pay(session_id)
            self.send_response(303)
            self.send_header("Location", session["success_url"])
            self.send_header("Content-Length", "0")
            return self.end_headers()
        amount = f"{session['amount_total'] / 100:.2f} {session['currency'].upper()}"
        return self._write(200, _PAY_PAGE.format(amount=amount, label=html.escape(session["label"])), "text/html; charset=utf-8")

    def _write(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Quiet."""


def handler(ledger: Ledger) -> type[BaseHTTPRequestHandler]:
    """What an HTTP server does with a request to `ledger`."""
    return type("Handler", (_Handler,), {"ledger": ledger})


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Stripe on this machine. No money moves.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", default="", help="where events go")
    parser.add_argument("--secret", default="whsec_test", help="what they are signed with")
    parser.add_argument("--key", default="sk_test_local", help="the only API key that is good")
    given = parser.parse_args()
    ledger = Ledger(webhook=given.webhook, secret=given.secret, key=given.key)
    ThreadingHTTPServer(("127.0.0.1", given.port), handler(ledger)).serve_forever()


if __name__ == "__main__":
    main()
