"""Makes the demo clinic live: bookings, holds that run out, moves, arrivals, rooming, cancellations, one each few seconds."""

import time
from contextlib import suppress
from itertools import count, takewhile
from random import Random
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine import models
from engine.management import traffic


class Command(BaseCommand):
    help = "Lets things happen at the demo clinic until Ctrl-C, or for --minutes. No other clinic is touched."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--minutes", type=float, help="how long; until it is stopped unless given")
        parser.add_argument("--seed", type=int, default=None, help="the same seed lets the same things happen")
        parser.add_argument("--clinic", default="", help="to be sure: the slug of the demo clinic")

    def handle(self, *_: Any, **options: Any) -> None:
        slug = settings.ENV.demo_clinic
        if not slug or options["clinic"] not in ("", slug):
            raise CommandError("This is for the demo clinic only (DEMO_CLINIC).", returncode=2)
        if not models.Clinic.objects.filter(slug=slug).exists():
            raise CommandError(f"There is no clinic {slug} yet: engine seed_demo makes it.", returncode=2)
        until = time.monotonic() + options["minutes"] * 60 if options["minutes"] is not None else float("inf")
        steps = takewhile(lambda _: time.monotonic() < until, count())
        lively = traffic.Traffic(slug, Random(options["seed"]))  # noqa: S311 - nothing here is a secret
        with suppress(KeyboardInterrupt):
            traffic.run(lively, steps=steps, say=self.stdout.write, pause=time.sleep)
