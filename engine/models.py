"""The tables of the booking core, with the constraints that make a double booking impossible whoever writes."""

from datetime import timedelta

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Lower

from apps.kernel.models import TransactionId
from engine.scheduling.lifecycle import Status

DAY = timedelta(days=1)
_NEW_ID = Func(function="uuidv7", output_field=models.UUIDField())


class Stream(models.Model):
    """One row: the epoch of all versions. It changes when the database is restored, so that no client keeps a lost history."""

    epoch = models.UUIDField(db_default=_NEW_ID)


class Clinic(models.Model):
    """The tenant. `slug` is its public identifier and never changes."""

    slug = models.SlugField(unique=True, max_length=60)
    name = models.CharField(max_length=200)
    zone = models.CharField(max_length=64)
    widget_origins = ArrayField(models.CharField(max_length=200), default=list, db_default=[])
    """Web sites (https origins) that may show the clinic's booking page within their own."""

    def __str__(self) -> str:
        return self.slug


class Location(models.Model):
    uid = models.UUIDField(unique=True, db_default=_NEW_ID)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    zone = models.CharField(max_length=64)
    state = models.CharField(max_length=2)
    address = models.CharField(max_length=300, blank=True)
    city = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=12, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    source_id = models.CharField(max_length=200, null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clinic", "source_id"], name="location_source")]


class Calendar(models.Model):
    """The bookable timeline of one practitioner, room or device: the unit of locking, versioning and live push.

    `id` is also the advisory lock key. `version` counts every change, `rules` those of its opening hours.
    """

    class Kind(models.TextChoices):
        PRACTITIONER = "practitioner"
        ROOM = "room"
        DEVICE = "device"

    uid = models.UUIDField(unique=True, db_default=_NEW_ID)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    location = models.ForeignKey(Location, on_delete=models.PROTECT, null=True)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=200)
    zone = models.CharField(max_length=64)
    specialty = models.CharField(max_length=100, blank=True)
    states = ArrayField(models.CharField(max_length=2), default=list)
    """Where the practitioner is licensed; empty: not restricted."""
    languages = ArrayField(models.CharField(max_length=2), default=list, db_default=[])
    """What the practitioner speaks (ISO 639-1); empty: nobody said, and a search by language does not find it."""
    weight = models.SmallIntegerField(default=1, db_default=1)
    """Its share where visits are dealt out by weight; 0: only when nobody else is free."""
    holidays = models.CharField(max_length=10, blank=True)
    """Country or country-state whose public holidays close the calendar ("US", "US-NJ"); empty: none."""
    join_url = models.CharField(max_length=500, blank=True, default="", db_default="")
    """The practitioner's video room (https); for those who take part in a visit only."""
    active = models.BooleanField(default=True)
    version = models.BigIntegerField(default=0)
    rules = models.BigIntegerField(default=0)
    source_id = models.CharField(max_length=200, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "source_id"], name="calendar_source"),
            models.CheckConstraint(condition=Q(kind__in=["practitioner", "room", "device"]), name="calendar_kind"),
            models.CheckConstraint(condition=Q(join_url="") | Q(join_url__startswith="https://"), name="calendar_join_url"),
            models.CheckConstraint(condition=Q(weight__range=(0, 1000)), name="calendar_weight"),
        ]
        indexes = [models.Index(Lower("specialty"), condition=~Q(specialty=""), name="calendar_specialty")]


class OpeningHours(models.Model):
    """A weekly rule in the calendar's zone; see `scheduling.hours.OpeningHours`."""

    calendar = models.ForeignKey(Calendar, on_delete=models.CASCADE)
    weekday = models.SmallIntegerField()
    opens = models.TimeField()
    closes = models.TimeField()
    valid_from = models.DateField(null=True)
    valid_until = models.DateField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(weekday__range=(0, 6)), name="opening_hours_weekday")]


