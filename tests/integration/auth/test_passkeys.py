"""Passkeys, with an authenticator written here: it signs as a phone or a security key does."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.test import Client
from webauthn.helpers import encode_cbor

from apps.auth import factors
from tests.integration.auth.visits import Staff, cookie, give_password, post, sign_in

Make = Callable[..., Staff]
Json = dict[str, Any]
ORIGIN: str = getattr(settings, "OTP_WEBAUTHN_ALLOWED_ORIGINS")[0]  # noqa: B009 - the type checker reads all services' settings as one


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authenticator:
    """One credential of one site."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.counter = 0

    def make(self, options: Json, *, origin: str = ORIGIN) -> Json:
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + encode_cbor(cose)
        data = self._data(options["rp"]["id"], flags=0x45) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, origin)
        return self._answer({"clientDataJSON": b64(client), "attestationObject": b64(attestation)})

    def sign(self, options: Json, *, origin: str = ORIGIN) -> Json:
        self.counter += 1
        data, client = self._data(options["rpId"], flags=0x05), self._client("webauthn.get", options, origin)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer({"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)})

    def _data(self, site: str, *, flags: int) -> bytes:
        return hashlib.sha256(site.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _client(self, kind: str, options: Json, origin: str) -> bytes:
        return json.dumps({"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": False}).encode()

    def _answer(self, response: Json) -> Json:
        return {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response, "clientExtensionResults": {}}


def call(browser: Client, path: str, body: Json | None = None) -> Any:
    return browser.post(path, body or {}, content_type="application/json")


def added(browser: Client, *, name: str = "Phone") -> Authenticator:
    """A passkey of whoever is signed in."""
    device = Authenticator()
    answer = call(browser, f"/account/passkeys/?name={name}", device.make(call(browser, "/account/passkeys/begin/").json()))
    assert answer.status_code == 200, answer.content
    return device


@pytest.fixture
def waiting(make: Make) -> tuple[Staff, Authenticator, Client]:
    """Somebody with a passkey, and a browser that has given the password."""
    staff, browser = make(), Client()
    device = added(sign_in(Client(), staff))
    give_password(browser, staff)
    return staff, device, browser


def test_a_passkey_is_made_and_signs_in(waiting: tuple[Staff, Authenticator, Client]) -> None:
    staff, device, browser = waiting
    assert [passkey.name for passkey in factors.of(staff.person).passkeys] == ["Phone"]
    answer = call(browser, "/login/passkey/?next=/account/", device.sign(call(browser, "/login/passkey/begin/").json()))
    assert answer.json() == {"next": "/account/"}
    assert browser.get("/account/").status_code == 200


def test_an_answer_counts_once(waiting: tuple[Staff, Authenticator, Client]) -> None:
    _, device, browser = waiting
    signed = device.sign(call(browser, "/login/passkey/begin/").json())
    assert call(browser, "/login/passkey/", signed).status_code == 200
    assert call(browser, "/login/passkey/", signed).status_code == 422


def test_a_refused_answer_uses_up_what_was_asked(waiting: tuple[Staff, Authenticator, Client]) -> None:
    _, device, browser = waiting
    options = call(browser, "/login/passkey/begin/").json()
    assert call(browser, "/login/passkey/", {"id": "x"}).status_code == 422
    assert call(browser, "/login/passkey/", device.sign(options)).status_code == 422
    assert cookie(browser, "hf_session") == ""


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example:1", "null"])
def test_what_was_signed_for_another_site_is_nothing(waiting: tuple[Staff, Authenticator, Client], origin: str) -> None:
    _, device, browser = waiting
    options = call(browser, "/login/passkey/begin/").json()
    assert call(browser, "/login/passkey/", device.sign(options, origin=origin)).status_code == 422
    elsewhere = {**call(browser, "/login/passkey/begin/").json(), "rpId": "evil.example"}
    assert call(browser, "/login/passkey/", device.sign(elsewhere)).status_code == 422


def test_a_counter_that_goes_back_is_a_copy(waiting: tuple[Staff, Authenticator, Client]) -> None:
    _, device, browser = waiting
    device.counter = 8
    assert call(browser, "/login/passkey/", device.sign(call(browser, "/login/passkey/begin/").json())).status_code == 200
    device.counter = 3
    assert call(browser, "/login/passkey/", device.sign(call(browser, "/login/passkey/begin/").json())).status_code == 422


def test_somebody_elses_passkey_is_nothing(waiting: tuple[Staff, Authenticator, Client], make: Make) -> None:
    _, device, _ = waiting
    other, browser = make(), Client()
    give_password(browser, other)
    options = call(browser, "/login/passkey/begin/").json()
    assert options["allowCredentials"] == []
    assert call(browser, "/login/passkey/", device.sign(options)).status_code == 422


def test_without_a_password_there_is_nothing_to_sign(clinic: object) -> None:
    for path in ("/login/passkey/begin/", "/login/passkey/"):
        assert call(Client(), path).json()["code"] == "unauthenticated"
    assert call(Client(), "/account/passkeys/begin/").json()["code"] == "forbidden"


def test_a_passkey_can_be_the_first_factor_that_is_enrolled(make: Make) -> None:
    staff, browser = make(factor=False), Client()
    give_password(browser, staff)
    added(browser)
    assert factors.of(staff.person).enrolled
    assert browser.get("/account/").status_code == 200


def test_of_two_factors_one_can_be_removed(waiting: tuple[Staff, Authenticator, Client], make: Make) -> None:
    staff, _, _ = waiting
    browser = Client()
    sign_in(browser, staff)
    foreign = sign_in(Client(), make())
    added(foreign)
    key = factors.of(staff.person).passkeys[0].id
    assert post(foreign, "/account/factors/remove/", factor=str(key)).status_code == 422
    assert post(browser, "/account/factors/remove/", factor="app").status_code == 302
    assert post(browser, "/account/factors/remove/", factor=str(key)).status_code == 422
    assert factors.of(staff.person).held == 1


@pytest.mark.parametrize("body", ["", "[]", "null", "x", '{"id": 5}', '{"rawId": "' + "A" * 9000 + '"}'])
def test_rubbish_is_refused(waiting: tuple[Staff, Authenticator, Client], body: str) -> None:
    _, _, browser = waiting
    call(browser, "/login/passkey/begin/")
    assert browser.post("/login/passkey/", body, content_type="application/json").status_code == 422
