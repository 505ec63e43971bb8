"""Mails that are due: invitations, password resets, notices of a new device.

A tick takes each under a lock, makes its link, puts the next try off, commits, and only then speaks to the mail server. So a
mail that fails is tried again with a new link, one whose server died after taking it may come twice, and none holds a lock.
"""

import logging
import smtplib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import dateformat, translation

from apps.auth.models import Invitation, Letter, Link, NewDeviceNotice, PasswordReset, Person
from apps.auth.texts import texts
from apps.auth.words import browser_name, digest, new_secret

log = logging.getLogger(__name__)

INVITATION_GOOD = timedelta(days=7)
RESET_GOOD = timedelta(hours=1)
_TRIES = 8
_AT_ONCE = 50
_KINDS: tuple[type[Letter], ...] = (Invitation, PasswordReset, NewDeviceNotice)
_GOOD: dict[type[Link], timedelta] = {Invitation: INVITATION_GOOD, PasswordReset: RESET_GOOD}
_PATHS: dict[type[Letter], str] = {Invitation: "/invite/{token}/", PasswordReset: "/reset/{token}/", NewDeviceNotice: "/account/"}


OneLink = TypeVar("OneLink", Invitation, PasswordReset)


def good(kind: type[OneLink], token: str) -> OneLink | None:
    """The link that this token is of, if it was not used and is not too old. Its row is locked inside a transaction."""
    found = kind.objects.filter(token=digest(token), used_at=None, created_at__gt=Now() - _GOOD[kind])
    return (found.select_for_update() if connection.in_atomic_block else found).first()


def send_due() -> int:
    """Sends what is due; how many were sent."""
    return sum(_send(letter, token) for kind in _KINDS for letter, token in _claimed(kind))


def _claimed(kind: type[Letter]) -> Iterator[tuple[Letter, str]]:
    for _ in range(_AT_ONCE):
        with transaction.atomic():
            due = kind._default_manager.filter(due_at__lte=Now()).order_by("due_at")
            letter = due.select_for_update(skip_locked=True).first()
            if letter is None:
                return
            token = new_secret()
            values: dict[str, Any] = {"attempts": F("attempts") + 1, "due_at": Now() + timedelta(minutes=2**letter.attempts)}
            if letter.attempts + 1 >= _TRIES:
                values["due_at"] = None
            if isinstance(letter, Link):
                values["token"] = digest(token)
            kind._default_manager.filter(id=letter.id).update(**values)
        yield letter, token


def _send(letter: Letter, token: str) -> bool:
    kind = type(letter)
    # A reset may be asked for any address. The answer is the same, the mail is not sent.
    wanted = kind is not PasswordReset or Person.objects.filter(email=letter.email, is_active=True).exists()
    if wanted:
        subject, body = _words(letter, token)
        try:
            EmailMessage(subject, body, settings.DEFAULT_FROM_EMAIL, [letter.email]).send()
        except (OSError, smtplib.SMTPException) as failed:
            log.warning("letter_not_sent", extra={"letter": str(letter.id), "reason": type(failed).__name__})
            return False
    kind._default_manager.filter(id=letter.id).update(due_at=None)
    return wanted


def _words(letter: Letter, token: str) -> tuple[str, str]:
    """Subject and body, in the letter's language."""
    kind, said = type(letter), texts(letter.language)["mail"]
    facts = {"link": settings.ENV.public_url + _PATHS[kind].format(token=token)}
    if isinstance(letter, Invitation):
        facts |= {"name": letter.name, "clinic": letter.clinic.name}
    if isinstance(letter, NewDeviceNotice):
        with translation.override(letter.language):
            facts |= {"when": dateformat.format(letter.at, said["when"]), "agent": browser_name(letter.agent)}
    name = kind.__name__.lower()
    return said[f"{name}_subject"], said[name].format(**facts)


def forget() -> None:
    """Deletes letters of over 30 days ago."""
    for kind in _KINDS:
        kind._default_manager.filter(created_at__lt=Now() - timedelta(days=30)).delete()
