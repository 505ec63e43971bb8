"""./manage.py auth person --email E --disable | --enable | --forget-factors: what an operator does about one person."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.auth import people
from apps.auth.models import Person
from apps.auth.words import normal_email


class Command(BaseCommand):
    help = "Shuts a person out everywhere, lets them in again, or forgets their second factors so that they enrol anew."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--disable", action="store_true", help="ends all their sessions, within 5 s also open pages")
        what.add_argument("--enable", action="store_true")
        what.add_argument("--forget-factors", action="store_true", help="for who lost phone, passkeys and recovery codes")

    def handle(self, *_: Any, **options: Any) -> str:
        person = Person.objects.filter(email=normal_email(options["email"])).first()
        if person is None:
            raise CommandError("Nobody has that address.")
        if options["forget_factors"]:
            people.forget_factors(person)
            return "Forgotten. The next sign-in enrols a new one."
        people.set_active(person, active=options["enable"])
        return "Done."
