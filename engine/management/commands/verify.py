"""Proves the promises in the database; exit status 1 when one is broken."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from engine.verification import CHECKS, Verdict, verify


class Command(BaseCommand):
    help = "Checks every promise in the database: overlaps, version holes, orphaned allocations, outbox lag and more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the verdict as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        verdict = verify()
        self.stdout.write(json.dumps(asdict(verdict)) if options["json"] else _as_text(verdict))
        if not verdict.ok:
            sys.exit(1)


def _as_text(verdict: Verdict) -> str:
    promises = {check.name: check.promise for check in CHECKS}
    lines = [
        f"{'broken' if found.violations else 'holds':<7} {promises[found.name]}"
        + (f"\n        {found.violations} against {found.name}: {', '.join(found.examples)}" if found.violations else "")
        for found in verdict.checks
    ]
    looked_at = f"{verdict.appointments} appointments, {verdict.allocations} allocations, {verdict.calendars} calendars"
    return "\n".join([*lines, f"{'All holds' if verdict.ok else 'NOT ALL HOLDS'}: {looked_at}, {verdict.seconds} s"])
