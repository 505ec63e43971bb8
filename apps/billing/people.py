"""Who a patient is: asked of records each time, and never kept here."""

from dataclasses import dataclass
from typing import Any

from apps.kernel.problems import Unavailable
from apps.kernel.services import ServiceDown, call


@dataclass(frozen=True, slots=True)
class Person:
    """As records knows them now; what it does not know is empty. `sex` as records says it, `date_of_birth` is ISO."""

    given: str
    family: str
    date_of_birth: str
    sex: str
    line: str
    city: str
    state: str
    postal_code: str

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()


NOBODY = Person("", "", "", "", "", "", "", "")


def person(patient: str, *, clinic: str) -> Person:
    """A patient's details for a bill of that clinic; all empty when records holds none there (any more). Raises Unavailable."""
    try:
        answer = call("records", "GET", f"/internal/v1/patients/{patient}/billing", params={"clinic": clinic})
    except ServiceDown:
        raise Unavailable("The patient's name cannot be asked for right now.", retry_after=5) from None
    if answer.status_code in (404, 410):
        return NOBODY
    if answer.status_code != 200:
        raise Unavailable("The patient's name cannot be asked for right now.", retry_after=5)
    return _parsed(answer.json())


def _parsed(told: dict[str, Any]) -> Person:
    name, address = told.get("name") or {}, told.get("address") or {}
    lines = [str(address[name]) for name in ("line", "line2") if address.get(name)]
    return Person(
        given=str(name.get("given") or ""),
        family=str(name.get("family") or ""),
        date_of_birth=str(told.get("date_of_birth") or ""),
        sex=str(told.get("sex") or ""),
        line=", ".join(lines),
        city=str(address.get("city") or ""),
        state=str(address.get("state") or ""),
        postal_code=str(address.get("postal_code") or ""),
    )
