"""One live socket: who it is, what it watches, and when it ends.

Who it is: the session cookie says so at once, or one `auth` message within 5 s, before the first `subscribe`. That message
may also change what the cookie said: a signed-in practitioner who opens the public booking page is the public there.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.http.cookie import parse_cookie
from prometheus_client import Gauge

from apps.kernel.problems import Problem
from apps.kernel.revocations import Reason
from apps.kernel.tokens import SESSION_COOKIE, Claims
from realtime import protocol
from realtime.hub import Unavailable
from realtime.outlet import Outlet, Send, framed, open_outlet
from realtime.positions import Audience
from realtime.process import hub, lobby, rights, start
from realtime.protocol import Authenticate, Close, Refused, Subscribe, Unsubscribe
from realtime.rooms import Room
from realtime.settings import ENV

AUTH_WITHIN_S = 5.0
MOST_CALENDARS = 100
MESSAGES_PER_S = 20
_REDIS_BACK_MS = (500, 3_000)
_CLOSE: dict[Reason, Close] = {"session ended": Close.UNAUTHENTICATED, "clinic left": Close.FORBIDDEN}

SOCKETS = Gauge("live_sockets", "Open sockets")


@dataclass(frozen=True, slots=True)
class Identity:
    clinic: str
    audience: Audience


class LiveConsumer(AsyncConsumer):  # type: ignore[misc] # channels has no types
    """Answers one client at a time; events do not come through here but from the hub to the outlet."""

    channel_layer_alias = None

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._claims: Claims | None = None
        self._over = False
        self._settled = False
        self._cookie_refused = False
        self._rooms: dict[str, Room] = {}
        self._outlet: Outlet | None = None
        self._allowance, self._counted_at = float(MESSAGES_PER_S), time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None
        self._heart: asyncio.TimerHandle | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """In place of the base class's, which makes a task for every message, to listen to a channel layer as well."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass
        finally:
            self._end()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """In place of the base class's, which goes through a thread before every message for a database we do not have."""
        match message["type"]:
            case "websocket.connect":
                await self._connect()
            case "websocket.receive":
                await self._receive(message.get("text"))
            case _:
                raise StopConsumer

    # --- coming and going -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        start()
        offered = protocol.SUBPROTOCOL in self.scope["subprotocols"]
        await self.base_send({"type": "websocket.accept", "subprotocol": protocol.SUBPROTOCOL if offered else None})
        self._outlet = open_outlet(self.base_send)
        SOCKETS.inc()
        if not lobby.enter(self):
            return
        cookie = session_cookie(self.scope["headers"])
        claims = _claims(cookie) if cookie else None
        if claims is None:
            self._cookie_refused = bool(cookie)
            self._deadline = asyncio.get_running_loop().call_later(AUTH_WITHIN_S, self._give_up)
        else:
            self._welcome(Identity(claims.clinic, "staff"), claims)

    def _welcome(self, identity: Identity, claims: Claims | None = None) -> None:
        """From now on the socket is `identity`, until the claims expire."""
        loop = asyncio.get_running_loop()
        self._identity, self._claims = identity, claims
        if self._deadline is not None:
            self._deadline.cancel()
        if claims is not None:
            self._deadline = loop.call_later(claims.expires_at - time.time(), self._close, Close.UNAUTHENTICATED)
        self._push(protocol.ready(uuid4().hex, heartbeat_s=ENV.heartbeat_s))
        if self._heart is None:
            self._heart = loop.call_later(ENV.heartbeat_s, self._beat)

    def _give_up(self) -> None:
        self._close(Close.UNAUTHENTICATED if self._cookie_refused else Close.AUTH_TIMEOUT)

    def _beat(self) -> None:
        self._push(protocol.heartbeat({calendar: room.version for calendar, room in self._rooms.items()}))
        self._heart = asyncio.get_running_loop().call_later(ENV.heartbeat_s, self._beat)

    def recheck(self) -> None:
        """Ends when what the claims say is not so any more."""
        reason = rights.ended(self._claims) if self._claims is not None else None
        if reason is not None:
            self._close(_CLOSE[reason])

    def send_away(self, *, after_ms: int) -> None:
        """Ends with the advice to come back after that time."""
        self._push(protocol.reconnect(after_ms=after_ms))
        self._close(Close.UNAVAILABLE)

    def _end(self) -> None:
        lobby.leave(self)
        for timer in (self._deadline, self._heart):
            if timer is not None:
                timer.cancel()
        if self._outlet is not None:
            for room in self._rooms.values():
                hub.leave(self._outlet, room)
            self._outlet.end()
            SOCKETS.dec()

    # --- what the client says -------------------------------------------------------------------------------------------

    async def _receive(self, text: str | None) -> None:
        if self._over:
            return
        try:
            self._count()
            if text is None:
                raise Refused(Close.BAD_MESSAGE)
            match protocol.parse(text):
                case Authenticate() as said:
                    self._authenticate(said)
                case Subscribe() as said:
                    await self._subscribe(said)
                case Unsubscribe(calendar):
                    self._unsubscribe(calendar)
        except Refused as refused:
            self._close(refused.close)
        except Unavailable:
            self.send_away(after_ms=random.randint(*_REDIS_BACK_MS))  # noqa: S311 - spreads clients, hides nothing

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(MESSAGES_PER_S, self._allowance + (now - self._counted_at) * MESSAGES_PER_S) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise Refused(Close.TOO_MANY)

    def _authenticate(self, said: Authenticate) -> None:
        if self._settled:
            raise Refused(Close.BAD_MESSAGE)
        self._settled = True
        if said.clinic is not None:
            self._welcome(Identity(said.clinic, "public"))
            return
        claims = _claims(said.token or "")
        if claims is None:
            raise Refused(Close.UNAUTHENTICATED)
        self._welcome(Identity(claims.clinic, "staff"), claims)

    async def _subscribe(self, said: Subscribe) -> None:
        if self._identity is None:
            raise Refused(Close.UNAUTHENTICATED)
        self._settled = True
        new = said.calendar not in self._rooms
        if new and len(self._rooms) >= MOST_CALENDARS:
            raise Refused(Close.TOO_MANY)
        room = await hub.join(
            cast(Outlet, self._outlet),
            clinic=self._identity.clinic,
            audience=self._identity.audience,
            calendar=said.calendar,
            version=said.version,
            epoch=said.epoch,
        )
        if room is None:
            self._push(protocol.error("not_found", calendar=said.calendar))
            return
        self._rooms[said.calendar] = room
        if new:
            # A page with a hundred calendars may ask for all of them at once; the limit is for what is asked in vain.
            self._allowance += 1

    def _unsubscribe(self, calendar: str) -> None:
        if self._identity is None:
            raise Refused(Close.UNAUTHENTICATED)
        room = self._rooms.pop(calendar, None)
        if room is not None:
            hub.leave(cast(Outlet, self._outlet), room)

    def _push(self, text: bytes) -> None:
        cast(Outlet, self._outlet).push(framed(text))

    def _close(self, code: Close) -> None:
        self._over = True
        cast(Outlet, self._outlet).close(code)


def is_program(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a handshake comes from no page at all: no Origin, and no cookie of ours that a page could be abusing."""
    return all(name != b"origin" for name, _ in headers) and session_cookie(headers) is None


def session_cookie(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The token of a signed-in page."""
    lines = [value.decode("latin1") for name, value in headers if name == b"cookie"]
    return parse_cookie("; ".join(lines)).get(SESSION_COOKIE)


def _claims(token: str) -> Claims | None:
    try:
        return rights.claims(token)
    except Problem:
        return None
