"""What the processes say: kept raw in bounded files, shown readable on the terminal."""

import json
from pathlib import Path

_LIMIT_BYTES = 10 * 1024 * 1024
_NAME_WIDTH = 9


class BoundedLog:
    """A file that grows to 10 MiB and then starts afresh, with the one before it kept as `<name>.1`."""

    def __init__(self, path: Path, *, limit: int = _LIMIT_BYTES) -> None:
        self._path, self._limit = path, limit
        self._file = path.open("ab", buffering=0)

    def write(self, chunk: bytes) -> None:
        if self._file.tell() + len(chunk) > self._limit:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(chunk)

    def close(self) -> None:
        self._file.close()


def readable(name: str, line: str) -> str:
    """One line of process `name` for a person: a JSON object becomes time, level, message and key=value pairs."""
    entry = _entry(line)
    if entry is None:
        return f"{'':8} {'':7} {name:{_NAME_WIDTH}} {_printable(line)}"
    time = str(entry.pop("time", ""))[11:19]
    level = str(entry.pop("level", "")).lower()
    message = _printable(str(entry.pop("message", "")))
    rest = (f"{key}={_printable(_value(value))}" for key, value in entry.items())
    return " ".join((f"{time:8} {level:7} {name:{_NAME_WIDTH}}", message, *rest)).rstrip()


def _entry(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _value(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)


def _printable(text: str) -> str:
    # What a client sent can end up in a line; escape sequences must not reach the terminal.
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
