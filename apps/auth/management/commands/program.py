"""./manage.py auth program --clinic C --name N [--redirect-uri U …]: lets a program or an app into a clinic."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from pydantic import ValidationError

from apps.auth import programs
from apps.auth.models import Clinic
from apps.auth.shapes import ProgramIn


class Command(BaseCommand):
    help = "Makes a program with a secret of its own or, with redirect addresses, an app for the clinic's staff."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--clinic", required=True, help="the clinic's slug")
        parser.add_argument("--name", required=True)
        parser.add_argument("--redirect-uri", action="append", default=[], help="https, or http on 127.0.0.1; may be repeated")
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> str:
        try:
            asked = ProgramIn(name=options["name"], redirect_uris=options["redirect_uri"])
        except ValidationError as refused:
            raise CommandError("; ".join(error["msg"] for error in refused.errors(include_input=False))) from None
        clinic = Clinic.objects.filter(slug=options["clinic"]).first()
        if clinic is None:
            raise CommandError("There is no such clinic.")
        with transaction.atomic():
            made = programs.make(None, "system", clinic=clinic.slug, name=asked.name, redirect_uris=asked.redirect_uris)
        found = {"client_id": made.program.application.client_id, "client_secret": made.secret}
        return json.dumps(found) if options["json"] else "\n".join(f"{name}: {value}" for name, value in found.items() if value)
