"""`./manage.py records destroy_old_keys [clinic …]`: makes the key tables of all older backups unreadable, for ever."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel.problems import Unavailable
from apps.records import rotation
from apps.records.keys import keyring


class Command(BaseCommand):
    help = "Destroys all versions of the clinics' keys but the newest. Back up the key tables first: older copies become useless."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("clinic", nargs="*", help="slugs; all clinics when none is named")

    def handle(self, *args: Any, clinic: list[str], **options: Any) -> None:
        known = rotation.clinics()
        for slug in clinic or known:
            if slug not in known:
                raise CommandError(f"There are no keys of {slug}.")
            try:
                versions = rotation.destroy_old(keyring(), clinic=slug)
            except Unavailable as refused:
                raise CommandError(f"{slug}: {refused.detail} Run it again.") from refused
            self.stdout.write(f"{slug}: destroyed {', '.join(map(str, versions)) or 'nothing'}")
