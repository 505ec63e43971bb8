"""Who does not want to hear from us, by patient and channel; and the links that say so."""

from collections.abc import Iterable

from django.conf import settings
from django.core.signing import BadSignature, Signer

from apps.kernel.problems import NotFound
from apps.notifications.models import OptOut

_SALT = "unsubscribe"


def stop(patients: Iterable[str], channel: str) -> None:
    """Twice is the same as once."""
    OptOut.objects.bulk_create([OptOut(patient=one, channel=channel) for one in patients], ignore_conflicts=True)


def start(patients: Iterable[str], channel: str) -> None:
    OptOut.objects.filter(patient__in=list(patients), channel=channel).delete()


def stops(patient: str, *, channel: str, kind: str) -> bool:
    """Whether this patient is not told this way: by SMS nothing after a STOP, by email no reminders and offers."""
    if channel == "email" and kind not in ("reminder", "waitlist_offer"):
        return False
    return OptOut.objects.filter(patient=patient, channel=channel).exists()


def merge(old: str, new: str) -> None:
    """Two patients are one: what either did not want, the one does not. Should that be undone, the first still does not."""
    channels = list(OptOut.objects.filter(patient=old).values_list("channel", flat=True))
    for channel in channels:
        stop([new], channel)


def forget(patient: str) -> None:
    OptOut.objects.filter(patient=patient).delete()


def link(patient: str) -> str:
    """The address that ends reminders by email; it names the patient by an id that means nothing elsewhere, and is signed."""
    return f"{settings.ENV.public_url}/api/notifications/v1/unsubscribe/{Signer(salt=_SALT).sign(patient)}"


def patient_of(token: str) -> str:
    """Whose link it is. Raises NotFound."""
    try:
        return Signer(salt=_SALT).unsign(token)
    except BadSignature:
        raise NotFound() from None
