"""Channels as its documentation sets it up: a consumer, a group for each calendar, the Redis layer of pub/sub.

STORM_REDIS=<address> daphne loadtests.peers.stock_channels:application
"""

import os
from typing import Any

from django.conf import settings

settings.configure(
    SECRET_KEY="of no use here",
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ["STORM_REDIS"]]},
        }
    },
)

import django  # noqa: E402 - the settings come first

django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402


class Calendar(AsyncJsonWebsocketConsumer):  # type: ignore[misc] # channels has no types
    async def receive_json(self, content: dict[str, Any], **_: Any) -> None:
        await self.channel_layer.group_add(content["calendar"], self.channel_name)
        await self.send_json({"type": "subscribed", "calendar": content["calendar"], "version": 0})

    async def calendar_event(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


async def healthz(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


application = ProtocolTypeRouter({"http": healthz, "websocket": Calendar.as_asgi()})
