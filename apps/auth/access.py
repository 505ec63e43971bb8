"""Access tokens of sessions: what every service and the live socket read offline (`apps.kernel.tokens`)."""

import json
import time
from functools import cache
from pathlib import Path

import jwt
from django.conf import settings

from apps.auth.models import Membership, Session
from apps.kernel.tokens import ALGORITHM, AUDIENCE, ISSUER


def token(session: Session, membership: Membership, *, seconds: int) -> str:
    """A token for who showed both factors in `session`, with the session's id as its `jti`."""
    now = int(time.time())
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(session.person_id),
        "clinic": session.clinic_id,
        "role": membership.role,
        "calendar": membership.calendar,
        "amr": ["pwd", "otp"],
        "iat": now,
        "exp": now + seconds,
        "jti": str(session.id),
    }
    file: Path = getattr(settings.ENV, "token_signing_key_file")  # noqa: B009 - the type checker takes ENV for the engine's
    key, kid = _key(file)
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid})


@cache
def _key(file: Path) -> tuple[str, str]:
    return file.read_text(), json.loads((file.parent / "token-jwks.json").read_text())["keys"][0]["kid"]
