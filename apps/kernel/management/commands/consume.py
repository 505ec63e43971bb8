"""`consume`: the process that takes over other services' facts. A second one is a stand-by and does no harm."""

from argparse import ArgumentParser
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.kernel import health, inbox

_READY_S = 60


class Command(BaseCommand):
    help = "Handles the facts of other services, until SIGTERM or SIGINT"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--health-port", type=int, default=0, help="of /healthz, /readyz and /metrics; 0 takes a free one")

    def handle(self, *args: Any, **options: Any) -> None:
        handlers = import_module(settings.HANDLERS).HANDLERS
        health.run_until_told(partial(inbox.run, handlers), port=options["health_port"], beats_within_s=_READY_S)
