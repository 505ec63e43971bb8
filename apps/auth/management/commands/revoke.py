"""./manage.py auth revoke --subject S [--clinic C] | --session J: ends rights before their tokens do, everywhere within 5 s."""

from argparse import ArgumentParser
from datetime import UTC, datetime

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, transaction

from apps.auth import rights
from apps.kernel import revocations


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
            with transaction.atomic():
                until = rights.end(entry)
        except DatabaseError as failed:
            raise CommandError(f"Nothing was revoked, the database does not answer: {type(failed).__name__}") from None
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
