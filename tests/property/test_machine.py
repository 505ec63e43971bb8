"""Any writes in any order, on a real PostgreSQL, beside a model that is too simple to be wrong.

The model knows hours of one day and lists of visits. It finds out what overlaps by looking at every pair, and what is open
by looking at every hour. What the engine answers, and what its tables and its snapshots say after each step, must be the same.
Time passes when a step says so: it moves the end of a hold into the past.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import time
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from apps.kernel.problems import Problem
from engine import answers, bookings, models, openings, pictures, queries, snapshots, tasks
from engine.errors import HoldExpired, IllegalTransition, OutsideOpeningHours, SlotTaken
from engine.locks import gate
from engine.offers import Offer
from engine.rows import Actor, Patient
from engine.scheduling.hours import OpeningException, OpeningHours
from engine.scheduling.intervals import Interval
from tests.invariants import violations
from tests.practice import DAY, Practice, make_practice, tomorrow
from tests.writes import make_overdue

MINUTE, HOUR = 60, 3600
FIRST, LAST = 8, 14
"""The hours of tomorrow, UTC, in which everything happens. All opening times are whole hours."""
ZOE = Patient(id="p1")

WEEKS = {"always": (0, 24), "morning": (FIRST, 11), "afternoon": (11, 13), "closed": (0, 0)}
TAKES_TIME = {"held", "booked", "arrived", "in_progress", "completed", "no_show"}
MOVES = {
    "arrive": ({"booked", "no_show"}, "arrived"),
    "start": ({"booked", "arrived"}, "in_progress"),
    "complete": ({"arrived", "in_progress"}, "completed"),
    "no-show": ({"booked"}, "no_show"),
    "cancel": ({"booked", "arrived"}, "cancelled"),
}
"""From where, and where to; written out by hand, because the engine's own table is what is being tested."""
PLACES = 2

numbers = count(1)


@dataclass(frozen=True)
class Kind:
    """A visit type, in minutes. `minutes` None: as long as the published session."""

    minutes: int | None
    step: int
    before: int = 0
    after: int = 0
    with_room: bool = False


KINDS = {
    "visit": Kind(30, 30),
    "long": Kind(45, 15, before=5, after=10),
    "procedure": Kind(60, 30, with_room=True),
    "session": Kind(None, 15),
}


@dataclass(frozen=True)
class Special:
    """An exception: some hours closed, open, or open as a session with places for one kind."""

    hours: frozenset[int]
    open: bool
    session: bool


@dataclass(frozen=True)
class Visit:
    """A hold or an appointment. `calendars` by name, the chosen one first; times in minutes of the day."""

    kind: str
    calendars: tuple[str, ...]
    start: int
    end: int
    unit: int
    status: str
    overdue: bool = False
    extended: bool = False
    came: bool = False
    roomed: bool = False

    @property
    def blocked(self) -> range:
        return range(self.start - KINDS[self.kind].before, self.end + KINDS[self.kind].after)


