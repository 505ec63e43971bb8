"""Programs of a clinic: who makes them, what they get, and what ends them."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from oauth2_provider.models import AccessToken, Application
from redis import Redis

from apps.auth.models import Clinic, Program
from apps.kernel.ids import new_id
from apps.kernel.models import AuditEntry
from apps.kernel.services import service_token
from tests.integration.auth.clients import ask, basic, claims, is_void, made, own_token, token
from tests.integration.auth.visits import Response, Staff, api, sign_in

Make = Callable[..., Staff]


@pytest.fixture
def admin(make: Make) -> Client:
    return sign_in(Client(), make("clinic_admin"))


# --- made by an administrator ---------------------------------------------------------------------------------------------


def test_a_program_gets_a_secret_once_and_tokens_for_its_clinic(admin: Client) -> None:
    answer = api(admin, "post", "/programs", {"name": "Lab results"})
    assert answer.status_code == 201
    program = answer.json()
    assert (program["kind"], program["redirect_uris"], program["disabled_at"]) == ("program", [], None)

    got = own_token(program["client_id"], program["client_secret"])
    assert (got.status_code, got.json()["token_type"], got.json()["expires_in"]) == (200, "Bearer", 300)
    assert got["Cache-Control"] == "no-store"
    found = claims(got.json()["access_token"])
    assert (found.subject, found.clinic, found.role) == (f"program:{program['client_id']}", "harbor", "program")
    assert found.expires_at - found.issued_at == 300
    assert "refresh_token" not in got.json()
    assert AuditEntry.objects.filter(action="token.issue", actor=found.subject, clinic="harbor", outcome="done").count() == 1

    listed = api(admin, "get", "/programs").json()["items"]
    assert listed == [{name: value for name, value in program.items() if name != "client_secret"}]
    assert AuditEntry.objects.filter(action="program.create", object=f"program:{program['id']}", role="clinic_admin").exists()


def test_neither_secret_nor_token_is_stored(clinic: Clinic) -> None:
    _, client_id, secret = made()
    access = own_token(client_id, secret).json()["access_token"]
    rows = [list(table.objects.values()) for table in (Application, AccessToken, Program)]
    assert secret not in str(rows)
    assert access not in str(rows)


def test_a_request_that_is_repeated_makes_one_program(admin: Client) -> None:
    admin.cookies["csrftoken"] = "a" * 32
    headers = {"x-csrftoken": "a" * 32, "idempotency-key": str(uuid4())}
    first, again = (
        admin.post("/api/auth/v1/programs", {"name": "Lab"}, content_type="application/json", headers=headers) for _ in range(2)
    )
    assert (first.json(), again["Idempotent-Replayed"]) == (again.json(), "true")
    assert Program.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "Lab", "role": "clinic_admin"}, "role"),
        ({"name": "Lab", "clinic": "other"}, "clinic"),
        ({"name": "Lab", "client_id": "mine"}, "client_id"),
        *(
            ({"name": "Lab", "redirect_uris": [uri]}, "redirect_uris.0")
            for uri in (
                "http://app.example/callback",
                "javascript:alert(1)",
                "https://",
                "https://*.app.example/",
                "https://user@app.example/",
                "https://app.example/#part",
                "https://app.example/ https://evil.example/",
                "https://app.example/\r\nLocation: x",
                "http://localhost.evil.example/",
                "http://127.0.0.1:99999/",
                "//app.example/",
                "x",
            )
        ),
    ],
)
def test_a_program_that_cannot_be_is_refused(admin: Client, body: dict[str, object], param: str) -> None:
    answer = api(admin, "post", "/programs", body)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "validation_failed", param)
    assert Program.objects.count() == 0


@pytest.mark.parametrize("role", ["practitioner", "front_desk", "billing", "auditor"])
def test_only_an_administrator_makes_or_ends_one(make: Make, role: str) -> None:
    program, _, _ = made()
    browser = sign_in(Client(), make(role))
    assert api(browser, "get", "/programs").status_code == (200 if role == "auditor" else 403)
    for method, path in (("post", "/programs"), ("post", f"/programs/{program.id}/secret"), ("delete", f"/programs/{program.id}")):
        assert api(browser, method, path, {"name": "Lab"}).status_code == 403
    program.refresh_from_db()
    assert (program.disabled_at, Program.objects.count()) == (None, 1)


def test_another_clinic_s_program_is_not_found(admin: Client) -> None:
    program, client_id, secret = made("other")
    for key in (str(program.id), str(new_id()), "x", "' OR 1=1--"):
        assert api(admin, "post", f"/programs/{key}/secret").status_code == 404
        assert api(admin, "delete", f"/programs/{key}").status_code == 404
    assert api(admin, "get", "/programs").json()["items"] == []
    assert own_token(client_id, secret).status_code == 200


# --- what ends it ---------------------------------------------------------------------------------------------------------


def test_a_disabled_program_gets_no_token_and_those_it_has_are_void(admin: Client, redis: "Redis") -> None:
    program, client_id, secret = made()
    access = own_token(client_id, secret).json()["access_token"]
    assert not is_void(redis, access)
    assert api(admin, "delete", f"/programs/{program.id}").status_code == 204
    assert is_void(redis, access)
    refused = own_token(client_id, secret)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert api(admin, "delete", f"/programs/{program.id}").status_code == 204
    assert api(admin, "post", f"/programs/{program.id}/secret").status_code == 422
    assert AuditEntry.objects.filter(action="program.disable", object=f"program:{program.id}").count() == 1


def test_a_new_secret_takes_the_place_of_the_old_one(admin: Client, redis: "Redis") -> None:
    program, client_id, old = made()
    access = own_token(client_id, old).json()["access_token"]
    new = api(admin, "post", f"/programs/{program.id}/secret").json()["client_secret"]
    assert new != old
    assert is_void(redis, access)
    assert own_token(client_id, old).status_code == 401
    assert own_token(client_id, new).status_code == 200


# --- at the token's address -----------------------------------------------------------------------------------------------


def test_a_program_may_show_its_secret_in_the_header_or_in_the_form(clinic: Clinic) -> None:
    _, client_id, secret = made()
    assert token(grant_type="client_credentials", headers=basic(client_id, secret)).status_code == 200
    assert own_token(client_id, secret).status_code == 200


def test_what_a_program_says_of_its_rights_has_no_effect(clinic: Clinic) -> None:
    _, client_id, secret = made()
    wishes = {"clinic": "other", "role": "clinic_admin", "sub": "x", "expires_in": 86400, "aud": "x", "amr": "otp", "username": "x"}
    found = claims(own_token(client_id, secret, **wishes).json()["access_token"])
    assert (found.clinic, found.role, found.subject) == ("harbor", "program", f"program:{client_id}")
    assert found.expires_at - found.issued_at == 300
    refused = own_token(client_id, secret, scope="clinic admin")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_nothing_tells_whether_a_client_exists(clinic: Clinic, admin: Client) -> None:
    _, client_id, _ = made()
    gone, gone_id, gone_secret = made()
    api(admin, "delete", f"/programs/{gone.id}")
    _, app_id, _ = made(redirect_uris=["https://app.example/"])

    def told(answer: Response) -> tuple[int, bytes, object]:
        return answer.status_code, answer.content, sorted(answer.headers.items())

    unknown = told(own_token("nobody", "wrong", address="198.51.100.1"))
    assert unknown[0] == 401
    for number, (name, secret) in enumerate(((client_id, "wrong"), (client_id, ""), (gone_id, gone_secret), (app_id, ""))):
        assert told(own_token(name, secret, address=f"198.51.100.{number + 2}")) == unknown
    by_header = [told(token(grant_type="client_credentials", headers=basic(name, "wrong"))) for name in ("nobody", client_id)]
    assert by_header[0] == by_header[1]


def test_guesses_wait_ever_longer_and_nobody_else_with_them(clinic: Clinic) -> None:
    _, client_id, secret = made()
    answers = [own_token(client_id, f"guess {number}") for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 11 + [429]
    assert int(answers[-1]["Retry-After"]) >= 1
    assert own_token(client_id, secret).status_code == 429
    assert own_token(client_id, secret, address="203.0.113.9").status_code == 200
    unknown = [own_token("nobody", "guess").status_code for _ in range(12)]
    assert unknown == [401] * 11 + [429]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"grant_type": "password", "username": "a@example.org", "password": "x"},
        {"grant_type": "implicit"},
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"},
        {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"},
    ],
)
def test_no_other_way_leads_to_a_token(clinic: Clinic, form: dict[str, str]) -> None:
    _, client_id, secret = made()
    answer = token(client_id=client_id, client_secret=secret, **form)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    assert AccessToken.objects.count() == 0


def test_a_body_of_10_mib_is_refused_before_it_is_read(clinic: Clinic, admin: Client) -> None:
    big = "x" * (10 << 20)
    assert ask("token", grant_type="client_credentials", client_id=big).status_code == 413
    assert api(admin, "post", "/programs", {"name": big}).status_code == 413


@pytest.mark.parametrize("junk", ["Basic", "Basic x", "Basic " + "A" * 4000, "Basic w6k6", "Bearer x", "Basic 4pyTOg=="])
def test_a_header_that_is_junk_is_refused(clinic: Clinic, junk: str) -> None:
    answer = token(grant_type="client_credentials", headers={"authorization": junk})
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.json()


# --- one kind of token is not another -------------------------------------------------------------------------------------


def test_a_service_s_token_is_no_person_s_and_the_other_way_round(clinic: Clinic) -> None:
    def asked(path: str, bearer: str) -> int:
        return Client().get(path, headers={"authorization": f"Bearer {bearer}"}).status_code

    _, client_id, secret = made()
    access = own_token(client_id, secret).json()["access_token"]
    assert asked("/api/auth/v1/members", service_token("auth")) == 401
    assert asked("/internal/v1/events", access) == 401
    assert asked("/api/auth/v1/members", access) == 403  # good, but programs may not


def test_the_public_keys_are_published_for_programs_outside(clinic: Clinic) -> None:
    call_command("rotate_keys", json=True)  # the first run only publishes another
    http = Client()
    answer = http.get("/api/auth/v1/jwks.json")
    assert len(answer.json()["keys"]) >= 2
    assert answer["Cache-Control"] == "public, max-age=60"
    for key in answer.json()["keys"]:
        assert {"kty", "crv", "x", "alg", "use", "kid"} == set(key)
    again = http.get("/api/auth/v1/jwks.json", headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


# --- the operator's command -----------------------------------------------------------------------------------------------


def test_an_operator_makes_a_program_by_command(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("program", clinic="harbor", name="Lab", json=True)
    found = json.loads(capsys.readouterr().out)
    assert own_token(found["client_id"], found["client_secret"]).status_code == 200
    with pytest.raises(CommandError, match="no such clinic"):
        call_command("program", clinic="nowhere", name="Lab")
    with pytest.raises(CommandError, match="must be https"):
        call_command("program", clinic="harbor", name="Lab", redirect_uri=["http://app.example/"])


def test_a_program_says_in_one_way_only_who_it_is(clinic: Clinic) -> None:
    _, client_id, secret = made()
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}

    for name in ("nobody", client_id):
        answer = ask("token", headers=basic(name, "x"), **form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert AccessToken.objects.count() == 0
