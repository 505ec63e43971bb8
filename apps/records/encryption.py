"""Patient data as it lies in the database: every field encrypted with its patient's own key and bound to its place.

    the clinic's KEK, in the key service  →  the clinic's secret  →  a patient's key  →  a field: AES-256-GCM
                                             (ClinicKey.wrapped)     (PatientKey.wrapped)

This file does no I/O; `keys.py` finds the keys. Why there are three steps: engine/adr/0011.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from apps.kernel.sealing import SealBroken, seal, unseal

__all__ = ["Cipher", "ClinicSecret", "Hidden", "SealBroken"]

_FORMAT = 1
_KEY_BYTES = 32


class Hidden(str):
    """Text of a patient. Only its `repr` differs, so that it is in no traceback, no `%r` and no dump of a dataclass."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<sealed>"


@dataclass(frozen=True, slots=True)
class Cipher:
    """Seals and opens what belongs to one patient. What is moved to another place, patient or clinic does not open there.

    One key seals at most 2^32 values (random nonces of 96 bits); no patient comes near that.
    """

    clinic: str
    patient: UUID
    _key: str = field(repr=False)

    def seal(self, values: Mapping[str, str | None], *, table: str, row: UUID) -> dict[str, bytes | None]:
        """Column → text becomes column → bytes for that row, 29 longer than the text in UTF-8; None stays None."""
        return {
            column: None if value is None else self.seal_bytes(value.encode(), table=table, row=row, column=column)
            for column, value in values.items()
        }

    def unseal(self, values: Mapping[str, bytes | memoryview | None], *, table: str, row: UUID) -> dict[str, Hidden | None]:
        """What `seal` was given. Raises SealBroken when one value was not sealed for that place, or was changed."""
        return {
            column: None if value is None else Hidden(self.unseal_bytes(value, table=table, row=row, column=column), "utf-8")
            for column, value in values.items()
        }

    def seal_bytes(self, content: bytes, *, table: str, row: UUID, column: str) -> bytes:
        """The same for one value that is not text."""
        return seal(content, key=self._key, row=self._place(table, row, column))

    def unseal_bytes(self, sealed: bytes | memoryview, *, table: str, row: UUID, column: str) -> bytes:
        """What `seal_bytes` was given. Raises SealBroken."""
        return unseal(bytes(sealed), key=self._key, row=self._place(table, row, column))

    def _place(self, table: str, row: UUID, column: str) -> bytes:
        return f"{self.clinic}|{table}|{column}|{row}|{_FORMAT}".encode()


@dataclass(frozen=True, slots=True)
class ClinicSecret:
    """One version of what only the key service can unwrap: the key of the clinic's patient keys, and that of its blind indexes.

    The first is new in every version; the second stays, because everything that was indexed would have to be indexed anew.
    """

    clinic: str
    version: int
    _wrapping: bytes = field(repr=False)
    _index: bytes = field(repr=False)

    @classmethod
    def first(cls, clinic: str) -> "ClinicSecret":
        return cls(clinic, 1, secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def unpacked(cls, packed: bytes, *, clinic: str, version: int) -> "ClinicSecret":
        return cls(clinic, version, packed[:_KEY_BYTES], packed[_KEY_BYTES:])

    def packed(self) -> bytes:
        """64 bytes for the key service to wrap, and for nobody else."""
        return self._wrapping + self._index

    def next(self) -> "ClinicSecret":
        return ClinicSecret(self.clinic, self.version + 1, secrets.token_bytes(_KEY_BYTES), self._index)

    def new_key(self, patient: UUID) -> bytes:
        """A key for the patient, wrapped."""
        return self._wrap(secrets.token_bytes(_KEY_BYTES), patient)

    def cipher(self, wrapped: bytes | memoryview, *, patient: UUID) -> Cipher:
        """The patient's key, unwrapped. Raises SealBroken."""
        return Cipher(self.clinic, patient, base64.b64encode(self._unwrap(wrapped, patient)).decode())

    def rewrap(self, wrapped: bytes | memoryview, *, patient: UUID, to: "ClinicSecret") -> bytes:
        """The same patient's key, wrapped with another version. Raises SealBroken."""
        return to._wrap(self._unwrap(wrapped, patient), patient)

    def term(self, kind: str, text: str, *, size: int) -> bytes:
        """HMAC-SHA-256 of `text`, with a key of its own for each clinic and kind, cut to `size` bytes."""
        return hmac.digest(hmac.digest(self._index, kind.encode(), "sha256"), text.encode(), "sha256")[:size]

    def _wrap(self, key: bytes, patient: UUID) -> bytes:
        return seal(key, key=self._wrapping_text(), row=self._owner(patient))

    def _unwrap(self, wrapped: bytes | memoryview, patient: UUID) -> bytes:
        return unseal(bytes(wrapped), key=self._wrapping_text(), row=self._owner(patient))

    def _wrapping_text(self) -> str:
        return base64.b64encode(self._wrapping).decode()

    def _owner(self, patient: UUID) -> bytes:
        return f"{self.clinic}|patient_key|{patient}|{self.version}|{_FORMAT}".encode()
