"""`./manage.py records shred_patient <patient> --clinic <slug>`: destroys a patient's key. Nothing brings the data back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.kernel.problems import NotFound
from apps.records.patients import shred


class Command(BaseCommand):
    help = "Makes all that is kept of a patient unreadable for ever, also of those merged into it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("patient")
        parser.add_argument("--clinic", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic(durable=True):
                destroyed = shred(options["patient"], clinic=options["clinic"])
        except NotFound:
            raise CommandError("There is no such patient in this clinic.") from None
        self.stdout.write(f"{destroyed} key(s) destroyed. For backups: rotate_keys, back up the key tables, destroy_old_keys.")
