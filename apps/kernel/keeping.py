"""A day of the audit log as a file that nobody changes any more: JSON lines, and a manifest with the head of the chain.

Whoever has the files can check the chain without us: start with the manifest's `previous`, take SHA-256 of the hash so far and
the line (without its line feed) for each line, and end with `head`.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.db import connection

from apps.kernel import chain

_DAY = timedelta(days=1)
RETAINED_DAYS = 6 * 365
"""45 CFR 164.316(b)(2)(i): six years."""


class AlreadyKept(Exception):
    """This file has been kept before, and what is kept stays as it is."""


class Store(Protocol):
    """A place where files can be added and none can be replaced."""

    def has(self, name: str) -> bool: ...

    def keep(self, name: str, file: Path) -> None:
        """Raises AlreadyKept."""


class Folder:
    """A folder; whatever it is mounted on keeps it from being changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, name: str) -> bool:
        return (self._folder / name).exists()

    def keep(self, name: str, file: Path) -> None:
        target = self._folder / name
        new = target.with_name(f".{target.name}.new")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        copyfile(file, new)
        new.chmod(0o400)
        try:
            target.hardlink_to(new)  # in one step, and never over another
        except FileExistsError:
            raise AlreadyKept(name) from None
        finally:
            new.unlink()


class Bucket:
    """S3 with Object Lock in compliance mode: until the date nobody can delete a file, the account's owner included."""

    def __init__(self, bucket: str, prefix: str, options: dict[str, str]) -> None:
        import boto3  # 0.2 s and 30 MB, and needed here only

        self._bucket, self._prefix = bucket, prefix
        self._retained = timedelta(days=int(options.get("retain_days", RETAINED_DAYS)))
        self._s3 = boto3.client("s3", region_name=options.get("region"), endpoint_url=options.get("endpoint"))

    def has(self, name: str) -> bool:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + name, MaxKeys=1)
        return bool(found["KeyCount"])

    def keep(self, name: str, file: Path) -> None:
        if self.has(name):
            raise AlreadyKept(name)
        with file.open("rb") as data:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=data,
                ChecksumAlgorithm="SHA256",
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=datetime.now(UTC) + self._retained,
            )


def store(url: str) -> Store:
    """`file:///folder` or `s3://bucket/prefix?region=…&endpoint=…&retain_days=…`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        return Folder(Path(parts.path))
    if parts.scheme == "s3" and parts.netloc:
        prefix = parts.path.strip("/")
        return Bucket(parts.netloc, f"{prefix}/" if prefix else "", dict(parse_qsl(parts.query)))
    raise ValueError("AUDIT_EXPORT_URL is file:///folder or s3://bucket/prefix")


def export(day: date, into: Store) -> dict[str, Any]:
    """Keeps what was sealed on `day` (UTC), which must be over; answers the manifest. Raises ValueError, AlreadyKept."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if datetime.now(UTC) < begin + _DAY:
        raise ValueError("this day is not over yet")
    with chain.sealing():  # what was sealed before midnight is committed then
        (before, previous), (last, head) = _sealed_before(begin), _sealed_before(begin + _DAY)
    name = f"{settings.SERVICE}/{day.isoformat()}"
    with TemporaryDirectory() as folder:
        lines, manifest_file = Path(folder) / "lines", Path(folder) / "manifest"
        with lines.open("w", encoding="utf-8", newline="") as out:
            out.writelines(f"{one.line}\n" for one in _unbroken(before, last))
        manifest = {
            "service": settings.SERVICE,
            "day": day.isoformat(),
            "file": f"{day.isoformat()}.jsonl",
            "sha256": _digest(lines),
            "count": last - before,
            "first": before + 1 if last > before else None,
            "last": last,
            "previous": previous.hex(),
            "head": head.hex(),
        }
        manifest_file.write_text(json.dumps(manifest, indent=1) + "\n")
        # The manifest last: where it is, the day is complete.
        if not into.has(f"{name}.jsonl"):
            into.keep(f"{name}.jsonl", lines)
        into.keep(f"{name}.manifest.json", manifest_file)
    return manifest


def export_missed(into: Store) -> list[date]:
    """Keeps every whole day, from yesterday back to one that is kept already; which."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(at) FROM kernel_auditseal")
        (first,) = cursor.fetchone()
    day, missed = datetime.now(UTC).date() - _DAY, list[date]()
    while first and day >= first.date() and not into.has(f"{settings.SERVICE}/{day.isoformat()}.manifest.json"):
        missed.append(day)
        day -= _DAY
    missed.reverse()
    for day in missed:
        export(day, into)
    return missed


def heads(folder: Path) -> dict[int, str]:
    """The chain's hashes by position, as the manifests of this service in `folder` tell them."""
    manifests = [json.loads(file.read_text()) for file in sorted(folder.rglob("*.manifest.json"))]
    return {found["last"]: found["head"] for found in manifests if found["service"] == settings.SERVICE and found["last"]}


def _sealed_before(instant: datetime) -> tuple[int, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT position, hash FROM kernel_auditseal WHERE at < %s ORDER BY at DESC, position DESC LIMIT 1", [instant]
        )
        position, hash_ = cursor.fetchone() or (0, chain.START)
    return position, bytes(hash_)


def _unbroken(before: int, last: int) -> Iterator[chain.Sealed]:
    for batch in chain.walk(after=before, last=last):
        for one in batch:
            if one.line is None:
                raise ValueError(f"entry {one.place[1]} is gone; audit_verify tells more")
            yield one


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return file_digest(data, "sha256").hexdigest()
