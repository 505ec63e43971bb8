"""`./manage.py records seed_demo [--json]`: two records of one person, with a note and a consent; made once.

All other patients of the demo come as they do in life, in the envelopes of the engine's bookings.
"""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from apps.records import charts, patients, search
from apps.records.keys import keyring
from apps.records.matching import search_terms
from apps.records.shapes import ConsentIn, Details, NoteIn, SearchIn

_PEOPLE = (
    Details(
        name="Catherine Whitfield",
        birth_date="1968-09-14",
        sex="female",
        language="en",
        state="NY",
        zone="America/New_York",
        phones=("+1 518 555 0142",),
        emails=("catherine.whitfield@example.org",),
    ),
    Details(name="Katherine Whitfield", birth_date="1968-09-14", phones=("+1 518 555 0142",), state="NY"),
)


class Command(BaseCommand):
    help = "Makes the demo's pair of duplicates, unless it is there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="prints what was made as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        clinic = settings.ENV.demo_clinic
        if not clinic:
            raise CommandError("DEMO_CLINIC is not set.")
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext('records.seed_demo'))")
            made = 0 if _there(clinic) else _make(clinic)
        self.stdout.write(json.dumps({"clinic": clinic, "patients": made}) if options["json"] else f"{made} patients made.")


def _there(clinic: str) -> bool:
    asked = SearchIn(name=_PEOPLE[0].name, birth_date=_PEOPLE[0].birth_date)
    terms = search_terms(asked, secret=keyring().newest(clinic))
    return any(search.find(clinic, terms=one, limit=1) for one in terms)


def _make(clinic: str) -> int:
    rows = [patients.create(details, clinic=clinic) for details in _PEOPLE]
    first = rows[0]
    note = NoteIn(text="Blood pressure well controlled. Next check in six months.", signed=True)
    charts.write_note(first, [first.id], note, author="demo")
    charts.say_consent(first, ConsentIn(purpose="messages", channel="email", granted=True), actor="demo")
    return len(rows)
