"""Where calendars stand, as Redis was told: never less than what somebody was told who wrote."""

from unittest.mock import patch

import pytest
from django.db.models import F
from redis import Redis

from engine import bookings, models, relay
from engine.days import moment
from engine.scheduling.intervals import DAY_S
from engine.stands import EPOCH, Stands, days_around, stands
from tests.day_caches import NOWHERE, REDIS, Processes
from tests.practice import Practice, tomorrow
from tests.writes import DESK, WRITES, Write, offer

HOUR = 3600


@pytest.fixture
def processes(practice: Practice) -> Processes:
    Redis.from_url(REDIS).delete(EPOCH, "stand:v0")  # of other tests
    return Processes([practice.doctor.id, practice.nurse.id, practice.room.id], clinic=practice.doctor.clinic_id)


def versions(processes: Processes) -> dict[int, int] | None:
    told = processes.told()
    return {stand.calendar: stand.version for stand in told.stands} if told else None


def stored(processes: Processes) -> dict[int, int]:
    return {stand.calendar: stand.version for stand in moment(processes.calendars).stands}


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_who_wrote_is_told_of_it(practice: Practice, processes: Processes, write: Write) -> None:
    act = write.prepare(practice)
    processes.filled()
    before = stored(processes)
    act()

    assert stored(processes) != before
    # What is more than a booking is asked of the database again.
    assert versions(processes) == (stored(processes) if write.module is bookings else None)


def test_a_booking_changes_its_own_days(practice: Practice, processes: Processes) -> None:
    processes.filled()
    bookings.hold(offer(practice, practice.doctor, hour=12), seconds=300, actor=DESK)

    told, today = processes.told(), tomorrow() // DAY_S
    assert told is not None
    doctor, nurse = told.stands[:2]
    assert doctor.at(today) == doctor.version
    assert doctor.at(today - 1) == doctor.at(today + 2) == doctor.version - 1
    assert nurse.at(today) == nurse.version


def test_days_around_a_visit_include_those_that_its_longest_buffers_reach() -> None:
    day = tomorrow() // DAY_S
    assert days_around(day * DAY_S + 12 * HOUR, day * DAY_S + 12 * HOUR - 1) == {day - 1, day, day + 1}
    assert days_around(day * DAY_S + 13 * HOUR, day * DAY_S + 14 * HOUR) == {day, day + 1}
    assert days_around(day * DAY_S + 23 * HOUR, (day + 1) * DAY_S + 22 * HOUR) == {day, day + 1, day + 2}


def test_what_is_told_while_somebody_asks_the_database_is_not_overwritten(practice: Practice, processes: Processes) -> None:
    marks, seen = processes.stands.mark(0, processes.calendars), moment(processes.calendars)
    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    processes.stands.fill(marks, 0, 1, seen.stands, epoch=seen.epoch)

    assert processes.told() is None
    assert versions(processes) is None
    processes.filled()
    assert versions(processes) == stored(processes)


def test_who_ask_at_once_share_a_mark_until_something_is_told(practice: Practice, processes: Processes) -> None:
    first = processes.stands.mark(0, processes.calendars)
    assert len(first) == 4
    assert processes.stands.mark(0, processes.calendars) == first

    bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK)
    second = processes.stands.mark(0, processes.calendars)
    assert [key for key in first if second[key] != first[key]] == [f"stand:c{practice.doctor.id}"]

    seen = moment(processes.calendars)
    processes.stands.fill(second, 0, 1, seen.stands, epoch=seen.epoch)
    assert versions(processes) == stored(processes)
    assert processes.stands.mark(0, processes.calendars) == {}


def test_what_is_told_out_of_order_is_asked_for_again(practice: Practice, processes: Processes) -> None:
    processes.filled()
    version = stored(processes)[practice.doctor.id]
    processes.stands.tell({practice.doctor.id: version + 2}, {1})
    assert processes.told() is None

    processes.filled()
    processes.stands.tell({practice.doctor.id: version - 1}, {1})
    assert versions(processes) == stored(processes)


def test_the_relay_tells_of_what_a_writer_did_not_live_to_tell(practice: Practice, processes: Processes) -> None:
    redis = Redis.from_url(REDIS)
    while relay.relay(redis):
        pass
    processes.filled()
    before = versions(processes)
    with patch.object(stands, "tell"):
        held = bookings.hold(offer(practice, practice.doctor, hour=9), seconds=300, actor=DESK).appointment
        bookings.release(held.id, actor=DESK)
    assert versions(processes) == before != stored(processes)

    relay.relay(redis)
    assert versions(processes) == stored(processes)


def test_once_a_minute_what_is_behind_goes_and_what_has_not_changed_stays(practice: Practice, processes: Processes) -> None:
    processes.filled()
    bookings.hold(offer(practice, practice.doctor, hour=12), seconds=300, actor=DESK)
    before = processes.told()
    assert before is not None
    models.Calendar.objects.filter(id=practice.nurse.id).update(version=F("version") + 1)  # by hand: nobody told of it
    processes.redis.delete("stand:v0")  # a minute has passed

    marks, seen = processes.stands.mark(0, processes.calendars), moment(processes.calendars)
    processes.stands.fill(marks, 0, 1, seen.stands, epoch=seen.epoch)

    assert list(marks) == ["stand:v0"]
    assert processes.told() is None, "the nurse was behind"
    marks, seen = processes.stands.mark(0, processes.calendars), moment(processes.calendars)
    processes.stands.fill(marks, 0, 1, seen.stands, epoch=seen.epoch)
    after = processes.told()
    assert after is not None
    assert versions(processes) == stored(processes)
    assert [stand for stand in after.stands if stand.calendar != practice.nurse.id] == [
        stand for stand in before.stands if stand.calendar != practice.nurse.id
    ]


def test_without_redis_the_database_says(practice: Practice, processes: Processes) -> None:
    alone, seen = Stands(NOWHERE), moment(processes.calendars)
    alone.fill(alone.mark(0, processes.calendars), 0, 1, seen.stands, epoch=seen.epoch)

    assert alone.read(0, processes.calendars) is None
