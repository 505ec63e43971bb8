"""Names, zones and places of clinics, from the engine's public profile; kept for a minute."""

import time
from dataclasses import dataclass
from typing import Any

import requests
from django.conf import settings

from apps.kernel.services import ServiceDown

_KEPT_S = 60.0
_KEPT = 2_000
_TIMEOUT_S = (2.0, 5.0)
_known: dict[str, tuple[float, "Profile"]] = {}


@dataclass(frozen=True)
class Profile:
    """`places` are the addresses of calendars that have one, by calendar."""

    name: str
    zone: str
    phone: str
    places: dict[str, str]


def profile(clinic: str) -> Profile:
    """A clinic's profile, at most a minute old; an older one while the engine is away. Raises ServiceDown."""
    kept = _known.get(clinic)
    if kept is not None and kept[0] > time.monotonic():
        return kept[1]
    try:
        found = _fetch(clinic)
    except ServiceDown:
        if kept is None:
            raise
        found = kept[1]
    if len(_known) >= _KEPT:
        _known.clear()
    _known[clinic] = (time.monotonic() + _KEPT_S, found)
    return found


def _fetch(clinic: str) -> Profile:
    try:
        # As the public: who we are does not matter for what everybody may read.
        answer = requests.get(f"{settings.ENV.engine_url}/api/engine/v1/clinics/{clinic}", timeout=_TIMEOUT_S)
    except requests.RequestException as failed:
        raise ServiceDown(f"engine: {type(failed).__name__}") from None
    if answer.status_code != 200:
        raise ServiceDown(f"engine: {answer.status_code}")
    return as_profile(answer.json())


def as_profile(told: dict[str, Any]) -> Profile:
    addresses = {place["id"]: ", ".join(filter(None, (place["address"], place["city"]))) for place in told["locations"]}
    places = {one["id"]: addresses.get(one["location"] or "", "") for one in told["calendars"]}
    phone = next((place["phone"] for place in told["locations"] if place["phone"]), "")
    return Profile(told["name"], told["zone"], phone, places)


def forget() -> None:
    """Asks anew."""
    _known.clear()
