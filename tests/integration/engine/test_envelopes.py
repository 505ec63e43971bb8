"""Patient details are sealed at the door, or before it: what comes out with the private key is what was typed, and nowhere else."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from joserfc import jwe
from joserfc.errors import DecodeError
from joserfc.jwk import ECKey

from engine import envelopes, feed, models
from tests.integration.engine.door import BASE, ZOE, everything, post, refused, slots_of
from tests.practice import Practice
from tests.sealing import opened

HEADER = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": "healthflow-patient+jwe"}
ANSWERS = {"Why?": "Canary cough"}


def open_here(envelope: str) -> dict[str, Any]:
    return opened(envelope, key_file=os.environ["SEALING_KEY_FILE"])


def seal_outside(http: Client, details: dict[str, Any], *, plain: str = "", **header: str) -> str:
    """As a browser does it: with the keys the engine names."""
    key = http.get(f"{BASE}/sealing-keys").json()["keys"][0]
    text = plain or json.dumps(details)
    algorithms = ["ECDH-ES", "ECDH-ES+A128KW", "A256GCM", "A128GCM", "DEF"]
    return jwe.encrypt_compact({**HEADER, "kid": key["kid"], **header}, text, ECKey.import_key(key), algorithms=algorithms)


def with_header(envelope: str, **members: Any) -> str:
    header, rest = envelope.split(".", 1)
    changed = json.loads(base64.urlsafe_b64decode(header + "==")) | members
    changed = {name: value for name, value in changed.items() if value is not None}
    return base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=") + "." + rest


def kept() -> str:
    """The one envelope that is stored."""
    return bytes(models.Appointment.objects.get(patient_details__isnull=False).patient_details or b"").decode()


def told(reader: str) -> list[dict[str, Any]]:
    return [placed.event.data for placed in feed.read("", 100, reader)]


@pytest.fixture
def held(desk: Client, practice: Practice) -> dict[str, Any]:
    answer: dict[str, Any] = post(desk, "/holds", {"slot": slots_of(desk, practice)[0]["slot"]}).json()
    return answer


@pytest.fixture
def confirm(desk: Client, held: dict[str, Any]) -> Callable[..., Any]:
    return lambda body: post(desk, f"/holds/{held['id']}/confirm", body)


# --- sealed at the door ---------------------------------------------------------------------------------------------------


def test_plain_details_are_sealed_before_they_are_kept(confirm: Callable[..., Any]) -> None:
    patient = ZOE | {"language": "es", "zone": "America/New_York"}

    assert confirm({"patient": patient, "state": "NY", "answers": ANSWERS}).status_code == 201

    assert open_here(kept()) == patient | {"state": "NY", "answers": ANSWERS}


def test_details_are_in_one_column_and_nowhere_else(confirm: Callable[..., Any]) -> None:
    with connection.cursor() as cursor:
        # The audit log only grows, and keeps what other tests have asked for.
        cursor.execute("SELECT coalesce(max(id), 0) FROM kernel_auditentry")
        earlier = cursor.fetchone()[0]
    confirm({"patient": ZOE, "answers": ANSWERS})

    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            new = f" AND t.id > {earlier}" if table == "kernel_auditentry" else ""
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ~* %s{new}', ["zoe|canary|5550100|1980-02-29"])
            assert cursor.fetchone()[0] == 0, table
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE strpos(t::text, %s) > 0', [kept().encode().hex()])
            assert cursor.fetchone()[0] == (table == "engine_appointment"), table


def test_answers_about_a_known_patient_are_sealed_too(desk: Client, practice: Practice) -> None:
    body = {"slot": slots_of(desk, practice)[0]["slot"], "patient": {"id": "p1"}, "answers": ANSWERS}

    assert post(desk, "/appointments", body).json()["patient"] == {"id": "p1"}

    assert open_here(kept()) == {"answers": ANSWERS}


def test_a_repeated_booking_keeps_its_first_envelope(desk: Client, practice: Practice) -> None:
    body = {"slot": slots_of(desk, practice)[0]["slot"], "patient": ZOE}
    first = post(desk, "/appointments", body, idempotency_key="again")
    before = kept()

    second = post(desk, "/appointments", body, idempotency_key="again")

    assert (second.json(), second.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert kept() == before


# --- sealed outside -------------------------------------------------------------------------------------------------------


def test_an_envelope_is_kept_as_it_came(http: Client, confirm: Callable[..., Any]) -> None:
    envelope = seal_outside(http, ZOE | {"answers": ANSWERS})

    assert confirm({"patient": {"sealed": envelope}, "state": "NY"}).status_code == 201

    assert kept() == envelope
    assert open_here(envelope) == ZOE | {"answers": ANSWERS}


def test_the_keys_are_public_for_a_while_and_for_everybody(http: Client, practice: Practice) -> None:
    answer = http.get(f"{BASE}/sealing-keys")

    (key,) = answer.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    private = settings.ENV.model_copy(update={"sealing_jwks_file": Path(os.environ["SEALING_KEY_FILE"])})
    envelopes._keys.cache_clear()
    try:
        with override_settings(ENV=private), pytest.raises(envelopes.NotPublic):
            envelopes.seal(ZOE)
    finally:
        envelopes._keys.cache_clear()


FOREIGN = ECKey.generate_key("P-256").as_dict(private=False)
OTHER_CURVE = ECKey.generate_key("P-384").as_dict(private=False)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda e: with_header(e, kid="unknown"), id="unknown kid"),
        pytest.param(lambda e: with_header(e, kid=["x"]), id="kid that is no text"),
        pytest.param(lambda e: with_header(e, kid=None), id="no kid"),
        pytest.param(lambda e: with_header(e, alg="dir"), id="another algorithm"),
        pytest.param(lambda e: with_header(e, alg="none"), id="no algorithm"),
        pytest.param(lambda e: with_header(e, enc="A128CBC-HS256"), id="another cipher"),
        pytest.param(lambda e: with_header(e, typ="JWT"), id="another purpose"),
        pytest.param(lambda e: with_header(e, zip="DEF"), id="compressed"),
        pytest.param(lambda e: with_header(e, jku="https://evil.example/keys"), id="address of keys"),
        pytest.param(lambda e: with_header(e, epk=None), id="no one-time key"),
        pytest.param(lambda e: with_header(e, epk=OTHER_CURVE), id="another curve"),
        pytest.param(lambda e: with_header(e, epk={**FOREIGN, "d": "x"}), id="a private one-time key"),
        pytest.param(lambda e: with_header(e, epk={**FOREIGN, "x": 1}), id="a coordinate that is no text"),
        pytest.param(lambda e: "e30" + e[e.index(".") :], id="empty header"),
        pytest.param(lambda e: "W10" + e[e.index(".") :], id="header that is a list"),
        pytest.param(lambda e: "x" + e[e.index(".") :], id="header that is not base64url"),
        pytest.param(lambda e: base64.urlsafe_b64encode(b"[" * 6_000).decode().rstrip("=") + e[e.index(".") :], id="deep header"),
        pytest.param(lambda e: e.replace("..", ".AAAA."), id="an encrypted key"),
        pytest.param(lambda e: e.rpartition(".")[0], id="four parts"),
        pytest.param(lambda e: e + ".AAAA", id="six parts"),
        pytest.param(lambda e: e + "A", id="a long tag"),
        pytest.param(lambda e: e + "\n", id="a line end"),
        pytest.param(lambda e: e.replace(".", ". "), id="spaces"),
        pytest.param(lambda e: "", id="nothing"),
        pytest.param(lambda e: "not a token!", id="no envelope"),
    ],
)
def test_what_is_not_one_of_our_envelopes_is_refused(
    http: Client, confirm: Callable[..., Any], spoil: Callable[[str], str]
) -> None:
    envelope, before = spoil(seal_outside(http, ZOE)), everything()

    refused(confirm({"patient": {"sealed": envelope}}), 422, "validation_failed", "patient.sealed")

    assert everything() == before


def test_an_envelope_is_at_most_16_kib(http: Client, confirm: Callable[..., Any]) -> None:
    most = seal_outside(http, {}, plain="x" * 12_000)
    over = seal_outside(http, {}, plain="x" * 12_300)
    assert len(most) <= 16 * 1024 < len(over)
    before = everything()

    refused(confirm({"patient": {"sealed": over}}), 422, "validation_failed", "patient.sealed")

    assert everything() == before
    assert confirm({"patient": {"sealed": most}}).status_code == 201


def test_answers_that_fill_more_than_an_envelope_are_refused(confirm: Callable[..., Any]) -> None:
    long = {f"Question {number}": "ñ" * 2_000 for number in range(4)}
    before = everything()

    refused(confirm({"patient": ZOE, "answers": long}), 422, "validation_failed", "answers")

    assert everything() == before
    long.popitem()
    long.popitem()
    assert confirm({"patient": ZOE, "answers": long}).status_code == 201
    assert open_here(kept())["answers"] == long


@pytest.mark.parametrize(("more", "param"), [({"name": "Zoe"}, "patient"), ({"id": "p1"}, "patient"), ({}, "answers")])
def test_an_envelope_is_all_that_is_said_of_a_patient(
    http: Client, confirm: Callable[..., Any], more: dict[str, str], param: str
) -> None:
    sealed = {"sealed": seal_outside(http, ZOE)}
    before = everything()

    problem = refused(confirm({"patient": sealed | more, "answers": ANSWERS}), 422, "validation_failed", param)

    assert "Canary" not in json.dumps(problem)
    assert everything() == before


def test_what_was_changed_on_the_way_is_seen_where_it_is_opened(http: Client) -> None:
    head, middle, tag = seal_outside(http, ZOE).rsplit(".", 2)
    changed = ("B" if middle[0] == "A" else "A") + middle[1:]

    with pytest.raises(DecodeError):
        open_here(f"{head}.{changed}.{tag}")


# --- told -----------------------------------------------------------------------------------------------------------------


def test_records_alone_is_given_the_envelope(desk: Client, practice: Practice, confirm: Callable[..., Any]) -> None:
    booked = confirm({"patient": ZOE}).json()
    later = slots_of(desk, practice)[-1]["slot"]
    post(desk, f"/appointments/{booked['id']}/reschedule", {"slot": later})
    post(desk, f"/appointments/{booked['id']}/cancel", {"by": "clinic"})

    assert [data.get("sealed", "none") for data in told("records")] == [kept(), kept(), "none"]
    assert all("sealed" not in data for reader in ("billing", "notifications") for data in told(reader))
    stored = json.dumps(list(models.OutboxEvent.objects.values_list("data", flat=True)))
    assert kept() not in stored


def test_a_row_from_before_envelopes_is_told_without(confirm: Callable[..., Any]) -> None:
    confirm({"patient": ZOE})
    models.Appointment.objects.update(patient_details=b"\x01" + bytes(40))

    assert [data["sealed"] for data in told("records")] == [None]
