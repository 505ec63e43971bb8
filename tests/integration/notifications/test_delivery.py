"""From due messages to what patients get: once, checked again at the last moment, whatever breaks on the way."""

from datetime import timedelta
from email import message_from_string
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from django.db import connection
from icalendar import Calendar
from pydantic import SecretStr
from pytest_django import Settings

from apps.kernel.models import AuditEntry
from apps.local.mailbox import Letter, Mailbox
from apps.notifications import delivery, mail, messages, optouts
from apps.notifications import settings as own_settings
from apps.notifications.handlers import HANDLERS
from apps.notifications.models import Message, Policy, Visit
from tests.integration.notifications.conftest import Tell, fact, in_, now
from tests.integration.notifications.neighbours import CLINIC, ZOE, Neighbours
from tests.integration.notifications.twilio_server import Twilio


def send(times: int = 1) -> None:
    """So many ticks."""
    for _ in range(times):
        delivery.deliver("email", limit=20)
        delivery.deliver("sms", limit=20)


def make_due(kind: str = "") -> None:
    """As if the time of what waits had come."""
    found = Message.objects.filter(state__in=["pending", "sending"])
    (found.filter(kind=kind) if kind else found).update(next_try_at=now() - timedelta(seconds=1))


def states(appointment: UUID) -> dict[str, str]:
    """channel → "state error" of the only message there."""
    return {m.channel: f"{m.state} {m.error}".strip() for m in Message.objects.filter(appointment=appointment)}


def emails(mailbox: Mailbox) -> list[Letter]:
    return mailbox.letters()


def remind(tell: Tell, *, starts_in: timedelta = timedelta(hours=1, minutes=30), **given: object) -> UUID:
    """A visit whose only waiting messages are reminders that have just come due."""
    visit = tell("booked", starts=in_(seconds=starts_in.total_seconds()), at=now() - timedelta(days=6))
    Message.objects.all().delete()
    Visit.objects.update(unplanned=False)
    row = Visit.objects.get(id=visit)
    messages._put(
        (CLINIC, visit, "", "reminder", "r", channel, row.starts, row.starts - timedelta(hours=2), now() - timedelta(seconds=1))
        for channel in ("email", "sms")
    )
    Message.objects.update(due_at=row.starts - timedelta(hours=2), next_try_at=now() - timedelta(seconds=1))
    return visit


@pytest.fixture
def awake(settings: Settings) -> None:
    """No hour of this test's clinic is quiet."""
    Policy.objects.create(clinic=CLINIC, quiet_begins="00:00", quiet_ends="00:00")


# --- the main flow ------------------------------------------------------------------------------------------------------


def test_a_booking_is_confirmed_by_email_and_sms(tell: Tell, mailbox: Mailbox, twilio: Twilio) -> None:
    visit = tell("booked")
    send()

    assert states(visit) == {"email": "sent", "sms": "sent"}
    (letter,) = emails(mailbox)
    assert letter.to == ZOE["email"]
    assert letter.subject.startswith("Your visit at Harbor Clinic: ")
    assert "Zoë Canary 🦊" in letter.text
    assert f"https://book.example/manage/{visit.hex}/" in letter.text
    assert letter.attachments == ("visit.ics",)
    (sms,) = twilio.sent
    assert sms["to"] == "+12125550177"
    assert "Harbor Clinic" in sms["body"]
    assert "Zo" not in sms["body"]


def test_nothing_of_the_practitioner_is_in_what_others_may_read(tell: Tell, mailbox: Mailbox, twilio: Twilio) -> None:
    tell("booked")
    send()

    letter = emails(mailbox)[0]
    for said in (letter.subject, twilio.sent[0]["body"], letter.text, letter.source):
        assert "Cardio" not in said
        assert "cardio" not in said