@dataclass
class Model:
    week: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("doctor", "nurse", "room"), "always"))
    specials: dict[str, dict[UUID, Special]] = field(default_factory=lambda: {name: {} for name in ("doctor", "nurse", "room")})
    visits: dict[UUID, Visit] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("doctor", "nurse", "room"), 0))

    # What is open

    def closed(self, calendar: str) -> set[int]:
        return hours_of(s for s in self.specials[calendar].values() if not s.open)

    def ordinary(self, calendar: str) -> set[int]:
        extra = hours_of(s for s in self.specials[calendar].values() if s.open and not s.session)
        sessions = hours_of(s for s in self.specials[calendar].values() if s.session)
        return set(range(*WEEKS[self.week[calendar]])) - sessions - self.closed(calendar) | (
            extra - sessions - self.closed(calendar)
        )

    def open_hours(self, calendar: str) -> set[int]:
        sessions = hours_of(s for s in self.specials[calendar].values() if s.session)
        return self.ordinary(calendar) | (sessions - self.closed(calendar))

    def slot(self, kind: str, calendar: str, start: int) -> tuple[int, int] | None:
        """(end, places) of the slot that starts there; None when there is none."""
        length = KINDS[kind].minutes
        found: list[tuple[int, int]] = []
        for special in self.specials[calendar].values():
            for run in runs(special.hours - self.closed(calendar)) if special.session and kind == "session" else ():
                if start == run.start:
                    found.append((run.stop, PLACES))
        for run in runs(self.ordinary(calendar)):
            if length is None and start == run.start:
                found.append((run.stop, 1))
            elif length is not None and start in run and start + length <= run.stop and (start - run.start) % KINDS[kind].step == 0:
                found.append((start + length, 1))
        return max(found, key=lambda slot: slot[1], default=None)

    # What is taken

    def in_the_way(self, calendars: Iterable[str], blocked: range, *, but: UUID | None = None) -> dict[UUID, Visit]:
        return {
            id_: visit
            for id_, visit in self.visits.items()
            if id_ != but
            and visit.status in TAKES_TIME
            and set(visit.calendars) & set(calendars)
            and overlap(visit.blocked, blocked)
        }

    def place(
        self, kind: str, calendars: tuple[str, ...], start: int, *, but: UUID | None = None
    ) -> type[Problem] | tuple[int, int]:
        """(end, unit) for a visit that may be there, or why it may not."""
        slot = self.slot(kind, calendars[0], start)
        if slot is None:
            return OutsideOpeningHours
        end, places = slot
        if any(not set(range(start // 60, -(-end // 60))) <= self.open_hours(other) for other in calendars[1:]):
            return OutsideOpeningHours
        blocked = replace(UNBOUND, kind=kind, start=start, end=end).blocked
        units = {visit.unit for visit in self.in_the_way(calendars[:1], blocked, but=but).values()}
        if len(units) >= places or self.in_the_way(calendars[1:], blocked, but=but):
            return SlotTaken
        return end, next(unit for unit in count(1) if unit not in units)

    # What happens

    def change(self, id_: UUID, visit: Visit) -> None:
        before = self.visits.get(id_, visit)
        self.visits[id_] = visit
        for calendar in {*before.calendars, *visit.calendars}:
            self.versions[calendar] += 1

    def expire_all(self, ids: Iterable[UUID]) -> None:
        for id_ in list(ids):
            if self.visits[id_].overdue:
                self.change(id_, replace(self.visits[id_], status="expired", overdue=False))


def after(visit: Visit, what: str) -> Visit | type[Problem]:
    """What becomes of a visit, or why nothing does; the same visit when there is nothing to do."""
    if what in ("confirm", "extend") and (visit.overdue or visit.status == "expired"):
        return HoldExpired
    if what == "confirm" and visit.status == "held":
        return replace(visit, status="booked")
    if what == "extend" and visit.status == "held" and not visit.extended:
        return replace(visit, extended=True)
    if what == "release" and visit.status in ("held", "cancelled", "expired"):
        return replace(visit, status="cancelled", overdue=False) if visit.status == "held" else visit
    if what == "expire":
        return replace(visit, status="expired", overdue=False) if visit.overdue else visit
    if what in MOVES and visit.status in MOVES[what][0]:
        return replace(visit, status=MOVES[what][1], came=visit.came or what == "arrive")
    if what == "room" and visit.status == "arrived" and not visit.roomed:
        return replace(visit, roomed=True)
    return back(visit) if what == "revert" else IllegalTransition


def back(visit: Visit) -> Visit | type[Problem]:
    """What a visit was before its last step."""
    match visit.status:
        case "in_progress":
            return replace(visit, status="arrived" if visit.came else "booked")
        case "arrived" if visit.roomed:
            return replace(visit, roomed=False)
        case "arrived" | "no_show":
            return replace(visit, status="booked", came=False)
    return IllegalTransition


UNBOUND = Visit("visit", (), 0, 0, 1, "held")


def hours_of(specials: Iterable[Special]) -> set[int]:
    return set().union(*(special.hours for special in specials))


def runs(hours: Iterable[int]) -> Iterator[range]:
    """The longest stretches of consecutive hours, in minutes."""
    known = set(hours)
    for hour in sorted(known):
        if hour - 1 not in known:
            end = next(h for h in count(hour) if h not in known)
            yield range(hour * 60, end * 60)


def overlap(a: range, b: range) -> bool:
    # All times are multiples of five minutes, so to look at each of those is to look at all.
    return any(minute in b for minute in a[::5])


recent = st.integers(0, 3)
"""Which visit or exception, counted from the last."""
calendars = st.sampled_from(["doctor", "nurse", "room"])
steps = st.sampled_from(
    [
        *["hold", "book"] * 5,
        *["confirm", "extend", "time passes", "time passes", "release", "expire", "expire holds"],
        *["reschedule"] * 4,
        *["cancel", "arrive", "room", "start", "complete", "no-show", "revert", "revert"],
        *["open or close"] * 2,
        *["search"],
    ]
)
wishes = st.sampled_from(
    [
        # Few and close together, so that they meet.
        *(("visit", who, start) for who in ("doctor", "nurse") for start in (9 * 60, 9 * 60 + 30)),
        *(("long", "doctor", start) for start in (9 * 60, 9 * 60 + 15, 9 * 60 + 45)),
        *(("procedure", who, start) for who in ("doctor", "nurse") for start in (9 * 60, 10 * 60)),
        *[("session", "nurse", 12 * 60)] * 3,
        # In the session's time; and on nobody's grid.
        ("visit", "nurse", 12 * 60),
        ("visit", "doctor", 9 * 60 + 10),
    ]
)
"""What somebody wants: (kind of visit, practitioner, start)."""
opening_times = st.one_of(
    # Mostly such as leave something to book.
    st.tuples(st.just("week"), st.sampled_from(["always", "always", "always", *WEEKS])),
    st.tuples(st.sampled_from(["open", "session"]), st.sampled_from([(12, 13), (8, 14), (10, 12)])),
    st.tuples(st.just("closed"), st.sampled_from([(12, 13), (10, 11), (9, 10)])),
    st.tuples(st.just("take back"), recent),
    st.tuples(st.just("take back"), recent),
)


def pick(which: int, known: Iterable[UUID]) -> UUID | None:
    """The last but `which`; None when there is none at all."""
    ids = list(known)
    return ids[-1 - which % len(ids)] if ids else None


class BookingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.practice = make_machine_practice(f"machine-{next(numbers)}")
        self.desk = Actor("desk", self.practice.slug)
        self.model = Model()
        self.midnight = tomorrow()
        clinic = self.practice.doctor.clinic_id
        self.kinds = {name: models.VisitType.objects.get(clinic_id=clinic, name=name.title()) for name in KINDS}
        self.calendars: dict[str, models.Calendar] = {name: getattr(self.practice, name) for name in self.model.week}
        self.names = {calendar.id: name for name, calendar in self.calendars.items()}

    @initialize()
    def publish(self) -> None:
        self.add_exception("nurse", (12, 13), "session")

    # One rule for all steps: Hypothesis leaves some rules out of every run, and then the rest seldom meet.
    @rule(what=steps, which=recent, wish=wishes, calendar=calendars, change=opening_times)
    def step(self, what: str, which: int, wish: tuple[str, str, int], calendar: str, change: tuple[str, Any]) -> None:
        match what:
            case "hold" | "book":
                self.take(*wish, status="held" if what == "hold" else "booked")
            case "search":
                self.search(wish[0])
            case "open or close":
                self.open_or_close(calendar, change)
            case "expire holds":
                self.expire_holds()
            case "time passes":
                self.time_passes(which)
            case "reschedule":
                self.reschedule(which, wish)
            case _:
                self.change(which, what)

    # --- taking time

    def take(self, kind: str, practitioner: str, start: int, *, status: str) -> None:
        wanted = (practitioner, "room") if KINDS[kind].with_room else (practitioner,)
        offer = self.offer(kind, wanted, start)
        expected = self.expected(kind, wanted, start)

        try:
            if status == "booked":
                done = bookings.book(offer, patient=ZOE, state="", actor=self.desk)
            else:
                done = bookings.hold(offer, seconds=300, actor=self.desk)
        except Problem as refused:
            self.check(refused, expected)
            return
        assert isinstance(expected, tuple), expected
        end, unit = expected
        self.model.change(done.appointment.id, Visit(kind, wanted, start, end, unit, status))

    def reschedule(self, which: int, wish: tuple[str, str, int]) -> None:
        # Mostly one that can be moved.
        movable = [id_ for id_, visit in self.model.visits.items() if visit.status in ("booked", "arrived")]
        id_, (_, practitioner, start) = pick(which, movable or self.model.visits), wish
        if id_ is None:
            return
        visit = self.model.visits[id_]
        wanted = (practitioner, *visit.calendars[1:])
        offer = self.offer(visit.kind, wanted, start)
        if visit.status not in ("booked", "arrived"):
            self.refused(IllegalTransition, lambda: bookings.reschedule(id_, offer, by="clinic", actor=self.desk))
            return
        expected = self.expected(visit.kind, wanted, start, but=id_)

        if isinstance(expected, tuple):
            bookings.reschedule(id_, offer, by="clinic", actor=self.desk)
            end, unit = expected
            self.model.change(id_, replace(visit, calendars=wanted, start=start, end=end, unit=unit))
        else:
            self.refused(expected, lambda: bookings.reschedule(id_, offer, by="clinic", actor=self.desk))

    def expected(
        self, kind: str, wanted: tuple[str, ...], start: int, *, but: UUID | None = None
    ) -> type[Problem] | tuple[int, int]:
        """What the model answers, when the overdue holds that are in the way have ended."""
        end = self.end(kind, wanted[0], start)
        blocked = replace(UNBOUND, kind=kind, start=start, end=end).blocked
        self.model.expire_all(self.model.in_the_way(wanted, blocked, but=but))
        return self.model.place(kind, wanted, start, but=but)

    def end(self, kind: str, calendar: str, start: int) -> int:
        slot = self.model.slot(kind, calendar, start)
        return slot[0] if slot else start + (KINDS[kind].minutes or 60)

    def offer(self, kind: str, wanted: tuple[str, ...], start: int) -> Offer:
        row, first, end = (
            self.kinds[kind],
            self.midnight + start * MINUTE,
            self.midnight + self.end(kind, wanted[0], start) * MINUTE,
        )
        return Offer(row.clinic_id, row.id, tuple(self.calendars[name].id for name in wanted), first, end, "in_person")

    # --- what becomes of it

    def change(self, which: int, what: str) -> None:
        id_ = pick(which, self.model.visits)
        if id_ is None:
            return
        visit = self.model.visits[id_]
        expected = after(visit, what)

        if isinstance(expected, type):
            self.refused(expected, lambda: self.do(id_, what))
        else:
            self.do(id_, what)
            if expected != visit:
                self.model.change(id_, expected)

    def do(self, id_: UUID, what: str) -> object:
        match what:
            case "confirm":
                return bookings.confirm(id_, patient=ZOE, state="", actor=self.desk)
            case "extend":
                return bookings.extend(id_, seconds=60, actor=self.desk)
            case "release":
                return bookings.release(id_, actor=self.desk)
            case "expire":
                return bookings.expire(id_)
            case "cancel":
                return bookings.cancel(id_, reason="", by="clinic", actor=self.desk)
            case "revert":
                return bookings.revert(id_, actor=self.desk)
        return bookings.move(id_, what, actor=self.desk)

    # --- time

    def time_passes(self, which: int) -> None:
        id_ = pick(which, [id_ for id_, visit in self.model.visits.items() if visit.status == "held"])
        if id_ is not None:
            make_overdue(id_)
            self.model.visits[id_] = replace(self.model.visits[id_], overdue=True)

    def expire_holds(self) -> None:
        assert tasks.expire_holds() == sum(visit.overdue for visit in self.model.visits.values())
        self.model.expire_all(self.model.visits)

    # --- opening hours

    def open_or_close(self, calendar: str, change: tuple[str, Any]) -> None:
        match change:
            case ("week", str(week)):
                self.set_hours(calendar, week)
            case ("take back", int(which)):
                self.remove_exception(calendar, which)
            case (str(what), (int(first), int(last))):
                self.add_exception(calendar, (first, last), what)

    def set_hours(self, calendar: str, week: str) -> None:
        first, last = WEEKS[week]
        rules = [OpeningHours(day, time(first), time(last % 24)) for day in range(7)] if last else []
        version = openings.set_hours(self.calendars[calendar].id, rules, actor=self.desk)
        self.model.week[calendar] = week
        self.model.versions[calendar] += 1
        assert version == self.model.versions[calendar]

    def remove_exception(self, calendar: str, which: int) -> None:
        uid = pick(which, self.model.specials[calendar])
        if uid is not None:
            openings.remove_exception(self.calendars[calendar].id, uid, actor=self.desk)
            del self.model.specials[calendar][uid]
            self.model.versions[calendar] += 1

    def add_exception(self, calendar: str, hours: tuple[int, int], what: str) -> None:
        special = Special(frozenset(range(*hours)), open=what != "closed", session=what == "session")
        if special.session and any(
            special.hours & other.hours for other in self.model.specials[calendar].values() if other.session
        ):
            return  # which of two sessions at once a visit is in is nobody's promise
        during = Interval(self.midnight + hours[0] * HOUR, self.midnight + hours[1] * HOUR)
        places, only_for = (PLACES, self.kinds["session"].id) if special.session else (1, None)
        added = openings.add_exception(
            self.calendars[calendar].id, OpeningException(during, special.open, places, only_for), actor=self.desk
        )
        self.model.specials[calendar][added.uid] = special
        self.model.versions[calendar] += 1

    # --- looking

    def search(self, kind: str) -> None:
        within = Interval(self.midnight + FIRST * HOUR, self.midnight + LAST * HOUR)
        rules = queries.visit_type_by_uid(self.kinds[kind].uid)
        found = {
            (self.names[o.calendar], (o.start - self.midnight) // MINUTE) for o in queries.slots(rules, within, limit=500).offers
        }

        live = replace_visits(self.model, lambda visit: not visit.overdue)
        rooms = ("room",) if KINDS[kind].with_room else ()
        assert found == {
            (name, start)
            for name in ("doctor", "nurse")
            for start in range(FIRST * 60, LAST * 60, 15)
            if isinstance(live.place(kind, (name, *rooms), start), tuple)
        }

    # --- what must hold after every step

    @invariant()
    def the_tables_keep_their_promises(self) -> None:
        assert violations(self.practice.slug) == []

    @invariant()
    def the_snapshots_are_the_model(self) -> None:
        for name, calendar in self.calendars.items():
            day = Interval(self.midnight, self.midnight + DAY)
            seen = snapshots.snapshot(calendar.uid, day, clinic=self.practice.slug)
            drawn = pictures.picture(calendar.uid, day, clinic=self.practice.slug, joins=True)
            assert json.loads(drawn.body) == answers.snapshot(seen, joins=True)
            assert seen.version == self.model.versions[name]
            assert {
                a.id: (
                    a.status.value,
                    self.minutes(a.start),
                    self.minutes(a.end),
                    a.extended,
                    "arrived" in a.stages,
                    "roomed" in a.stages,
                )
                for a in seen.appointments
            } == {
                id_: (visit.status, visit.start, visit.end, visit.extended, visit.came, visit.roomed)
                for id_, visit in self.model.visits.items()
                if name in visit.calendars and visit.status in TAKES_TIME
            }
            opened = [(self.minutes(interval.start), self.minutes(interval.end)) for interval in seen.open]
            assert opened == [(run.start, run.stop) for run in runs(self.model.open_hours(name))]

    @invariant()
    def the_places_are_the_models(self) -> None:
        rows = models.Allocation.objects.filter(calendar__in=self.names)
        assert {(self.names[row.calendar_id], row.appointment_id, row.unit) for row in rows} == {
            (name, id_, visit.unit if name == visit.calendars[0] else 1)
            for id_, visit in self.model.visits.items()
            if visit.status in TAKES_TIME
            for name in visit.calendars
        }

    def minutes(self, instant: int) -> int:
        return (instant - self.midnight) // MINUTE

    def refused(self, problem: type[Problem], act: Any) -> None:
        with pytest.raises(Problem) as refused:
            act()
        self.check(refused.value, problem)

    def check(self, refused: Problem, problem: object) -> None:
        assert type(refused) is problem

    def teardown(self) -> None:
        models.Appointment.objects.filter(expires_at__isnull=False).delete()  # the task of the next run looks at all of them


def replace_visits(model: Model, keep: Any) -> Model:
    return replace(model, visits={id_: visit for id_, visit in model.visits.items() if keep(visit)})


def make_machine_practice(slug: str) -> Practice:
    practice = make_practice(slug)
    clinic = practice.doctor.clinic_id
    models.Calendar.objects.filter(clinic_id=clinic).update(zone="UTC")
    models.VisitType.objects.filter(clinic_id=clinic).delete()
    for name, kind in KINDS.items():
        row = models.VisitType.objects.create(
            clinic_id=clinic,
            name=name.title(),
            duration=kind.minutes,
            step=kind.step,
            before=kind.before,
            after=kind.after,
            modalities=["in_person"],
            needs=["practitioner", "room"] if kind.with_room else ["practitioner"],
        )
        row.calendars.set([practice.doctor, practice.nurse, *([practice.room] if kind.with_room else [])])
    return practice


def test_any_writes_in_any_order_do_what_the_model_does(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gate may say no too early, which a model cannot foresee; what it may do is tested elsewhere.
    monkeypatch.setattr(gate, "claim", lambda *_args, **_kwargs: None)
    run_state_machine_as_test(
        BookingMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # Found is enough: to make an example of 30 steps shorter takes minutes here.
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
