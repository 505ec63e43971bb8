"""./manage.py auth token --clinic <slug> --role <role>: prints a bearer token, for development and tests."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.auth.settings import ENV
from apps.kernel.tokens import ROLES, sign


class Command(BaseCommand):
    help = "Prints a bearer token for a member of a clinic (development and tests)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--clinic", required=True, help="the clinic's slug")
        parser.add_argument("--role", required=True, choices=sorted(ROLES))
        parser.add_argument("--subject", default="", help="who it is for; default: dev:<role>")
        parser.add_argument("--seconds", type=int, default=12 * 3600, help="how long it is good (default: 12 h; at most 24 h)")

    def handle(self, *, clinic: str, role: str, subject: str, seconds: int, **_: object) -> str:
        who = subject or f"dev:{role}"
        try:
            return sign(ENV.token_signing_key_file, subject=who, clinic=clinic, role=role, seconds=seconds)
        except ValueError as refused:
            raise CommandError(str(refused)) from None
