"""Pictures of calendars: snapshots as the bytes that go out, kept in the process under what they were made of.

Whatever changes how a calendar looks takes its next version in the same transaction, so within a range a picture is good as long
as the calendar stands where it stood. The statement that would read the rows is told which stands are known here, and reads the
other calendars only: all are of one moment, and nothing is ever invalidated. In memory alone, for ids of patients are in it.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from apps.kernel.api import as_json
from engine import answers, snapshots
from engine.kept import Kept
from engine.scheduling.intervals import Interval

_ROOM = 32 * 2**20
# What a key, a picture's other fields and their places take, beside its bytes.
_WEIGHT = 1000
_CLINICS_KEPT = 5_000


class Picture(NamedTuple):
    """How a calendar looks; `patients` says how many of its visits name one."""

    stand: str
    calendar: UUID
    epoch: str
    version: int
    patients: int
    body: bytes


_pictures = Kept[Picture](_ROOM, weigh=lambda picture: len(picture.body) + _WEIGHT)
# Which calendars a clinic showed last: a guess at those that will be asked for.
_shown = Kept[tuple[UUID, ...]](_CLINICS_KEPT)


def picture(uid: UUID | None, within: Interval, *, clinic: str, joins: bool) -> Picture:
    """How a calendar of this clinic looks now, between two instants. Raises NotFound."""
    return pictures([uid], within, clinic=clinic, joins=joins)[0]


def pictures(uids: Sequence[UUID | None] | None, within: Interval, *, clinic: str, joins: bool) -> list[Picture]:
    """The same for several calendars at one moment, as `snapshots`; `joins` is for who may enter video rooms."""
    likely = (_shown.get(clinic) or ()) if uids is None else uids
    kept = [_pictures.get((uid, within, joins)) for uid in likely]
    known = {one.stand: one for one in kept if one is not None}
    found = snapshots.snapshots(uids, within, clinic=clinic, known=known, see=partial(_drawn, joins=joins))
    for one in found:
        if one.stand not in known:
            _pictures.put((one.calendar, within, joins), one)
    if uids is None:
        _shown.put(clinic, tuple(one.calendar for one in found))
    return found


def forget() -> None:
    """Forgets all pictures."""
    _pictures.clear()


def _drawn(found: snapshots.Snapshot, *, joins: bool) -> Picture:
    return Picture(
        stand=found.stand,
        calendar=found.calendar.uid,
        epoch=found.epoch,
        version=found.version,
        patients=sum(a.patient_id is not None for a in found.appointments),
        body=as_json(answers.snapshot(found, joins=joins)).content,
    )
