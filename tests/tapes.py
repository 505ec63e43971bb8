"""Tapes: what a screen hears and is answered, and what it must know after each frame. Two players, one set of tapes.

    {"about", "calendar", "snapshot": the answer that the screen begins with,
     "steps": [{"frame": what the connection says, or {"type": "lost"},
                "answers": [{"to": "snapshot" | "changes 41", "answer": what the API says, or {"code": "version_gone"},
                             "meanwhile": [frames that come before the answer]}],
                "expect": {"version", "epoch", "current", "visits": in order of id, "open"}}]}

Nothing but what has an answer may be asked for, and all that has one must be.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.reducer import Gone, Viewer

FOLDER = Path(__file__).parent / "data/tapes"
TAPES: dict[str, list[dict[str, Any]]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def beginning(tape: dict[str, Any]) -> dict[str, Any]:
    """The step before the first: a subscription without a past, and the snapshot."""
    start = tape["snapshot"]
    frame = {"type": "subscribed", "calendar": tape["calendar"], "epoch": start["epoch"], "version": start["version"]}
    return {"frame": frame | {"recovered": False}, "answers": [{"to": "snapshot", "answer": start}]}


def play(tape: dict[str, Any]) -> list[dict[str, Any]]:
    """What tests/reducer.py knows after each step."""
    answers: list[dict[str, Any]] = []

    def ask(what: str) -> dict[str, Any]:
        assert answers, f"asked for {what}"
        answer = answers.pop(0)
        assert answer["to"] == what
        for frame in answer.get("meanwhile", ()):
            viewer.receive(frame)
        if "code" in answer["answer"]:
            raise Gone
        return dict(answer["answer"])

    viewer = Viewer(tape["calendar"], ask)
    known = []
    for step in (beginning(tape), *tape["steps"]):
        answers.extend(step.get("answers", ()))
        viewer.receive(step["frame"])
        assert not answers, f"did not ask for {answers[0]['to']}"
        known.append(state(viewer))
    return known[1:]


def state(viewer: Viewer) -> dict[str, Any]:
    """As a tape says it."""
    screen = viewer.screen
    visits = sorted(screen.visits.values(), key=lambda visit: str(visit["id"]))
    return {"version": screen.version, "epoch": viewer.epoch, "current": viewer.current, "visits": visits, "open": screen.open}


def expected(tape: dict[str, Any]) -> list[dict[str, Any]]:
    return [step["expect"] for step in tape["steps"]]


def written(tapes: Iterable[dict[str, Any]]) -> str:
    """Tapes as they lie in their file: a frame, an answer, a state a line."""

    def line(value: object) -> str:
        return json.dumps(value, separators=(", ", ": "))

    def step(one: dict[str, Any]) -> str:
        answers = ",\n".join(f"          {line(answer)}" for answer in one.get("answers", ()))
        parts = [f'        "frame": {line(one["frame"])}', f'        "expect": {line(one["expect"])}']
        if answers:
            parts.insert(1, f'        "answers": [\n{answers}\n        ]')
        return "      {\n" + ",\n".join(parts) + "\n      }"

    def whole(tape: dict[str, Any]) -> str:
        head = "".join(f'    "{name}": {line(tape[name])},\n' for name in ("about", "calendar", "snapshot"))
        return "  {\n" + head + '    "steps": [\n' + ",\n".join(map(step, tape["steps"])) + "\n    ]\n  }"

    return "[\n" + ",\n".join(map(whole, tapes)) + "\n]\n"
