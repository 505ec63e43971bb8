"""`audit_export`: keeps a day of the audit log where AUDIT_EXPORT_URL says."""

import json
from argparse import ArgumentParser
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.kernel import keeping


class Command(BaseCommand):
    help = "Writes a day of the audit log, and its manifest, into write-once storage"

    def add_arguments(self, parser: ArgumentParser) -> None:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        parser.add_argument("--day", type=date.fromisoformat, default=yesterday, help="YYYY-MM-DD, in UTC; yesterday if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = keeping.export(options["day"], keeping.store(settings.ENV.audit_export_url.get_secret_value()))
        except keeping.AlreadyKept as kept:
            raise CommandError(f"{kept} is there already, and stays as it is.") from None
        except ValueError as refused:
            raise CommandError(f"Not exported: {refused}.") from None
        self.stdout.write(json.dumps(manifest))
