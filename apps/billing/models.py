"""The tables of billing. Patients are ids, names are asked for when something is drawn; amounts are minor units of `currency`.

The ledger's tables are append-only and balanced by the database itself: see migrations/0002_ledger_guards.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func, Q

from apps.billing.ledger import Account, Posting
from apps.billing.rules import Reason
from apps.kernel.ids import new_id


class Profile(models.Model):
    """Who bills, and to whom claims go: printed on invoices, required piece by piece in a claim."""

    clinic = models.SlugField(primary_key=True, max_length=60)
    name = models.CharField(max_length=200)
    zone = models.CharField(max_length=64)
    line = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=2, blank=True)
    postal_code = models.CharField(max_length=10, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    email = models.CharField(max_length=254, blank=True)
    contact = models.CharField(max_length=60, blank=True)
    npi = models.CharField(max_length=10, blank=True)
    tax_id = models.CharField(max_length=10, blank=True)
    taxonomy = models.CharField(max_length=10, blank=True)
    submitter_id = models.CharField(max_length=15, blank=True)
    receiver_id = models.CharField(max_length=15, blank=True)
    receiver_name = models.CharField(max_length=60, blank=True)
    production = models.BooleanField(default=False)


class Price(models.Model):
    """What a visit type costs from `valid_from` on, until the next one begins. Never changed: a new price is a new row."""

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    visit_type = models.UUIDField()
    valid_from = models.DateTimeField()
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=100)
    code = models.CharField(max_length=5, blank=True)
    modifiers = ArrayField(models.CharField(max_length=2), default=list)
    telehealth_place = models.CharField(max_length=2, default="10")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "visit_type", "valid_from"], name="price_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="price_amount"),
        ]


class Policy(models.Model):
    """A clinic's fees from `valid_from` on; hours of notice, days to pay. No tax is added to anything."""

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    valid_from = models.DateTimeField()
    currency = models.CharField(max_length=3)
    late_cancel_fee = models.BigIntegerField()
    late_cancel_hours = models.IntegerField()
    no_show_fee = models.BigIntegerField()
    payment_days = models.SmallIntegerField(default=30)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "valid_from"], name="policy_once"),
            models.CheckConstraint(
                condition=Q(late_cancel_fee__gte=0, no_show_fee__gte=0, late_cancel_hours__gte=0, payment_days__gte=0),
                name="policy_amounts",
            ),
        ]


class Series(models.Model):
    """The last number given in a series of a clinic. Its row is locked until the number is committed: there are no gaps."""

    pk = models.CompositePrimaryKey("clinic", "name")
    clinic = models.SlugField(max_length=60, db_index=False)
    name = models.CharField(max_length=10)
    last = models.IntegerField()


