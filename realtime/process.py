"""What each push process has one of."""

from apps.kernel.revocations import REVOKED
from realtime.hub import Hub
from realtime.lobby import Lobby
from realtime.rights import Rights
from realtime.settings import ENV

lobby = Lobby(most=ENV.most_sockets)
hub = Hub(ENV.redis_url.get_secret_value(), positions_every_s=ENV.heartbeat_s)
rights = Rights(ENV.redis_url.get_secret_value(), ENV.token_jwks_file, on_news=lobby.recheck)
hub.on_bell(REVOKED, rights.ring)


def start() -> None:
    """Connects to Redis and stays connected; calling it again does nothing. Needs a running event loop."""
    hub.start()
    rights.start()