def test_a_move_and_a_cancellation_change_the_same_calendar_entry(tell: Tell, mailbox: Mailbox) -> None:
    visit = tell("booked")
    send()
    tell("rescheduled", appointment=visit, starts=in_(days=6), at=now() + timedelta(seconds=5))
    send()
    tell("cancelled", appointment=visit, starts=in_(days=6), at=now() + timedelta(seconds=9))
    send()

    entries = [entry_of(letter) for letter in reversed(emails(mailbox))]
    assert [method for method, _, _ in entries] == ["REQUEST", "REQUEST", "CANCEL"]
    assert len({uid for _, uid, _ in entries}) == 1
    assert [sequence for _, _, sequence in entries] == sorted({sequence for _, _, sequence in entries})


def entry_of(letter: Letter) -> tuple[str, str, int]:
    part = next(p for p in message_from_string(letter.source).walk() if p.get_content_type() == "text/calendar")
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    calendar: Any = Calendar.from_ical(payload)
    assert part.get_param("method") == str(calendar["METHOD"])
    event = calendar.walk("VEVENT")[0]
    return str(calendar["METHOD"]), str(event["UID"]), int(event["SEQUENCE"])


def test_a_spanish_patient_is_told_in_spanish_and_in_their_own_time(tell: Tell, neighbours: Neighbours, mailbox: Mailbox) -> None:
    neighbours.everybody = ZOE | {"language": "es-MX", "zone": "America/Los_Angeles"}
    tell("booked")
    send()

    (letter,) = emails(mailbox)
    assert letter.subject.startswith("Su cita en Harbor Clinic")
    assert " PST" in letter.subject or " PDT" in letter.subject


def test_a_used_contact_is_in_the_audit_log_and_no_contact_is_in_the_database(tell: Tell, neighbours: Neighbours) -> None:
    visit = tell("booked")
    send()

    messages_told = [f"message:{one}" for one in Message.objects.values_list("id", flat=True)]
    used = AuditEntry.objects.filter(action="contact.used", object__in=messages_told)
    assert {entry.patient for entry in used} == {ZOE["patient"]}
    assert used.count() == 2
    with connection.cursor() as cursor:
        for table in ("notifications_message", "notifications_visit", "kernel_auditentry", "notifications_optout"):
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            text = cursor.fetchone()[0]
            assert not [canary for canary in ("Canary", "example.org", "5550177", "555-0177") if canary in text]
    assert f"/internal/v1/appointments/{visit}/contact" in neighbours.asked


def test_whom_we_write_to_and_what_is_in_no_log(tell: Tell, caplog: pytest.LogCaptureFixture, twilio: Twilio) -> None:
    caplog.set_level("DEBUG")
    tell("booked")
    twilio.answers = [(400, 21614)]
    send()
    tell("booked")
    send()

    said = " ".join(str(vars(record)) for record in caplog.records if not record.name.startswith("mail."))  # the mail server's own
    assert "message_failed" in said
    assert not [canary for canary in ("Canary", "5550177", "zoe.canary", "/manage/") if canary in said]


def test_a_second_tick_sends_nothing_again(tell: Tell, mailbox: Mailbox, twilio: Twilio) -> None:
    tell("booked")
    send(times=3)

    assert len(emails(mailbox)) == len(twilio.sent) == 1


