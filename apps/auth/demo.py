"""The people of the demo clinic. Their passwords and app secrets follow from SECRET_KEY: random, and the same every time."""

import base64
import time
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.auth import factors, people
from apps.auth.models import Clinic, Membership, Person, Role
from apps.auth.words import derived


class Login(NamedTuple):
    """One person of the demo, as whoever looks around needs it."""

    name: str
    email: str
    role: str
    password: str
    totp_secret: str


_NAME = "Harbor Family Medicine"
_STAFF = (
    ("Dr. Maya Chen", Role.PRACTITIONER),
    ("Dr. James Okafor", Role.PRACTITIONER),
    ("Dr. Sofia Alvarez", Role.PRACTITIONER),
    ("Dr. Elena Ruiz", Role.PRACTITIONER),
    ("Priya Nair", Role.FRONT_DESK),
    ("Thomas Reed", Role.CLINIC_ADMIN),
    ("Lena Fischer", Role.BILLING),
    ("Samuel Adeyemi", Role.AUDITOR),
)


def logins() -> list[Login]:
    return [_login(name, role) for name, role in _STAFF]


def _login(name: str, role: Role) -> Login:
    email = f"{name.removeprefix('Dr. ').lower().replace(' ', '.')}@demo.example"
    password = base64.b32encode(derived(f"password {email}", size=10)).decode().lower()
    return Login(name, email, role, password, base64.b32encode(derived(f"app {email}", size=20)).decode())


def seed(calendars: dict[str, str]) -> None:
    """Makes the clinic and its people, or puts them back as they were; `calendars` are the engine's ids by practitioners' names."""
    clinic, _ = Clinic.objects.get_or_create(slug=settings.ENV.demo_clinic or "demo", defaults={"name": _NAME})
    for login in logins():
        with transaction.atomic():
            _put_back(login, clinic, calendars.get(login.name, ""))


def _put_back(login: Login, clinic: Clinic, calendar: str) -> None:
    person = Person.objects.filter(email=login.email).first() or Person(email=login.email)
    person.name, person.is_active = login.name, True
    if not person.check_password(login.password):
        person.set_password(login.password)
    person.save()
    key = base64.b32decode(login.totp_secret).hex()
    TOTPDevice.objects.filter(user=person).exclude(key=key).delete()
    TOTPDevice.objects.update_or_create(user=person, key=key, defaults={"confirmed": True, "name": "Authenticator app"})
    membership = Membership.objects.filter(person=person, clinic=clinic).first()
    if membership is None:
        people.add(person, clinic, role=login.role, calendar=calendar)
    elif calendar:
        people.change(None, "system", membership, role=login.role, calendar=calendar)


def code_for(person: Person) -> str:
    """The code that the app of somebody of the demo shows, or the next one when that was used; empty for everybody else."""
    if person.email not in {login.email for login in logins()}:
        return ""
    device = factors.of(person).app
    return (factors.code_of(device, now=int(time.time())) if device else None) or ""
