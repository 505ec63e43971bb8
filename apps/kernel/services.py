"""How services know each other: each signs short tokens with a key of its own, and all know the others' public keys.

Nothing here asks auth: facts must travel while auth is down. Calls between services are rare, idempotent, and have time-outs.
"""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import requests
from django.conf import settings
from django.http import HttpRequest
from jwt.algorithms import OKPAlgorithm

from apps.kernel.problems import Forbidden, Unauthenticated

ISSUER = "healthflow/service"
_ALGORITHM = "EdDSA"
_GOOD_FOR_S, _RENEWED_BEFORE_S, _LEEWAY_S = 300, 60, 30
_TIMEOUT_S = (2.0, 30.0)


class ServiceDown(Exception):
    """The other service gave no answer that counts; try again later."""


def call(service: str, method: str, path: str, **options: Any) -> requests.Response:
    """Asks another service as ourselves; the answer may be any below 500. Raises ServiceDown.

    `options` are those of `requests`. Never call it in a transaction: the other side may take its time.
    """
    headers = {"Authorization": f"Bearer {service_token(service)}", **options.pop("headers", {})}
    options.setdefault("timeout", _TIMEOUT_S)
    address = getattr(settings.ENV, f"{service}_url") + path
    try:
        answer = _connections().request(method, address, headers=headers, allow_redirects=False, **options)
    except requests.RequestException as failed:
        raise ServiceDown(f"{service}: {type(failed).__name__}") from None
    if answer.status_code >= 500 or answer.status_code == 429:
        raise ServiceDown(f"{service}: {answer.status_code}")
    return answer


def service_token(to: str) -> str:
    """A token that says which service we are, good at `to` only."""
    now = int(time.time())
    return _token(to, now - now % (_GOOD_FOR_S - _RENEWED_BEFORE_S))


def calling_service(request: HttpRequest, *names: str) -> str:
    """Which service asks; `names` are those that may. Raises Unauthenticated, Forbidden."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated()
    try:
        name = str(jwt.get_unverified_header(token).get("kid", ""))
        claims = jwt.decode(
            token,
            _public_keys()[name],
            algorithms=[_ALGORITHM],
            audience=settings.SERVICE,
            issuer=ISSUER,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "sub", "aud", "iss"]},
        )
    except (jwt.InvalidTokenError, KeyError):
        raise Unauthenticated("The token is not of a service, or not good here.") from None
    if claims["sub"] != name or name not in names:
        raise Forbidden("This is not for that service.")
    return name


@cache
def _connections() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy: the others are beside us
    return session


@cache
def _private_key() -> str:
    file: Path = getattr(settings.ENV, f"service_key_file_{settings.SERVICE}")
    return file.read_text()


@cache
def _public_keys() -> dict[str, Any]:
    found = json.loads(Path(settings.ENV.service_jwks_file).read_text())["keys"]
    return {key["kid"]: OKPAlgorithm.from_jwk(key) for key in found}


_tokens: dict[str, tuple[int, str]] = {}


def _token(to: str, since: int) -> str:
    # Kept for its time: a signature costs 0.1 ms, and a feed is asked several times a second.
    kept = _tokens.get(to)
    if kept is None or kept[0] != since:
        claims = {"iss": ISSUER, "sub": settings.SERVICE, "aud": to, "iat": since, "exp": since + _GOOD_FOR_S}
        kept = (since, jwt.encode(claims, _private_key(), algorithm=_ALGORITHM, headers={"kid": settings.SERVICE}))
        _tokens[to] = kept
    return kept[1]
