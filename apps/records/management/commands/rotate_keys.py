"""`./manage.py records rotate_keys [clinic …]`: a new version of the clinics' keys, while everything runs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel.problems import Unavailable
from apps.records import rotation
from apps.records.keys import keyring


class Command(BaseCommand):
    help = "Makes a new version of the clinics' keys and wraps all patients' keys with it. Then back up the key tables."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("clinic", nargs="*", help="slugs; all clinics when none is named")
        parser.add_argument(
            "--shredded", action="store_true", help="only clinics in which a patient was shredded since the last time"
        )

    def handle(self, *args: Any, clinic: list[str], shredded: bool, **options: Any) -> None:
        known = rotation.shredded() if shredded else rotation.clinics()
        for slug in clinic or known:
            if slug not in known:
                raise CommandError(f"There is nothing to rotate in {slug}.")
            try:
                version, count = rotation.rotate(keyring(), clinic=slug)
            except Unavailable as refused:
                raise CommandError(f"{slug}: {refused.detail} Run it again.") from refused
            self.stdout.write(f"{slug}: version {version}, {count} keys wrapped anew")
