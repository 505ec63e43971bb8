"""The key service, which holds what opens everything else: a key file, AWS KMS, or OpenBao, chosen by the address in KMS_URL.

    file:///var/lib/healthflow/kms.json                development: the keys lie in a file of this machine
    awskms://us-east-1[?endpoint=https://…]            AWS KMS, with boto3's usual ways to find credentials
    openbao://bao.internal:8200/transit/records[?tls=off]    mount and prefix of the transit keys; the token is KMS_TOKEN

Every clinic has keys of its own there (KEKs), each with a name that is stored beside what it wrapped. A destroyed key is gone:
nobody can unwrap what it wrapped, in whatever backup it lies. Whoever asks gets an answer or a KmsError within seconds.
"""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from apps.kernel.sealing import SealBroken, seal, unseal

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_TIMEOUT_S = 2.0
Keys = dict[str, dict[str, str]]
Answer = TypeVar("Answer")


class KmsError(Exception):
    """The key service did not do what it was asked. The text holds no key, no address and no token."""


class KmsDown(KmsError):
    """It does not answer, or not in time."""


class KmsRefused(KmsError):
    """It answered no: the key is not (or no longer) there, the bytes are not what it wrapped for this clinic, or we may not."""


class Kms(Protocol):
    """What all key services have in common. Each call is one or a few round trips; all are safe to repeat. Raises KmsError."""

    def create(self, clinic: str) -> str:
        """Makes a new key for the clinic; its name. Older keys stay as they are."""

    def wrap(self, key: bytes, *, clinic: str, kek: str) -> bytes:
        """`key` (up to 4 KiB) encrypted with the clinic's key `kek`, and bound to the clinic."""

    def unwrap(self, wrapped: bytes, *, clinic: str, kek: str) -> bytes:
        """What `wrap` was given."""

    def destroy(self, clinic: str, *, kek: str) -> None:
        """Destroys `kek` for ever; older keys of the clinic must have been destroyed before, or go with it."""


def connect(url: str, *, token: str = "") -> Kms:
    """The key service at `url`. Asks nothing yet. Raises ValueError for an address that is none of the three."""
    parts = urlsplit(url)
    match parts.scheme:
        case "file" if parts.path:
            return KeyFile(Path(parts.path))
        case "awskms" if parts.netloc:
            return AwsKms(parts)
        case "openbao" if parts.netloc and parts.path.count("/") == 2:
            return OpenBao(parts, token=token)
    raise ValueError("KMS_URL is file:///…, awskms://<region> or openbao://<host>:<port>/<mount>/<key>")


