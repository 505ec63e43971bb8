"""The tables of the records service."""

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
