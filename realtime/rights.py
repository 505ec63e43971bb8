"""Who a token speaks for, and whether it still does: the revocations as this process knows them, and who is told of news."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from redis.exceptions import RedisError

from apps.kernel.problems import SecondFactorRequired, Unauthenticated
from apps.kernel.redis import connect_async
from apps.kernel.revocations import EVERY_S, REVOKED, Reason, Revocations
from apps.kernel.tokens import Claims, TokenRefused, Verifier

_TIMEOUT_S = 2.0


class Rights:
    """One per process. Everything runs on the event loop that `start` was first called on."""

    def __init__(self, url: str, jwks: Path, *, on_news: Callable[[], None]) -> None:
        self._redis = connect_async(url, timeout_s=_TIMEOUT_S, connections=1)
        self._on_news = on_news
        self._revocations = Revocations()
        self._verifier = Verifier(jwks, revoked=self._revocations.reason)
        self._rung = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Reads the list of revocations from now on; calling it again does nothing."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._keep_reading())

    def ring(self) -> None:
        """Something was revoked: reads at once."""
        self._rung.set()

    def claims(self, token: str) -> Claims:
        """What the token says, with the second factor that all but programs need. Raises Unauthenticated, SecondFactorRequired."""
        try:
            claims = self._verifier.claims(token)
        except TokenRefused:
            raise Unauthenticated() from None
        if claims.expires_at <= time.time():
            raise Unauthenticated()
        if not claims.second_factor and claims.role != "program":
            raise SecondFactorRequired()
        return claims

    def ended(self, claims: Claims) -> Reason | None:
        """Why claims that were good are good no more."""
        return self._revocations.reason(claims)

    async def _keep_reading(self) -> None:
        while True:
            with suppress(RedisError):
                unread = self._revocations.unread
                found = await self._redis.zrange(REVOKED, unread, "+inf", byscore=True, withscores=True)
                if self._revocations.learn(cast(list[tuple[bytes, float]], found)):
                    self._on_news()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), EVERY_S)
            self._rung.clear()
