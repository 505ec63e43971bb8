"""`relay`: the process that takes events from the outbox to Redis. A second one is a stand-by and does no harm."""

from argparse import ArgumentParser
from functools import partial
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
        redis = connect(settings.ENV.redis_url.get_secret_value(), timeout_s=_TIMEOUT_S, connections=4)
        run = partial(relay.run, redis, BELL)
        health.run_until_told(run, port=options["health_port"], beats_within_s=_READY_S)
