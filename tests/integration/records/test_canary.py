"""No table, no log and no fact of this service has a patient's name in the clear: searched row by row after everything was done."""

import json
import logging
from typing import Any

import pytest
from django.db import connection

from tests.integration.records.room import ADA, Room, raw, sealed, send, told

CANARIES = ("Canary", "canary", "555-2671", "555 2671", "5552671", "1990-02-03", "sings in the evening", "unconscious", "Main St")


@pytest.mark.django_db
def test_nothing_of_a_patient_is_in_the_clear(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    patient = room.treated(address={"line": "1 Main St"}, identifiers=[{"system": "Canary", "value": "Canary-1"}])
    doctor, admin, desk = room.practitioner(), room.client("clinic_admin"), room.client("front_desk")
    told(room.fact("booked", sealed=sealed()), room.fact("booked", sealed=sealed({"name": "Canary", "phone": "555-2671-x"})))
    other = room.patient(name="Old Canary")["id"]
    send(admin, "post", f"/patients/{patient}/merge", {"source": other}, headers={"Idempotency-Key": "a"})
    file = {"name": "Canary.txt", "type": "text/plain", "content": "Q2FuYXJ5"}
    for path, body in (
        (f"/patients/{patient}/notes", {"text": "Ada sings in the evening"}),
        (f"/patients/{patient}/documents", file),
    ):
        send(doctor, "post", path, body, status=201, headers={"Idempotency-Key": path[-9:]})
    reason = {"reason": "unconscious on arrival"}
    send(room.client("practitioner"), "post", f"/patients/{patient}/break-glass", reason, status=201)
    send(desk, "post", "/patients/search", {"name": ADA["name"]}, headers={"Idempotency-Key": "s"})
    raw(desk, "post", "/patients/search", {"name": ADA["name"], "planet": "Canary"})
    send(admin, "get", f"/patients/{patient}/export")

    for table, row in every_row():
        for canary in CANARIES:
            assert canary not in row, f"{canary} is in {table}"
    assert not [canary for canary in CANARIES if canary in caplog.text]


def every_row() -> list[tuple[str, str]]:
    """Each row of each table, as text, with bytes both as hexadecimal and as what they spell."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [(table, " ".join(map(_text, row))) for row in cursor.fetchall()]
    assert len({table for table, _ in found}) > 12
    return found


def _text(value: Any) -> str:
    if isinstance(value, memoryview | bytes):
        return bytes(value).decode("latin-1") + bytes(value).hex()
    return json.dumps(value, default=str)
