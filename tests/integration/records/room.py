"""A clinic, its people, and the facts that reach records: what the tests of this folder act with."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from django.test import Client
from joserfc import jwe
from joserfc.jwk import KeySet

from apps.kernel import inbox
from apps.kernel.ids import new_id
from apps.kernel.models import Cursor
from apps.kernel.tokens import ALGORITHM, AUDIENCE, ISSUER
from apps.records.envelopes import TYPE
from apps.records.handlers import HANDLERS

BASE = "/api/records/v1"
ADA: dict[str, Any] = {
    "name": "Ada O'Canary",
    "birth_date": "1990-02-03",
    "phones": ["+1 415 555 2671"],
    "emails": ["ada.canary@example.org"],
    "language": "es",
}
SAID: dict[str, Any] = {
    "name": "Ada O'Canary",
    "date_of_birth": "1990-02-03",
    "phone": "+1 415 555 2671",
    "email": "ada.canary@example.org",
    "language": "es",
    "zone": "America/New_York",
    "answers": {"Reason": "Canary cough"},
}


@dataclass(frozen=True)
class Room:
    """A clinic with one practitioner's calendar."""

    clinic: str
    calendar: str

    def client(self, role: str, *, calendar: str = "", subject: str = "", clinic: str = "", second_factor: bool = True) -> Client:
        """Somebody of that role at the door."""
        token = _token(
            sub=subject or f"test:{role}",
            clinic=clinic or self.clinic,
            role=role,
            calendar=calendar,
            amr=["pwd", "otp"] if second_factor else ["pwd"],
        )
        return Client(headers={"authorization": f"Bearer {token}"})

    def practitioner(self, **options: Any) -> Client:
        return self.client("practitioner", calendar=self.calendar, **options)

    def patient(self, **details: Any) -> dict[str, Any]:
        """A patient made by an administrator, as the administrator sees it."""
        made: dict[str, Any] = send(self.client("clinic_admin"), "post", "/patients", ADA | details, status=201)
        return made

    def treated(self, **details: Any) -> str:
        """A patient who has an appointment on the calendar; the id."""
        patient: str = self.patient(**details)["id"]
        told(self.fact("booked", patient=patient))
        return patient

    def fact(self, name: str, *, minutes: int = 0, **data: Any) -> dict[str, Any]:
        """A fact of the engine, `minutes` after this hour began; `data` as in the feed."""
        at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2) + timedelta(minutes=minutes)
        appointment = data.pop("appointment", None) or str(uuid4())
        known = {
            "appointment": appointment,
            "clinic": self.clinic,
            "calendar": self.calendar,
            "calendars": [self.calendar],
            "visit_type": str(uuid4()),
            "patient": None,
            "start": "2027-03-01T14:00:00Z",
            "end": "2027-03-01T14:30:00Z",
            "status": name,
            "modality": "in_person",
            "state": "NY",
            "by": "patient" if name == "cancelled" else None,
            "sealed": None,
        }
        return {
            "specversion": "1.0",
            "id": str(new_id()),
            "source": "/engine",
            "type": f"healthflow.appointment.{name}.v1",
            "subject": appointment,
            "clinic": self.clinic,
            "time": at.isoformat(),
            "data": known | data,
        }


def told(*facts: dict[str, Any]) -> None:
    """The facts reach records, as one page of the engine's feed."""
    before = Cursor.objects.filter(producer="engine").values_list("position", flat=True).first() or ""
    inbox.take("engine", facts, HANDLERS, before=before, after=f"{time.time_ns()}:0:0")


def sealed(details: dict[str, Any] | None = None) -> str:
    """An envelope as the browser makes it."""
    key = KeySet.import_key_set(json.loads(Path(os.environ["SEALING_JWKS_FILE"]).read_text())).keys[0]
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid, "typ": TYPE}
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])
    return jwe.encrypt_compact(header, json.dumps(details or SAID).encode(), key, registry=registry)


def send(client: Client, method: str, path: str, body: Any = None, *, status: int = 200, headers: Any = None) -> Any:
    """Asks, checks the status, gives the JSON."""
    answer = raw(client, method, path, body, headers=headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def raw(client: Client, method: str, path: str, body: Any = None, *, headers: Any = None) -> Any:
    sent = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
    return getattr(client, method)(path if path.startswith("/internal") else BASE + path, headers=headers, **sent)


def service(name: str) -> Client:
    """Another service at the internal door."""
    key = Path(os.environ[f"SERVICE_KEY_FILE_{name.upper()}"]).read_text()
    claims = {"iss": "healthflow/service", "sub": name, "aud": "records", "exp": int(time.time()) + 60}
    token = jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": name})
    return Client(headers={"authorization": f"Bearer {token}"})


def _token(**claims: Any) -> str:
    file, now = Path(os.environ["TOKEN_SIGNING_KEY_FILE"]), int(time.time())
    kid = json.loads((file.parent / "token-jwks.json").read_text())["keys"][0]["kid"]
    common = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, "jti": uuid4().hex}
    return jwt.encode(common | claims, file.read_text(), algorithm=ALGORITHM, headers={"kid": kid})
