"""How fast records takes over bookings it has missed: `python -m loadtests.catch_up [--profile]`.

Starts a PostgreSQL of its own and gives the service 10,000 bookings, each with a sealed envelope of its own, in pages as the
engine's feed gives them. Exits with 1 when that takes more than 60 s.
"""

import cProfile
import json
import os
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import django

from apps.kernel.ids import new_id
from apps.local import servers

EVENTS = 10_000
LIMIT_S = 60.0
RETURNING = 0.2
"""How many bookings are of a patient who booked before."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="healthflow-load-") as folder, servers.running(Path(folder)) as variables:
        os.environ.update({**variables, "DJANGO_SETTINGS_MODULE": "apps.records.settings"})
        django.setup()
        sys.exit(measure(profile="--profile" in sys.argv))


def measure(*, profile: bool) -> int:
    from django.core.management import call_command

    from apps.kernel import inbox
    from apps.records.handlers import HANDLERS
    from apps.records.models import Patient, Visit

    call_command("migrate", verbosity=0)
    wires = list(_bookings(_seal()))
    profiler = cProfile.Profile() if profile else None
    started, position = time.monotonic(), ""
    with profiler or nullcontext():
        for first in range(0, EVENTS, inbox.PAGE):
            after = f"0:0:{first + 1}"
            inbox.take("engine", wires[first : first + inbox.PAGE], HANDLERS, before=position, after=after)
            position = after
    took = time.monotonic() - started
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    linked = Visit.objects.filter(patient__isnull=False).count()
    print(f"{EVENTS} bookings in {took:.1f} s: {EVENTS / took:.0f}/s; {linked} linked, {Patient.objects.count()} patients")
    return int(took > LIMIT_S or linked != EVENTS)


def _seal() -> Callable[[dict[str, Any]], str]:
    from joserfc import jwe
    from joserfc.jwk import KeySet

    from apps.records.envelopes import TYPE

    key = KeySet.import_key_set(json.loads(Path(os.environ["SEALING_JWKS_FILE"]).read_text())).keys[0]
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid, "typ": TYPE}
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])
    return lambda details: jwe.encrypt_compact(header, json.dumps(details).encode(), key, registry=registry)


def _bookings(seal: Callable[[dict[str, Any]], str]) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    calendars = [str(uuid4()) for _ in range(50)]
    known: list[dict[str, Any]] = []
    for number in range(EVENTS):
        if not known or chance.random() > RETURNING:
            known.append(_person(number, chance))
        yield _fact(seal(chance.choice(known) if chance.random() < RETURNING else known[-1]), chance.choice(calendars))


def _person(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "name": f"Given{chance.randrange(2_000)} Family{number}",
        "email": f"p{number}@example.org",
        "phone": f"+1212555{number:04d}"[:12],
        "date_of_birth": f"{chance.randrange(1930, 2020)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}",
        "answers": {"Reason for the visit": "a cough that does not go away"},
    }


def _fact(sealed: str, calendar: str) -> dict[str, Any]:
    appointment, start = str(uuid4()), datetime(2027, 3, 1, 14, tzinfo=UTC)
    data = {
        "appointment": appointment,
        "calendar": calendar,
        "calendars": [calendar],
        "visit_type": str(uuid4()),
        "patient": None,
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=30)).isoformat(),
        "status": "booked",
        "state": "NY",
        "sealed": sealed,
    }
    return {
        "specversion": "1.0",
        "id": str(new_id()),
        "source": "/engine",
        "type": "healthflow.appointment.booked.v1",
        "subject": appointment,
        "clinic": "demo",
        "time": datetime.now(UTC).isoformat(),
        "data": data,
    }


if __name__ == "__main__":
    main()
