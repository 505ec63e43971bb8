"""./manage.py auth rotate_keys: the next signing key takes over, and one to come after it is published."""

import json
import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.auth import keys
from apps.auth.settings import ENV


class Command(BaseCommand):
    help = "Rotates the keys that sign access tokens. The first run only publishes a next key; a run 2 minutes later activates it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--withdraw", action="store_true", help="old keys are void at once, with every token of theirs")
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> str:
        done = keys.rotate(ENV.token_signing_key_file, ENV.token_jwks_file, now=int(time.time()), withdraw=options["withdraw"])
        if options["json"]:
            return json.dumps(asdict(done))
        lines = [f"Active: {done.active}{' (new)' if done.activated else ''}", f"Next: {done.next}"]
        lines += [f"Withdrawn: {kid}" for kid in done.withdrawn]
        return "\n".join([*lines, f"The next one can be activated in {max(0, done.wait_s)} s."])