def test_many_senders_at_once_send_each_message_once(tell: Tell, mailbox: Mailbox, twilio: Twilio) -> None:
    for _ in range(25):
        tell("booked")
    barrier = Barrier(4)

    def sender(channel: str) -> None:
        barrier.wait()
        while delivery.deliver(channel, limit=5):
            pass
        connection.close()

    threads = [Thread(target=sender, args=(channel,)) for channel in ("email", "sms") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Message.objects.filter(state="sent").count() == 50
    assert len(emails(mailbox)) == len(twilio.sent) == 25


def test_the_ticks_do_it_all(tell: Tell, mailbox: Mailbox, twilio: Twilio) -> None:
    from apps.notifications import tasks

    visit = tell("booked")
    for tick in (tasks.plan, tasks.send_emails, tasks.send_sms, tasks.measure):
        tick()

    assert Message.objects.filter(appointment=visit, state="sent").count() == 2
    assert Message.objects.filter(appointment=visit, state="pending", kind="reminder").count() == 4
    assert set(tasks.app.conf.beat_schedule) <= set(tasks.app.tasks)


def test_without_an_sms_provider_email_goes_out_all_the_same(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    without = own_settings.ENV.model_copy(update={"twilio_auth_token": SecretStr("")})
    monkeypatch.setattr(own_settings, "ENV", without)
    visit = tell("booked")
    send()

    assert states(visit) == {"email": "sent", "sms": "dropped no_provider"}


# --- checked again when it is sent --------------------------------------------------------------------------------------


def test_a_reminder_goes_out_with_a_way_to_end_reminders(tell: Tell, awake: None, mailbox: Mailbox) -> None:
    visit = remind(tell)
    send()

    assert states(visit) == {"email": "sent", "sms": "sent"}
    headers = message_from_string(emails(mailbox)[0].source)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "/api/notifications/v1/unsubscribe/" in headers["List-Unsubscribe"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"starts": now() - timedelta(minutes=1)}, "dropped visit_over"),
        ({"starts": now() + timedelta(days=3)}, "dropped visit_moved"),
        ({"status": "cancelled"}, "dropped visit_changed"),
        ({"status": "arrived"}, "dropped visit_changed"),
    ],
)
def test_a_reminder_that_is_not_true_any_more_is_not_sent(
    tell: Tell, awake: None, twilio: Twilio, change: dict[str, object], expected: str
) -> None:
    visit = remind(tell)
    Visit.objects.update(**change)
    send()

    assert states(visit) == {"email": expected, "sms": expected}
    assert twilio.sent == []


def test_after_an_outage_late_reminders_are_dropped_and_confirmations_sent_once(tell: Tell, awake: None, mailbox: Mailbox) -> None:
    past = tell("booked", starts=in_(hours=-2), at=now() - timedelta(days=2))
    ahead = tell("booked", starts=in_(hours=20), at=now() - timedelta(days=2))
    messages.plan_reminders(now=now())
    late = Message.objects.filter(appointment=ahead, kind="reminder", due_at__lt=now())
    assert late.count() == 2
    tell("booked", appointment=ahead, starts=in_(hours=20), at=now() - timedelta(days=2))
    send()

    assert [m.kind for m in Message.objects.filter(state="sent", channel="email")] == ["confirmation"]
    assert {m.error for m in late} == {"too_late"}
    assert not Message.objects.filter(appointment=past).exists()
    visit = remind(tell, starts_in=timedelta(minutes=20))  # two hours before was 100 minutes ago
    send()
    assert set(states(visit).values()) == {"dropped too_late"}


def test_a_reminder_waits_for_the_end_of_the_patients_night(tell: Tell, neighbours: Neighbours, settings: Settings) -> None:
    hour = now().hour
    Policy.objects.create(clinic=CLINIC, quiet_begins=f"{(hour - 1) % 24:02}:00", quiet_ends=f"{(hour + 1) % 24:02}:00")
    neighbours.everybody = ZOE | {"zone": "UTC"}
    visit = remind(tell, starts_in=timedelta(hours=5))
    Visit.objects.update(zone="UTC")
    Message.objects.update(due_at=now() - timedelta(minutes=1))
    send()

    assert set(states(visit).values()) == {"pending quiet_hours"}
    assert all(m.next_try_at.minute == 0 and m.attempts == 0 for m in Message.objects.all())


def test_a_zone_that_is_learnt_plans_the_reminders_anew(tell: Tell, neighbours: Neighbours) -> None:
    neighbours.everybody = ZOE | {"zone": "Asia/Kolkata"}
    tell("booked")
    messages.plan_reminders(now=now())
    send()

    assert Visit.objects.get().zone == "Asia/Kolkata"
    assert Visit.objects.get().unplanned


def test_what_a_patient_does_not_want_is_not_sent(tell: Tell, awake: None, mailbox: Mailbox, twilio: Twilio) -> None:
    optouts.stop([str(ZOE["patient"])], "email")
    optouts.stop([str(ZOE["patient"])], "sms")
    confirmed = tell("booked")
    send()
    assert states(confirmed) == {"email": "sent", "sms": "dropped opted_out"}  # a confirmation is no reminder

    reminded = remind(tell)
    send()
    assert set(states(reminded).values()) == {"dropped opted_out"}
    assert twilio.sent == []


