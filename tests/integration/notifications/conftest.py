"""Notifications between real servers: its database, a mailbox that speaks SMTP, Twilio's protocol, and its neighbours."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.controller import Controller
from django.test import Client
from pydantic import SecretStr
from pytest_django import Settings

from apps.kernel.events import Event
from apps.kernel.ids import new_id
from apps.kernel.tokens import sign
from apps.local.environment import free_ports
from apps.local.mailbox import Mailbox, MailHandler
from apps.notifications import clinics, sms
from apps.notifications import settings as own_settings
from apps.notifications.handlers import HANDLERS
from tests.integration.notifications.neighbours import CALENDAR, CLINIC, Neighbours
from tests.integration.notifications.twilio_server import ACCOUNT, TOKEN, Twilio

Tell = Callable[..., UUID]


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    server = Twilio()
    yield server
    server.close()


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    box, port = Mailbox(), free_ports(1)[0]
    server = Controller(MailHandler(box), hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    yield box
    if server.loop.is_running():
        server.stop()


@pytest.fixture
def service(
    transactional_db: None,
    settings: Settings,
    mailbox: Mailbox,
    twilio: Twilio,
    neighbours: Neighbours,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """The service with all that it speaks to."""
    settings.ENV = own = settings.ENV.model_copy(
        update={
            "twilio_url": twilio.url,
            "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": SecretStr(TOKEN),
            "records_url": neighbours.url,
            "engine_url": neighbours.url,
            "public_url": "https://book.example",
            "rate_limits": False,
        }
    )
    monkeypatch.setattr(own_settings, "ENV", own)
    for forget in (sms.client.cache_clear, sms.validator.cache_clear, clinics.forget):
        forget()
    yield
    for forget in (sms.client.cache_clear, sms.validator.cache_clear, clinics.forget):
        forget()


def now() -> datetime:
    return datetime.now(UTC)


def fact(
    change: str,
    *,
    appointment: UUID,
    starts: datetime,
    at: datetime | None = None,
    status: str = "",
    event: UUID | None = None,
) -> Event:
    """An event of the engine, as its feed gives it to notifications."""
    usual = {"booked": "booked", "rescheduled": "booked", "started": "in_progress"}
    data: dict[str, Any] = {
        "appointment": str(appointment),
        "clinic": CLINIC,
        "calendar": CALENDAR,
        "calendars": [CALENDAR],
        "visit_type": str(uuid4()),
        "patient": None,
        "start": starts.isoformat(),
        "end": (starts + timedelta(minutes=30)).isoformat(),
        "status": status or usual.get(change, change),
        "modality": "in_person",
        "state": "NY",
        "by": "clinic" if change == "cancelled" else None,
        "sealed": None,
        "manage_url": f"https://book.example/manage/{appointment.hex}/",
    }
    return Event(event or new_id(), "/engine", f"appointment.{change}.v1", str(appointment), CLINIC, at or now(), data)


@pytest.fixture
def tell(service: None) -> Tell:
    """tell("booked", starts=…, …) hands one event to the handlers; the appointment's id."""

    def hand_over(change: str, *, appointment: UUID | None = None, starts: datetime | None = None, **given: Any) -> UUID:
        known = appointment or new_id()
        event = fact(change, appointment=known, starts=starts or in_(days=5), **given)
        HANDLERS["engine", event.type](event)
        return known

    return hand_over


def in_(**span: float) -> datetime:
    """So long from now, at a whole minute."""
    return (now() + timedelta(**span)).replace(second=0, microsecond=0)


@pytest.fixture
def as_role(service: None, settings: Settings) -> Callable[..., Client]:
    """as_role("front_desk", clinic="harbor") -> somebody at the door."""

    def make(role: str, clinic: str = CLINIC) -> Client:
        key = Path(settings.ENV.token_jwks_file).parent / "token-signing-key.pem"
        token = sign(key, subject=f"test:{role}", clinic=clinic, role=role, seconds=300)
        return Client(headers={"authorization": f"Bearer {token}", "accept": "application/json"})

    return make
