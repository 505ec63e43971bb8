"""Stands in for a project's process: says on every path who answered and what it was sent.

`upstream.py <name> <port>`. GET /readyz answers 200, but 503 after /close and until /open; /crash ends the process with
status 1, /spawn starts a child that holds the standard output and answers its pid. With `Upgrade: websocket` it echoes.
"""

import http
import json
import os
import subprocess
import sys
import threading

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

ready = threading.Event()
ready.set()


def answer(_connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/crash":
        os._exit(1)
    if request.headers.get("Upgrade") == "websocket":
        return None
    if request.path in ("/close", "/open"):
        ready.set() if request.path == "/open" else ready.clear()
    child = subprocess.Popen(["sleep", "600"]).pid if request.path == "/spawn" else None
    headers = [[name.lower(), value] for name, value in request.headers.raw_items()]
    told = {"name": sys.argv[1], "path": request.path, "headers": headers, "pid": os.getpid(), "child": child}
    body = json.dumps(told).encode()
    status = http.HTTPStatus.OK if ready.is_set() or request.path != "/readyz" else http.HTTPStatus.SERVICE_UNAVAILABLE
    return Response(status, status.phrase, Headers({"Content-Length": str(len(body)), "Connection": "close"}), body)


def echo(connection: ServerConnection) -> None:
    for frame in connection:
        connection.send(f"{sys.argv[1]}: {frame!s}")


if __name__ == "__main__":
    print(json.dumps({"time": "2026-01-02T03:04:05.000+00:00", "level": "info", "message": "listening"}), flush=True)
    with serve(echo, "127.0.0.1", int(sys.argv[2]), process_request=answer) as server:
        server.serve_forever()
