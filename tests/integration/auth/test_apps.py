"""Apps through which staff work: allowed by somebody who showed both factors, and by refresh tokens that each work once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.utils.timezone import now
from oauth2_provider.models import AccessToken, Grant, RefreshToken
from redis import Redis

from apps.auth import oauth, people
from apps.auth.models import Membership, Program
from apps.kernel.models import AuditEntry
from tests.integration.auth.clients import HERE, VERIFIER, address, allow, ask, claims, exchange, is_void, made, refresh
from tests.integration.auth.visits import Response, Staff, api, give_code, give_password, sign_in

Make = Callable[..., Staff]


@pytest.fixture
def staff(make: Make) -> Staff:
    return make("practitioner")


@pytest.fixture
def browser(staff: Staff) -> Client:
    return sign_in(Client(), staff)


@pytest.fixture
def app(staff: Staff) -> str:
    """Its client id."""
    return made(redirect_uris=[HERE, "http://127.0.0.1:9000/here"])[1]


@pytest.fixture
def allowed(browser: Client, app: str) -> dict[str, str]:
    """The app's first answer with tokens."""
    answer = exchange(app, allow(browser, app)["code"])
    assert answer.status_code == 200, answer.content
    return {name: str(value) for name, value in answer.json().items()}


# --- permission -----------------------------------------------------------------------------------------------------------


def test_an_app_acts_for_who_allowed_it_in_their_role(browser: Client, staff: Staff, app: str) -> None:
    Membership.objects.filter(id=staff.membership.id).update(calendar="c-1")
    page = browser.get(address(app))
    assert (page.status_code, b"Allow Lab?" in page.content) == (200, True)
    assert "form-action 'self' https://app.example;" in page["Content-Security-Policy"]
    back = allow(browser, app)
    assert (back["state"], back["iss"]) == ("s-1", settings.ENV.public_url)
    answer = exchange(app, back["code"])
    assert answer["Cache-Control"] == "no-store"
    found = claims(answer.json()["access_token"])
    assert (found.subject, found.clinic, found.role, found.calendar) == (str(staff.person.id), "harbor", "practitioner", "c-1")
    assert (found.second_factor, found.expires_at - found.issued_at) == (True, 300)


def test_who_signs_in_first_comes_back_to_the_question(staff: Staff, app: str) -> None:
    browser = Client()
    login = browser.get(address(app))["Location"]
    wanted = parse_qs(urlsplit(login).query)["next"][0]
    assert wanted == address(app)
    give_password(browser, staff, next=wanted)
    assert give_code(browser, staff.code(), next=wanted)["Location"] == wanted


def test_nothing_is_allowed_without_a_click_or_without_the_second_factor(make: Make, app: str, browser: Client) -> None:
    assert allow(browser, app, decision="no")["error"] == "access_denied"
    assert Grant.objects.count() == 0
    assert Client().post(address(app), {"allow": "yes"})["Location"].startswith("/login/")
    half, other = Client(), make()
    give_password(half, other)
    assert half.post(address(app), {"allow": "yes"})["Location"].startswith("/login/code/")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(address(app), {"allow": "yes"}).status_code == 403
    assert Grant.objects.count() == 0


