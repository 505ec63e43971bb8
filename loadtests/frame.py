"""What a load test does around its measurement: it ends by itself, and its page says where the numbers come from."""

import signal
import sys
import time
from datetime import UTC, datetime
from types import FrameType

from loadtests.target import Json, machine


def ends_within(seconds: int) -> None:
    """However it ends, told to or by time, it is an exception, so that what was started is taken down."""

    def stopped(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"This took longer than {seconds} s.")

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)


def about(name: str, *, began: float) -> Json:
    """What a result says of itself: the command, the day, the machine, and how long it took since `began` (monotonic)."""
    return {
        "command": " ".join([f"python -m loadtests.{name}", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "took_s": round(time.monotonic() - began),
    }


def heading(title: str, result: Json, *, size: str = "") -> list[str]:
    """The first lines of a page, from what `about` says; `size` is what else the numbers depend on."""
    facts = [result["date"], f"{result['took_s']} s", *(f"{name} {value}" for name, value in result["machine"].items())]
    facts += [size] if size else []
    return [f"# {title}", "", f"{', '.join(facts)}. Written by the command itself:", "", f"    {result['command']}", ""]
