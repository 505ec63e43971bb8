"""./manage.py auth revoke --subject S [--clinic C] | --session J: ends rights before their tokens do, everywhere within 5 s."""

from argparse import ArgumentParser
from datetime import UTC, datetime

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from apps.auth.settings import ENV
from apps.kernel import revocations
from apps.kernel.redis import connect

_TIMEOUT_S = 5.0


class Command(BaseCommand):
    help = "Voids the tokens issued so far of a subject, of a subject in one clinic, or of one session."

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--subject", help="who signs out everywhere or, with --clinic, leaves it or changes roles in it")
        whose.add_argument("--session", help="one session: the `jti` of its token")
        parser.add_argument("--clinic", help="the clinic's slug; only with --subject")

    def handle(self, *, subject: str | None, session: str | None, clinic: str | None, **_: object) -> str:
        entry = _entry(subject=subject, session=session, clinic=clinic)
        try:
            until = revocations.revoke(connect(ENV.redis_url.get_secret_value(), timeout_s=_TIMEOUT_S), entry)
        except RedisError as failed:
            raise CommandError(f"Nothing was revoked, Redis does not answer: {type(failed).__name__}") from None
        return f"Void: tokens of {entry}, issued until {datetime.fromtimestamp(until, UTC).isoformat()}"


def _entry(*, subject: str | None, session: str | None, clinic: str | None) -> str:
    if "" in (subject, session, clinic):
        raise CommandError("A name must not be empty.")
    if session is not None and clinic is not None:
        raise CommandError("--clinic goes with --subject; a session has its clinic.")
    if session is not None:
        return revocations.session(session)
    name = subject or ""
    return revocations.member(name, clinic=clinic) if clinic is not None else revocations.subject(name)