class KeyFile:
    """For development: {"<clinic>": {"<number>": "<256 bits in base64>"}}, replaced in one step, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, clinic: str) -> str:
        with self._changed() as keys:
            mine = keys.setdefault(clinic, {})
            # Numbers of destroyed keys are not used again: the newest is never destroyed.
            number = str(max(map(int, mine), default=0) + 1)
            mine[number] = base64.b64encode(secrets.token_bytes(32)).decode()
        return number

    def wrap(self, key: bytes, *, clinic: str, kek: str) -> bytes:
        return seal(key, key=self._key(clinic, kek), row=_bound(clinic, kek))

    def unwrap(self, wrapped: bytes, *, clinic: str, kek: str) -> bytes:
        try:
            return unseal(wrapped, key=self._key(clinic, kek), row=_bound(clinic, kek))
        except SealBroken:
            raise KmsRefused("the bytes were not wrapped by this key") from None

    def destroy(self, clinic: str, *, kek: str) -> None:
        with self._changed() as keys:
            keys[clinic] = {number: key for number, key in keys.get(clinic, {}).items() if int(number) > int(kek)}

    def _key(self, clinic: str, kek: str) -> str:
        try:
            return self._read()[clinic][kek]
        except KeyError:
            raise KmsRefused("there is no such key") from None

    def _read(self) -> Keys:
        try:
            keys: Keys = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as failed:
            raise KmsDown(f"the key file cannot be read: {type(failed).__name__}") from None
        return keys

    @contextmanager
    def _changed(self) -> Iterator[Keys]:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with os.fdopen(os.open(self._path.with_name(self._path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = self._read()
                yield keys
                with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
                    json.dump(keys, file)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self._path)
        except OSError as failed:
            raise KmsDown(f"the key file cannot be written: {type(failed).__name__}") from None


def _bound(clinic: str, kek: str) -> bytes:
    return f"{clinic}|{kek}".encode()


class AwsKms:
    """AWS KMS. It destroys no single version of a key, so every KEK is a key of its own; its name is the key's id.

    From the moment a deletion is scheduled the key decrypts nothing; after seven days, the shortest that AWS allows, it is gone.
    """

    _DELETED_AFTER_DAYS = 7

    def __init__(self, url: SplitResult) -> None:
        import boto3  # 0.3 s and 30 MB that only this driver needs
        from botocore.config import Config

        limits = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"total_max_attempts": 2})
        endpoint = parse_qs(url.query).get("endpoint", [None])[0]
        self._client: KMSClient = boto3.client("kms", region_name=url.netloc, endpoint_url=endpoint, config=limits)

    def create(self, clinic: str) -> str:
        tags = [{"TagKey": "clinic", "TagValue": clinic}]
        made = _aws(lambda: self._client.create_key(Description="HealthFlow patient records", Tags=tags))  # type: ignore[arg-type]
        return made["KeyMetadata"]["KeyId"]

    def wrap(self, key: bytes, *, clinic: str, kek: str) -> bytes:
        context = {"clinic": clinic}
        return _aws(lambda: self._client.encrypt(KeyId=kek, Plaintext=key, EncryptionContext=context))["CiphertextBlob"]

    def unwrap(self, wrapped: bytes, *, clinic: str, kek: str) -> bytes:
        context = {"clinic": clinic}
        return _aws(lambda: self._client.decrypt(KeyId=kek, CiphertextBlob=wrapped, EncryptionContext=context))["Plaintext"]

    def destroy(self, clinic: str, *, kek: str) -> None:
        _aws(lambda: self._deleted(kek))

    def _deleted(self, kek: str) -> None:
        if not self._client.describe_key(KeyId=kek)["KeyMetadata"].get("DeletionDate"):
            self._client.schedule_key_deletion(KeyId=kek, PendingWindowInDays=self._DELETED_AFTER_DAYS)


def _aws(call: Callable[[], Answer]) -> Answer:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as refused:
        code, status = refused.response["Error"]["Code"], refused.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500 or "Throttling" in code or "LimitExceeded" in code:
            raise KmsDown(code) from None
        raise KmsRefused(code) from None
    except BotoCoreError as failed:
        raise KmsDown(type(failed).__name__) from None


class OpenBao:
    """OpenBao's (or Vault's) transit engine: one key `<prefix>-<clinic>` for each clinic; a KEK's name is its version."""

    def __init__(self, url: SplitResult, *, token: str) -> None:
        import hvac  # 0.2 s that only this driver needs

        scheme = "http" if parse_qs(url.query).get("tls") == ["off"] else "https"
        self._mount, self._prefix = url.path.strip("/").split("/")
        self._client = hvac.Client(url=f"{scheme}://{url.netloc}", token=token, timeout=_TIMEOUT_S)

    def create(self, clinic: str) -> str:
        try:
            return str(self._post("keys", clinic, "rotate")["latest_version"])
        except KmsRefused:
            made = self._post("keys", clinic, type="aes256-gcm96")  # it was not there yet; one that is there is left as it is
        if made["latest_version"] != 1:
            raise KmsRefused("the key may not be rotated")
        return "1"

    def wrap(self, key: bytes, *, clinic: str, kek: str) -> bytes:
        sealed = self._post("encrypt", clinic, plaintext=_text(key), key_version=int(kek), associated_data=_text(clinic.encode()))
        return str(sealed["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes, *, clinic: str, kek: str) -> bytes:
        opened = self._post("decrypt", clinic, ciphertext=wrapped.decode(), associated_data=_text(clinic.encode()))
        return base64.b64decode(opened["plaintext"])

    def destroy(self, clinic: str, *, kek: str) -> None:
        oldest = int(kek) + 1
        self._post("keys", clinic, "config", min_decryption_version=oldest, min_encryption_version=oldest)
        self._post("keys", clinic, "trim", min_available_version=oldest)

    def _post(self, operation: str, clinic: str, *then: str, **body: str | int) -> dict[str, Any]:
        import requests
        from hvac.exceptions import BadGateway, InternalServerError, RateLimitExceeded, VaultDown, VaultError

        name = quote(f"{self._prefix}-{clinic}", safe="")
        try:
            answer = self._client.adapter.post("/".join(("/v1", self._mount, operation, name, *then)), json=body)
        except (requests.RequestException, BadGateway, InternalServerError, RateLimitExceeded, VaultDown) as failed:
            raise KmsDown(type(failed).__name__) from None
        except VaultError as refused:
            raise KmsRefused(type(refused).__name__) from None
        data: dict[str, Any] = answer["data"]
        return data


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
