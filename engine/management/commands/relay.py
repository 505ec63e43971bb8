"""`relay`: the process that takes events from the outbox to Redis. A second one is a stand-by and does no harm."""

import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.kernel import health
from apps.kernel.redis import connect
from engine import relay
from engine.locks import BELL

_READY_S = 10
_TIMEOUT_S = 5.0


class Command(BaseCommand):
    help = "Publishes events to the live sockets, until SIGTERM or SIGINT"

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
        redis = connect(settings.ENV.redis_url.get_secret_value(), timeout_s=_TIMEOUT_S, connections=4)
        relay.run(redis, bell=BELL, stop=stop, beat=beat)
        server.shutdown()