def test_only_members_of_its_clinic_may_allow_an_app(make: Make, app: str) -> None:
    stranger = sign_in(Client(), make("clinic_admin", slug="other"))
    for answer in (stranger.get(address(app)), stranger.post(address(app), {"allow": "yes"})):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert Grant.objects.count() == 0


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/other",
        "https://app.example:8443/callback",
        "https://app.example.evil.example/callback",
        "http://app.example/callback",
        "https://app.example/callback/../callback",
        "http://127.0.0.1:9001/here",
        "//evil.example",
        "javascript:alert(1)",
    ],
)
def test_the_browser_is_never_sent_elsewhere(browser: Client, app: str, elsewhere: str) -> None:
    for answer in (
        browser.get(address(app, redirect_uri=elsewhere)),
        browser.post(address(app, redirect_uri=elsewhere), {"allow": "yes"}),
        browser.get(address(app, redirect_uri=elsewhere, response_type="x")),
        browser.get(address("nobody", redirect_uri=elsewhere)),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert not answer.has_header("Location")
    assert Grant.objects.count() == 0


@pytest.mark.parametrize("query", ["x", "&&", "%zz=1", "client_id=%ff", "client_id=a&client_id=b", "é=é"])
def test_a_query_that_is_none_is_refused(browser: Client, app: str, query: str) -> None:
    for path in (f"/account/authorize/?{query}", f"{address(app)}&{query}"):
        assert browser.get(path).status_code in (200, 302, 422)
        assert Client().post(f"/api/auth/v1/token?{query}", {"grant_type": "client_credentials"}).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": None},
        {"response_type": "token"},
        {"response_type": "id_token"},
        {"scope": "everything"},
        {"code_challenge": "c" * 200},
        {"nonce": "n" * 300},
        {"nonce": "\0"},
        {"state": "\0"},
    ],
)
def test_without_what_is_needed_and_pkce_by_s256_there_is_no_code(
    browser: Client, app: str, changed: dict[str, str | None]
) -> None:
    for answer in (browser.get(address(app, **changed)), browser.post(address(app, **changed), {"allow": "yes"})):
        assert answer.status_code in (302, 422)
        if answer.status_code == 302:
            assert "error" in parse_qs(urlsplit(answer["Location"]).query)
    assert Grant.objects.count() == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": None},
        {"redirect_uri": "https://app.example/other"},
        {"code": "x"},
        {"code": "\0"},
        {"client_id": "nobody"},
    ],
)
def test_a_code_is_good_for_its_app_address_and_verifier_only(browser: Client, app: str, changed: dict[str, str]) -> None:
    code = allow(browser, app)["code"]
    assert exchange(app, code, **changed).status_code in (400, 401)
    other = made(redirect_uris=[HERE])[1]
    assert exchange(other, code).status_code == 400
    assert AccessToken.objects.count() == 0


def test_a_code_works_once_also_for_two_at_the_same_moment(browser: Client, app: str) -> None:
    code = allow(browser, app)["code"]
    answers = at_once(lambda: exchange(app, code))
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert RefreshToken.objects.count() == 1


# --- refresh tokens -------------------------------------------------------------------------------------------------------


def at_once(ask_it: Callable[[], Response], *, times: int = 2) -> list[Response]:
    barrier = Barrier(times)

    def asked() -> Response:
        try:
            barrier.wait()
            return ask_it()
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as threads:
        return [future.result() for future in [threads.submit(asked) for _ in range(times)]]


def family_is_over(app: str, redis: "Redis", *answers: dict[str, str]) -> bool:
    """No refresh token works any more, and every access token is void."""
    assert not RefreshToken.objects.filter(revoked=None).exists()
    refused = [refresh(app, answer["refresh_token"], address="203.0.113.1").status_code for answer in answers]
    return refused == [400] * len(answers) and all(is_void(redis, answer["access_token"]) for answer in answers)


def test_each_refresh_token_works_once_and_gives_the_next(allowed: dict[str, str], app: str, redis: "Redis") -> None:
    held = allowed
    for _ in range(3):
        answer = refresh(app, held["refresh_token"])
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] != held["refresh_token"]
        held = answer.json()
        assert not is_void(redis, held["access_token"])
    assert len(set(RefreshToken.objects.values_list("token_family", flat=True))) == 1


def test_tokens_are_stored_as_digests_only(allowed: dict[str, str]) -> None:
    rows = str([list(table.objects.values()) for table in (AccessToken, RefreshToken, Grant)])
    assert allowed["refresh_token"] not in rows
    assert allowed["access_token"] not in rows


def test_a_stolen_token_that_the_app_used_first_ends_the_family(allowed: dict[str, str], app: str, redis: "Redis") -> None:
    owner = refresh(app, allowed["refresh_token"]).json()
    thief = refresh(app, allowed["refresh_token"], address="203.0.113.66")
    assert (thief.status_code, thief.json()["error"]) == (400, "invalid_grant")
    assert family_is_over(app, redis, allowed, owner)
    entry = AuditEntry.objects.filter(action="grant.end", details__client=app).order_by("id")[0]
    assert (entry.outcome, entry.details["reason"], entry.clinic) == ("denied", "used twice", "harbor")