def test_only_agreed_channels_are_used(tell: Tell, neighbours: Neighbours, twilio: Twilio) -> None:
    neighbours.everybody = ZOE | {"channels": ["email"], "phone": None}
    visit = tell("booked")
    send()

    assert states(visit) == {"email": "sent", "sms": "dropped no_address"}


# --- what breaks --------------------------------------------------------------------------------------------------------


def test_records_away_then_back(tell: Tell, neighbours: Neighbours, mailbox: Mailbox) -> None:
    neighbours.down = True
    visit = tell("booked")
    other = tell("booked")
    for _ in range(15):
        send()
        make_due()
    assert "pending records_away" in states(visit).values() or "pending records_away" in states(other).values()
    assert all(m.attempts <= 1 for m in Message.objects.all())
    neighbours.down = False
    make_due()
    send()

    assert set(states(visit).values()) == set(states(other).values()) == {"sent"}
    assert len(emails(mailbox)) == 2


def test_a_contact_that_records_does_not_know_yet_is_waited_for(tell: Tell, neighbours: Neighbours, mailbox: Mailbox) -> None:
    neighbours.everybody = None
    visit = tell("booked")
    send(times=2)
    assert set(states(visit).values()) == {"pending contact_unknown"}
    neighbours.contacts[str(visit)] = ZOE
    linked = fact("booked", appointment=visit, starts=in_(days=5))
    linked.data.update({"appointment": str(visit), "patient": ZOE["patient"]})
    HANDLERS["records", "patient.linked.v1"](linked)
    send()

    assert set(states(visit).values()) == {"sent"}
    assert len(emails(mailbox)) == 1


@pytest.mark.parametrize("answer", [(429, 20429), (500, 20500), (503, 20503), "hang up"])
def test_a_provider_that_cannot_now_is_asked_again(tell: Tell, twilio: Twilio, answer: tuple[int, int] | str) -> None:
    visit = tell("booked")
    twilio.answers = [answer]
    send()
    assert states(visit)["sms"].startswith("pending provider_")
    waiting = Message.objects.get(channel="sms")
    assert waiting.attempts == 1
    assert waiting.next_try_at > now() + timedelta(seconds=10)
    make_due()
    send()

    assert states(visit)["sms"] == "sent"
    assert len(twilio.sent) == 1


def test_an_sms_that_was_taken_before_the_line_broke_is_found_and_not_sent_again(tell: Tell, twilio: Twilio) -> None:
    visit = tell("booked")
    twilio.answers = ["take and hang up"]
    send()
    make_due()
    send()

    assert states(visit)["sms"] == "sent"
    assert len(twilio.sent) == 1
    assert Message.objects.get(channel="sms").provider_id == twilio.sent[0]["sid"]


