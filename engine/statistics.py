"""How a clinic's days went: open time, what of it was taken, who came, and how long they waited. No locks, no patient data.

Counted are the calendars that people choose, each visit on the one that was chosen: rooms and devices follow along.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.db import connection
from django.db.models import F

from engine import models
from engine.rules import CalendarRules, calendar_rules
from engine.scheduling.hours import LONGEST_OPENING, OpeningException, local_date, local_day, windows
from engine.scheduling.intervals import Interval, clip

_MINUTE_S, _DAY = 60, timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of some visits. Minutes are whole; `lead_time_hours` and `wait_minutes` are medians, None where nobody was.

    A visit that was called off counts as `cancelled` only. Who came is who arrived, at least. The wait is from the arrival to the
    room, or to the beginning of the visit where nobody was roomed.
    """

    booked: int = 0
    booked_minutes: int = 0
    came: int = 0
    completed: int = 0
    cancelled: int = 0
    no_show: int = 0
    lead_time_hours: float | None = None
    wait_minutes: float | None = None
    open_minutes: int = 0

    @property
    def utilisation(self) -> float | None:
        """The part of the open time that is taken, at most all of it."""
        return round(min(1.0, self.booked_minutes / self.open_minutes), 4) if self.open_minutes else None

    @property
    def no_show_rate(self) -> float | None:
        """The part that did not come, of those of whom it is known."""
        known = self.came + self.no_show
        return round(self.no_show / known, 4) if known else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """The figures of each day, of each calendar over all days, and of all together."""

    days: dict[date, Figures]
    calendars: dict[int, Figures]
    total: Figures


# A released hold was never an appointment. An index on (calendar, starts) answers this.
_VISITS = """
SELECT day, calendar_id,
       count(*) FILTER (WHERE taken), coalesce(sum(minutes) FILTER (WHERE taken), 0)::bigint,
       count(*) FILTER (WHERE status IN ('arrived', 'in_progress', 'completed')), count(*) FILTER (WHERE status = 'completed'),
       count(*) FILTER (WHERE NOT taken), count(*) FILTER (WHERE status = 'no_show'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY lead_hours) FILTER (WHERE taken),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY wait_minutes) FILTER (WHERE taken AND wait_minutes IS NOT NULL)
FROM (
  SELECT (a.starts AT TIME ZONE %s)::date AS day, a.calendar_id, a.status, a.status <> 'cancelled' AS taken,
         extract(epoch FROM a.ends - a.starts) / 60 AS minutes,
         extract(epoch FROM a.starts - a.created_at)::float / 3600 AS lead_hours,
         (coalesce(a.stages ->> 'roomed', a.stages ->> 'started')::bigint - (a.stages ->> 'arrived')::bigint)::float / 60
           AS wait_minutes
  FROM engine_appointment a
  WHERE a.calendar_id = ANY(%s) AND a.starts >= to_timestamp(%s) AND a.starts < to_timestamp(%s)
        AND a.status NOT IN ('held', 'expired')
        AND (a.status <> 'cancelled' OR a.history @> '[{"event": "appointment.booked"}]')
) AS visits
GROUP BY GROUPING SETS ((day), (calendar_id), ())
"""


def statistics(clinic: models.Clinic, first: date, last: date) -> Statistics:
    """The figures of a clinic's days, from `first` to `last`, by the opening times as they are now."""
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    within = Interval(local_day(clinic.zone, first).start, local_day(clinic.zone, last).end)
    calendars = _chosen_calendars(clinic)
    visits = _visits(clinic.zone, list(calendars), within)
    opened = _open_minutes(clinic.zone, calendars, within)
    by_day, by_calendar = Counter[date](), Counter[int]()
    for (day, calendar), minutes in opened.items():
        by_day[day] += minutes
        by_calendar[calendar] += minutes
    nothing = Figures()
    return Statistics(
        days={day: replace(visits.get((day, None), nothing), open_minutes=by_day[day]) for day in days},
        calendars={key: replace(visits.get((None, key), nothing), open_minutes=by_calendar[key]) for key in calendars},
        total=replace(visits.get((None, None), nothing), open_minutes=sum(opened.values())),
    )


def _chosen_calendars(clinic: models.Clinic) -> dict[int, CalendarRules]:
    """The calendars in use that are somebody's first need, by name."""
    rows = models.Calendar.objects.filter(clinic=clinic, active=True, visit_types__active=True, visit_types__needs__0=F("kind"))
    found = [calendar_rules(*row) for row in rows.values_list("id", "rules").distinct()]
    return {rules.id: rules for rules in sorted(found, key=lambda rules: (rules.name, rules.id))}


def _visits(zone: str, calendars: list[int], within: Interval) -> dict[tuple[date | None, int | None], Figures]:
    with connection.cursor() as cursor:
        cursor.execute(_VISITS, [zone, calendars, *within])
        return {(day, calendar): Figures(*rest) for day, calendar, *rest in cursor.fetchall()}


def _open_minutes(zone: str, calendars: dict[int, CalendarRules], within: Interval) -> Counter[tuple[date, int]]:
    """The open minutes of each day and calendar, for each place of a group session."""
    exceptions = _exceptions(list(calendars), within)
    found = Counter[tuple[date, int]]()
    for key, rules in calendars.items():
        for window in windows(replace(rules.hours, exceptions=tuple(exceptions.get(key, ()))), within):
            for during in clip([window.during], within):
                day = local_date(zone, during.start)
                while (bounds := local_day(zone, day)).start < during.end:
                    for start, end in clip([during], bounds):
                        found[day, key] += (end - start) // _MINUTE_S * window.capacity
                    day += _DAY
    return found


_EXCEPTIONS = """
SELECT calendar_id, extract(epoch FROM starts)::bigint, extract(epoch FROM ends)::bigint, open, capacity, visit_type_id
FROM engine_openingexception
WHERE calendar_id = ANY(%s) AND ends > to_timestamp(%s) AND starts < to_timestamp(%s) ORDER BY id
"""


def _exceptions(calendars: list[int], within: Interval) -> dict[int, list[OpeningException]]:
    """Those that count then. What is kept for bookings (`rules`) leaves out those that are over."""
    reach = 4 * LONGEST_OPENING
    found: dict[int, list[OpeningException]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_EXCEPTIONS, [calendars, within.start - reach, within.end + reach])
        for calendar, start, end, *rest in cursor.fetchall():
            found.setdefault(calendar, []).append(OpeningException(Interval(start, end), *rest))
    return found
