"""Probes and metrics, the same three addresses on every process: /healthz (alive), /readyz (can work), /metrics."""

import json
import signal
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


def healthz(request: HttpRequest) -> HttpResponse:
    """Alive. Depends on nothing: a probe that asked the database would restart everything in its failover."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Can work: the database answers. Redis is advice and not asked."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return JsonResponse({"status": "no database"}, status=503)
    return JsonResponse({"status": "ok"})


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def urls() -> list[URLPattern]:
    return [path("healthz", healthz), path("readyz", readyz), path("metrics", metrics)]


def serve(port: int, ready: Callable[[], bool], *, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """The same addresses for a process without HTTP of its own, from a thread. Port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path in ("/healthz", "/readyz"):
                good = self.path == "/healthz" or ready()
                body = json.dumps({"status": "ok" if good else "not ready"}).encode()
                self._answer(200 if good else 503, body, "application/json")
            else:
                self._answer(404, b"{}", "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Probes are not news."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def run_until_told(run: Callable[[threading.Event, Callable[[], None]], None], *, port: int, beats_within_s: float) -> None:
    """Calls `run(stop, beat)`; SIGTERM and SIGINT set `stop`. /readyz on `port` is good while `beat` was called lately."""
    stop, last_beat = threading.Event(), float("-inf")

    def beat() -> None:
        nonlocal last_beat
        last_beat = time.monotonic()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = serve(port, lambda: time.monotonic() - last_beat < beats_within_s)
    run(stop, beat)
    server.shutdown()