class OpeningException(models.Model):
    """One interval that is open or closed whatever the weekly hours say; see `scheduling.hours.OpeningException`."""

    uid = models.UUIDField(unique=True, db_default=_NEW_ID)
    calendar = models.ForeignKey(Calendar, on_delete=models.CASCADE)
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    open = models.BooleanField()
    capacity = models.SmallIntegerField(default=1)
    visit_type = models.ForeignKey("VisitType", on_delete=models.PROTECT, null=True)
    note = models.CharField(max_length=100, blank=True, default="", db_default="")
    """What colleagues should know ("team meeting"); never about a patient."""
    source_id = models.CharField(max_length=200, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["calendar", "source_id"], name="opening_exception_source"),
            models.CheckConstraint(condition=Q(ends__gt=F("starts")), name="opening_exception_order"),
            models.CheckConstraint(condition=Q(open=False) | Q(ends__lte=F("starts") + DAY), name="opening_exception_length"),
            models.CheckConstraint(condition=Q(capacity__range=(1, 1000)), name="opening_exception_capacity"),
        ]
        indexes = [models.Index(fields=["calendar", "ends"], name="opening_exception_ends")]


class VisitType(models.Model):
    """What can be booked. Times in minutes, the horizon in days. `revision` counts changes."""

    uid = models.UUIDField(unique=True, db_default=_NEW_ID)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    duration = models.SmallIntegerField(null=True)
    """None: a visit lasts as long as the published window it is in."""
    step = models.SmallIntegerField(default=15)
    before = models.SmallIntegerField(default=0)
    after = models.SmallIntegerField(default=0)
    notice = models.IntegerField(default=0)
    change_notice = models.IntegerField(default=0)
    """How long before the start a patient may still cancel or move."""
    horizon = models.SmallIntegerField(default=180)
    modalities = ArrayField(models.CharField(max_length=20), default=list)
    needs = ArrayField(models.CharField(max_length=12), default=list)
    """Kinds of calendar a visit takes; the first is the one people choose."""
    calendars = models.ManyToManyField(Calendar, related_name="visit_types")
    active = models.BooleanField(default=True)
    revision = models.IntegerField(default=1)
    source_id = models.CharField(max_length=200, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "source_id"], name="visit_type_source"),
            models.CheckConstraint(condition=Q(duration__range=(1, 1439)) | Q(duration=None), name="visit_type_duration"),
            models.CheckConstraint(condition=Q(step__range=(1, 1440)), name="visit_type_step"),
            models.CheckConstraint(condition=Q(before__range=(0, 720), after__range=(0, 720)), name="visit_type_buffers"),
            models.CheckConstraint(condition=Q(notice__gte=0, change_notice__gte=0, horizon__gte=0), name="visit_type_limits"),
        ]


class Appointment(models.Model):
    """A hold, then an appointment, then history: one row and one id from first click to last. Times are those people see."""

    id = models.UUIDField(primary_key=True)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, db_index=False)
    visit_type = models.ForeignKey(VisitType, on_delete=models.PROTECT, db_index=False)
    calendar = models.ForeignKey(Calendar, on_delete=models.PROTECT, db_index=False)
    """The one people chose; `calendars` are the keys of all it takes or took, sorted."""
    calendars = ArrayField(models.IntegerField())
    status = models.CharField(max_length=12)
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    modality = models.CharField(max_length=20)
    state = models.CharField(max_length=2, blank=True)
    expires_at = models.DateTimeField(null=True)
    extended = models.BooleanField(default=False)
    patient_id = models.CharField(max_length=64, null=True)
    patient_details = models.BinaryField(null=True)
    """The envelope with what a patient told us (`envelopes.py`), until the appointment is linked to a patient."""
    version = models.BigIntegerField()
    """The version of `calendar` that the last change took."""
    history = models.JSONField(default=list)
    """[{"event", "at", "by", …}], oldest first, without patient data."""
    stages = models.JSONField(default=dict, db_default={})
    """The steps of the visit that were taken: name → instant in seconds."""
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends__gt=F("starts")), name="appointment_order"),
            models.CheckConstraint(condition=Q(status__in=[s.value for s in Status]), name="appointment_status"),
            models.CheckConstraint(
                condition=Q(status="held", expires_at__isnull=False) | (~Q(status="held") & Q(expires_at=None)),
                name="appointment_expiry",
            ),
        ]
        indexes = [
            models.Index(fields=["calendar", "starts"], name="appointment_calendar"),
            models.Index(fields=["clinic", "id"], name="appointment_clinic"),
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="appointment_overdue"),
            models.Index(fields=["patient_id"], condition=Q(patient_id__isnull=False), name="appointment_patient"),
        ]


class PatientLink(models.Model):
    """Records found out whose visit this is, and the appointment's row is to say so (`bookings.link`)."""

    appointment_id = models.UUIDField(primary_key=True)
    patient_id = models.CharField(max_length=64)


