"""From facts to messages: once each, in whatever order and however often the facts come."""

import random
from datetime import timedelta
from itertools import permutations
from time import process_time
from uuid import UUID

import pytest
from django.db import connection

from apps.kernel.ids import new_id
from apps.notifications import messages, policies, visits
from apps.notifications.handlers import HANDLERS
from apps.notifications.models import Message, Policy, Visit
from tests.integration.notifications.conftest import Tell, fact, in_, now
from tests.integration.notifications.neighbours import CLINIC, Neighbours


def plan() -> None:
    messages.plan_reminders(now=now())


def told(appointment: UUID, *, state: str = "pending", channel: str = "email") -> list[str]:
    """The kinds of an appointment's messages."""
    found = Message.objects.filter(appointment=appointment, state=state, channel=channel)
    return sorted(found.values_list("kind", flat=True))


def test_a_booking_is_confirmed_and_remembered(tell: Tell) -> None:
    visit = tell("booked", starts=in_(days=5))
    plan()

    assert told(visit) == ["confirmation", "reminder", "reminder"]
    assert told(visit, channel="sms") == ["confirmation", "reminder", "reminder"]
    assert not Visit.objects.filter(unplanned=True).exists()


def test_who_books_an_hour_before_gets_no_reminder(tell: Tell) -> None:
    visit = tell("booked", starts=in_(minutes=60))
    plan()

    assert told(visit) == ["confirmation"]


def test_a_fact_that_comes_three_times_is_one_fact(tell: Tell) -> None:
    visit, event, at, starts = new_id(), new_id(), now(), in_(days=5)
    for _ in range(3):
        tell("booked", appointment=visit, event=event, at=at, starts=starts)
        plan()

    assert Message.objects.count() == 6


def test_a_move_takes_the_old_reminders_back_and_makes_new_ones(tell: Tell) -> None:
    visit = tell("booked", starts=in_(days=5))
    plan()
    Message.objects.filter(kind="confirmation").update(state="sent")
    tell("rescheduled", appointment=visit, starts=in_(days=8))
    plan()

    assert told(visit, state="dropped") == ["reminder", "reminder"]
    assert told(visit) == ["moved", "reminder", "reminder"]
    due = Message.objects.filter(kind="reminder", state="pending").values_list("visit_starts", flat=True)
    assert set(due) == {in_(days=8)}


def test_a_visit_that_moves_there_and_back_is_remembered_once(tell: Tell) -> None:
    visit, first, second = new_id(), in_(days=5), in_(days=8)
    for change, starts in (("booked", first), ("rescheduled", second), ("rescheduled", first)):
        tell(change, appointment=visit, starts=starts)
        plan()

    assert told(visit).count("reminder") == 2
    assert {m.visit_starts for m in Message.objects.filter(kind="reminder", state="pending")} == {first}


def test_a_reminder_that_was_sent_is_not_sent_again_by_moving_there_and_back(tell: Tell) -> None:
    visit, first = tell("booked", starts=in_(days=5)), in_(days=5)
    plan()
    Message.objects.filter(kind="reminder").update(state="sent")
    tell("rescheduled", appointment=visit, starts=in_(days=8))
    plan()
    tell("rescheduled", appointment=visit, starts=first)
    plan()

    assert "reminder" not in told(visit)


def test_of_two_moves_only_the_last_is_told(tell: Tell) -> None:
    visit = tell("booked")
    Message.objects.filter(kind="confirmation").update(state="sent")
    tell("rescheduled", appointment=visit, starts=in_(days=6))
    tell("rescheduled", appointment=visit, starts=in_(days=7))

    assert told(visit) == ["moved"]


def test_a_move_before_the_confirmation_is_sent_needs_no_message_of_its_own(tell: Tell) -> None:
    visit = tell("booked")
    tell("rescheduled", appointment=visit, starts=in_(days=6))

    assert told(visit) == ["confirmation"]


def test_a_cancelled_visit_is_told_of_and_not_remembered(tell: Tell) -> None:
    visit = tell("booked")
    plan()
    tell("cancelled", appointment=visit)
    plan()

    assert told(visit) == ["cancelled"]
    assert told(visit, state="dropped") == ["confirmation", "reminder", "reminder"]


def test_a_hold_that_was_given_back_is_nothing_to_tell_of(service: None) -> None:
    event = fact("cancelled", appointment=new_id(), starts=in_(days=5))
    event.data["by"] = "public"
    HANDLERS["engine", event.type](event)

    assert not Message.objects.exists()
    assert not Visit.objects.exists()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_facts_does_not_matter(tell: Tell, order: tuple[int, ...]) -> None:
    visit, at, last = new_id(), now(), in_(days=9)
    facts = [
        fact("booked", appointment=visit, starts=in_(days=5), at=at),
        fact("rescheduled", appointment=visit, starts=last, at=at + timedelta(seconds=1)),
        fact("cancelled", appointment=visit, starts=last, at=at + timedelta(seconds=2)),
    ]
    for number in order:
        HANDLERS["engine", facts[number].type](facts[number])
        plan()

    assert told(visit) == ["cancelled"]
    assert (Visit.objects.get().status, Visit.objects.get().starts) == ("cancelled", last)


