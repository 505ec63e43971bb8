"""The manifest, the files it names, and their lines."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from engine.smart_scheduling.facts import Refused

LONGEST_LINE = 256 * 1024
"""In bytes. The longest line seen from a publisher has 2 kB."""


class BadPublication(Exception):
    """There is no manifest, or it is not one. The text says what is wrong."""


class Line(NamedTuple):
    """Where a line is: the file's path below the manifest's folder and the line's number, from 1, as an editor counts."""

    file: str
    number: int


class File(NamedTuple):
    """A file that the manifest names and that is there; `kind` is the FHIR resource type it is said to hold."""

    kind: str
    folder: Path
    name: str


class Publication(NamedTuple):
    """What a manifest names: the files that are there, and the names of those that are not."""

    files: list[File]
    missing: list[str]


def open_publication(path: Path) -> Publication:
    """Finds what the manifest at `path`, or in the folder `path`, names. Raises BadPublication."""
    manifest = path / "manifest.json" if path.is_dir() else path
    try:
        output = json.loads(manifest.read_bytes())["output"]
        named = list(dict.fromkeys((str(entry["type"]), _tail(str(entry["url"]))) for entry in output))
    except OSError as error:
        raise BadPublication(f"{manifest}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadPublication(f"{manifest} is no manifest: it lists no output with type and url") from error
    files, missing = dict[File, None](), []
    for kind, tail in named:
        found = _find(manifest.parent, tail)
        if found is not None:
            files[File(kind, manifest.parent, found)] = None
        else:
            missing.append(_shortest(tail, among=[other for _, other in named]))
    return Publication(list(files), missing)


def _tail(url: str) -> tuple[str, ...]:
    return tuple(part for part in urlsplit(url).path.split("/") if part not in ("", ".", ".."))


def _find(folder: Path, tail: tuple[str, ...]) -> str | None:
    """The file of a URL: its last parts as folders or joined by dashes, as many of them as name one."""
    for first in range(len(tail)):
        for name in ("/".join(tail[first:]), "-".join(tail[first:])):
            # Unlike Path.is_file this takes any text, too long a name or a NUL included.
            if os.path.isfile(f"{folder}/{name}"):
                return name
    return None


def _shortest(tail: tuple[str, ...], *, among: list[tuple[str, ...]]) -> str:
    """As few last parts of the URL as no other shares, joined as file names are."""
    for length in range(1, len(tail)):
        if sum(other[-length:] == tail[-length:] for other in among) == 1:
            return "-".join(tail[-length:])
    return "-".join(tail)


def read_lines(file: File) -> Iterator[tuple[Line, dict[str, Any] | Refused]]:
    """Every line that is not blank, as a JSON object of the file's kind or the reason why it is none."""
    with (file.folder / file.name).open("rb") as stream:
        number = 0
        while text := stream.readline(LONGEST_LINE + 1):
            number += 1
            whole = text.endswith(b"\n") or len(text) <= LONGEST_LINE
            while not text.endswith(b"\n") and (rest := stream.readline(LONGEST_LINE)):
                text = rest
            if whole and not text.strip():
                continue
            try:
                yield Line(file.name, number), _record(text, whole=whole, kind=file.kind)
            except Refused as refused:
                yield Line(file.name, number), refused


def _record(text: bytes, *, whole: bool, kind: str) -> dict[str, Any]:
    if not whole:
        raise Refused(f"is longer than {LONGEST_LINE} bytes")
    try:
        record = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Refused("is not JSON") from None
    if not isinstance(record, dict):
        raise Refused("is not a JSON object")
    if record.get("resourceType") != kind:
        raise Refused(f"resourceType is not {kind}, which the manifest says this file holds")
    return record
