"""A key file, a keyring on it, and a new patient's identity for each test of this folder."""

from pathlib import Path
from uuid import uuid4

import pytest

from apps.records.keys import Keyring
from apps.records.kms import KeyFile
from tests.integration.records.room import Room


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "kms.json")


@pytest.fixture
def keyring(key_file: KeyFile) -> Keyring:
    return Keyring(key_file)


@pytest.fixture
def room() -> Room:
    """A clinic that no other test has."""
    return Room(f"clinic-{uuid4().hex[:8]}", str(uuid4()))
