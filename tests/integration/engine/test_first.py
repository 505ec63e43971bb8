"""The first available: what the index answers is what a full scan finds, and the index is never believed."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from engine import bookings, first, models, next_free, outbox, queries
from engine.first import Wish, first_available
from engine.offers import Offer
from engine.rules import calendar_uid
from engine.scheduling.fairness import Policy
from engine.scheduling.intervals import Interval
from engine.scheduling.lifecycle import Event
from tests.practice import DAY, Practice, make_practice, tomorrow
from tests.writes import DESK, ZOE

BASE = "/api/engine/v1"
LANGUAGES, STATES, SPECIALTIES = ("en", "es", "fr"), ("CA", "NY", "TX"), ("Cardiology", "Dermatology")


def keep() -> None:
    """The keeper, until nothing is due."""
    while next_free.keep(seconds=5):
        pass


def scanned(wish: Wish) -> dict[UUID, int]:
    """What a full scan finds: for each calendar that fits the first start that is free, by the search for slots alone."""
    found: dict[UUID, int] = {}
    for visit_type in models.VisitType.objects.filter(active=True):
        if wish.visit_type not in (None, visit_type.id):
            continue
        for calendar in visit_type.calendars.filter(active=True, kind=visit_type.needs[0]):
            if wish.specialty and calendar.specialty.casefold() != wish.specialty.casefold():
                continue
            if wish.language and wish.language not in calendar.languages:
                continue
            rules = queries.visit_type_by_uid(visit_type.uid)
            within = Interval(wish.after, wish.after + 60 * DAY)
            offers = queries.slots(rules, within, calendar=calendar.uid, state=wish.state, modality=wish.modality, limit=1).offers
            for offer in offers:
                found[calendar.uid] = min(offer.start, found.get(calendar.uid, offer.start))
    return found


def shown(wish: Wish) -> list[tuple[UUID, int]]:
    answer = first_available(wish)
    assert answer.complete
    return [(calendar_uid(offer.calendar), offer.start) for offer in answer.found.offers]


def as_a_scan(wish: Wish) -> bool:
    """Whether the answer has the starts of a full scan, each on a calendar that is free then and not before."""
    while True:
        before, answer, truth = scanned(wish), shown(wish), scanned(wish)
        if before == truth:  # and no slot's time has passed meanwhile
            break
    starts = [start for _, start in answer]
    return (
        starts == sorted(truth.values())[: wish.limit]
        and len(dict(answer)) == len(answer)
        and all(truth[calendar] == start for calendar, start in answer)
    )


def wishes(visit_types: list[int]) -> Iterator[Wish]:
    now = int(timezone.now().timestamp())
    for after in (now, tomorrow() + 15 * 3600, now + 9 * DAY):
        for limit in (1, 4, 50):
            for specialty in SPECIALTIES:
                yield Wish(specialty=specialty.upper(), after=after, limit=limit)
                yield Wish(specialty=specialty, state=random.choice(STATES), after=after, limit=limit)
                yield Wish(specialty=specialty, language=random.choice(LANGUAGES), modality="video", after=after, limit=limit)
            yield Wish(visit_type=random.choice(visit_types), state=random.choice(["", *STATES]), after=after, limit=limit)


def changed(calendar: models.Calendar) -> None:
    """As every write does: the next version, with its event."""
    calendar.refresh_from_db()
    with connection.cursor() as cursor:
        for statement in outbox.record({calendar.id: calendar.version}, Event.HOURS_CHANGED, {}, appointment=None):
            cursor.execute(statement.sql, statement.params)
        cursor.execute("UPDATE engine_calendar SET rules = rules + 1 WHERE id = %s", [calendar.id])


def close(calendar: models.Calendar, *, hours: int) -> None:
    """Shut from now on."""
    now = timezone.now()
    models.OpeningException.objects.create(
        calendar=calendar, starts=now - timedelta(hours=1), ends=now + timedelta(hours=hours), open=False
    )
    changed(calendar)


def random_practice(slug: str) -> Practice:
    made = make_practice(slug)
    for calendar in models.Calendar.objects.filter(clinic__slug=slug):
        calendar.specialty = random.choice(SPECIALTIES)
        calendar.states = random.sample(STATES, random.randrange(3))
        calendar.languages = random.sample(LANGUAGES, random.randrange(3))
        calendar.save()
    models.VisitType.objects.filter(id=made.visit.id).update(
        step=random.choice([10, 15, 30]), notice=random.choice([0, 45, 600]), horizon=random.choice([3, 60, 180])
    )
    return made


def offer_state(offer: Offer) -> str:
    """One in which the practitioner is licensed."""
    return next(iter(models.Calendar.objects.values_list("states", flat=True).get(id=offer.calendar)), "")


def something_happens(practice: Practice, booked: list[UUID]) -> None:
    calendar, desk = random.choice([practice.doctor, practice.nurse]), replace(DESK, clinic=practice.slug)
    match random.randrange(5):
        case 0 | 1:
            offers = first_available(
                Wish(visit_type=practice.visit.id, after=int(timezone.now().timestamp()), limit=2)
            ).found.offers
            for offer in offers:
                held = bookings.hold(offer, seconds=300, actor=desk).appointment
                booked.append(bookings.confirm(held.id, patient=ZOE, state=offer_state(offer), actor=desk).appointment.id)
        case 2 if booked:
            visit = booked.pop(random.randrange(len(booked)))
            clinic = models.Appointment.objects.values_list("clinic__slug", flat=True).get(id=visit)
            bookings.cancel(visit, reason="", by="clinic", actor=replace(desk, clinic=clinic))
        case 3:
            close(calendar, hours=random.choice([2, 30, 24 * 12]))
        case _:
            models.OpeningException.objects.filter(calendar=calendar).delete()
            changed(calendar)


# --- as a full scan -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_that_of_a_full_scan_whether_the_keeper_has_run_or_not(practice: Practice, seed: int) -> None:
    random.seed(seed)
    practices, booked = [random_practice(f"clinic-{number}") for number in range(3)], list[UUID]()
    keep()
    for _ in range(4):
        for _ in range(4):
            something_happens(random.choice(practices), booked)
        if random.random() < 0.5:
            keep()
        everything = list(wishes([one.visit.id for one in practices]))
        for wish in random.sample(everything, 10):
            assert as_a_scan(wish), wish


def test_the_index_is_used_once_it_is_built(practice: Practice) -> None:
    """The negative control: with a row that is too late and no event to tell of it, the answer is too late as well."""
    wish = Wish(visit_type=practice.visit.id, after=tomorrow(), limit=1)
    keep()
    assert as_a_scan(wish)

    models.NextFree.objects.update(first=tomorrow() // 60 + 600, last=tomorrow() // 60 + 1200)

    assert shown(wish)[0][1] == tomorrow() + 600 * 60
    assert not as_a_scan(wish)


# --- never believed -----------------------------------------------------------------------------------------------------


def take(offer: Offer) -> None:
    bookings.book(offer, patient=ZOE, state="", actor=DESK)


def test_a_slot_that_was_taken_since_is_not_shown(practice: Practice) -> None:
    keep()
    wish = Wish(visit_type=practice.visit.id, after=tomorrow(), limit=1)
    rows = list(models.NextFree.objects.order_by("pk").values_list("first", "last"))

    for _ in range(2):  # the other one takes over, then both begin half an hour later
        take(first_available(wish).found.offers[0])

    assert shown(wish)[0][1] == tomorrow() + 1800
    assert as_a_scan(wish)
    assert list(models.NextFree.objects.order_by("pk").values_list("first", "last")) == rows


def test_a_row_that_is_too_early_is_corrected_without_any_event(practice: Practice) -> None:
    keep()
    wish = Wish(visit_type=practice.visit.id, after=tomorrow(), limit=2)
    [soonest, _] = first_available(wish).found.offers
    models.Allocation.objects.create(
        calendar_id=soonest.calendar,
        appointment=_appointment(soonest),
        during=(timezone.now(), timezone.now() + timedelta(days=3)),
    )

    assert as_a_scan(wish)
    assert dict(shown(wish))[calendar_uid(soonest.calendar)] > tomorrow() + DAY


def _appointment(offer: Offer) -> models.Appointment:
    at = timezone.now() + timedelta(days=1)
    return models.Appointment.objects.create(
        id=UUID(int=7),
        clinic_id=offer.clinic,
        visit_type_id=offer.visit_type,
        calendar_id=offer.calendar,
        calendars=[offer.calendar],
        status="booked",
        starts=at,
        ends=at + timedelta(minutes=30),
        modality="video",
        version=1,
        created_at=at,
    )


def test_a_slot_that_was_given_back_is_shown_though_the_keeper_is_dead(practice: Practice) -> None:
    wish = Wish(visit_type=practice.visit.id, after=tomorrow(), limit=1)
    offers = first_available(replace(wish, limit=2)).found.offers
    visits = [bookings.book(offer, patient=ZOE, state="", actor=DESK).appointment.id for offer in offers]
    keep()
    assert shown(wish)[0][1] == tomorrow() + 1800

    bookings.cancel(visits[0], reason="", by="clinic", actor=DESK)

    assert shown(wish)[0][1] == tomorrow()
    assert as_a_scan(wish)


def test_without_any_keeper_the_answer_is_right(practice: Practice) -> None:
    assert not models.NextFree.objects.exists()
    assert as_a_scan(Wish(visit_type=practice.visit.id, after=tomorrow(), limit=5))
    assert not models.NextFree.objects.exists()


def test_half_built_the_index_is_not_asked(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_free, "_CALENDARS", 1)
    next_free.keep(seconds=0)  # one calendar, as if it was killed then
    assert models.NextFreeKept.objects.get().built_to is not None
    assert as_a_scan(Wish(visit_type=practice.visit.id, after=tomorrow(), limit=5))

    keep()

    assert models.NextFreeKept.objects.get().built_to is None
    assert models.NextFree.objects.count() == 4
    assert as_a_scan(Wish(visit_type=practice.visit.id, after=tomorrow(), limit=5))


def test_too_much_has_changed_for_the_index_and_a_clinic_is_still_answered_in_full(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.Calendar.objects.update(specialty="Cardiology")
    keep()
    monkeypatch.setattr(first, "_CHANGES", 1)
    close(practice.doctor, hours=72)

    assert as_a_scan(Wish(visit_type=practice.visit.id, after=tomorrow(), limit=5))
    assert not first_available(Wish(specialty="cardiology", after=tomorrow(), limit=5)).complete


def test_a_restored_database_begins_anew(practice: Practice) -> None:
    keep()
    models.Stream.objects.update(epoch=UUID(int=1))
    models.NextFree.objects.update(first=2**31 - 1)
    assert as_a_scan(Wish(visit_type=practice.visit.id, after=tomorrow(), limit=5))

    keep()

    assert models.NextFreeKept.objects.get().epoch == UUID(int=1)
    assert models.NextFree.objects.filter(first=2**31 - 1).count() == 0


# --- time passes --------------------------------------------------------------------------------------------------------


def test_a_run_that_has_begun_goes_on_with_and_without_the_keeper(practice: Practice) -> None:
    keep()
    wish = Wish(visit_type=practice.visit.id, after=int(timezone.now().timestamp()), limit=2)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_nextfree SET first = first - 300")  # as if five hours had passed
        cursor.execute("UPDATE engine_lane SET head = head - 300")
    assert as_a_scan(wish)

    keep()

    now = int(timezone.now().timestamp()) // 60
    assert all(row.first >= now - 1 for row in models.NextFree.objects.all())
    assert all(lane.head >= now - 1 for lane in models.Lane.objects.all())
    assert as_a_scan(wish)


def test_a_run_that_has_ended_is_looked_at_anew(practice: Practice) -> None:
    keep()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_nextfree SET first = first - 3000, last = first - 2400")
        cursor.execute("UPDATE engine_lane SET head = head - 3000")
    wish = Wish(visit_type=practice.visit.id, after=int(timezone.now().timestamp()), limit=2)
    assert as_a_scan(wish)

    keep()

    assert all(row.last >= row.first for row in models.NextFree.objects.all())
    assert as_a_scan(wish)


def test_where_nothing_is_free_it_is_looked_at_anew_and_not_for_ever(practice: Practice) -> None:
    models.OpeningHours.objects.filter(calendar=practice.doctor).delete()
    keep()
    rows = models.NextFree.objects.filter(calendar_id=practice.doctor.id)
    assert all(row.last < row.first for row in rows)

    models.OpeningHours.objects.create(calendar=practice.doctor, weekday=0, opens="09:00", closes="17:00")  # and nobody tells
    models.Calendar.objects.filter(id=practice.doctor.id).update(rules=1)
    rows.update(last=0)
    keep()

    assert all(row.last >= row.first for row in rows.all())


# --- what is shown ------------------------------------------------------------------------------------------------------


def test_what_is_not_offered_any_more_is_not_shown_and_leaves_the_index(practice: Practice) -> None:
    other = make_practice("bayside")
    models.Calendar.objects.update(specialty="Cardiology")
    keep()
    wish = Wish(specialty="cardiology", after=tomorrow(), limit=10)
    assert len(shown(wish)) == 4

    models.Calendar.objects.filter(id=other.doctor.id).update(active=False)
    changed(other.doctor)
    models.VisitType.objects.filter(clinic__slug="harbor").update(active=False)
    changed(practice.doctor)
    changed(practice.nurse)

    for _ in range(2):
        assert [uid for uid, _ in shown(wish)] == [other.nurse.uid]
        keep()
    assert set(models.NextFree.objects.values_list("calendar_id", flat=True)) == {other.nurse.id}


def test_a_calendar_is_found_by_what_it_became(practice: Practice) -> None:
    models.Calendar.objects.update(specialty="Cardiology")
    keep()
    models.Calendar.objects.filter(id=practice.doctor.id).update(specialty="Oncology", languages=["es"])
    changed(practice.doctor)

    for _ in range(2):
        assert [uid for uid, _ in shown(Wish(specialty="oncology", language="es", after=tomorrow()))] == [practice.doctor.uid]
        assert [uid for uid, _ in shown(Wish(specialty="cardiology", after=tomorrow()))] == [practice.nurse.uid]
        keep()


def test_a_room_that_is_taken_moves_all_who_need_one(practice: Practice) -> None:
    keep()
    wish = Wish(visit_type=practice.procedure.id, after=tomorrow(), limit=2)
    take(first_available(wish).found.offers[0])

    for _ in range(2):
        assert {start for _, start in shown(wish)} == {tomorrow() + 3600}
        keep()
    assert as_a_scan(wish)


# --- fairness -----------------------------------------------------------------------------------------------------------


def test_equals_are_put_in_order_by_the_policy(practice: Practice) -> None:
    keep()
    wish = Wish(visit_type=practice.visit.id, after=tomorrow() + DAY, limit=1)
    doctor, nurse = sorted([practice.doctor, practice.nurse], key=lambda calendar: calendar.id)
    busy = [offer for offer in practice.offers(days=1) if offer.calendar == doctor.id]
    for offer in busy[:3]:
        take(offer)

    assert shown(wish) == [(doctor.uid, wish.after)]
    for policy in (Policy.LEAST_BOOKED, Policy.LONGEST_IDLE, Policy.WEIGHTED):
        assert shown(replace(wish, policy=policy)) == [(nurse.uid, wish.after)]

    models.Calendar.objects.filter(id=doctor.id).update(weight=10)
    assert shown(replace(wish, policy=Policy.WEIGHTED)) == [(doctor.uid, wish.after)]


# --- at the door --------------------------------------------------------------------------------------------------------


def test_the_door_takes_language_and_policy_and_says_whether_all_were_looked_at(http: Client, practice: Practice) -> None:
    models.Calendar.objects.filter(id=practice.nurse.id).update(languages=["es"])
    query = {"visit_type": str(practice.visit.uid), "language": "es", "policy": "longest_idle"}

    answer = http.get(f"{BASE}/slots/first", query).json()

    assert [slot["calendar"] for slot in answer["items"]] == [str(practice.nurse.uid)]
    assert (answer["complete"], answer["next"]) == (True, None)
    assert set(answer["as_of"]) == {str(practice.nurse.uid)}
    assert http.get(f"{BASE}/slots/first", query | {"policy": "cheapest"}).status_code == 422
