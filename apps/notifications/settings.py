"""Settings of the notifications service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class NotificationsEnvironment(ServiceEnvironment):
    """What only notifications reads."""

    database_url_notifications: SecretStr
    service_key_file_notifications: Path


ENV = read(NotificationsEnvironment)

globals().update(
    common(ENV, name="notifications", url=ENV.database_url_notifications, apps=("apps.notifications.apps.NotificationsConfig",))
)
HANDLERS = "apps.notifications.handlers"
FEED_READERS: tuple[str, ...] = ()
"""The services that take over the facts of this one."""
