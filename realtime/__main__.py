"""`python -m realtime --port N`: the push process, Daphne with limits of ours and an end that loses its clients nothing.

Daphne's own end is to drop everything at once. Here SIGTERM (and Ctrl-C) makes /readyz answer 503, sends the clients away one
after the other (`lobby.py`), and stops when they are gone: at once when there are none, after 18 s at the most.
"""

import argparse
import asyncio
import signal
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor as chosen

from realtime.asgi import application
from realtime.process import lobby
from realtime.protocol import LONGEST_FRAME, Close
from realtime.settings import ENV

reactor: Any = chosen
_BACKLOG = 4096
"""Connections that wait to be accepted. Twisted's own 50 are a tenth of a second of clients that all come back; who finds no place
loses a second."""
_MOST_UNREAD = 128
"""Messages of one client that wait to be read: a page with a hundred calendars may ask for all of them at once."""


_HEAR_WHY_S = 5
"""How long a client has to take the close frame that tells it why; autobahn's own 1 s is over before a slow one reads it."""


class LimitedProtocol(WebSocketProtocol):  # type: ignore[misc] # daphne has no types
    """Daphne's, which else drops the connection of a frame that is too large, and keeps what a client says without limit."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: FBT001 - the names are autobahn's
        if self.application_queue.qsize() >= _MOST_UNREAD:
            self._cut(Close.TOO_MANY)
        else:
            super().onMessage(payload, isBinary)

    def _max_message_size_exceeded(self, msg_size: int, max_msg_size: int, reason: str) -> None:
        self._cut(Close.TOO_LARGE)

    def _cut(self, code: Close) -> None:
        # `failedByMe` makes autobahn pass over all that still comes.
        self.failedByMe = True
        self.sendClose(code=int(code))


def main() -> None:
    options = _options()
    server = Server(
        application,
        endpoints=[f"tcp:port={options.port}:interface={options.host}:backlog={_BACKLOG}"],
        signal_handlers=False,
        verbosity=0,
        # A client that vanished without a word is cut when it has not answered for two heartbeats.
        ping_interval=ENV.heartbeat_s,
        ping_timeout=ENV.heartbeat_s,
        websocket_timeout=-1,
        websocket_max_message_size=LONGEST_FRAME,
        websocket_max_frame_size=LONGEST_FRAME,
    )
    reactor.callWhenRunning(_prepare, server)
    server.run()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m realtime", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args()


def _prepare(server: Server) -> None:
    server.ws_factory.protocol = LimitedProtocol
    server.ws_factory.closeHandshakeTimeout = _HEAR_WHY_S  # its setter would set back what Daphne has set
    loop = asyncio.get_event_loop()
    ending: list[asyncio.Task[None]] = []

    def end() -> None:
        if not ending:
            ending.append(loop.create_task(_end()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)


async def _end() -> None:
    await lobby.empty()
    reactor.stop()


if __name__ == "__main__":
    main()
