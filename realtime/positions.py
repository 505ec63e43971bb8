"""Where a calendar stands according to Redis: its last version and its last events.

The names and shapes are told at the head of the engine's relay, which writes them; here they are read:

    live:epoch · live:head:<calendar> · live:log:<calendar>
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

EPOCH = "live:epoch"

Audience = Literal["staff", "public"]


class Position(NamedTuple):
    """What Redis says of a calendar: its last version, and the events after the version that was asked for."""

    epoch: str
    clinic: str
    version: int
    events: list[tuple[int, bytes]]

    def holds_all_after(self, version: int) -> bool:
        """Whether who has `version` of this history can go on from it, with `events` and nothing else."""
        missing = [number for number, _ in self.events if number > version]
        return version <= self.version and missing == list(range(version + 1, self.version + 1))


def ask(pipeline: Any, calendar: str, *, after: int | None) -> None:
    """Puts the commands that `position` understands the answers of into a pipeline: three."""
    pipeline.get(EPOCH)
    pipeline.get(f"live:head:{calendar}")
    # From "+" on there is nothing: without a version to go on from the events are of no use.
    pipeline.xrange(f"live:log:{calendar}", min="+" if after is None else f"{after + 1}-0", max="+")


def position(answer: Sequence[Any], audience: Audience) -> Position | None:
    """What the three answers say; None when there is no epoch or no such calendar."""
    epoch, head, entries = answer
    if epoch is None or head is None:
        return None
    clinic, version = head_of(head)
    events = [(int(number.partition(b"-")[0]), fields[audience.encode()]) for number, fields in entries]
    # The log was read after the head, and may know more.
    return Position(epoch.decode(), clinic, max([version, *(number for number, _ in events[-1:])]), events)


def head_of(head: bytes) -> tuple[str, int]:
    """Clinic and last version."""
    clinic, _, version = head.decode().rpartition(" ")
    return clinic, int(version)
