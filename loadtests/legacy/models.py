"""The tables: every index is one that Django makes by itself."""

from django.db import models


class Practice(models.Model):
    name = models.CharField(max_length=200)
    zone = models.CharField(max_length=64)


class Practitioner(models.Model):
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="practitioners")
    name = models.CharField(max_length=200)
    specialty = models.CharField(max_length=100, blank=True)


class WorkingHours(models.Model):
    practitioner = models.ForeignKey(Practitioner, on_delete=models.CASCADE, related_name="working_hours")
    weekday = models.PositiveSmallIntegerField()
    opens = models.TimeField()
    closes = models.TimeField()


class TimeOff(models.Model):
    practitioner = models.ForeignKey(Practitioner, on_delete=models.CASCADE, related_name="time_off")
    start = models.DateTimeField()
    end = models.DateTimeField()


class VisitType(models.Model):
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="visit_types")
    name = models.CharField(max_length=200)
    minutes = models.PositiveSmallIntegerField(default=15)


class Patient(models.Model):
    name = models.CharField(max_length=200)
    email = models.EmailField()
    phone = models.CharField(max_length=40, blank=True)


class Appointment(models.Model):
    class Status(models.TextChoices):
        BOOKED = "booked"
        CANCELLED = "cancelled"

    practitioner = models.ForeignKey(Practitioner, on_delete=models.CASCADE, related_name="appointments")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="appointments")
    visit_type = models.ForeignKey(VisitType, on_delete=models.CASCADE)
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.BOOKED)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["start"]
