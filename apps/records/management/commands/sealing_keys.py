"""`./manage.py records sealing_keys [--rotate]`: the key pair to which browsers seal patient details."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.records import envelopes
from apps.records.settings import ENV


class Command(BaseCommand):
    help = "Makes SEALING_KEY_FILE (private) and SEALING_JWKS_FILE (public) when they are missing, or a new pair with --rotate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--rotate", action="store_true", help="make a new key; older envelopes stay readable with the kept ones"
        )
        parser.add_argument("--keep", type=int, default=2, help="how many private keys are kept in all (2)")

    def handle(self, *args: Any, rotate: bool, keep: int, **options: Any) -> None:
        private, public = ENV.sealing_key_file, os.environ.get("SEALING_JWKS_FILE", "")
        if not public:
            raise CommandError("SEALING_JWKS_FILE does not say where the public key goes.")
        if keep < 1:
            raise CommandError("At least one key is kept.")
        if private.is_file() and Path(public).is_file() and not rotate:
            self.stdout.write("The pair is there already.")
            return
        kid = envelopes.write_keys(private, public=Path(public), keep=keep)
        self.stdout.write(f"New envelopes are sealed to {kid}; restart the service, which reads its keys at start.")
