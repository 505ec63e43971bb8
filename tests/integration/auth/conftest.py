"""The fixtures of this folder: a clinic with people, and browsers that visit the pages."""

import os
from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice
from redis import Redis

from apps.auth.models import Clinic, Membership, Person
from tests.integration.auth.visits import PASSWORD, Staff

# Of one hashed password, copied: the hash itself is Argon2's, 60 ms each time.
_HASHED: dict[str, str] = {}


@pytest.fixture
def clinic(transactional_db: None) -> Clinic:
    Clinic.objects.create(slug="other", name="Other")
    return Clinic.objects.create(slug="harbor", name="Harbor")


@pytest.fixture
def make(clinic: Clinic) -> Callable[..., Staff]:
    """make(role="front_desk", clinic="harbor", factor=True) -> somebody who can sign in."""

    def made(role: str = "front_desk", *, slug: str = "harbor", factor: bool = True) -> Staff:
        email = f"{role}.{slug}.{Person.objects.count()}@example.org"
        person = Person(email=email, name=f"{role} of {slug}")
        if not _HASHED:
            person.set_password(PASSWORD)
            _HASHED["hash"] = person.password
        person.password = _HASHED["hash"]
        person.save()
        membership = Membership.objects.create(person=person, clinic_id=slug, role=role)
        app = TOTPDevice.objects.create(user=person, confirmed=True) if factor else None
        return Staff(person, membership, app)

    return made


@pytest.fixture
def browser() -> Client:
    return Client(headers={"user-agent": "Firefox on a test"})


@pytest.fixture
def redis() -> Iterator["Redis"]:
    with Redis.from_url(os.environ["REDIS_URL"]) as found:
        found.flushdb()
        yield found