class Invoice(models.Model):
    """Draft, then issued, then paid, void or written off. `number` is given when it is issued."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        ISSUED = "issued"
        PAID = "paid"
        VOID = "void"
        WRITTEN_OFF = "written_off"

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    patient = models.CharField(max_length=64)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DRAFT)
    number = models.IntegerField(null=True)
    currency = models.CharField(max_length=3)
    total = models.BigIntegerField()
    created_at = models.DateTimeField()
    issued_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    overdue_at = models.DateTimeField(null=True)
    """When it was found to be overdue."""
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "number"], name="invoice_number"),
            models.CheckConstraint(condition=Q(total__gte=0), name="invoice_total"),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "issued", "paid", "void", "written_off"]), name="invoice_status"
            ),
            models.CheckConstraint(
                condition=Q(number=None, issued_at=None, due_at=None, status__in=["draft", "void"])
                | Q(number__gte=1, issued_at__isnull=False, due_at__isnull=False) & ~Q(status="draft"),
                name="invoice_issued",
            ),
        ]
        indexes = [
            models.Index(fields=["clinic", "id"], name="invoice_clinic"),
            models.Index(fields=["patient"], name="invoice_patient"),
            models.Index(fields=["due_at"], condition=Q(status="issued", overdue_at=None), name="invoice_due"),
        ]


class Charge(models.Model):
    """What an appointment costs: one a reason. Without an amount it waits for a biller, without a patient for records."""

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    appointment = models.UUIDField()
    reason = models.CharField(max_length=12)
    visit_type = models.UUIDField()
    starts = models.DateTimeField()
    modality = models.CharField(max_length=20)
    patient = models.CharField(max_length=64, null=True)
    amount = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    description = models.CharField(max_length=100, blank=True)
    code = models.CharField(max_length=5, blank=True)
    modifiers = ArrayField(models.CharField(max_length=2), default=list)
    place = models.CharField(max_length=2, blank=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True)
    """The one that bills it now; a voided invoice lets go of its charges and keeps its lines."""
    waived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["appointment", "reason"], name="charge_once"),
            models.CheckConstraint(condition=Q(reason__in=[reason.value for reason in Reason]), name="charge_reason"),
            models.CheckConstraint(condition=Q(amount=None) | Q(amount__gte=0) & ~Q(currency=""), name="charge_amount"),
            models.CheckConstraint(
                condition=Q(invoice=None) | Q(amount__isnull=False, patient__isnull=False, waived_at=None), name="charge_billable"
            ),
        ]
        indexes = [
            models.Index(fields=["clinic", "id"], name="charge_clinic"),
            models.Index(fields=["patient"], condition=Q(patient__isnull=False), name="charge_patient"),
        ]


class Attendance(models.Model):
    """The newest fact about whether a patient came, for appointments of which it was ever said that they did not, or did."""

    appointment = models.UUIDField(primary_key=True)
    came = models.BooleanField()
    as_of = models.DateTimeField()


class InvoiceLine(models.Model):
    """A charge as it was billed."""

    pk = models.CompositePrimaryKey("invoice_id", "charge_id")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, db_index=False)
    charge = models.ForeignKey(Charge, on_delete=models.PROTECT)
    reason = models.CharField(max_length=12)
    starts = models.DateTimeField()
    description = models.CharField(max_length=100)
    code = models.CharField(max_length=20, blank=True)
    amount = models.BigIntegerField()


class AppointmentPatient(models.Model):
    """Whose an appointment is, as records found; it may know so before there is a charge, or after."""

    appointment = models.UUIDField(primary_key=True)
    patient = models.CharField(max_length=64, db_index=True)


class PatientMerge(models.Model):
    """Two patients who are one: what comes late for `merged` belongs to `into`, which is never merged itself."""

    merged = models.CharField(primary_key=True, max_length=64)
    into = models.CharField(max_length=64, db_index=True)


class Payment(models.Model):
    """Money asked of a patient for an invoice. The row is there before the provider is told: `created` may be told again."""

    class Status(models.TextChoices):
        CREATED = "created"
        OPEN = "open"
        CANCELLING = "cancelling"
        SUCCEEDED = "succeeded"
        EXPIRED = "expired"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.CREATED)
    reference = models.CharField(max_length=255, blank=True)
    transaction = models.CharField(max_length=255, blank=True)
    url = models.TextField(blank=True)
    failure = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_amount"),
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(status__in=["created", "open", "cancelling"]), name="payment_one_open"
            ),
            models.UniqueConstraint(fields=["transaction"], condition=~Q(transaction=""), name="payment_transaction"),
        ]
        indexes = [
            models.Index(fields=["clinic", "id"], name="payment_clinic"),
            models.Index(fields=["tried_at"], condition=Q(status__in=["created", "open", "cancelling"]), name="payment_unfinished"),
        ]


class Refund(models.Model):
    """Money given back of a payment. One that began at the provider (its dashboard) is found by its reference."""

    class Status(models.TextChoices):
        CREATED = "created"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT)
    amount = models.BigIntegerField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.CREATED)
    reference = models.CharField(max_length=255, blank=True)
    failure = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount"),
            models.UniqueConstraint(fields=["reference"], condition=~Q(reference=""), name="refund_reference"),
        ]
        indexes = [models.Index(fields=["tried_at"], condition=Q(status__in=["created", "pending"]), name="refund_unfinished")]


class WebhookEvent(models.Model):
    """An event of the provider that was taken, so that it is taken once."""

    id = models.CharField(primary_key=True, max_length=255)
    type = models.CharField(max_length=100)
    at = models.DateTimeField()


class LedgerTransaction(models.Model):
    """One posting. `written_in` is the database transaction that wrote it: only that one may give it entries."""

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60)
    posting = models.CharField(max_length=24)
    source = models.UUIDField()
    currency = models.CharField(max_length=3)
    at = models.DateTimeField()
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True)
    written_in = models.TextField(db_default=Func(function="pg_current_xact_id", template="(%(function)s())::text"))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["posting", "source"], name="ledger_posting_once"),
            models.CheckConstraint(condition=Q(posting__in=[posting.value for posting in Posting]), name="ledger_posting"),
        ]


class LedgerEntry(models.Model):
    """A debit (positive) or a credit (negative) of one account."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT)
    account = models.CharField(max_length=12)
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_amount"),
            models.CheckConstraint(condition=Q(account__in=[account.value for account in Account]), name="ledger_entry_account"),
        ]


class Claim(models.Model):
    """What a payer must be told of a charge beside what we and records know. `subscriber` is the member id, sealed for this row."""

    id = models.UUIDField(primary_key=True, default=new_id)
    clinic = models.SlugField(max_length=60, db_index=False)
    number = models.IntegerField()
    charge = models.OneToOneField(Charge, on_delete=models.PROTECT)
    payer_id = models.CharField(max_length=20)
    payer_name = models.CharField(max_length=60)
    filing = models.CharField(max_length=2)
    subscriber = models.BinaryField()
    diagnoses = ArrayField(models.CharField(max_length=8))
    rendering_npi = models.CharField(max_length=10, blank=True)
    rendering_family = models.CharField(max_length=60, blank=True)
    rendering_given = models.CharField(max_length=35, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clinic", "number"], name="claim_number")]
        indexes = [models.Index(fields=["clinic", "id"], name="claim_clinic")]
