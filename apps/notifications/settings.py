"""Settings of the notifications service."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class NotificationsEnvironment(ServiceEnvironment):
    """What only notifications reads. Without providers it speaks to the demo's mailbox, where that runs."""

    database_url_notifications: SecretStr
    service_key_file_notifications: Path

    mail_from: str = "visits@healthflow.example"
    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:2525")
    """`smtp://user:password@host:port`, `smtps://` for TLS from the start, `smtp+tls://` for STARTTLS."""
    email_backend: str = "django.core.mail.backends.smtp.EmailBackend"
    """Or one of django-anymail, `anymail.backends.<provider>.EmailBackend`."""
    anymail: SecretStr = SecretStr("{}")
    """Settings of that backend, as a JSON object."""
    emails_per_second: int = 10

    twilio_url: str = "https://api.twilio.com"
    twilio_account_sid: str = "AC00000000000000000000000000000000"
    twilio_auth_token: SecretStr = SecretStr("")
    """Without it no SMS is sent, and no callback is believed."""
    twilio_from: str = "+15005550006"
    sms_per_second: int = 5


ENV = read(NotificationsEnvironment)

globals().update(
    common(ENV, name="notifications", url=ENV.database_url_notifications, apps=("apps.notifications.apps.NotificationsConfig",))
)
HANDLERS = "apps.notifications.handlers"
FEED_READERS = ()
"""The services that take over the facts of this one."""

_smtp = urlsplit(ENV.smtp_url.get_secret_value())
EMAIL_BACKEND = ENV.email_backend
EMAIL_HOST, EMAIL_PORT = _smtp.hostname or "127.0.0.1", _smtp.port or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _smtp.username or "", _smtp.password or ""
EMAIL_USE_SSL, EMAIL_USE_TLS = _smtp.scheme == "smtps", _smtp.scheme == "smtp+tls"
# Shorter than the lease of a message (delivery.py), so that whoever waits still owns it.
EMAIL_TIMEOUT = 30
DEFAULT_FROM_EMAIL = ENV.mail_from
ANYMAIL = {"REQUESTS_TIMEOUT": 30, **json.loads(ENV.anymail.get_secret_value())}
