"""Is it well? One question for every kind of process, asked by the supervisor and by `status` alike."""

import http.client
import socket
from urllib.parse import urlsplit

import psycopg2


def answers(address: str, *, timeout_s: float = 2.0) -> bool:
    """Whether `address` takes work now.

    `http://…` must answer 200, `postgresql://…` must let us in, `redis://:password@…` must answer PING.
    """
    match urlsplit(address).scheme:
        case "http":
            return _http(address, timeout_s=timeout_s)
        case "postgresql":
            return _postgresql(address, timeout_s=timeout_s)
        case "redis":
            return _redis(address, timeout_s=timeout_s)
    raise ValueError("a probe is an http, postgresql or redis address")


def _http(address: str, *, timeout_s: float) -> bool:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _postgresql(address: str, *, timeout_s: float) -> bool:
    try:
        # libpq rounds below 2 s up to 2 s.
        psycopg2.connect(address, connect_timeout=max(2, round(timeout_s))).close()
    except psycopg2.OperationalError:
        return False
    return True


def _redis(address: str, *, timeout_s: float) -> bool:
    # By hand: importing the client library takes longer than the server needs to start.
    parts = urlsplit(address)
    try:
        connection = socket.create_connection((parts.hostname or "", parts.port or 6379), timeout_s)
        with connection, connection.makefile("rb") as answers:
            connection.sendall(f"AUTH {parts.password}\r\nPING\r\n".encode())
            return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
    except OSError:
        return False
