"""How to reach a patient: asked of records each time it is needed, and kept nowhere."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.kernel.services import ServiceDown, call
from apps.notifications.models import Message


@dataclass(frozen=True, repr=False)
class Contact:
    """Who a message is for. `channels` are those the patient has agreed to."""

    patient: str
    name: str
    email: str
    phone: str
    language: str
    channels: frozenset[str]
    zone: str | None

    def address(self, channel: str) -> str:
        return {"email": self.email, "sms": self.phone}[channel] if channel in self.channels else ""


def of(message: Message) -> Contact | None:
    """The contact of whom a message is for; None as long as records does not know. Raises ServiceDown."""
    if message.appointment is not None:
        return _ask(f"/internal/v1/appointments/{message.appointment}/contact")
    return _ask(f"/internal/v1/patients/{UUID(message.patient)}/contact", clinic=message.clinic)


def patients_with(phone: str) -> list[str]:
    """The patients, of whatever clinic, whose number this is. Raises ServiceDown."""
    answer = call("records", "POST", "/internal/v1/contacts/find", json={"phone": phone})
    if answer.status_code != 200:
        raise ServiceDown(f"records: {answer.status_code}")
    told = answer.json()
    return [str(patient) for patient in told["patients"]]


def _ask(path: str, **query: str) -> Contact | None:
    answer = call("records", "GET", path, params=query)
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise ServiceDown(f"records: {answer.status_code}")
    return _contact(answer.json())


def _contact(told: dict[str, Any]) -> Contact:
    return Contact(
        patient=str(told["patient"]),
        name=told["name"] or "",
        email=told["email"] or "",
        phone=told["phone"] or "",
        language=told["language"] or "",
        channels=frozenset(told["channels"]),
        zone=told["zone"],
    )
