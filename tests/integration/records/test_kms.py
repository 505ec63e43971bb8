"""The three key services keep one contract: a file, OpenBao's own server, and a local server that speaks AWS KMS."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from moto.server import ThreadedMotoServer

from apps.local.environment import free_ports
from apps.records.kms import AwsKms, Kms, KmsDown, KmsRefused, OpenBao, connect

TOKEN = "root-of-a-test"
KEY = bytes(range(64))
BAO = Path(sys.executable).parent / "bao"


@pytest.fixture(scope="module")
def bao_address() -> Iterator[str]:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [str(BAO), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address={address}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://{address}/v1/sys/health")
        mounted = requests.post(
            f"http://{address}/v1/sys/mounts/transit", json={"type": "transit"}, headers={"X-Vault-Token": TOKEN}, timeout=5
        )
        assert mounted.ok
        yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def aws_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture(params=["file", "openbao", "awskms"])
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kms:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    match request.param:
        case "openbao":
            # A prefix of its own for each test.
            return connect(f"openbao://{request.getfixturevalue('bao_address')}/transit/{tmp_path.name}?tls=off", token=TOKEN)
        case "awskms":
            return connect(f"awskms://us-east-1?endpoint=http://{request.getfixturevalue('aws_address')}")
    return connect(f"file://{tmp_path}/kms.json")


def test_what_was_wrapped_is_unwrapped_also_after_a_newer_key(service: Kms) -> None:
    first = service.create("demo")
    wrapped = service.wrap(KEY, clinic="demo", kek=first)
    second = service.create("demo")
    assert first != second
    newer = service.wrap(KEY, clinic="demo", kek=second)
    assert service.unwrap(wrapped, clinic="demo", kek=first) == service.unwrap(newer, clinic="demo", kek=second) == KEY
    assert KEY not in wrapped + newer


def test_another_clinic_cannot_unwrap_it(service: Kms) -> None:
    kek = service.create("demo")
    wrapped = service.wrap(KEY, clinic="demo", kek=kek)
    service.create("other")
    with pytest.raises(KmsRefused):
        service.unwrap(wrapped, clinic="other", kek=kek)


def test_changed_bytes_and_unknown_keys_are_refused(service: Kms) -> None:
    kek = service.create("demo")
    wrapped = service.wrap(KEY, clinic="demo", kek=kek)
    with pytest.raises(KmsRefused):
        service.unwrap(wrapped[:-4] + b"AAAA", clinic="demo", kek=kek)
    with pytest.raises(KmsRefused):
        service.wrap(KEY, clinic="demo", kek="99")


def test_a_destroyed_key_unwraps_nothing_and_newer_ones_go_on(service: Kms, request: pytest.FixtureRequest) -> None:
    old, new = service.create("demo"), service.create("demo")
    before, after = (service.wrap(KEY, clinic="demo", kek=kek) for kek in (old, new))
    service.destroy("demo", kek=old)
    service.destroy("demo", kek=old)
    assert service.unwrap(after, clinic="demo", kek=new) == KEY
    if isinstance(service, AwsKms):
        # The stand-in goes on decrypting; AWS does not while a deletion is pending.
        assert service._client.describe_key(KeyId=old)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    else:
        with pytest.raises(KmsRefused):
            service.unwrap(before, clinic="demo", kek=old)


def test_openbao_cannot_be_told_to_bring_a_destroyed_version_back(bao_address: str) -> None:
    service = OpenBao(urlsplit(f"openbao://{bao_address}/transit/gone?tls=off"), token=TOKEN)
    old, _ = service.create("demo"), service.create("demo")
    service.destroy("demo", kek=old)
    with pytest.raises(KmsRefused):
        service._post("keys", "demo", "config", min_decryption_version=1)


def test_a_wrong_token_is_refused_and_shown_nowhere(bao_address: str) -> None:
    service = connect(f"openbao://{bao_address}/transit/records?tls=off", token="s.CANARY")
    with pytest.raises(KmsRefused) as refused:
        service.create("demo")
    assert "CANARY" not in repr(refused.value) + repr(service)


@pytest.mark.parametrize(
    "url", ["openbao://127.0.0.1:{port}/transit/records?tls=off", "awskms://us-east-1?endpoint=http://127.0.0.1:{port}"]
)
def test_a_service_that_is_away_is_down(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    (port,) = free_ports(1)
    with pytest.raises(KmsDown):
        connect(url.format(port=port)).create("demo")


def test_a_key_file_is_private_and_a_broken_one_is_down(tmp_path: Path) -> None:
    path = tmp_path / "kms.json"
    service = connect(f"file://{path}")
    kek = service.create("demo")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("{")
    with pytest.raises(KmsDown):
        service.wrap(KEY, clinic="demo", kek=kek)


@pytest.mark.parametrize("url", ["", "file:", "vault://host/transit/key", "openbao://host:8200/transit", "awskms:", "https://kms"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="KMS_URL"):
        connect(url)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            requests.get(url, timeout=1)
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        else:
            return
