"""How a clinic wants its patients to be told."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time

from apps.notifications.models import Policy
from apps.notifications.timing import Quiet


@dataclass(frozen=True, slots=True)
class Rules:
    """A clinic's policy. `reminders` in minutes before the visit; `channels` in which everything is sent."""

    reminders: tuple[int, ...]
    quiet: Quiet
    channels: tuple[str, ...]
    reply_to: str


def of(clinics: Iterable[str]) -> dict[str, Rules]:
    """The policies of these clinics; the defaults where a clinic has none."""
    known = {row.clinic: row for row in Policy.objects.filter(clinic__in=list(clinics))}
    return {clinic: as_rules(known.get(clinic) or Policy(clinic=clinic)) for clinic in clinics}


def as_rules(row: Policy) -> Rules:
    return Rules(tuple(row.reminders), Quiet(row.quiet_begins, row.quiet_ends), tuple(row.channels), row.reply_to)


def put(clinic: str, *, reminders: list[int], quiet: tuple[time, time], channels: list[str], reply_to: str) -> Rules:
    """Replaces the policy of a clinic."""
    row, _ = Policy.objects.update_or_create(
        clinic=clinic,
        defaults={
            "reminders": sorted(set(reminders), reverse=True),
            "quiet_begins": quiet[0],
            "quiet_ends": quiet[1],
            "channels": sorted(set(channels)),
            "reply_to": reply_to,
        },
    )
    return as_rules(row)
