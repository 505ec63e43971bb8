"""Who works where, what they prove it with, and which sessions are open. Instants are the database's."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django_otp.plugins.otp_static.models import StaticDevice

from apps.auth.words import code_digest, normal_email

_NEW_ID = models.Func(function="uuidv7", output_field=models.UUIDField())


class Role(models.TextChoices):
    """What a person is in one clinic. Programs are not people and have no membership."""

    PRACTITIONER = "practitioner", "Practitioner"
    FRONT_DESK = "front_desk", "Front desk"
    CLINIC_ADMIN = "clinic_admin", "Clinic administrator"
    BILLING = "billing", "Billing"
    AUDITOR = "auditor", "Auditor"


class People(BaseUserManager["Person"]):
    def get_by_natural_key(self, username: str | None) -> "Person":
        return self.get(email=normal_email(username or ""))


class Person(AbstractBaseUser):
    """Somebody who signs in, in however many clinics. The e-mail address is kept as `normal_email` makes it."""

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())
    # The list of sessions says it better.
    last_login = None

    objects = People()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_person_an_email")]

    def get_full_name(self) -> str:
        return self.name


class Clinic(models.Model):
    """A tenant, by the slug that it has in every service."""

    slug = models.SlugField(primary_key=True, max_length=60)
    name = models.CharField(max_length=200)
    idle_minutes = models.PositiveSmallIntegerField(default=15)
    """A session in which nobody did anything for so long ends."""

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(idle_minutes__range=(1, 720)), name="idle_is_1_min_to_12_h")]


class Membership(models.Model):
    """A person's one role in a clinic. `calendar` is the engine's id of the calendar that is a practitioner's own, or empty."""

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    person = models.ForeignKey(Person, models.CASCADE, related_name="memberships")
    clinic = models.ForeignKey(Clinic, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    calendar = models.CharField(max_length=64, default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "clinic"], name="one_role_a_clinic"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="a_role_that_exists"),
            models.CheckConstraint(condition=Q(calendar="") | Q(role=Role.PRACTITIONER), name="calendars_are_practitioners"),
        ]


class Session(models.Model):
    """A sign-in that is under way (no second factor yet), open, or ended. Its id is the `jti` of its access tokens.

    The browser holds a secret of which only the digest is here; the secret is a new one whenever what the session may do changes.
    """

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    secret = models.BinaryField(max_length=32, unique=True)
    person = models.ForeignKey(Person, models.CASCADE, related_name="sessions")
    clinic = models.ForeignKey(Clinic, models.CASCADE)
    created_at = models.DateTimeField(db_default=Now())
    """Of the sign-in: also after a switch of clinics the 12 hours count from here."""
    second_factor_at = models.DateTimeField(null=True)
    last_active_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    address = models.CharField(max_length=45)
    agent = models.CharField(max_length=120)
    challenge = models.JSONField(null=True)
    """What the browser's passkey was asked to sign; taken out before the answer is looked at."""
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=20, default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["last_active_at"], condition=Q(ended_at=None), name="open_sessions"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="ended_sessions"),
        ]


class KnownDevice(models.Model):
    """A browser in which a person has signed in completely. The cookie is a secret; its digest is here."""

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    person = models.ForeignKey(Person, models.CASCADE, related_name="devices")
    secret = models.BinaryField(max_length=32)
    last_used_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["secret", "person"], name="one_row_a_person_and_browser")]


class Attempts(models.Model):
    """How often something was tried in a row that did not succeed (`throttle.py`)."""

    key = models.BinaryField(primary_key=True, max_length=32)
    count = models.IntegerField()
    at = models.DateTimeField()
    blocked_until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="attempts_by_age")]


class RecoveryCodes(StaticDevice):  # type: ignore[misc] # django-otp is not typed
    """django-otp's list of codes that each work once, of which only digests are stored."""

    class Meta:
        proxy = True

    def verify_token(self, token: str) -> bool:
        return bool(super().verify_token(code_digest(token, person=self.user_id)))


class Letter(models.Model):
    """A mail that is due. The tick that sends it puts `due_at` off first, so that one that fails is sent again later."""

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    email = models.EmailField(max_length=254)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), null=True)
    """Null when it was sent, or given up."""
    attempts = models.PositiveSmallIntegerField(default=0)
    language = models.CharField(max_length=2, db_default="en")
    """Of the page on which it was caused."""

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="%(class)s_due")]


class Link(Letter):
    """A letter with an address that works once. Its token is made when it is sent, and only the digest is kept."""

    token = models.BinaryField(max_length=32, null=True, unique=True)
    used_at = models.DateTimeField(null=True)

    class Meta(Letter.Meta):
        abstract = True


class Invitation(Link):
    """To work in a clinic. Whoever has the mailbox may accept; a new person chooses a password."""

    clinic = models.ForeignKey(Clinic, models.CASCADE)
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=20, choices=Role)
    calendar = models.CharField(max_length=64, default="", blank=True)
    invited_by = models.CharField(max_length=80)

    class Meta(Link.Meta):
        pass


class PasswordReset(Link):
    """Somebody asked for a new password. Whether the address is anybody's is looked up when the letter is sent."""

    class Meta(Link.Meta):
        pass


class NewDeviceNotice(Letter):
    """Tells a person of a sign-in from a browser that they never used before."""

    at = models.DateTimeField(db_default=Now())
    agent = models.CharField(max_length=120)

    class Meta(Letter.Meta):
        pass


# --- programs and rights that ended -----------------------------------------------------------------------------------


class Program(models.Model):
    """What signs in to one clinic by OAuth 2 instead of a person: a program of its own, or an app through which its staff work.

    `application` is django-oauth-toolkit's record of the client: its id, the digest of its secret, its redirect addresses.
    """

    id = models.UUIDField(primary_key=True, db_default=_NEW_ID)
    application = models.OneToOneField("oauth2_provider.Application", models.CASCADE, related_name="program")
    clinic = models.ForeignKey(Clinic, models.CASCADE, related_name="programs")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=80)
    disabled_at = models.DateTimeField(null=True)


class Revocation(models.Model):
    """An entry of `apps.kernel.revocations`, and the second (since 1970) until which tokens are void by it."""

    entry = models.CharField(primary_key=True, max_length=200)
    until = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["until"], name="revocations_by_age")]
