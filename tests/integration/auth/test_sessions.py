"""Sessions: kept alive by what is done in them, ended in the database, and void everywhere soon after."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from redis import Redis

from apps.auth import factors, people, rights, sessions
from apps.auth.models import Clinic, KnownDevice, Membership, Session
from apps.kernel import revocations
from apps.kernel.tokens import SESSION_COOKIE, Claims, Verifier
from tests.integration.auth.visits import PASSWORD, Staff, api, cookie, give_code, give_password, post, sign_in

Make = Callable[..., Staff]
RENEW = "/session/renew"


def claims(browser: Client) -> Claims:
    return Verifier(settings.ENV.token_jwks_file, revoked=lambda _: None).claims(cookie(browser, SESSION_COOKIE))


def later(**delta: float) -> None:
    """As if so much time had passed for all sessions."""
    for session in Session.objects.all():
        session.created_at -= timedelta(**delta)
        session.last_active_at -= timedelta(**delta)
        session.last_seen_at -= timedelta(**delta)
        session.second_factor_at = session.second_factor_at and session.second_factor_at - timedelta(**delta)
        session.save()


def void(redis: "Redis", entry: str) -> bool:
    return redis.zscore(revocations.REVOKED, entry) is not None


def test_a_session_says_who_is_signed_in(make: Make, browser: Client) -> None:
    staff = make("clinic_admin")
    sign_in(browser, staff)
    answer = api(browser, "get", "/session").json()
    expires_at = answer.pop("expires_at")
    assert answer == {
        "name": staff.person.name,
        "email": staff.email,
        "clinic": "harbor",
        "clinic_name": "Harbor",
        "role": "clinic_admin",
        "calendar": "",
        "idle_s": 900,
    }
    assert expires_at == (Session.objects.get().created_at + timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_nobody_is_nobody(clinic: Clinic, browser: Client) -> None:
    assert api(browser, "get", "/session").status_code == 401
    browser.cookies["hf_signin"] = "x" * 5000
    assert api(browser, "post", RENEW, {"active": True}).json()["code"] == "unauthenticated"


def test_a_renewal_gives_a_new_token_of_the_same_session(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    before = claims(browser)
    later(minutes=4)
    answer = api(browser, "post", RENEW, {"active": True})
    assert answer.status_code == 204
    after = claims(browser)
    assert (after.token_id, after.subject) == (before.token_id, before.subject)
    assert after.expires_at - after.issued_at == 300


def test_what_nobody_uses_ends_and_looking_is_not_using(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    later(minutes=14)
    assert api(browser, "post", RENEW, {"active": False}).status_code == 204
    token = claims(browser)
    assert token.expires_at - token.issued_at <= 60  # no token outlives its session
    later(minutes=1, seconds=1)
    assert api(browser, "post", RENEW, {"active": True}).status_code == 401
    assert browser.get("/account/")["Location"].startswith("/login/")


def test_a_clinic_says_how_long_idle_may_last(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    Clinic.objects.filter(slug="harbor").update(idle_minutes=5)
    later(minutes=5, seconds=1)
    assert api(browser, "post", RENEW, {"active": True}).status_code == 401


def test_twelve_hours_are_the_end_also_of_what_is_used_all_the_time(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    later(hours=11, minutes=59, seconds=30)
    Session.objects.update(last_active_at=Session.objects.get().created_at + timedelta(hours=11, minutes=59))
    assert api(browser, "post", RENEW, {"active": True}).status_code == 204
    assert claims(browser).expires_at - time.time() <= 31
    later(seconds=31)
    assert api(browser, "post", RENEW, {"active": True}).status_code == 401


def test_a_renewal_needs_the_header_that_only_our_pages_send(make: Make, browser: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    sign_in(browser, make())
    strict.cookies["hf_signin"] = cookie(browser, "hf_signin")
    strict.cookies["csrftoken"] = "a" * 32
    body = {"active": True}
    refused = strict.post(f"/api/auth/v1{RENEW}", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    foreign = strict.post(
        f"/api/auth/v1{RENEW}",
        body,
        content_type="application/json",
        headers={"x-csrftoken": "a" * 32, "origin": "https://evil.example"},
    )
    assert foreign.status_code == 403
    good = strict.post(f"/api/auth/v1{RENEW}", body, content_type="application/json", headers={"x-csrftoken": "a" * 32})
    assert good.status_code == 204


@pytest.mark.parametrize(
    "body", [{}, {"active": "yes"}, {"active": True, "clinic": "other"}, {"active": True, "role": "clinic_admin"}]
)
def test_a_renewal_takes_nothing_else(make: Make, browser: Client, body: dict[str, object]) -> None:
    sign_in(browser, make())
    assert api(browser, "post", RENEW, body).json()["code"] == "validation_failed"


def test_signing_out_ends_the_session_everywhere(make: Make, browser: Client, redis: "Redis") -> None:
    sign_in(browser, make())
    thief = Client()
    thief.cookies["hf_signin"] = cookie(browser, "hf_signin")
    session = Session.objects.get()
    assert post(browser, "/logout/")["Location"] == "/"
    assert cookie(browser, "hf_signin") == cookie(browser, "hf_session") == ""
    assert void(redis, revocations.session(str(session.id)))
    assert thief.get("/account/")["Location"].startswith("/login/")
    assert api(thief, "post", RENEW, {"active": True}).status_code == 401


def test_signing_out_is_a_post_of_our_own_page(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    assert browser.get("/logout/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies["hf_signin"] = cookie(browser, "hf_signin")
    assert strict.post("/logout/").status_code == 403
    assert Session.objects.get().ended_at is None


def test_one_ends_own_sessions_and_nobody_elses(make: Make, browser: Client, redis: "Redis") -> None:
    staff, other = make(), make()
    sign_in(browser, staff)
    phone, stranger = sign_in(Client(), staff), sign_in(Client(), other)
    mine, second, foreign = Session.objects.order_by("id")
    page = browser.get("/account/").content.decode()
    assert str(second.id) in page
    assert str(foreign.id) not in page
    post(browser, "/account/sessions/end/", session=str(foreign.id))
    assert stranger.get("/account/").status_code == 200
    post(browser, "/account/sessions/end/", session=str(second.id))
    assert phone.get("/account/").status_code == 302
    assert void(redis, revocations.session(str(second.id)))
    post(browser, "/account/sessions/end/", session="others")
    assert browser.get("/account/").status_code == 200
    for wrong in ("", "x", "' OR 1=1 --"):
        assert post(browser, "/account/sessions/end/", session=wrong).status_code == 302
    assert mine.ended_at is None


def test_a_session_that_has_ended_does_not_live_on_in_another_clinic(make: Make, browser: Client) -> None:
    staff = make("practitioner")
    Membership.objects.create(person=staff.person, clinic_id="other", role="billing")
    sign_in(browser, staff)
    seen = Session.objects.get()
    with transaction.atomic():
        sessions.end(Session.objects.all(), reason="password changed")

    assert sessions.moved(seen, clinic="other") == ""
    assert Session.objects.filter(ended_at=None).count() == 0


def test_a_switch_of_clinics_is_another_session_with_another_role(make: Make, browser: Client, redis: "Redis") -> None:
    staff = make("practitioner")
    Membership.objects.create(person=staff.person, clinic_id="other", role="billing")
    sign_in(browser, staff)
    before, secret = claims(browser), cookie(browser, "hf_signin")
    assert post(browser, "/account/clinic/", clinic="nowhere").status_code == 302
    assert claims(browser) == before
    post(browser, "/account/clinic/", clinic="other")
    after = claims(browser)
    assert (after.clinic, after.role) == ("other", "billing")
    assert after.token_id != before.token_id
    assert void(redis, revocations.session(before.token_id))
    assert cookie(browser, "hf_signin") != secret
    first, second = Session.objects.order_by("id")
    assert first.created_at == second.created_at  # the 12 hours go on


def test_a_clinic_that_is_not_ones_own_cannot_be_entered(make: Make, browser: Client) -> None:
    sign_in(browser, make())
    post(browser, "/account/clinic/", clinic="other")
    assert claims(browser).clinic == "harbor"


# --- rights that end --------------------------------------------------------------------------------------------------


def test_who_leaves_a_clinic_is_out_at_once(make: Make, browser: Client, redis: "Redis") -> None:
    staff = make()
    sign_in(browser, staff)
    session = Session.objects.get()
    with transaction.atomic():
        people.remove(None, "system", staff.membership)
    assert void(redis, revocations.session(str(session.id)))
    assert void(redis, revocations.member(str(staff.person.id), clinic="harbor"))
    assert api(browser, "post", RENEW, {"active": True}).status_code == 401


def test_who_is_disabled_is_out_everywhere(make: Make, browser: Client, redis: "Redis") -> None:
    staff = make()
    sign_in(browser, staff)
    call_command("person", email=staff.email.upper(), disable=True)
    assert void(redis, revocations.subject(str(staff.person.id)))
    assert api(browser, "post", RENEW, {"active": True}).status_code == 401
    call_command("person", email=staff.email, enable=True)
    assert give_password(browser, staff).status_code == 302


def test_a_new_password_ends_all_other_sessions(make: Make, browser: Client, redis: "Redis") -> None:
    staff = make()
    sign_in(browser, staff)
    phone = sign_in(Client(), staff)
    changed = post(browser, "/account/password/", current_password=PASSWORD, new_password="seven quiet green boats")
    assert changed["Location"] == "/account/"
    assert phone.get("/account/").status_code == 302
    assert browser.get("/account/").status_code == 200
    assert KnownDevice.objects.count() == 0
    post(browser, "/logout/")
    assert give_password(browser, staff).status_code == 422
    assert give_password(browser, staff, password="seven quiet green boats").status_code == 302


@pytest.mark.parametrize("bad", ["short", "password12345", "123456789012345", "front_desk of harbor"])
def test_a_password_that_is_easily_guessed_is_refused(make: Make, browser: Client, bad: str) -> None:
    staff = make()
    sign_in(browser, staff)
    answer = post(browser, "/account/password/", current_password=PASSWORD, new_password=bad)
    assert answer.status_code == 422
    staff.person.refresh_from_db()
    assert staff.person.check_password(PASSWORD)


def test_changing_factors_and_password_needs_a_second_factor_of_just_now(make: Make, browser: Client) -> None:
    staff = make()
    sign_in(browser, staff)
    later(minutes=10, seconds=1)
    api(browser, "post", RENEW, {"active": True})
    assert browser.get("/account/").status_code == 200
    for path in ("/account/app/", "/account/password/"):
        assert browser.get(path)["Location"].startswith("/login/code/?next=")
    for path in ("/account/recovery/", "/account/factors/remove/"):
        assert post(browser, path, factor="app")["Location"].startswith("/login/code/")
    assert browser.post("/account/passkeys/begin/").status_code == 403
    assert give_code(browser, staff.code(30), next="/account/password/")["Location"] == "/account/password/"
    assert browser.get("/account/password/").status_code == 200


def test_the_last_factor_stays(make: Make, browser: Client) -> None:
    staff = make()
    sign_in(browser, staff)
    assert post(browser, "/account/factors/remove/", factor="app").json()["code"] == "validation_failed"
    assert factors.of(staff.person).app is not None


def test_another_app_takes_the_place_of_the_first_only_with_its_own_code(make: Make, browser: Client) -> None:
    staff = make()
    sign_in(browser, staff)
    device = factors.begin_app(staff.person)
    assert post(browser, "/account/app/", code=staff.code(30)).status_code == 422
    new = Staff(staff.person, staff.membership, device)
    assert post(browser, "/account/app/", code=new.code()).status_code == 302
    assert factors.of(staff.person).app == device


# --- the tick ---------------------------------------------------------------------------------------------------------


def test_the_tick_ends_what_is_idle_and_tells_redis_again_after_it_lost_its_memory(
    make: Make, browser: Client, redis: "Redis"
) -> None:
    sign_in(browser, make())
    kept = sign_in(Client(), make())
    idle = Session.objects.order_by("id")[0]
    Session.objects.filter(id=idle.id).update(last_active_at=idle.last_active_at - timedelta(minutes=16))
    assert sessions.end_overdue() == 1
    assert void(redis, revocations.session(str(idle.id)))
    redis.flushdb()
    assert sessions.end_overdue() == 0
    assert rights.tell_again() == 1
    assert void(redis, revocations.session(str(idle.id)))
    assert kept.get("/account/").status_code == 200


def test_no_token_of_a_session_that_ends_meanwhile_is_good_for_longer_than_its_end(make: Make, browser: Client) -> None:
    """The one that renews and the one that ends are at it together; whichever is first, the token is not newer than the end."""
    sign_in(browser, make())
    session = sessions.find(cookie(browser, "hf_signin"))
    assert session is not None
    barrier, ended = Barrier(2), []

    def renew() -> sessions.Access | None:
        try:
            barrier.wait()
            return sessions.renew(session, active=True)
        finally:
            connection.close()

    def end() -> None:
        try:
            barrier.wait()
            with transaction.atomic():
                sessions.end(Session.objects.filter(id=session.id), reason="revoked")
            ended.append(int(time.time()))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        renewed, _ = threads.submit(renew), threads.submit(end).result()
        access = renewed.result()
    if access is not None:
        token = Verifier(settings.ENV.token_jwks_file, revoked=lambda _: None).claims(access.token)
        assert token.issued_at <= ended[0]
    assert sessions.renew(session, active=True) is None
