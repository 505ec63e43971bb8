"""Reads somebody else's calendar file in a process of its own, which has so much time and memory and no more.

`ics.py` bounds what can be seen in a file. A rule or a zone can still keep the libraries busy for hours, and what they keep of one
file's zones would be true for the next file too. So nothing of a file is read where others are served.
"""

import json
import logging
import resource
import subprocess
import sys
from datetime import date, time
from pathlib import Path
from typing import Any

from apps.kernel.problems import ValidationFailed
from engine import ics
from engine.ics import Busy, BusyTimes, Refusal, Week
from engine.scheduling.hours import OpeningHours
from engine.scheduling.intervals import Interval

log = logging.getLogger(__name__)

_CPU_S, _WALL_S, _MEMORY = 5, 20, 1024**3
_ROOT = Path(__file__).parents[1]
_TOO_MUCH = "This is too much for one file; export a shorter time."


def busy_times(text: str, zone: str, now: int) -> BusyTimes:
    """What `ics.busy_times` says. Raises ValidationFailed, also for a file that takes too long."""
    told = _ask({"as": "busy", "text": text, "zone": zone, "on": now})
    busy = [Busy(source_id, Interval(start, end)) for source_id, start, end in told["found"]]
    return BusyTimes(busy, set(told["events"]), [Refusal(*one) for one in told["refused"]])


def weekly_hours(text: str, zone: str, today: date) -> Week:
    """What `ics.weekly_hours` says. Raises ValidationFailed, also for a file that takes too long."""
    told = _ask({"as": "hours", "text": text, "zone": zone, "on": today.toordinal()})
    return Week([_rule(one) for one in told["found"]], [Refusal(*one) for one in told["refused"]])


def _rule(told: list[Any]) -> OpeningHours:
    weekday, opens, closes, *days = told
    since, until = (date.fromisoformat(day) if day else None for day in days)
    return OpeningHours(weekday, time.fromisoformat(opens), time.fromisoformat(closes), since, until)


def _ask(question: dict[str, Any]) -> dict[str, Any]:
    reader = (sys.executable, "-m", __name__)
    try:
        # Nothing of our environment: it has keys, and the reader needs none.
        ended = subprocess.run(  # noqa: S603 - our own program, and what is somebody else's goes to its input
            reader, input=json.dumps(question), capture_output=True, text=True, timeout=_WALL_S, cwd=_ROOT, env={}, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValidationFailed(_TOO_MUCH, param="ics") from None
    if ended.returncode != 0:  # what it said of it may quote the file, so nobody reads that
        log.warning("a calendar file was given up: the reader ended with %s", ended.returncode)
        raise ValidationFailed(_TOO_MUCH, param="ics")
    answer: dict[str, Any] = json.loads(ended.stdout)
    if problem := answer.get("problem"):
        raise ValidationFailed(problem, param="ics")
    return answer


# --- in the other process -----------------------------------------------------------------------------------------------


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    text, zone, on = question["text"], question["zone"], question["on"]
    try:
        if question["as"] == "busy":
            times = ics.busy_times(text, zone, on)
            found = [(one.source_id, *one.during) for one in times.busy]
            return {"found": found, "events": sorted(times.events), "refused": times.refused}
        week = ics.weekly_hours(text, zone, date.fromordinal(on))
    except ValidationFailed as refused:
        return {"problem": refused.detail}
    rules = [(r.weekday, r.opens, r.closes, r.valid_from, r.valid_until) for r in week.hours]
    return {"found": rules, "refused": week.refused}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    json.dump(_answer(json.load(sys.stdin)), sys.stdout, default=lambda value: value.isoformat())
