"""A key file, a keyring on it, and a new patient's identity for each test of this folder."""

from pathlib import Path

import pytest

from apps.records.keys import Keyring
from apps.records.kms import KeyFile


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "kms.json")


@pytest.fixture
def keyring(key_file: KeyFile) -> Keyring:
    return Keyring(key_file)
