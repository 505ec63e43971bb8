"""Proves the promises about money in the database; exit status 1 when one is broken."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.billing.verification import Finding, verify


class Command(BaseCommand):
    help = "Checks every promise about money: a balanced ledger, invoices equal to their lines, payments booked, and more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the verdict as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        findings = verify()
        ok = not any(found.violations for found in findings)
        said = {"ok": ok, "checks": [asdict(found) for found in findings]}
        self.stdout.write(json.dumps(said) if options["json"] else "\n".join(map(_as_text, findings)))
        if not ok:
            sys.exit(1)


def _as_text(found: Finding) -> str:
    if not found.violations:
        return f"holds   {found.promise}"
    return f"broken  {found.promise}\n        {found.violations} against {found.name}: {', '.join(found.examples)}"
