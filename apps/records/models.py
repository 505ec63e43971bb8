"""The tables of records."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ClinicKey(models.Model):
    """One version of a clinic's secret, wrapped by the clinic's key `kek` in the key service. New patient keys take the newest."""

    pk = models.CompositePrimaryKey("clinic", "version")
    clinic = models.CharField(max_length=60)
    version = models.IntegerField()
    kek = models.CharField(max_length=200)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(wrapped__isnull=True) ^ Q(destroyed_at__isnull=True), name="clinic_key_destroyed"),
        ]


class PatientKey(models.Model):
    """A patient's key, wrapped by version `version` of the clinic's secret. Nothing refers to this table, nor it to data: it can
    live in another database. A destroyed key's row stays, so that nobody makes another one for that patient.
    """

    patient = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    version = models.IntegerField()
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(wrapped__isnull=True) ^ Q(destroyed_at__isnull=True), name="patient_key_destroyed"),
        ]
        indexes = [
            models.Index(fields=["clinic", "version", "patient"], condition=Q(wrapped__isnull=False), name="patient_key_version"),
            models.Index(fields=["clinic", "destroyed_at"], condition=Q(wrapped__isnull=True), name="patient_key_shredded"),
        ]


class BlindIndex(models.Model):
    """Under which terms (`blind.py`) a patient is found. The primary key is the search: clinic, kind, term → patients in order."""

    pk = models.CompositePrimaryKey("clinic", "kind", "term", "patient")
    clinic = models.CharField(max_length=60)
    kind = models.CharField(max_length=12)
    term = models.BinaryField()
    patient = models.UUIDField()

    class Meta:
        indexes = [models.Index(fields=["patient"], name="blind_index_patient")]


class Patient(models.Model):
    """A patient of a clinic. `details` are the demographics (`shapes.Details`), sealed with the patient's key.

    A merged patient keeps its row, its key and all that was written for it, and says who it is now in `merged_into`.
    """

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    version = models.IntegerField(default=1)
    details = models.BinaryField()
    possible_duplicate = models.BooleanField(default=False)
    merged_into = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["merged_into"], condition=Q(merged_into__isnull=False), name="patient_merged"),
            models.Index(
                fields=["clinic", "id"], condition=Q(possible_duplicate=True, merged_into__isnull=True), name="patient_duplicate"
            ),
        ]


class Merge(models.Model):
    """That `source` became `target`: who said so, which patients moved with it, and how the target was before, sealed."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    source = models.UUIDField()
    target = models.UUIDField()
    moved = ArrayField(models.UUIDField())
    before = models.BinaryField()
    version = models.IntegerField()
    """The target's version after the merge: while it is still that, undoing gives the target its details back."""
    actor = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["target"], name="merge_target")]


class Visit(models.Model):
    """An appointment of the engine as records knows it: whose it is, and, once the patient has arrived, the visit.

    `as_of` is the time of the newest fact in it. `given` is what was said when booking (name, contact, answers), sealed. `refused`
    says why there is no patient although somebody booked.
    """

    appointment = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    patient = models.UUIDField(null=True)
    calendar = models.UUIDField()
    calendars = ArrayField(models.UUIDField())
    visit_type = models.UUIDField()
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=20)
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    as_of = models.DateTimeField()
    refused = models.CharField(max_length=20, default="")
    given = models.BinaryField(null=True)

    class Meta:
        indexes = [models.Index(fields=["clinic", "patient", "start"], name="visit_patient")]


class Note(models.Model):
    """A note about a patient; its text is in its versions, of which `version` is the newest."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    patient = models.UUIDField()
    appointment = models.UUIDField(null=True)
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["clinic", "patient", "id"], name="note_patient")]


class NoteVersion(models.Model):
    """What was written once. Nothing changes it: who amends a note writes the next version."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    note = models.ForeignKey(Note, on_delete=models.PROTECT, related_name="versions")
    number = models.IntegerField()
    text = models.BinaryField()
    signed = models.BooleanField()
    author = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["note", "number"], name="note_version")]


class Consent(models.Model):
    """That a patient gave or took back consent to a purpose by a channel. The newest row counts; none is ever changed."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    patient = models.UUIDField()
    purpose = models.CharField(max_length=20)
    channel = models.CharField(max_length=10)
    granted = models.BooleanField()
    actor = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["clinic", "patient", "id"], name="consent_patient")]


class Document(models.Model):
    """A file: its name and kind (`about`) and its content, both sealed."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    patient = models.UUIDField()
    about = models.BinaryField()
    content = models.BinaryField()
    size = models.IntegerField()
    author = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["clinic", "patient", "id"], name="document_patient")]


class BreakGlass(models.Model):
    """That somebody without a part in a patient's care looks all the same, until `until`; why is sealed."""

    id = models.UUIDField(primary_key=True)
    clinic = models.CharField(max_length=60)
    patient = models.UUIDField()
    actor = models.CharField(max_length=80)
    reason = models.BinaryField()
    opened_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["clinic", "patient", "actor", "until"], name="break_glass_patient")]