@pytest.mark.parametrize("missing", ["start", "calendar", "status", "appointment"])
def test_a_fact_that_says_too_little_is_refused_and_changes_nothing(service: None, missing: str) -> None:
    event = fact("booked", appointment=new_id(), starts=in_(days=5))
    event.data[missing + "x"] = event.data.pop(missing)

    with pytest.raises(KeyError):
        HANDLERS["engine", event.type](event)
    assert not Visit.objects.exists()


def test_a_visit_that_was_missed_is_told_of(tell: Tell) -> None:
    visit = tell("booked", starts=in_(minutes=-30))
    tell("no_show", appointment=visit, starts=in_(minutes=-30))

    assert told(visit) == ["no_show"]


def test_the_patients_own_page_is_not_readable_in_the_database(tell: Tell) -> None:
    visit = tell("booked")
    with connection.cursor() as cursor:
        cursor.execute("SELECT v::text FROM notifications_visit v")
        row = cursor.fetchone()[0]

    assert "manage" not in row
    assert visits.link_of(Visit.objects.get()) == f"https://book.example/manage/{visit.hex}/"
    tell("rescheduled", appointment=visit, starts=in_(days=6))
    assert visits.link_of(Visit.objects.get()).endswith("/")


def test_the_revision_of_the_calendar_entry_rises_with_each_change(tell: Tell) -> None:
    visit, at = tell("booked", at=now()), now()
    first = visits.sequence_of(Visit.objects.get())
    tell("rescheduled", appointment=visit, at=at + timedelta(seconds=5))

    assert 0 <= first < visits.sequence_of(Visit.objects.get()) < 60


def test_a_policy_moves_the_reminders_that_are_still_to_come(tell: Tell) -> None:
    visit = tell("booked", starts=in_(days=5))
    plan()
    rules = policies.as_rules(Policy(clinic=CLINIC))
    policies.put(CLINIC, reminders=[24 * 60], quiet=(rules.quiet.begins, rules.quiet.ends), channels=["email"], reply_to="")
    messages.replan(CLINIC, now=now())
    plan()

    assert told(visit) == ["confirmation", "reminder"]
    assert told(visit, channel="sms") == ["confirmation"]


def test_without_the_engine_nothing_is_planned_and_nothing_is_lost(tell: Tell, neighbours: Neighbours) -> None:
    neighbours.down = True
    visit = tell("booked")
    with pytest.raises(Exception, match="engine: 503"):
        plan()
    neighbours.down = False
    plan()

    assert told(visit) == ["confirmation", "reminder", "reminder"]


def test_ten_thousand_facts_of_a_backlog_are_taken_over_in_time(service: None) -> None:
    facts, at = [], now() - timedelta(hours=3)
    for number in range(5_000):
        visit, starts = new_id(), in_(days=1 + number % 20)
        facts.append(fact("booked", appointment=visit, starts=starts, at=at))
        facts.append(fact("rescheduled", appointment=visit, starts=starts + timedelta(hours=1), at=at + timedelta(minutes=1)))
    random.Random(1).shuffle(facts)

    began = process_time()
    for event in facts:
        HANDLERS["engine", event.type](event)
    while messages.plan_reminders(now=now()):
        pass
    seconds = process_time() - began

    print(f"10,000 facts handled and planned in {seconds:.1f} s of CPU")
    assert seconds < 60  # CPU: a busy machine is no fault of the code
    assert Visit.objects.count() == 5_000
    assert Message.objects.filter(kind="moved", channel="email").count() <= 5_000


def test_a_visit_that_goes_back_to_being_expected_is_remembered_again(tell: Tell) -> None:
    visit, starts = tell("booked", starts=in_(days=5)), in_(days=5)
    plan()
    before = told(visit)
    tell("arrived", appointment=visit, starts=starts)
    assert told(visit) == []
    tell("reverted", appointment=visit, starts=starts, status="booked")
    plan()

    assert [kind for kind in before if kind == "reminder"] == told(visit)


def test_nobody_is_told_of_having_missed_what_was_no_miss(tell: Tell) -> None:
    visit, starts = tell("booked", starts=in_(minutes=-30)), in_(minutes=-30)
    tell("no_show", appointment=visit, starts=starts)
    tell("arrived", appointment=visit, starts=starts)

    message, seen = Message.objects.filter(appointment=visit, kind="no_show").first(), Visit.objects.get(id=visit)
    assert message is not None
    assert messages.why_not(message, seen, now=now()) == "visit_changed"
