"""The port to the mail provider: Django's e-mail, so SMTP, or any provider that django-anymail knows, by the environment."""

import smtplib
from email.mime.text import MIMEText
from email.utils import formataddr

from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused, AnymailRequestsAPIError
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.validators import validate_email

from apps.notifications.sending import Refused, TryLater
from apps.notifications.texts import Email, one_line


def send(
    to: str, said: Email, *, clinic: str, message_id: str, reply_to: str = "", unsubscribe: str = "", invite: bytes = b""
) -> str:
    """Hands an e-mail over; the provider's id of it, or `message_id`. Raises Refused, TryLater.

    `message_id` makes it the same message however often it is sent (RFC 5322, 3.6.4): mail systems that have it already drop it.
    """
    try:
        validate_email(to)
    except ValidationError:
        raise Refused("bad_address") from None
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated"}
    if unsubscribe:
        # RFC 8058: one click in the mail program, one POST, no questions.
        headers |= {"List-Unsubscribe": f"<{unsubscribe}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    sender = formataddr((one_line(clinic), settings.DEFAULT_FROM_EMAIL))
    message = EmailMultiAlternatives(
        said.subject, said.text, sender, [to], headers=headers, reply_to=[one_line(reply_to)] if reply_to else None
    )
    message.attach_alternative(said.html, "text/html")
    if invite:
        message.attach(_calendar_part(invite))
    _hand_over(message)
    status = getattr(message, "anymail_status", None)
    return str(status.message_id) if status is not None and status.message_id else message_id


def _hand_over(message: EmailMultiAlternatives) -> None:
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, AnymailRecipientsRefused):
        raise Refused("recipient_refused") from None
    except BadHeaderError:
        raise Refused("bad_header") from None
    except smtplib.SMTPResponseException as refused:
        if refused.smtp_code >= 500 and not isinstance(refused, smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError):
            raise Refused(f"smtp_{refused.smtp_code}") from None
        raise TryLater(f"smtp_{refused.smtp_code}") from None
    except AnymailRequestsAPIError as refused:
        raise _api_refusal(refused) from None
    except (smtplib.SMTPException, OSError, AnymailAPIError) as failed:
        raise TryLater("provider_down", maybe_done=not isinstance(failed, ConnectionRefusedError)) from None


def _api_refusal(refused: AnymailRequestsAPIError) -> Refused | TryLater:
    status = refused.status_code or 503
    ours = status in (401, 403, 429)
    return TryLater(f"provider_{status}", maybe_done=status >= 500) if ours or status >= 500 else Refused(f"provider_{status}")


def _calendar_part(invite: bytes) -> MIMEText:
    part = MIMEText(invite.decode(), "calendar", "utf-8")
    method = "CANCEL" if b"METHOD:CANCEL" in invite else "REQUEST"
    part.set_param("method", method)
    part.add_header("Content-Disposition", "attachment", filename="visit.ics")
    return part
