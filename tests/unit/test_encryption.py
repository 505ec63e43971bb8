"""Sealed values open in their place, for their patient and clinic, and nowhere else; nothing shows a key."""

import time
from itertools import product
from uuid import UUID

import pytest

from apps.kernel.ids import new_id
from apps.records.encryption import Cipher, ClinicSecret, Hidden, SealBroken

ROW, OTHER_ROW = new_id(), new_id()
PATIENT = new_id()
SECRET = ClinicSecret.first("demo")
WRAPPED = SECRET.new_key(PATIENT)


def cipher(patient: UUID = PATIENT, secret: ClinicSecret = SECRET) -> Cipher:
    return secret.cipher(secret.new_key(patient), patient=patient)


MINE = SECRET.cipher(WRAPPED, patient=PATIENT)


def test_a_row_opens_where_it_was_sealed() -> None:
    values = {"name": "Zoë née Ångström 🩺", "email": "", "phone": None}
    sealed = MINE.seal(values, table="patient", row=ROW)
    assert MINE.unseal(sealed, table="patient", row=ROW) == values
    assert len(sealed["email"] or b"") == 29


@pytest.mark.parametrize(("table", "row", "column"), [*product(("patient", "note"), (ROW, OTHER_ROW), ("name", "email"))][1:])
def test_a_value_moved_to_another_place_does_not_open(table: str, row: UUID, column: str) -> None:
    sealed = MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")
    with pytest.raises(SealBroken):
        MINE.unseal_bytes(sealed, table=table, row=row, column=column)


def test_two_columns_that_changed_places_do_not_open() -> None:
    sealed = MINE.seal({"given": "Ada", "family": "Byron"}, table="patient", row=ROW)
    with pytest.raises(SealBroken):
        MINE.unseal({"given": sealed["family"], "family": sealed["given"]}, table="patient", row=ROW)


def test_another_patients_key_does_not_open_it() -> None:
    sealed = MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")
    with pytest.raises(SealBroken):
        cipher(new_id()).unseal_bytes(sealed, table="patient", row=ROW, column="name")


@pytest.mark.parametrize("length", range(32))
def test_a_truncated_value_does_not_open(length: int) -> None:
    sealed = MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")
    with pytest.raises(SealBroken):
        MINE.unseal_bytes(sealed[:length], table="patient", row=ROW, column="name")


def test_a_value_with_any_bit_changed_does_not_open() -> None:
    sealed = MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")
    for position, bit in product(range(len(sealed)), range(8)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << bit
        with pytest.raises(SealBroken):
            MINE.unseal_bytes(bytes(changed), table="patient", row=ROW, column="name")


def test_a_patients_key_opens_for_its_patient_clinic_and_version_only() -> None:
    packed = SECRET.packed()
    strangers = [
        (ClinicSecret.unpacked(packed, clinic="demo", version=1), new_id()),
        (ClinicSecret.unpacked(packed, clinic="other", version=1), PATIENT),
        (ClinicSecret.unpacked(packed, clinic="demo", version=2), PATIENT),
        (SECRET.next(), PATIENT),
    ]
    for secret, patient in strangers:
        with pytest.raises(SealBroken):
            secret.cipher(WRAPPED, patient=patient)
    assert ClinicSecret.unpacked(packed, clinic="demo", version=1).cipher(WRAPPED, patient=PATIENT) == MINE


def test_a_new_version_wraps_the_same_key_and_finds_by_the_same_terms() -> None:
    newer = SECRET.next()
    again = SECRET.rewrap(WRAPPED, patient=PATIENT, to=newer)
    sealed = MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")
    assert newer.cipher(again, patient=PATIENT).unseal_bytes(sealed, table="patient", row=ROW, column="name") == b"Ada"
    assert newer.term("name", "ada", size=8) == SECRET.term("name", "ada", size=8)
    assert newer.packed()[:32] != SECRET.packed()[:32]


def test_no_nonce_comes_twice() -> None:
    sealed = {MINE.seal_bytes(b"Ada", table="patient", row=ROW, column="name")[1:13] for _ in range(50_000)}
    assert len(sealed) == 50_000


def test_nothing_shows_a_key_or_what_was_opened() -> None:
    opened = MINE.unseal(MINE.seal({"name": "CANARY"}, table="patient", row=ROW), table="patient", row=ROW)
    shown = repr((MINE, SECRET, opened)) + f"{MINE} {SECRET} {opened} %r" % opened["name"]
    assert "CANARY" not in shown
    assert MINE._key not in shown
    assert repr(SECRET._wrapping) not in shown
    assert repr(SECRET._index) not in shown


def test_what_is_hidden_is_text_in_every_other_way() -> None:
    assert (Hidden("Ada"), f"{Hidden('Ada')}", Hidden("Ada").upper()) == ("Ada", "Ada", "ADA")


def test_a_core_seals_fifty_thousand_values_a_second() -> None:
    patients = [cipher(new_id()) for _ in range(100)]
    started = time.process_time()
    for number in range(20_000):
        patients[number % 100].seal_bytes(b"Ada Lovelace", table="patient", row=ROW, column="name")
    rate = 20_000 / (time.process_time() - started)
    print(f"{rate:,.0f} seals/s")
    assert rate > 50_000
