"""`consume`: the process that takes over other services' facts. A second one is a stand-by and does no harm."""

import signal
import threading
import time
from argparse import ArgumentParser
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
        stop, last_beat = threading.Event(), float("-inf")

        def beat() -> None:
            nonlocal last_beat
            last_beat = time.monotonic()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        server = health.serve(options["health_port"], lambda: time.monotonic() - last_beat < _READY_S)
        inbox.run(import_module(settings.HANDLERS).HANDLERS, stop=stop, beat=beat)
        server.shutdown()
