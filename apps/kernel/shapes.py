"""The common shapes of the wire: closed, strict, and free of any web framework.

A request with an unknown field, a wrong type or a time without an offset is refused, and nothing changes.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
# The last ones turn the direction of what follows: a name or an address would not read as it is.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# A database keeps any year; a clinic does not.
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

LONGEST_PAGE = 500


def parse_instant(value: Any) -> int:
    """Seconds since 1970 of an RFC 3339 time with an offset. Raises ValueError with a sentence for the caller."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # a default of ours, never from the wire: there a time is text
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("a time must be RFC 3339 with an offset, like 2027-03-01T09:30:00-05:00")
    try:
        parsed = datetime.fromisoformat(value.upper().replace("Z", "+00:00"))
        inside = _EARLIEST <= parsed < _LATEST
    except (ValueError, OverflowError):
        raise ValueError("this time does not exist") from None
    if not inside:
        raise ValueError("a time must lie between the years 2000 and 2200")
    return int(parsed.timestamp())


def _wire_instant(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("a time must be RFC 3339 text with an offset")
    return parse_instant(value)


def _whole_second(value: Any) -> int:
    instant = _wire_instant(value)
    if re.search(r"\.\d*[1-9]", value):
        raise ValueError("a visit starts and ends at a whole second")
    return instant


def _printable(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed")
    return value


def _said(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _birth_date(value: str) -> str:
    try:
        possible = date(1880, 1, 1) <= date.fromisoformat(value) <= datetime.now(UTC).date()
    except ValueError:
        possible = False
    if not possible:
        raise ValueError("not a possible birth date")
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("not an IANA time zone")
    return value


Instant = Annotated[int, BeforeValidator(_wire_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Second = Annotated[int, BeforeValidator(_whole_second), WithJsonSchema({"type": "string", "format": "date-time"})]
Line = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Token = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]
Identifier = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
Name = Annotated[Line, AfterValidator(_said)]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"), AfterValidator(_printable)]
Phone = Annotated[str, Field(max_length=40, pattern=r"^[0-9+(). x/-]{5,}$")]
BirthDate = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_birth_date)]
State = Annotated[str, Field(pattern=r"^([A-Z]{2})?$", description="two letters, or empty")]
Zone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
Time = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="wall clock time, HH:MM")]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Limit = Annotated[int, Field(ge=1, le=LONGEST_PAGE)]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemOut(BaseModel):
    """RFC 9457; some codes add fields, such as `alternatives`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    param: str | None = None
    retry_after: int | None = None


def in_zone(instant: int, zone: str) -> str:
    """An instant as text with the offset of a zone; "UTC" gives a Z."""
    if zone == "UTC":
        day, second = divmod(instant, 24 * 3600)
        return f"{_day(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).isoformat()


@lru_cache(maxsize=10_000)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
