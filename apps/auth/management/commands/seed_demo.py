"""./manage.py auth seed_demo [--calendars JSON] [--json]: the people of the demo clinic, with their passwords and app secrets."""

import json
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.auth import demo


class Command(BaseCommand):
    help = "Makes the people of the demo clinic, or puts them back as they were, and prints how each of them signs in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--calendars", type=json.loads, help='{"Dr. Maya Chen": "<id>", …}; default: the engine is asked')
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        calendars = options["calendars"]
        demo.seed(_engines_calendars() if calendars is None else calendars)
        logins = demo.logins()
        if options["json"]:
            clinic = settings.ENV.demo_clinic or "demo"
            self.stdout.write(json.dumps({"clinic": clinic, "logins": [login._asdict() for login in logins]}))
        else:
            self.stdout.write("\n".join(f"{one.role:<14}{one.email:<30}{one.password:<18}{one.totp_secret}" for one in logins))


def _engines_calendars() -> dict[str, str]:
    """The calendars of the engine's demo clinic, by name; none when it does not answer: an administrator can say it later."""
    address = f"{settings.ENV.engine_url}/api/engine/v1/clinics/{settings.ENV.demo_clinic or 'demo'}"
    try:
        answer = requests.get(address, timeout=5)
        return {one["name"]: one["id"] for one in answer.json()["calendars"]} if answer.ok else {}
    except requests.RequestException:
        return {}
