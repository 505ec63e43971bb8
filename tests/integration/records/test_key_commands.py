"""What operators run: rotate_keys, destroy_old_keys, sealing_keys."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.kernel.ids import new_id
from apps.records.keys import Keyring
from apps.records.models import ClinicKey
from apps.records.settings import ENV

pytestmark = pytest.mark.django_db
COMMANDS = "apps.records.management.commands"


@pytest.fixture(autouse=True)
def ours(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("rotate_keys", "destroy_old_keys"):
        monkeypatch.setattr(f"{COMMANDS}.{command}.keyring", lambda: keyring)


def run(*command: str) -> list[str]:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue().splitlines()


def test_all_clinics_are_rotated_and_their_old_keys_destroyed(keyring: Keyring) -> None:
    for clinic in ("a", "b"):
        keyring.make(new_id(), clinic=clinic)
    assert run("rotate_keys") == ["a: version 2, 1 keys wrapped anew", "b: version 2, 1 keys wrapped anew"]
    assert run("destroy_old_keys", "a") == ["a: destroyed 1"]
    assert run("destroy_old_keys") == ["a: destroyed nothing", "b: destroyed 1"]
    assert not ClinicKey.objects.filter(version=1, wrapped__isnull=False).exists()


def test_only_clinics_with_a_shredded_patient_are_rotated(keyring: Keyring) -> None:
    patient = new_id()
    for clinic, who in (("a", patient), ("b", new_id())):
        keyring.make(who, clinic=clinic)
    keyring.destroy(patient, clinic="a")
    assert run("rotate_keys", "--shredded") == ["a: version 2, 0 keys wrapped anew"]


@pytest.mark.parametrize("command", ["rotate_keys", "destroy_old_keys"])
def test_an_unknown_clinic_is_refused(command: str) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        run(command, "nowhere")
    assert not ClinicKey.objects.exists()


def test_a_sealing_pair_is_made_once_and_rotated_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = tmp_path / "private.json", tmp_path / "public.json"
    monkeypatch.setattr(f"{COMMANDS}.sealing_keys.ENV", ENV.model_copy(update={"sealing_key_file": private}))
    monkeypatch.setenv("SEALING_JWKS_FILE", str(public))
    run("sealing_keys")
    first = public.read_text()
    run("sealing_keys")
    assert public.read_text() == first
    run("sealing_keys", "--rotate")
    assert public.read_text() != first
    kids = [[key["kid"] for key in json.loads(file.read_text())["keys"]] for file in (private, public)]
    assert (len(kids[0]), kids[1]) == (2, kids[0][:1])
    with pytest.raises(CommandError, match="At least one"):
        run("sealing_keys", "--rotate", "--keep", "0")


def test_sealing_keys_needs_to_know_where_the_public_key_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEALING_JWKS_FILE", raising=False)
    with pytest.raises(CommandError, match="SEALING_JWKS_FILE"):
        run("sealing_keys")
