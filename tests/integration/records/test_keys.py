"""Patients' keys in the database: found, refused, destroyed, rotated under readers, and gone from backups."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from apps.kernel.ids import new_id
from apps.kernel.problems import NotFound, Unavailable
from apps.records import kms, rotation
from apps.records.encryption import Cipher, SealBroken
from apps.records.keys import Keyring
from apps.records.kms import KeyFile
from apps.records.models import BlindIndex, ClinicKey, PatientKey
from apps.records.search import index

pytestmark = pytest.mark.django_db(transaction=True)
Result = TypeVar("Result")
TABLES = ("records_clinickey", "records_patientkey")


class Counted(KeyFile):
    """A key file that counts how often it is asked to unwrap, and can be away."""

    asked = 0
    away = False

    def unwrap(self, wrapped: bytes, *, clinic: str, kek: str) -> bytes:
        self.asked += 1
        if self.away:
            raise kms.KmsDown("away")
        return super().unwrap(wrapped, clinic=clinic, kek=kek)


def seal(cipher: Cipher, text: str = "Ada") -> bytes:
    return cipher.seal_bytes(text.encode(), table="patient", row=cipher.patient, column="name")


def name(cipher: Cipher, sealed: bytes) -> str:
    return cipher.unseal_bytes(sealed, table="patient", row=cipher.patient, column="name").decode()


def backup() -> dict[str, str]:
    """The key tables as text."""
    with connection.cursor() as cursor:
        rows = {}
        for table in TABLES:
            cursor.execute(f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} AS t")
            rows[table] = cursor.fetchone()[0]
    return rows


def restore(rows: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        for table, content in rows.items():
            cursor.execute(f"TRUNCATE {table}")
            cursor.execute(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)", [content])


def test_another_process_finds_the_same_key(keyring: Keyring, key_file: KeyFile) -> None:
    patient = new_id()
    sealed = seal(keyring.make(patient, clinic="demo"))
    assert name(Keyring(key_file).of(patient, clinic="demo"), sealed) == "Ada"


def test_another_clinics_patient_is_not_found(keyring: Keyring) -> None:
    patient = new_id()
    keyring.make(patient, clinic="demo")
    with pytest.raises(NotFound):
        keyring.of(patient, clinic="other")
    assert keyring.of_many([patient], clinic="other") == {}


def test_a_key_that_was_moved_to_another_patient_does_not_open(keyring: Keyring) -> None:
    mine, theirs = new_id(), new_id()
    for patient in (mine, theirs):
        keyring.make(patient, clinic="demo")
    PatientKey.objects.filter(patient=mine).update(wrapped=PatientKey.objects.get(patient=theirs).wrapped)
    with pytest.raises(SealBroken):
        keyring.of(mine, clinic="demo")


def test_a_page_of_patients_is_one_query_and_one_question_to_the_key_service(
    tmp_path: Path, django_assert_num_queries: object
) -> None:
    patients = [new_id() for _ in range(50)]
    writer = Keyring(KeyFile(tmp_path / "kms.json"))
    for patient in patients:
        writer.make(patient, clinic="demo")
    service = Counted(tmp_path / "kms.json")
    reader = Keyring(service)
    assert reader.of_many(patients, clinic="demo").keys() == set(patients)
    with django_assert_num_queries(1):  # type: ignore[operator]
        reader.of_many(patients, clinic="demo")
    assert service.asked == 1


def test_a_secret_is_forgotten_after_five_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Counted(tmp_path / "kms.json")
    keyring, patient = Keyring(service), new_id()
    keyring.make(patient, clinic="demo")
    keyring.of(patient, clinic="demo")
    asked, now = service.asked, time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 301)
    keyring.of(patient, clinic="demo")
    assert service.asked == asked + 1


def test_without_the_key_service_nothing_is_written_and_what_is_remembered_goes_on(tmp_path: Path) -> None:
    service = Counted(tmp_path / "kms.json")
    keyring, patient = Keyring(service), new_id()
    keyring.make(patient, clinic="demo")
    service.away = True
    assert keyring.of(patient, clinic="demo").patient == patient
    fresh = Keyring(service)
    with pytest.raises(Unavailable):
        fresh.of(patient, clinic="demo")
    with pytest.raises(Unavailable):
        fresh.make(new_id(), clinic="demo")
    assert PatientKey.objects.count() == 1


def test_a_key_service_that_cannot_make_a_key_leaves_nothing(tmp_path: Path) -> None:
    keyring = Keyring(KeyFile(tmp_path / "missing" / "kms.json"))
    with pytest.raises(Unavailable):
        keyring.make(new_id(), clinic="demo")
    assert (ClinicKey.objects.count(), PatientKey.objects.count()) == (0, 0)


def test_another_key_service_opens_nothing(keyring: Keyring, tmp_path: Path) -> None:
    patient = new_id()
    keyring.make(patient, clinic="demo")
    other = KeyFile(tmp_path / "other.json")
    other.create("demo")
    with pytest.raises(Unavailable):
        Keyring(other).of(patient, clinic="demo")


def test_a_destroyed_key_is_gone_for_every_process_with_its_index_and_is_not_made_again(
    keyring: Keyring, key_file: KeyFile
) -> None:
    patient, other_process = new_id(), Keyring(key_file)
    keyring.make(patient, clinic="demo")
    index(patient, clinic="demo", terms={("email", b"12345678")})  # type: ignore[arg-type]
    other_process.of(patient, clinic="demo")
    assert keyring.destroy(patient, clinic="other") is False
    assert keyring.destroy(patient, clinic="demo") is True
    assert keyring.destroy(patient, clinic="demo") is False
    for process in (keyring, other_process):
        with pytest.raises(NotFound):
            process.of(patient, clinic="demo")
    assert not BlindIndex.objects.exists()
    with pytest.raises(IntegrityError):
        keyring.make(patient, clinic="demo")


def test_destroying_is_undone_with_its_transaction(keyring: Keyring) -> None:
    patient = new_id()
    keyring.make(patient, clinic="demo")
    with transaction.atomic():
        keyring.destroy(patient, clinic="demo")
        transaction.set_rollback(True)
    assert keyring.of(patient, clinic="demo").patient == patient


def test_a_shredded_patient_is_in_no_backup_and_the_others_are_in_all(keyring: Keyring, key_file: KeyFile) -> None:
    gone, stays = new_id(), new_id()
    sealed = {patient: seal(keyring.make(patient, clinic="demo")) for patient in (gone, stays)}
    yesterday = backup()

    keyring.destroy(gone, clinic="demo")
    assert rotation.shredded() == ["demo"]
    assert rotation.rotate(keyring, clinic="demo") == (2, 1)
    today = backup()
    restore(yesterday)  # not final yet: the old KEK still unwraps it
    assert name(Keyring(key_file).of(gone, clinic="demo"), sealed[gone]) == "Ada"

    restore(today)
    assert rotation.destroy_old(keyring, clinic="demo") == [1]
    assert rotation.shredded() == []
    assert name(Keyring(key_file).of(stays, clinic="demo"), sealed[stays]) == "Ada"
    for kept in (yesterday, today):
        restore(kept)
        with pytest.raises((NotFound, Unavailable)):
            Keyring(key_file).of(gone, clinic="demo")
    # Yesterday's data with today's keys is the restore that works.
    assert name(Keyring(key_file).of(stays, clinic="demo"), sealed[stays]) == "Ada"


def test_keys_are_rotated_while_others_read_and_write(keyring: Keyring, key_file: KeyFile) -> None:
    sealed = {patient: seal(keyring.make(patient, clinic="demo")) for patient in (new_id() for _ in range(40))}
    together, ended = threading.Barrier(4), threading.Event()

    def read() -> int:
        """How often all patients were read. Each keyring remembers nothing, so that it meets every version."""
        together.wait(10)
        reads = 0
        while not ended.is_set() or not reads:
            assert opened(Keyring(key_file), sealed) == dict.fromkeys(sealed, "Ada")
            reads += 1
        return reads

    def write() -> dict[UUID, bytes]:
        together.wait(10)
        made: dict[UUID, bytes] = {}
        while not ended.is_set() or not made:
            patient = new_id()
            made[patient] = seal(Keyring(key_file).make(patient, clinic="demo"))
        return made

    with ThreadPoolExecutor(3) as pool:
        readers, writer = [pool.submit(alone, read) for _ in range(2)], pool.submit(alone, write)
        together.wait(10)
        for _ in range(5):
            rotation.rotate(keyring, clinic="demo")
            rotation.destroy_old(keyring, clinic="demo")
        ended.set()
    assert all(reader.result() for reader in readers)
    everything = {**sealed, **writer.result()}
    assert opened(Keyring(key_file), everything) == dict.fromkeys(everything, "Ada")
    assert set(PatientKey.objects.filter(patient__in=list(sealed)).values_list("version", flat=True)) == {6}


def test_a_key_made_under_an_old_version_is_waited_for(keyring: Keyring, key_file: KeyFile) -> None:
    keyring.make(new_id(), clinic="demo")
    patient, made, rotated = new_id(), threading.Event(), threading.Event()

    def make_slowly() -> None:
        with transaction.atomic():
            Keyring(key_file).make(patient, clinic="demo")
            made.set()
            rotated.wait(10)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(alone, make_slowly)
        made.wait(10)
        rotation.rotate(keyring, clinic="demo")
        destroyer = pool.submit(alone, lambda: rotation.destroy_old(keyring, clinic="demo"))
        while not waiting_for_a_lock():
            assert not destroyer.done()
        rotated.set()
    slow.result()
    assert destroyer.result() == [1]
    assert Keyring(key_file).of(patient, clinic="demo").patient == patient


def test_processes_that_begin_a_clinic_together_agree_on_its_keys(key_file: KeyFile) -> None:
    together, patients = threading.Barrier(4), [new_id() for _ in range(4)]

    def begin(patient: UUID) -> None:
        together.wait(10)
        Keyring(key_file).make(patient, clinic="demo")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda patient: alone(lambda: begin(patient)), patients))
    assert ClinicKey.objects.count() == 1
    assert Keyring(key_file).of_many(patients, clinic="demo").keys() == set(patients)


def opened(keyring: Keyring, sealed: dict[UUID, bytes]) -> dict[UUID, str]:
    return {patient: name(cipher, sealed[patient]) for patient, cipher in keyring.of_many(sealed, clinic="demo").items()}


def alone(work: Callable[[], Result]) -> Result:
    """`work` as a process of its own would do it: with a connection that ends with it."""
    try:
        return work()
    finally:
        connection.close()


def waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        return bool(cursor.fetchone()[0])