def test_a_stolen_token_that_the_thief_used_first_ends_the_family(allowed: dict[str, str], app: str, redis: "Redis") -> None:
    thief = refresh(app, allowed["refresh_token"], address="203.0.113.66").json()
    thief = refresh(app, thief["refresh_token"], address="203.0.113.66").json()
    assert refresh(app, allowed["refresh_token"]).status_code == 400
    assert family_is_over(app, redis, allowed, thief)


def test_of_two_that_use_one_at_the_same_moment_at_most_one_gets_a_token_and_the_family_ends(
    allowed: dict[str, str], app: str, redis: "Redis"
) -> None:
    answers = at_once(lambda: refresh(app, allowed["refresh_token"]), times=4)
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    got = [answer.json() for answer in answers if answer.status_code == 200]
    assert family_is_over(app, redis, allowed, *got)


def test_a_token_that_comes_back_late_is_still_known(allowed: dict[str, str], app: str, redis: "Redis") -> None:
    thief = refresh(app, allowed["refresh_token"]).json()
    RefreshToken.objects.update(created=now() - oauth.LONGEST / 2)
    RefreshToken.objects.filter(revoked__isnull=False).update(revoked=now() - oauth.LONGEST / 2)
    oauth.forget()
    assert refresh(app, allowed["refresh_token"]).status_code == 400
    assert family_is_over(app, redis, thief)
    RefreshToken.objects.update(created=now() - oauth.LONGEST)
    oauth.forget()
    assert RefreshToken.objects.count() == 0


def test_another_app_can_neither_use_nor_end_it(allowed: dict[str, str], app: str) -> None:
    other = made(redirect_uris=[HERE])[1]
    assert refresh(other, allowed["refresh_token"]).status_code == 400
    assert ask("revoke", client_id=other, token=allowed["refresh_token"]).status_code == 200
    assert refresh(app, allowed["refresh_token"]).status_code == 200


def test_an_app_gives_back_what_it_was_allowed(allowed: dict[str, str], app: str, redis: "Redis") -> None:
    assert ask("revoke", client_id=app, token="x").status_code == 200
    assert ask("revoke", client_id=app, token=allowed["refresh_token"]).status_code == 200
    assert family_is_over(app, redis, allowed)


def test_a_permission_ends_after_12_hours_however_often_it_is_renewed(
    allowed: dict[str, str], app: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    held = RefreshToken.objects.get()
    earlier = held.token_family.int - (int(oauth.LONGEST.total_seconds() * 1000) << 80)
    RefreshToken.objects.update(token_family=UUID(int=earlier))
    assert refresh(app, allowed["refresh_token"]).status_code == 400
    assert not RefreshToken.objects.filter(revoked=None).exists()


def test_who_leaves_the_clinic_takes_the_app_s_rights_along(
    allowed: dict[str, str], app: str, staff: Staff, redis: "Redis"
) -> None:
    with transaction.atomic():
        people.remove(None, "system", staff.membership)
    assert family_is_over(app, redis, allowed)


@pytest.mark.parametrize("end", ["disabled", "password", "role", "factors"])
def test_what_ends_sessions_ends_permissions(allowed: dict[str, str], app: str, staff: Staff, redis: "Redis", end: str) -> None:
    if end == "disabled":
        people.set_active(staff.person, active=False)
    elif end == "factors":
        people.forget_factors(staff.person)
    elif end == "role":
        with transaction.atomic():
            people.change(None, "system", staff.membership, role="billing", calendar="")
    else:
        people.set_password(Client().get("/healthz").wsgi_request, staff.person, "another long password")
    assert family_is_over(app, redis, allowed)


def test_a_disabled_app_ends_for_everybody(allowed: dict[str, str], app: str, make: Make, redis: "Redis", browser: Client) -> None:
    admin = sign_in(Client(), make("clinic_admin"))
    program = Program.objects.get(application__client_id=app)
    assert api(admin, "delete", f"/programs/{program.id}").status_code == 204
    assert is_void(redis, allowed["access_token"])
    assert refresh(app, allowed["refresh_token"]).status_code == 401
    assert browser.get(address(app)).status_code == 422
