"""A clinic's day as it goes by, one thing after the other, by the functions that patients and the front desk use."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from apps.kernel.problems import Problem
from engine import bookings, envelopes, models, queries
from engine.management import demo
from engine.offers import Offer
from engine.rows import Actor, Patient
from engine.scheduling.intervals import DAY_S, Interval
from engine.scheduling.lifecycle import Status

_HOLD_S, _EARLY, _LATE = 45, timedelta(minutes=40), timedelta(minutes=25)
_AHEAD_S = 3 * DAY_S
# What happens next, by how often it does.
_WEIGHTS = {"book": 6, "confirm": 8, "abandon": 2, "move": 2, "cancel": 2, "visit": 9}


@dataclass
class Traffic:
    """The clinic with the slug `clinic`, and what is under way there. `now` is asked for the time, so that a test can say it."""

    clinic: str
    random: Random
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._desk = Actor("demo-traffic", clinic=self.clinic)
        self._public = Actor("public")
        self._held: list[UUID] = []
        self._patients = 0

    def step(self) -> str:
        """Lets one thing happen, and says what in a line without anybody's name; what is refused is said too."""
        names = [name for name in _WEIGHTS if name != "confirm" or self._held]
        name = self.random.choices(names, [_WEIGHTS[name] for name in names])[0]
        try:
            return str(getattr(self, f"_{name}")())
        except Problem as refused:
            # As in life: somebody else was quicker, or it is too late.
            return f"{name}: {refused.code}"

    # --- patients

    def _book(self) -> str:
        """Somebody chooses a time and begins to fill in the form."""
        offer = self._some_offer()
        if offer is None:
            return "nothing is free"
        self._held.append(bookings.hold(offer, seconds=_HOLD_S * 4, actor=self._public).appointment.id)
        return "a time is held"

    def _confirm(self) -> str:
        """Somebody has filled in the form."""
        hold = self._held.pop(0)
        self._patients += 1
        who = demo.patient(self._patients % len(demo.PATIENTS))
        bookings.confirm(hold, patient=Patient(sealed=envelopes.seal(who)), state=demo.STATE, actor=self._public)
        return "a visit is booked"

    def _abandon(self) -> str:
        """Somebody chooses a time and goes away: the hold runs out by itself."""
        offer = self._some_offer()
        if offer is None:
            return "nothing is free"
        bookings.hold(offer, seconds=_HOLD_S, actor=self._public)
        return "a time is held and left alone"

    def _move(self) -> str:
        visit = self._some_visit_to_come()
        offer = self._some_offer(visit.visit_type_id) if visit else None
        if visit is None or offer is None:
            return "nobody wants another time"
        bookings.reschedule(visit.id, offer, by="clinic", actor=self._desk)
        return "a visit is moved"

    def _cancel(self) -> str:
        visit = self._some_visit_to_come()
        if visit is None:
            return "nobody calls off"
        bookings.cancel(visit.id, reason="", by="clinic", actor=self._desk)
        return "a visit is cancelled"

    # --- the front desk

    def _visit(self) -> str:
        """The next step of a visit that is due about now."""
        now = self.now()
        due = models.Appointment.objects.filter(
            clinic__slug=self.clinic,
            status__in=[Status.BOOKED, Status.ARRIVED, Status.IN_PROGRESS],
            starts__lt=now + _EARLY,
            starts__gt=now - timedelta(hours=6),
        )
        visit = self.random.choice(list(due.order_by("starts", "id")) or [None])
        if visit is None:
            return "nobody is expected just now"
        move = self._next(visit, now)
        bookings.move(visit.id, move, actor=self._desk)
        return f"a visit: {move}"

    def _next(self, visit: models.Appointment, now: datetime) -> str:
        if visit.status == Status.BOOKED:
            return "no-show" if now > visit.starts + _LATE and self.random.random() < 0.5 else "arrive"
        if visit.status == Status.IN_PROGRESS:
            return "complete"
        return "start" if "roomed" in visit.stages or visit.modality == "video" else "room"

    # --- what there is

    def _some_offer(self, visit_type: int | None = None) -> Offer | None:
        kinds = models.VisitType.objects.filter(clinic__slug=self.clinic, active=True)
        if visit_type is not None:
            kinds = kinds.filter(id=visit_type)
        kind = self.random.choice(list(kinds.order_by("id")))
        start = int(self.now().timestamp())
        found = queries.slots(queries.visit_type(kind.id), Interval(start, start + _AHEAD_S), state=demo.STATE, limit=200).offers
        # Soon rather than later: most look at the first page.
        return found[int(len(found) * self.random.random() ** 2)] if found else None

    def _some_visit_to_come(self) -> models.Appointment | None:
        mine = models.Appointment.objects.filter(clinic__slug=self.clinic, status=Status.BOOKED, starts__gt=self.now())
        return self.random.choice(list(mine.order_by("starts", "id")[:50]) or [None])


def run(traffic: Traffic, *, steps: Iterable[object], say: Callable[[str], object], pause: Callable[[float], object]) -> None:
    """Lets one thing happen for each of `steps`, with two to five seconds in between, told to `pause`."""
    for _ in steps:
        say(traffic.step())
        pause(traffic.random.uniform(2, 5))
