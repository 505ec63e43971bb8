"""The ASGI door: probes and polls over HTTP, and the one live socket, which only pages of ours and programs may open."""

import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "realtime.settings"
django: Any = get_asgi_application()

from django.urls import path, re_path  # noqa: E402 - the settings come first

from realtime.consumers import LiveConsumer, is_program  # noqa: E402
from realtime.polls import changes  # noqa: E402
from realtime.settings import ORIGINS  # noqa: E402


class KnownOrigin(OriginValidator):  # type: ignore[misc] # channels has no types
    """Refuses a socket before it is accepted (403) unless it comes from a page of ours, or from no page and without our cookie."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if is_program(scope["headers"]):
            return await self.application(scope, receive, send)
        return await super().__call__(scope, receive, send)


websocket = KnownOrigin(URLRouter([path("ws/v1/live", LiveConsumer.as_asgi())]), ORIGINS)
polls: Any = changes  # Django's types know views only
http = URLRouter([path("api/engine/v1/calendars/<str:calendar>/changes", polls), re_path("", django)])
application = ProtocolTypeRouter({"http": http, "websocket": websocket})
