"""The live protocol `healthflow.v1` as text: what a client may say, what it is told, how a socket ends. Pure."""

import json
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn

SUBPROTOCOL = "healthflow.v1"
LONGEST_FRAME = 16 * 1024

_CALENDAR = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_CLINIC = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
_LAST_VERSION = 2**53


class Close(IntEnum):
    """Why the server ends a socket. Daphne passes only 1000 and 3000 to 4999."""

    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    AUTH_TIMEOUT = 4408
    TOO_SLOW = 4409
    TOO_LARGE = 4413
    TOO_MANY = 4429
    UNAVAILABLE = 4503


class Refused(Exception):
    """The socket must be closed with `close`."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.name)
        self.close = close


class Authenticate(NamedTuple):
    """`token` of staff or a program, or the `clinic` whose public calendars are asked for: one of the two."""

    token: str | None
    clinic: str | None


class Subscribe(NamedTuple):
    """`version` and `epoch`: the last one the client has, if it has any."""

    calendar: str
    version: int | None
    epoch: str | None


class Unsubscribe(NamedTuple):
    calendar: str


Message = Authenticate | Subscribe | Unsubscribe


def parse(text: str) -> Message:
    """What a client said. Fields we do not know are ignored. Raises Refused."""
    # A character is at least a byte: what is this long in characters need not be encoded to be counted.
    if len(text) > LONGEST_FRAME or len(text.encode("utf-8", "surrogatepass")) > LONGEST_FRAME:
        raise Refused(Close.TOO_LARGE)
    try:
        said = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refused(Close.BAD_MESSAGE) from None
    match said:
        case {"type": "auth", "token": str(token), **rest} if "clinic" not in rest:
            return Authenticate(token, None)
        case {"type": "auth", "clinic": str(clinic), **rest} if "token" not in rest and _CLINIC.fullmatch(clinic):
            return Authenticate(None, clinic)
        case {"type": "subscribe", "calendar": str(calendar), **rest} if _CALENDAR.fullmatch(calendar):
            return Subscribe(calendar, _version(rest.get("version")), _epoch(rest.get("epoch")))
        case {"type": "unsubscribe", "calendar": str(calendar)} if _CALENDAR.fullmatch(calendar):
            return Unsubscribe(calendar)
    raise Refused(Close.BAD_MESSAGE)


def ready(session: str, *, heartbeat_s: int) -> bytes:
    return _frame({"type": "ready", "session": session, "heartbeat_s": heartbeat_s})


def subscribed(calendar: str, *, epoch: str, version: int, recovered: bool) -> bytes:
    return _frame({"type": "subscribed", "calendar": calendar, "epoch": epoch, "version": version, "recovered": recovered})


def heartbeat(versions: Mapping[str, int]) -> bytes:
    return _frame({"type": "heartbeat", "versions": versions})


def error(code: str, *, calendar: str) -> bytes:
    return _frame({"type": "error", "code": code, "calendar": calendar})


def reconnect(*, after_ms: int) -> bytes:
    return _frame({"type": "reconnect", "after_ms": after_ms})


def _frame(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _version(value: object) -> int | None:
    # bool is an int to Python, not to JSON.
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST_VERSION):
        return value
    raise Refused(Close.BAD_MESSAGE)


def _epoch(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Refused(Close.BAD_MESSAGE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
