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


def person(patient: str) -> Person:
    """The patient's details for a bill; all empty when records holds none (any more). Raises Unavailable."""
    try:
        answer = call("records", "GET", f"/internal/v1/patients/{patient}/billing")
    except ServiceDown:
        raise Unavailable("The patient's name cannot be asked for right now.", retry_after=5) from None
    if answer.status_code in (404, 410):
        return NOBODY
    if answer.status_code != 200:
        raise Unavailable("The patient's name cannot be asked for right now.", retry_after=5)
    return _parsed(answer.json())


def _parsed(told: dict[str, Any]) -> Person:
    name, address = told.get("name") or {}, told.get("address") or {}
    lines = address.get("line") or address.get("lines") or address.get("street") or ""
    return Person(
        given=str(name.get("given") or ""),
        family=str(name.get("family") or ""),
        date_of_birth=str(told.get("date_of_birth") or ""),
        sex=str(told.get("sex") or ""),
        line=" ".join(lines) if isinstance(lines, list) else str(lines),
        city=str(address.get("city") or ""),
        state=str(address.get("state") or ""),
        postal_code=str(address.get("postal_code") or ""),
    )
