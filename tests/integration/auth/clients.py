"""What programs and apps do by OAuth 2, in one call each."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.test import Client

from apps.auth import programs
from apps.auth.models import Program
from apps.kernel.revocations import REVOKED, Revocations
from apps.kernel.tokens import Claims, Verifier
from tests.integration.auth.visits import Response

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
HERE = "https://app.example/callback"


def ask(path: str, *, headers: dict[str, str] | None = None, address: str = "198.51.100.7", **form: Any) -> Response:
    """A form to one of the OAuth 2 addresses, from outside."""
    client = Client(headers={"x-forwarded-for": address, **(headers or {})})
    body = urlencode({name: value for name, value in form.items() if value is not None})
    answer: Response = client.post(f"/api/auth/v1/{path}", body, content_type="application/x-www-form-urlencoded")
    return answer


def token(**form: Any) -> Response:
    return ask("token", **form)


def own_token(client_id: str, secret: str, **form: Any) -> Response:
    """A program signs in as itself."""
    return token(grant_type="client_credentials", client_id=client_id, client_secret=secret, **form)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def made(clinic: str = "harbor", *, redirect_uris: list[str] | None = None) -> tuple[Program, str, str]:
    """A program, or an app: itself, its client id, its secret."""
    found = programs.make(None, "system", clinic=clinic, name="Lab", redirect_uris=redirect_uris or [])
    return found.program, found.program.application.client_id, found.secret


def claims(access_token: str) -> Claims:
    return Verifier(settings.ENV.token_jwks_file, revoked=lambda _: None).claims(access_token)


def is_void(redis: Any, access_token: str) -> bool:
    """Whether a process that has the list as it is now refuses the token."""
    copy = Revocations()
    copy.learn(redis.zrange(REVOKED, 0, "+inf", byscore=True, withscores=True))
    return copy.reason(claims(access_token)) is not None


# --- apps -----------------------------------------------------------------------------------------------------------------


def address(client_id: str, **changed: Any) -> str:
    """Where an app sends the browser to be allowed."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": HERE,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s-1",
    }
    return "/account/authorize/?" + urlencode({name: value for name, value in (query | changed).items() if value is not None})


def allow(browser: Client, client_id: str, *, decision: str = "yes", **changed: Any) -> dict[str, str]:
    """The person decides; what the browser carries back to the app."""
    answer = browser.post(address(client_id, **changed), {"allow": decision})
    assert answer.status_code == 302, answer.content
    assert answer["Location"].startswith(HERE)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer["Location"]).query).items()}


def exchange(client_id: str, code: str, /, **changed: Any) -> Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": HERE, "code_verifier": VERIFIER}
    return token(**(form | {"client_id": client_id} | changed))


def refresh(client_id: str, refresh_token: str, **form: Any) -> Response:
    return token(grant_type="refresh_token", client_id=client_id, refresh_token=refresh_token, **form)
