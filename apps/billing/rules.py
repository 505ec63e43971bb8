"""What a fact of the engine costs: the price list, the fees, and the code that a payer reads. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

OFFICE = "11"
"""Place of service of a visit in person. A telehealth visit is at the patient's home (10) or elsewhere (02)."""
# By video, and by sound alone.
_TELEHEALTH = {"video": "95", "phone": "93"}


class Reason(StrEnum):
    """Why a patient is charged; an appointment has at most one charge for each."""

    VISIT = "visit"
    LATE_CANCEL = "late_cancel"
    NO_SHOW = "no_show"


@dataclass(frozen=True, slots=True)
class Fees:
    """A clinic's policy: amounts in minor units, 0 charges nothing. A patient cancels in time up to `notice` before the start."""

    currency: str
    late_cancel: int
    notice: timedelta
    no_show: int


@dataclass(frozen=True, slots=True)
class Service:
    """The CPT or HCPCS code of a visit, its modifiers, and where it took place (CMS place of service)."""

    code: str
    modifiers: tuple[str, ...]
    place: str


def late_cancel_fee(fees: Fees | None, *, start: datetime, cancelled: datetime, by: str) -> int:
    """What the patient owes for cancelling; 0 for the clinic's own cancellations, and for those in time."""
    if fees is None or by != "patient" or start - cancelled >= fees.notice:
        return 0
    return fees.late_cancel


def service(code: str, *, modifiers: tuple[str, ...], modality: str, telehealth_place: str) -> Service:
    """A visit's service by its modality (`in_person`, `video`, `phone`): telehealth takes a modifier and another place."""
    added = _TELEHEALTH.get(modality)
    if added is None:
        return Service(code, modifiers, OFFICE)
    return Service(code, (*(m for m in modifiers if m != added), added), telehealth_place)
