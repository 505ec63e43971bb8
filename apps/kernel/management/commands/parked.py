"""`parked`: facts of other services that could not be handled here, and another try for them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.kernel import inbox
from apps.kernel.models import ParkedEvent


class Command(BaseCommand):
    help = "Lists the facts that could not be handled; exit status 1 when there are some that are not tried again by themselves"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--again", metavar="ID", help="try this one again now, or 'all'")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["again"]:
            count = inbox.again(None if options["again"] == "all" else options["again"])
            self.stdout.write(f"{count} will be tried again.")
            return
        given_up = False
        for parked in ParkedEvent.objects.order_by("id"):
            due = parked.next_try_at.isoformat(timespec="seconds") if parked.next_try_at else "given up"
            given_up |= parked.next_try_at is None
            kind = parked.event.get("type", "")
            self.stdout.write(f"{parked.uid}  {parked.producer} {kind}  tries {parked.attempts}  {due}  {parked.reason}")
        if given_up:
            raise SystemExit(1)