def test_a_process_that_dies_after_handing_over_sends_nothing_twice(
    tell: Tell, twilio: Twilio, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    visit = tell("booked")
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_note", die)
        for channel in ("email", "sms"):
            with pytest.raises(Died):
                delivery.deliver(channel, limit=1)
    assert set(states(visit).values()) == {"sending"}
    send()
    assert len(twilio.sent) == 1, "its lease has not run out"
    make_due()
    send()

    assert set(states(visit).values()) == {"sent"}
    assert len(twilio.sent) == 1
    assert len(emails(mailbox)) == 1  # the same Message-ID


def test_a_number_that_no_phone_has_is_refused_for_good(tell: Tell, neighbours: Neighbours, twilio: Twilio) -> None:
    neighbours.everybody = ZOE | {"phone": "12"}
    visit = tell("booked")
    send()

    assert states(visit)["sms"] == "failed bad_number"
    assert twilio.sent == []


def test_a_number_that_the_provider_refuses_is_given_up_at_once(tell: Tell, twilio: Twilio) -> None:
    visit = tell("booked")
    twilio.answers = [(400, 21614)]
    send()

    assert states(visit)["sms"] == "failed twilio_21614"


def test_a_stop_that_only_the_provider_heard_is_learnt_from_its_refusal(tell: Tell, twilio: Twilio) -> None:
    visit = tell("booked")
    twilio.answers = [(400, 21610)]
    send()

    assert states(visit)["sms"] == "dropped opted_out"
    assert optouts.stops(str(ZOE["patient"]), channel="sms", kind="confirmation")


def test_after_the_last_try_a_message_is_left_for_somebody_to_look_at(tell: Tell, twilio: Twilio) -> None:
    visit = tell("booked")
    twilio.answers = [(500, 20500)] * 50
    for _ in range(delivery.TRIES + 3):
        send()
        make_due()
    delivery.measure()

    assert states(visit)["sms"] == "failed provider_500"
    assert Message.objects.get(channel="sms").attempts == delivery.TRIES
    assert next(iter(delivery.FAILED.collect())).samples[0].value == 1


def test_a_message_that_breaks_whoever_sends_it_ends_and_the_others_go_on(
    tell: Tell, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, good = tell("booked"), tell("booked")
    send_really = mail.send

    def send_or_break(to: str, said: object, **given: object) -> str:
        if str(poison_message.id) in str(given["message_id"]):
            raise ZeroDivisionError
        return send_really(to, said, **given)  # type: ignore[arg-type]

    poison_message = Message.objects.get(appointment=poison, channel="email")
    monkeypatch.setattr(mail, "send", send_or_break)
    for _ in range(delivery.TRIES):
        make_due()
        with pytest.raises(ZeroDivisionError):
            send(times=3)
    make_due()
    delivery.deliver("email", limit=20)

    assert states(good)["email"] == "sent"
    assert states(poison)["email"] == "failed gave_up"


def test_a_mail_server_that_is_away_is_asked_again(tell: Tell, settings: Settings, mailbox: Mailbox) -> None:
    visit, port = tell("booked"), settings.EMAIL_PORT
    settings.EMAIL_PORT = 1
    send()
    assert states(visit)["email"] == "pending provider_down"
    assert Message.objects.get(channel="email").handed_at is None
    settings.EMAIL_PORT = port
    make_due()
    send()

    assert states(visit)["email"] == "sent"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("550 no such user", "failed smtp_550"), ("451 later", "pending smtp_451"), ("421 bye", "pending smtp_421")],
)
def test_what_a_mail_server_says_counts(tell: Tell, settings: Settings, answer: str, expected: str) -> None:
    class Moody:
        async def handle_DATA(self, *_: object) -> str:
            return answer

    visit = tell("booked")
    server = Controller(Moody(), hostname="127.0.0.1", port=0)
    server.port = settings.EMAIL_PORT + 1 if settings.EMAIL_PORT < 32_000 else settings.EMAIL_PORT - 1
    server.start()
    settings.EMAIL_PORT = server.port
    send()
    server.stop()

    assert states(visit)["email"] == expected


@pytest.mark.parametrize("address", ["zoe@example.org\r\nBcc: all@example.org", "a@b, c@d", "zoe", "zoe@example.org\n"])
def test_an_address_cannot_begin_another_header(tell: Tell, neighbours: Neighbours, mailbox: Mailbox, address: str) -> None:
    neighbours.everybody = ZOE | {"email": address}
    visit = tell("booked")
    send()

    assert states(visit)["email"] == "failed bad_address"
    assert emails(mailbox) == []


def test_an_offer_from_the_waitlist_is_told_once(service: None, awake: None, mailbox: Mailbox) -> None:
    starts = in_(days=1)
    for _ in range(3):
        messages.offer(CLINIC, patient=str(ZOE["patient"]), starts=starts, now=now())
    send()

    (letter,) = emails(mailbox)
    assert letter.subject.startswith("A time is free at Harbor Clinic")
    assert f"https://book.example/book/{CLINIC}/" in letter.text
