"""What is known of visits (ids and times), and every message as a row: due, sent once, or the reason why not."""

from datetime import time

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now

_NEW_ID = Func(function="uuidv7", output_field=models.UUIDField())
USUAL_REMINDERS = (48 * 60, 2 * 60)
CHANNELS = ("email", "sms")


def usual_reminders() -> list[int]:
    return list(USUAL_REMINDERS)


def usual_channels() -> list[str]:
    return list(CHANNELS)


class Visit(models.Model):
    """An appointment as the engine's events tell of it; the newest one counts, in whatever order they come."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    calendar = models.CharField(max_length=64)
    status = models.CharField(max_length=20)
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    modality = models.CharField(max_length=20)
    changed_at = models.DateTimeField()
    """The time of the newest event: what is older changes nothing any more."""
    zone = models.CharField(max_length=64, blank=True)
    """The patient's, once records has told it; empty: the clinic's counts."""
    link = models.BinaryField(null=True)
    """The patient's own page, sealed: whoever has it can cancel the visit."""
    unplanned = models.BooleanField(default=False)
    """The reminders do not fit what is known now; a tick plans them."""

    class Meta:
        indexes = [
            models.Index(fields=["changed_at"], condition=Q(unplanned=True), name="visit_unplanned"),
            models.Index(fields=["clinic", "starts"], name="visit_clinic"),
        ]


class Message(models.Model):
    """One message to one person over one channel. Neither who nor what it says is stored: both are asked for when it is sent."""

    class State(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        DROPPED = "dropped"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    clinic = models.CharField(max_length=60)
    appointment = models.UUIDField(null=True)
    patient = models.CharField(max_length=64, blank=True)
    """Only where there is no appointment yet: an offer from the waitlist."""
    kind = models.CharField(max_length=20)
    occurrence = models.CharField(max_length=100, blank=True)
    """Which message of this kind: with appointment, patient and channel it says which message this is, so there is one of it."""
    channel = models.CharField(max_length=10)
    visit_starts = models.DateTimeField()
    """The time it tells of; a reminder of another time than the visit's is void."""
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.SmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    """When it may be taken; while it is being sent, when it counts as left behind by a process that died."""
    handed_at = models.DateTimeField(null=True)
    """Since when the provider may have it without our knowing."""
    provider_id = models.CharField(max_length=200, blank=True)
    error = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["appointment", "patient", "kind", "occurrence", "channel"], nulls_distinct=False, name="message_once"
            ),
            models.CheckConstraint(condition=Q(channel__in=CHANNELS), name="message_channel"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "sending", "sent", "dropped", "failed"]), name="message_state"
            ),
        ]
        indexes = [
            models.Index(fields=["channel", "next_try_at"], condition=Q(state__in=["pending", "sending"]), name="message_due"),
            models.Index(fields=["clinic", "id"], name="message_clinic"),
        ]


class Policy(models.Model):
    """How a clinic wants its patients to be told; a clinic without a row has the defaults."""

    clinic = models.CharField(primary_key=True, max_length=60)
    reminders = ArrayField(models.IntegerField(), default=usual_reminders)
    """Minutes before the visit."""
    quiet_begins = models.TimeField(default=time(21))
    quiet_ends = models.TimeField(default=time(8))
    channels = ArrayField(models.CharField(max_length=10), default=usual_channels)
    reply_to = models.CharField(max_length=254, blank=True)


class OptOut(models.Model):
    """A patient wants no reminders by email (`email`), or nothing at all by SMS (`sms`): a STOP means everything."""

    pk = models.CompositePrimaryKey("patient", "channel")
    patient = models.CharField(max_length=64)
    channel = models.CharField(max_length=10)
    at = models.DateTimeField(db_default=Now())
