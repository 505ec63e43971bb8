"""The keys of patients: made, found, destroyed. Rotation is in `rotation.py`.

Only clinic secrets are remembered, for five minutes: a patient's key is read from its row each time (one query a page) and
unwrapped here in microseconds, so that a destroyed key is gone in all processes at once. The key service is asked once for each
clinic, version and process in five minutes, also inside the caller's transaction; it answers or fails within seconds.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.kernel.problems import NotFound, Unavailable
from apps.records import kms
from apps.records.encryption import Cipher, ClinicSecret
from apps.records.models import BlindIndex, ClinicKey, PatientKey
from apps.records.settings import ENV

_REMEMBERED_S = 300.0
_REMEMBERED = 1_000
# FOR SHARE until the caller's transaction ends: who destroys old versions waits for the keys that are made under them.
_LASTING = "SELECT version, wrapped IS NOT NULL FROM records_clinickey WHERE clinic = %s ORDER BY version DESC LIMIT 1 FOR SHARE"

log = logging.getLogger(__name__)


class Keyring:
    """The keys, by way of one key service. Safe for threads. All methods raise Unavailable when that is asked and does not help."""

    def __init__(self, service: kms.Kms) -> None:
        self.kms = service
        self._secrets: OrderedDict[tuple[str, int], tuple[ClinicSecret, float]] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, patient: UUID, *, clinic: str) -> Cipher:
        """A key for a new patient, written in the caller's transaction. The clinic's first patient makes the clinic's own keys.

        Raises IntegrityError when the patient has a key, or had one.
        """
        with transaction.atomic():
            secret = self.lasting(clinic)
            wrapped = secret.new_key(patient)
            PatientKey.objects.create(patient=patient, clinic=clinic, version=secret.version, wrapped=wrapped)
        return secret.cipher(wrapped, patient=patient)

    def of(self, patient: UUID, *, clinic: str) -> Cipher:
        """The patient's key. Raises NotFound when there is none in this clinic, or it was destroyed."""
        try:
            return self.of_many([patient], clinic=clinic)[patient]
        except KeyError:
            raise NotFound("No such patient.") from None

    def of_many(self, patients: Iterable[UUID], *, clinic: str) -> dict[UUID, Cipher]:
        """The keys of these patients in one query; those without a key in this clinic are left out."""
        wanted = list(patients)
        try:
            return self._read(wanted, clinic)
        except (kms.KmsRefused, ClinicKey.DoesNotExist):
            # A rotation may have ended between reading a key's row and asking for its version. Now the row says another one.
            log.info("patient_keys_read_again")
        try:
            return self._read(wanted, clinic)
        except ClinicKey.DoesNotExist:
            raise Unavailable("The keys of this clinic are not here.") from None
        except kms.KmsRefused as refused:
            raise unavailable(refused) from None

    def destroy(self, patient: UUID, *, clinic: str) -> bool:
        """Destroys the patient's key and index terms in the caller's transaction; whether there was a key.

        From the commit on nothing of the patient in this database can be read. For backups see `rotation.py`.
        """
        with transaction.atomic():
            BlindIndex.objects.filter(patient=patient, clinic=clinic).delete()
            living = PatientKey.objects.filter(patient=patient, clinic=clinic, wrapped__isnull=False)
            return living.update(wrapped=None, destroyed_at=Now()) == 1

    def newest(self, clinic: str) -> ClinicSecret:
        """The clinic's secret in its newest version, for index terms; made when there is none."""
        version = _living(clinic).order_by("-version").values_list("version", flat=True).first()
        if version is not None:
            try:
                return self.secret(clinic, version)
            except (kms.KmsRefused, ClinicKey.DoesNotExist):
                log.info("clinic_secret_read_again")  # a rotation may have ended meanwhile
        with transaction.atomic():
            return self.lasting(clinic)

    def lasting(self, clinic: str) -> ClinicSecret:
        """The same, and nobody destroys that version before the caller's transaction has ended: what it wraps is wrapped well."""
        while True:
            with connection.cursor() as cursor:
                cursor.execute(_LASTING, [clinic])
                row = cursor.fetchone()
            if row is None:
                self.add(ClinicSecret.first(clinic))
            elif row[1]:  # else a rotation ended while we waited for the row, and there is a newer one
                try:
                    return self.secret(clinic, row[0])
                except kms.KmsRefused as refused:
                    raise unavailable(refused) from None

    def secret(self, clinic: str, version: int) -> ClinicSecret:
        """One version of the clinic's secret. Raises KmsRefused, and DoesNotExist when it is not here or destroyed."""
        with self._lock:
            found = self._secrets.get((clinic, version))
        if found is not None and found[1] > time.monotonic():
            return found[0]
        row = _living(clinic).get(version=version)
        try:
            packed = self.kms.unwrap(bytes(row.wrapped or b""), clinic=clinic, kek=row.kek)
        except kms.KmsDown as down:
            raise unavailable(down) from None
        return self._remember(ClinicSecret.unpacked(packed, clinic=clinic, version=version))

    def forget(self, clinic: str) -> None:
        """Forgets what is remembered of the clinic."""
        with self._lock:
            for known in [known for known in self._secrets if known[0] == clinic]:
                del self._secrets[known]

    def _remember(self, secret: ClinicSecret) -> ClinicSecret:
        with self._lock:
            self._secrets.pop((secret.clinic, secret.version), None)
            self._secrets[secret.clinic, secret.version] = (secret, time.monotonic() + _REMEMBERED_S)
            if len(self._secrets) > _REMEMBERED:
                self._secrets.popitem(last=False)
        return secret

    def _read(self, patients: list[UUID], clinic: str) -> dict[UUID, Cipher]:
        rows = PatientKey.objects.filter(patient__in=patients, clinic=clinic, wrapped__isnull=False)
        return {row.patient: self.secret(clinic, row.version).cipher(row.wrapped or b"", patient=row.patient) for row in rows}

    def add(self, secret: ClinicSecret) -> None:
        """Writes a new version, wrapped by a new key in the key service; nothing when another process was first."""
        try:
            kek = self.kms.create(secret.clinic)
            wrapped = self.kms.wrap(secret.packed(), clinic=secret.clinic, kek=kek)
        except kms.KmsError as failed:
            raise unavailable(failed) from None
        row = ClinicKey(clinic=secret.clinic, version=secret.version, kek=kek, wrapped=wrapped)
        ClinicKey.objects.bulk_create([row], ignore_conflicts=True)


def _living(clinic: str) -> QuerySet[ClinicKey]:
    return ClinicKey.objects.filter(clinic=clinic, wrapped__isnull=False)


def unavailable(failed: kms.KmsError) -> Unavailable:
    log.error("key_service_failed", extra={"error": f"{type(failed).__name__}: {failed}"})
    return Unavailable("The keys of patient records cannot be reached at the moment.", retry_after=5)


@cache
def keyring() -> Keyring:
    """This process's keyring."""
    return Keyring(kms.connect(ENV.kms_url.get_secret_value(), token=ENV.kms_token.get_secret_value()))
