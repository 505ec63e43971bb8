"""`GET …/calendars/{id}/changes?since=V&wait=S`: changes for whoever cannot have a socket, given as soon as there are some.

A poll is a socket that is answered once: it joins a room like one (`hub.py`), and what it is handed is its answer. What the log in
Redis does not hold is `version_gone`, where the engine's own answer, without `wait`, may still have it.
"""

import asyncio
import json
import time
from collections import Counter
from math import ceil
from typing import Annotated, Any
from urllib.parse import parse_qsl

from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.kernel import problems
from apps.kernel.ids import as_id
from apps.kernel.problems import MethodNotAllowed, NotFound, Problem, RateLimited, Unauthenticated, ValidationFailed, VersionGone
from apps.kernel.tokens import Claims
from realtime.consumers import session_cookie
from realtime.hub import Unavailable as RedisAway
from realtime.outlet import Frame, Send
from realtime.process import hub, lobby, rights, start
from realtime.protocol import Close

MOST_EACH = 100
"""Polls of one subject at a time: as many as a socket has calendars."""

POLLS = Gauge("live_polls", "Requests that wait for changes")

_polls_of: Counter[str] = Counter()


class Asked(BaseModel):
    """The query: changes after version `since`, at most `limit`; `wait` seconds for the first."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[int, Field(ge=0, le=2**53)]
    wait: Annotated[int, Field(ge=1, le=25)]
    limit: Annotated[int, Field(ge=1, le=500)] = 500


class Poll:
    """An outlet (`outlet.py`) and a guest (`lobby.py`) that keeps what it is handed."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self._texts: list[bytes] = []
        self._problem: Problem | None = None
        self._answerable = asyncio.Event()

    def push(self, frame: Frame) -> None:
        self._texts.append(frame.text)
        # The first says where the calendar stands. What cannot be made up for need not be waited for.
        if len(self._texts) > 1 or b'"recovered":false' in frame.text:
            self._answerable.set()

    def close(self, code: Close) -> None:
        self._answerable.set()

    def end(self) -> None:
        """Nothing is left behind."""

    def recheck(self) -> None:
        if rights.ended(self.claims) is not None:
            self._problem = Unauthenticated()
            self._answerable.set()

    def send_away(self, *, after_ms: int) -> None:
        """One that waits is answered with what there is; one that comes must come again."""
        if not self._texts:
            self._problem = problems.Unavailable(retry_after=ceil(after_ms / 1000))
        self._answerable.set()

    async def wait(self, receive: Any, *, seconds: float) -> None:
        """Returns when there is an answer, when the client has gone, or when the time is over."""
        waiting = {asyncio.create_task(self._answerable.wait()), asyncio.create_task(_gone(receive))}
        _, left = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()

    def answer(self, limit: int) -> bytes:
        """As the engine's. Raises Unauthenticated, Unavailable, VersionGone."""
        if self._problem is not None:
            raise self._problem
        first, *later = [json.loads(text) for text in self._texts]
        # A second `subscribed` says that the room has started afresh.
        if not first["recovered"] or any(frame["type"] != "event" for frame in later):
            raise VersionGone()
        head = {"epoch": first["epoch"], "version": max([first["version"], *(frame["version"] for frame in later)])}
        return (
            json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"events":[' + b",".join(self._texts[1 : limit + 1]) + b"]}"
        )


async def changes(scope: dict[str, Any], receive: Any, send: Send) -> None:
    """The ASGI application of the address."""
    start()
    try:
        status, headers, body = 200, {"Content-Type": "application/json"}, await _answer(scope, receive)
    except Problem as refused:
        response = refused.response()
        status, headers, body = response.status_code, dict(response.items()), response.content
    headers |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Length": str(len(body))}
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


async def _answer(scope: dict[str, Any], receive: Any) -> bytes:
    if scope["method"] != "GET":
        raise MethodNotAllowed()
    claims = rights.claims(_token(scope["headers"]))
    asked = _asked(scope["query_string"])
    calendar = as_id(scope["url_route"]["kwargs"]["calendar"])
    if _polls_of[claims.subject] >= MOST_EACH:
        raise RateLimited(retry_after=1)
    poll = Poll(claims)
    _polls_of[claims.subject] += 1
    POLLS.inc()
    try:
        if lobby.enter(poll):
            await _watch(poll, str(calendar), asked, receive=receive)
        return poll.answer(asked.limit)
    finally:
        POLLS.dec()
        lobby.leave(poll)
        _polls_of[claims.subject] -= 1
        if not _polls_of[claims.subject]:
            del _polls_of[claims.subject]


async def _watch(poll: Poll, calendar: str, asked: Asked, *, receive: Any) -> None:
    clinic, seconds = poll.claims.clinic, min(asked.wait, poll.claims.expires_at - time.time())
    try:
        room = await hub.join(poll, clinic=clinic, audience="staff", calendar=calendar, version=asked.since, epoch=None)
    except RedisAway:
        raise problems.Unavailable(retry_after=1) from None
    if room is None:
        raise NotFound("No such calendar.")
    try:
        await poll.wait(receive, seconds=seconds)
    finally:
        hub.leave(poll, room)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _token(headers: list[tuple[bytes, bytes]]) -> str:
    given = dict(headers).get(b"authorization", b"").decode("latin1")
    if given:
        return given[7:] if given[:7].lower() == "bearer " else ""
    return session_cookie(headers) or ""


def _asked(query: bytes) -> Asked:
    try:
        return Asked.model_validate(dict(parse_qsl(query.decode("latin1"), keep_blank_values=True)))
    except ValidationError as refused:
        first = refused.errors()[0]
        raise ValidationFailed(first["msg"], param=".".join(map(str, first["loc"]))) from None
