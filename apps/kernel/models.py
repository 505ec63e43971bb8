"""Tables that every service has: facts out, facts in, repeated requests, and the audit log. No domain rule is in them."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now

_NEW_ID = Func(function="uuidv7", output_field=models.UUIDField())


class TransactionId(models.BigIntegerField):  # type: ignore[type-arg] # generic for the checker only
    """PostgreSQL's own number of the transaction that wrote the row: what a reader pages by, see `events.read`."""

    def db_type(self, connection: object) -> str:
        return "xid8"


def _this_transaction() -> Func:
    return Func(function="pg_current_xact_id", output_field=TransactionId())


class OutboxEvent(models.Model):
    """A fact, written in the transaction that made it. It stays until every reader has it, and for a week at least."""

    id = models.BigAutoField(primary_key=True)
    txid = TransactionId(db_default=_this_transaction())
    uid = models.UUIDField(unique=True, db_default=_NEW_ID)
    type = models.CharField(max_length=80)
    clinic = models.CharField(max_length=60)
    subject = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["txid", "id"], name="outbox_order")]


class Reader(models.Model):
    """How far another service has taken over this one's facts: it asked for what comes after `position`."""

    name = models.CharField(primary_key=True, max_length=20)
    position = models.CharField(max_length=60)
    at = models.DateTimeField()


class Cursor(models.Model):
    """How far this service has taken over the facts of `producer`; moves in the transaction of their effects."""

    producer = models.CharField(primary_key=True, max_length=20)
    position = models.CharField(max_length=60, default="")
    at = models.DateTimeField(null=True)


class InboxEvent(models.Model):
    """A fact that was handled here, whatever its position was: it is not handled again."""

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [BrinIndex(fields=["at"], name="inbox_at")]


class ParkedEvent(models.Model):
    """A fact that could not be handled. It is tried again at `next_try_at`; without one somebody must look at it."""

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True)
    producer = models.CharField(max_length=20)
    subject = models.CharField(max_length=80)
    event = models.JSONField()
    reason = models.CharField(max_length=200)
    attempts = models.SmallIntegerField(default=0)
    since = models.DateTimeField(db_default=Now())
    next_try_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["producer", "subject"], condition=Q(next_try_at__isnull=False), name="parked_subject")]


class IdempotencyKey(models.Model):
    """The answer to a write, kept for 24 h so that a repeated request gets the first one. The body is sealed."""

    pk = models.CompositePrimaryKey("scope", "key")
    scope = models.CharField(max_length=200)
    key = models.CharField(max_length=128)
    fingerprint = models.BinaryField()
    status = models.SmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [BrinIndex(fields=["at"], name="kernel_idempotency_at")]


class AuditEntry(models.Model):
    """Who did what to whose data. The database refuses to change or remove a row; `AuditSeal` makes it show if somebody does.

    Not managed: what empties tables for a test must not try it here. The migration writes the table as SQL.
    """

    id = models.BigAutoField(primary_key=True)
    txid = TransactionId(db_default=_this_transaction())
    at = models.DateTimeField(db_default=Now())
    clinic = models.CharField(max_length=60)
    actor = models.CharField(max_length=80)
    role = models.CharField(max_length=20)
    session = models.CharField(max_length=64)
    action = models.CharField(max_length=60)
    object = models.CharField(max_length=120)
    patient = models.CharField(max_length=64)
    outcome = models.CharField(max_length=20)
    request_id = models.CharField(max_length=64)
    address = models.CharField(max_length=45)
    details = models.JSONField()

    class Meta:
        managed = False


class AuditSeal(models.Model):
    """The place of an entry in the chain: `hash` covers the entry and the hash before it, see `chain.py`."""

    position = models.BigIntegerField(primary_key=True)
    entry = models.BigIntegerField(unique=True)
    txid = TransactionId()
    hash = models.BinaryField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