class Allocation(models.Model):
    """The time an appointment takes on one calendar, buffers included. The row exists as long as the time is taken.

    `unit` is which of the places of a group session it has; 1 where there is only one.
    """

    pk = models.CompositePrimaryKey("appointment_id", "calendar_id")
    appointment = models.ForeignKey(Appointment, on_delete=models.CASCADE, db_index=False)
    calendar = models.ForeignKey(Calendar, on_delete=models.PROTECT, db_index=False)
    unit = models.SmallIntegerField(default=1)
    during = DateTimeRangeField()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="allocation_overlap",
                expressions=[
                    ("calendar", RangeOperators.EQUAL),
                    ("unit", RangeOperators.EQUAL),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
            # What an exclusion constraint lets through: nothing overlaps an empty range, everything an unbounded one.
            models.CheckConstraint(
                condition=Q(during__isempty=False, during__lower_inf=False, during__upper_inf=False)
                & Q(during__lower_inc=True, during__upper_inc=False),
                name="allocation_during",
            ),
            models.CheckConstraint(condition=Q(unit__range=(1, 1000)), name="allocation_unit"),
        ]


class OutboxEvent(models.Model):
    """A fact, written in the transaction that made it. Its key is its place in the calendar's stream."""

    pk = models.CompositePrimaryKey("calendar_id", "version")
    calendar_id = models.IntegerField()
    version = models.BigIntegerField()
    id = models.UUIDField(db_default=_NEW_ID)
    type = models.CharField(max_length=40)
    appointment_id = models.UUIDField(null=True)
    at = models.DateTimeField()
    data = models.JSONField()
    sent_at = models.DateTimeField(null=True)
    txid = TransactionId(db_default=Func(function="pg_current_xact_id", output_field=TransactionId()))
    """The order in which other services take over facts (`feed.py`)."""

    class Meta:
        indexes = [
            models.Index(fields=["txid", "calendar_id", "version"], name="engine_outbox_order"),
            models.Index(fields=["calendar_id", "version"], condition=Q(sent_at=None), name="outbox_unsent"),
            BrinIndex(fields=["at"], name="outbox_at"),
        ]


class Lane(models.Model):
    """What a search for the first available can ask for, once for all the rows of `NextFree` that share it.

    `head` is at or before the `first` of each of them.
    """

    specialty = models.CharField(max_length=100)
    """In lower case."""
    states = ArrayField(models.CharField(max_length=2))
    languages = ArrayField(models.CharField(max_length=2))
    modalities = ArrayField(models.CharField(max_length=20))
    digest = models.BigIntegerField(unique=True)
    """Of the above: an index of a tenth of the size."""
    head = models.IntegerField()

    class Meta:
        indexes = [models.Index(fields=["specialty", "head"], name="lane_specialty_head")]


class NextFree(models.Model):
    """The index of the first available: when a calendar is next free for a visit type (`next_free.py` keeps it).

    Whole minutes since 1970. Nothing is free before `first`; from there each step of the visit type is, up to `last`. Where nothing
    was found, `last` is before `first`: then the row is to be looked at anew. So time that passes makes no row wrong. `notice` is
    the visit type's.
    """

    pk = models.CompositePrimaryKey("visit_type_id", "calendar_id")
    visit_type_id = models.IntegerField()
    calendar_id = models.IntegerField()
    lane_id = models.IntegerField()
    first = models.IntegerField()
    last = models.IntegerField()
    notice = models.IntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["lane_id", "first"], name="next_free_lane"),
            models.Index(F("first") - F("notice"), name="next_free_due"),
            models.Index(fields=["last"], condition=Q(last__lt=F("first")), name="next_free_nothing"),
        ]


class NextFreeKept(models.Model):
    """One row: how far the index of the first available has come. It holds all events up to (txid, calendar, version)."""

    epoch = models.UUIDField()
    """Of a restored database it is another one; then the index begins anew."""
    txid = TransactionId()
    calendar_id = models.IntegerField()
    version = models.BigIntegerField()
    built_to = models.IntegerField(null=True)
    """The last calendar that the first pass over all has reached; None when it is through."""


class IdempotencyKey(models.Model):
    """The result of a write, kept for 24 h so that a repeated request gets the first answer."""

    pk = models.CompositePrimaryKey("scope", "key")
    scope = models.CharField(max_length=200)
    key = models.CharField(max_length=128)
    fingerprint = models.BinaryField()
    result = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        indexes = [BrinIndex(fields=["at"], name="idempotency_at")]
