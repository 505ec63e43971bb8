"""What people do on the pages, in one call each."""

import time
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.auth.models import Membership, Person

Response = Any
"""Django's own, with the `json()` that its test client adds."""
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Staff:
    """Somebody of a clinic and, if enrolled, their authenticator app."""

    person: Person
    membership: Membership
    app: TOTPDevice | None

    @property
    def email(self) -> str:
        return self.person.email

    def code(self, offset_s: int = 0) -> str:
        """What the app shows so many seconds from now."""
        assert self.app is not None
        totp = TOTP(self.app.bin_key)
        totp.time = time.time() + offset_s
        return f"{totp.token():06d}"


def give_password(browser: Client, staff: Staff, password: str = PASSWORD, **fields: Any) -> Response:
    return post(browser, "/login/", email=staff.email, password=password, **fields)


def give_code(browser: Client, code: str, **fields: Any) -> Response:
    return post(browser, "/login/code/", code=code, **fields)


def sign_in(browser: Client, staff: Staff) -> Client:
    """Both steps; the browser has the cookies afterwards. A code works once, so each call takes the next."""
    give_password(browser, staff)
    for offset in (-30, 0, 30):
        if give_code(browser, staff.code(offset)).status_code == 302:
            return browser
    raise AssertionError("no code was accepted")


def post(browser: Client, path: str, **fields: Any) -> Response:
    answer: Response = browser.post(path, fields)
    return answer


def cookie(browser: Client, name: str) -> str:
    return browser.cookies[name].value if name in browser.cookies else ""


def api(browser: Client, method: str, path: str, body: Any = None) -> Response:
    """A call of the API by cookie, with the CSRF header that our pages send."""
    browser.cookies["csrftoken"] = "a" * 32
    call = getattr(browser, method)
    options = {"headers": {"x-csrftoken": "a" * 32}}
    answer: Response = (
        call(f"/api/auth/v1{path}", body, content_type="application/json", **options)
        if method != "get"
        else call(f"/api/auth/v1{path}", **options)
    )
    return answer
