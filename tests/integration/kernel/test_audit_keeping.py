"""Days of the audit log in write-once storage: a folder, and S3 with Object Lock (moto's server)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.kernel import audit, chain, keeping
from tests.integration.kernel.conftest import as_owner

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


def sealed_days(*counts: int) -> None:
    """As many entries as given for yesterday, the day before, and so on; the last is the oldest day."""
    for ago, count in reversed(list(enumerate(counts, start=1))):
        for number in range(count):
            audit.record(None, "records", "patient.read", clinic="harbor", object=f"patient:{ago}.{number}", details={"n": "ä\n"})
        chain.seal()
        as_owner(f"UPDATE kernel_auditseal SET at = now() - interval '{ago} days' WHERE at > now() - interval '1 hour'")


def rehashed(manifest: dict[str, str], lines: bytes) -> str:
    head = bytes.fromhex(manifest["previous"])
    for line in lines.split(b"\n")[:-1]:
        head = sha256(head + line).digest()
    return head.hex()


def test_a_day_can_be_checked_with_nothing_but_its_files(log: None, tmp_path: Path) -> None:
    sealed_days(3, 2)

    manifest = keeping.export(YESTERDAY, keeping.store(f"file://{tmp_path}"))

    lines = (tmp_path / "engine" / manifest["file"]).read_bytes()
    assert (manifest["first"], manifest["last"], manifest["count"]) == (3, 5, 3)
    assert manifest["sha256"] == sha256(lines).hexdigest()
    assert rehashed(manifest, lines) == manifest["head"] == chain.head()[1].hex()
    assert json.loads(lines.split(b"\n")[0])["object"] == "patient:1.0"


def test_what_is_kept_is_not_replaced(log: None, tmp_path: Path) -> None:
    sealed_days(1)
    store = keeping.store(f"file://{tmp_path}")
    keeping.export(YESTERDAY, store)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json*")}

    with pytest.raises(keeping.AlreadyKept):
        keeping.export(YESTERDAY, store)

    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json*")} == before


def test_missed_days_are_made_up_for_and_empty_ones_are_told(log: None, tmp_path: Path) -> None:
    sealed_days(2, 0, 1)
    store = keeping.store(f"file://{tmp_path}")

    kept = keeping.export_missed(store)

    manifests = [json.loads((tmp_path / f"engine/{day}.manifest.json").read_text()) for day in kept]
    assert kept == [TODAY - timedelta(days=ago) for ago in (3, 2, 1)]
    assert [found["count"] for found in manifests] == [1, 0, 2]
    assert [found["previous"] for found in manifests[1:]] == [found["head"] for found in manifests[:-1]]
    assert keeping.export_missed(store) == []


def test_a_verdict_against_exported_days_finds_what_was_cut_off(log: None, tmp_path: Path) -> None:
    sealed_days(2, 2)
    keeping.export_missed(keeping.store(f"file://{tmp_path}"))
    call_command("audit_verify", "--export", str(tmp_path), stdout=StringIO())

    as_owner("DELETE FROM kernel_auditentry", "DELETE FROM kernel_auditseal")

    with pytest.raises(SystemExit):
        call_command("audit_verify", "--export", str(tmp_path), stdout=(out := StringIO()))
    assert out.getvalue().startswith("truncated  position 2")


def test_the_command_says_what_it_cannot_do(log: None, settings: Settings, tmp_path: Path) -> None:
    settings.ENV = settings.ENV.model_copy(update={"audit_export_url": SecretStr("")})

    with pytest.raises(CommandError, match=r"file:///folder"):
        call_command("audit_export", "--day", YESTERDAY.isoformat())
    with pytest.raises(ValueError, match="not over"):
        keeping.export(TODAY, keeping.store(f"file://{tmp_path}"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket with Object Lock on a server of this test's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    s3.create_bucket(Bucket="audit", ObjectLockEnabledForBucket=True)
    yield f"s3://audit/clinics?region=us-east-1&endpoint=http://{host}:{port}&retain_days=2190"
    server.stop()


def test_in_s3_a_day_is_locked_for_six_years(log: None, bucket: str) -> None:
    sealed_days(2)
    store = keeping.store(bucket)
    manifest = keeping.export(YESTERDAY, store)

    s3 = boto3.client("s3", endpoint_url=bucket.split("endpoint=")[1].split("&")[0], region_name="us-east-1")
    key = f"clinics/engine/{manifest['file']}"
    found = s3.get_object(Bucket="audit", Key=key)
    version = s3.list_object_versions(Bucket="audit", Prefix=key)["Versions"][0]["VersionId"]

    assert sha256(found["Body"].read()).hexdigest() == manifest["sha256"]
    assert found["ObjectLockMode"] == "COMPLIANCE"
    assert found["ObjectLockRetainUntilDate"] - datetime.now(UTC) > timedelta(days=2189)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="audit", Key=key, VersionId=version)
    with pytest.raises(keeping.AlreadyKept):
        keeping.export(YESTERDAY, store)
