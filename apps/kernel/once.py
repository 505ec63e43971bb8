"""A write that happens once: under an Idempotency-Key a repeated request gets the first answer, for 24 hours."""

import base64
from collections.abc import Callable
from functools import cache
from hashlib import blake2b

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse

from apps.kernel.callers import fingerprint, idempotency_key
from apps.kernel.models import IdempotencyKey
from apps.kernel.problems import IdempotencyInProgress, IdempotencyMismatch
from apps.kernel.sealing import seal, unseal

KEPT = "24 hours"


def once(request: HttpRequest, who: str, run: Callable[[], HttpResponse]) -> HttpResponse:
    """The answer of `run`, which writes, in one durable transaction; the first answer when `who` asks again.

    A refusal is raised, changes nothing and is not kept: the next try may succeed. The kept body is sealed.
    Raises IdempotencyMismatch, IdempotencyInProgress, ValidationFailed, and what `run` raises.
    """
    key = idempotency_key(request)
    with transaction.atomic(durable=True):
        if key is None:
            return run()
        asked = fingerprint(request)
        if not _claimed(who, key, asked):
            return _replayed(who, key, asked)
        response = run()
        body = seal(response.content, key=_key(), row=f"{who}\0{key}".encode())
        IdempotencyKey.objects.filter(scope=who, key=key).update(status=response.status_code, body=body)
        return response


def _claimed(scope: str, key: str, asked: bytes) -> bool:
    # Waits for a first request that still runs, as long as the database's lock_timeout says.
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO kernel_idempotencykey (scope, key, fingerprint) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [scope, key, asked],
            )
            return bool(cursor.rowcount)
    except OperationalError as failed:
        if getattr(failed.__cause__, "pgcode", "") == "55P03":
            raise IdempotencyInProgress() from None
        raise


def _replayed(scope: str, key: str, asked: bytes) -> HttpResponse:
    kept = IdempotencyKey.objects.get(scope=scope, key=key)
    if bytes(kept.fingerprint) != asked:
        raise IdempotencyMismatch()
    body = unseal(bytes(kept.body or b""), key=_key(), row=f"{scope}\0{key}".encode())
    response = HttpResponse(body, status=kept.status, content_type="application/json")
    response["Idempotent-Replayed"] = "true"
    return response


@cache
def _key() -> str:
    key = blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"idempotency").digest()
    return base64.b64encode(key).decode()


def forget() -> int:
    """Deletes answers that are over a day old."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM kernel_idempotencykey WHERE at < now() - %s::interval", [KEPT])
        return int(cursor.rowcount)
