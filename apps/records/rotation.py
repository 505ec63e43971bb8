"""New versions of a clinic's keys while reads and writes go on, and the end of old ones.

    rotate        a new KEK, a new version of the clinic's secret, every patient's key wrapped anew
    (back up the key tables: records_clinickey, records_patientkey)
    destroy_old   the old KEKs are destroyed: the key tables of older backups cannot be unwrapped any more

After `destroy_old` a patient whose key was destroyed before is in no backup that can be read: the old copies of that key are
wrapped by keys that are gone, and the new copies of the key tables do not hold it. Everybody else's data is read from any backup
of the data with the present key tables: patients' keys stay, only their wrapping is new.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from apps.records.keys import Keyring, unavailable
from apps.records.kms import KmsError
from apps.records.models import ClinicKey, PatientKey

_BATCH = 500


def clinics() -> list[str]:
    """All clinics that have keys."""
    return list(ClinicKey.objects.order_by("clinic").values_list("clinic", flat=True).distinct())


def shredded() -> list[str]:
    """Clinics in which a patient's key was destroyed that older backups still give back: a version from before is alive."""
    before = ClinicKey.objects.filter(
        clinic=OuterRef("clinic"), destroyed_at__isnull=True, created_at__lte=OuterRef("destroyed_at")
    )
    destroyed = PatientKey.objects.filter(Exists(before), wrapped__isnull=True)
    return list(destroyed.order_by("clinic").values_list("clinic", flat=True).distinct())


def rotate(keyring: Keyring, *, clinic: str) -> tuple[int, int]:
    """Makes a new version and wraps all keys of the clinic with it; the version, and how many keys. Raises Unavailable.

    Safe to run twice, also at the same time, and after one that was broken off.
    """
    secret = keyring.newest(clinic).next()
    keyring.add(secret)
    return secret.version, rewrap(keyring, clinic=clinic)


def rewrap(keyring: Keyring, *, clinic: str) -> int:
    """Wraps with the newest version what is wrapped with older ones; how many keys. Raises Unavailable."""
    done = 0
    while count := _rewrap_batch(keyring, clinic):
        done += count
    return done


def destroy_old(keyring: Keyring, *, clinic: str) -> list[int]:
    """Destroys all versions but the newest, for ever; which. Raises Unavailable; then run it again."""
    newest = keyring.newest(clinic).version
    with transaction.atomic():
        # Waits for the transactions that made keys under these versions; from here on everybody takes a newer one.
        old = list(_old(clinic, newest).order_by("version").select_for_update())
    rewrap(keyring, clinic=clinic)
    for key in old:
        try:
            keyring.kms.destroy(clinic, kek=key.kek)
        except KmsError as failed:
            raise unavailable(failed) from None
        ClinicKey.objects.filter(clinic=clinic, version=key.version).update(wrapped=None, destroyed_at=Now())
    keyring.forget(clinic)
    return [key.version for key in old]


def _old(clinic: str, newest: int) -> QuerySet[ClinicKey]:
    return ClinicKey.objects.filter(clinic=clinic, version__lt=newest, destroyed_at__isnull=True)


def _rewrap_batch(keyring: Keyring, clinic: str) -> int:
    with transaction.atomic():
        newest = keyring.lasting(clinic)
        behind = PatientKey.objects.filter(clinic=clinic, version__lt=newest.version, wrapped__isnull=False)
        batch = list(behind.order_by("patient").select_for_update(no_key=True)[:_BATCH])
        for key in batch:
            old = keyring.secret(clinic, key.version)
            key.wrapped = old.rewrap(key.wrapped or b"", patient=key.patient, to=newest)
            key.version = newest.version
        PatientKey.objects.bulk_update(batch, ["wrapped", "version"])
    return len(batch)
