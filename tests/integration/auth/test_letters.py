"""Mail that is due, sent over real SMTP, and what its links do."""

import email
import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import Message

import pytest
from aiosmtpd.controller import Controller
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.auth import letters
from apps.auth.models import Clinic, Invitation, Membership, NewDeviceNotice, PasswordReset, Person, Session
from apps.auth.words import digest
from tests.integration.auth.visits import Staff, cookie, give_code, give_password, post, sign_in

Make = Callable[..., Staff]
NEW_PASSWORD = "seven quiet green boats"


class Sink:
    """An SMTP server's memory."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        self.mails.append(email.message_from_bytes(envelope.content))  # type: ignore[attr-defined]
        return "250 OK"


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    # Django's test runner would put a stand-in here.
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    handler = Sink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler
    controller.stop()


def link(mail: Message) -> str:
    """The path of the one address in a mail."""
    found = re.search(r"http://127\.0\.0\.1:\d+(/\S+/)", str(mail.get_payload()))
    assert found is not None
    return found.group(1)


def test_a_forgotten_password_is_replaced_and_the_second_factor_is_still_needed(make: Make, browser: Client, sink: Sink) -> None:
    staff = make()
    elsewhere = sign_in(Client(), staff)
    post(browser, "/reset/", email=staff.email.upper())
    assert letters.send_due() == 1
    assert letters.send_due() == 0
    mail = sink.mails[0]
    assert (mail["To"], mail["Subject"]) == (staff.email, "Choose a new HealthFlow password")
    path = link(mail)
    assert bytes(PasswordReset.objects.get().token or b"") == digest(path.split("/")[2])
    assert browser.get(path)["Referrer-Policy"] == "strict-origin"
    assert post(browser, path, new_password="short").status_code == 422
    assert post(browser, path, new_password=NEW_PASSWORD)["Location"] == "/login/"
    assert elsewhere.get("/account/").status_code == 302
    assert cookie(browser, "hf_session") == ""
    give_password(browser, staff, password=NEW_PASSWORD)
    assert browser.get("/account/")["Location"].startswith("/login/code/")
    assert give_code(browser, staff.code(30)).status_code == 302
    assert post(browser, path, new_password="another good one 12").status_code == 404


def test_a_link_is_good_for_its_time_only_and_cannot_be_guessed(make: Make, browser: Client, sink: Sink) -> None:
    staff = make()
    post(browser, "/reset/", email=staff.email)
    letters.send_due()
    path = link(sink.mails[0])
    for wrong in ("/reset/x/", "/reset/' OR 1=1/", path[:-3] + "zz/", path.replace("reset", "invite")):
        assert browser.get(wrong).status_code == 404
    PasswordReset.objects.update(created_at=timezone.now() - letters.RESET_GOOD - timedelta(seconds=1))
    assert browser.get(path).status_code == 404


def test_a_reset_for_nobody_looks_the_same_and_sends_nothing(make: Make, browser: Client, sink: Sink) -> None:
    known = post(browser, "/reset/", email=make().email)
    unknown = post(browser, "/reset/", email="nobody@example.org")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert letters.send_due() == 1
    assert PasswordReset.objects.filter(due_at__isnull=False).count() == 0


def test_a_mailbox_cannot_be_flooded(make: Make, browser: Client, sink: Sink) -> None:
    staff = make()
    answers = {post(browser, "/reset/", email=staff.email).content for _ in range(20)}
    assert len(answers) == 1
    assert letters.send_due() <= 5


def test_an_invited_person_chooses_a_password_and_enrols_at_the_first_sign_in(clinic: Clinic, browser: Client, sink: Sink) -> None:
    Invitation.objects.create(email="new@example.org", name="New <b>Person</b>", clinic=clinic, role="practitioner", calendar="c-1")
    letters.send_due()
    path = link(sink.mails[0])
    assert "New &lt;b&gt;Person" in browser.get(path).content.decode()
    assert post(browser, path, new_password="password1234").status_code == 422
    assert post(browser, path, new_password=NEW_PASSWORD)["Location"] == "/login/"
    member = Membership.objects.get()
    assert (member.person.email, member.role, member.calendar) == ("new@example.org", "practitioner", "c-1")
    assert Session.objects.count() == 0
    assert post(browser, path, new_password=NEW_PASSWORD).status_code == 404
    post(browser, "/login/", email="new@example.org", password=NEW_PASSWORD)
    assert browser.get("/account/")["Location"] == "/account/app/"


def test_who_has_an_account_joins_another_clinic_without_a_new_password(make: Make, browser: Client, sink: Sink) -> None:
    staff = make()
    Invitation.objects.create(email=staff.email, name="x", clinic_id="other", role="billing")
    letters.send_due()
    assert post(browser, link(sink.mails[0]), new_password="taken over by mail")["Location"] == "/login/"
    assert set(staff.person.memberships.values_list("clinic_id", "role")) == {("harbor", "front_desk"), ("other", "billing")}
    assert Person.objects.get(id=staff.person.id).password == staff.person.password


def test_a_mail_that_cannot_be_sent_is_tried_again_with_a_new_link(make: Make, browser: Client, settings: Settings) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    post(browser, "/reset/", email=make().email)
    assert letters.send_due() == 0
    first = PasswordReset.objects.get()
    assert first.attempts == 1
    assert first.due_at is not None
    assert first.due_at > timezone.now()
    PasswordReset.objects.update(due_at=timezone.now())
    assert letters.send_due() == 0
    again = PasswordReset.objects.get()
    assert again.token != first.token
    for _ in range(10):
        PasswordReset.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
        letters.send_due()
    assert (PasswordReset.objects.get().attempts, PasswordReset.objects.get().due_at) == (8, None)


def test_a_new_device_is_told_of(make: Make, sink: Sink) -> None:
    staff = make()
    for agent in ("Firefox", "Safari"):
        sign_in(Client(headers={"user-agent": agent}), staff)
    assert letters.send_due() == 1
    assert "Safari" in str(sink.mails[0].get_payload())
    assert NewDeviceNotice.objects.get().due_at is None
