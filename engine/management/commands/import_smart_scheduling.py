"""Imports a SMART Scheduling Links publication into a clinic; what of is said in `engine.publications`."""

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_slug
from django.db import DatabaseError

from apps.kernel.problems import Problem
from engine.publications import Report, import_publication
from engine.smart_scheduling.facts import YEARS
from engine.smart_scheduling.files import BadPublication, open_publication

_LONGEST_SLUG = 60


class Command(BaseCommand):
    help = "Imports a SMART Scheduling Links publication (manifest and NDJSON files). Importing it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("publication", type=Path, help="folder with a manifest.json, or the manifest itself")
        parser.add_argument("--clinic", type=_slug, required=True, help="slug of the clinic; it is made when it is new")
        parser.add_argument("--rebase", type=_date, help="move all slots by whole weeks, the earliest into the week from this date")
        parser.add_argument("--json", action="store_true", help="the report as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            publication = open_publication(options["publication"])
            report = import_publication(publication, clinic=options["clinic"], rebase=options["rebase"])
        except (BadPublication, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        except (Problem, DatabaseError) as error:
            raise CommandError(f"Interrupted: {error}\nImport again; what is done already stays as it is.") from error
        self.stdout.write(_as_json(report) if options["json"] else _as_text(report))


def _as_json(report: Report) -> str:
    return json.dumps(asdict(report) | {"refused": [refusal._asdict() for refusal in report.refused]})


def _as_text(report: Report) -> str:
    lines = report.created + report.updated + report.unchanged + len(report.refused)
    counts = f"{report.created} created, {report.updated} updated, {report.unchanged} unchanged, {len(report.refused)} refused"
    said = [f"{lines} lines: {counts}"]
    if report.reinterpreted:
        said.append(f"{report.reinterpreted} slots had their zone's winter offset in summer; the clock on the wall was taken")
    said += [f"refused: {refusal.file}:{refusal.line}: {refusal.reason}" for refusal in report.refused]
    said += [f"not there: {name}" for name in report.missing_files]
    return "\n".join(said)


def _slug(text: str) -> str:
    try:
        validate_slug(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError("letters, digits, dashes and underscores only") from error
    if len(text) > _LONGEST_SLUG:
        raise argparse.ArgumentTypeError(f"at most {_LONGEST_SLUG} characters")
    return text


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a date is written YYYY-MM-DD") from error
    if found.year not in YEARS:
        raise argparse.ArgumentTypeError(f"years go from {YEARS.start} to {YEARS.stop - 1}")
    return found
