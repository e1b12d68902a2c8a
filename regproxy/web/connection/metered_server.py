"""The server of the registry port where clients have quotas: what is repeated is charged too."""

from typing import Any

from regproxy.web.clients.metering import Meters
from regproxy.web.connection.server import Connection, RegistryServer
from regproxy.web.response_cache import CachedResponse


class MeteredServer(RegistryServer):
    """Gives an answer again only on connections that are counted as the client's, and while the client may be sent something."""

    def __init__(self, meters: Meters, *arguments: Any, **how: Any) -> None:  # noqa: ANN401  those of our base
        super().__init__(*arguments, **how)
        self._meters = meters

    def repeated(self, connection: Connection, raw_request: bytes) -> CachedResponse | None:
        """Return the response as our base does; None leaves it to the long way, which waits or refuses."""
        key = self.cache_key(connection, raw_request)
        user = self._cache.user(key)
        if user is None:
            return None
        client = connection.known_client
        meter = self._meters.of(user, self._cache.client(key) if client is None else client)
        if meter is not connection.meter or (meter is not None and meter.pause()):
            return None
        answer = super().repeated(connection, raw_request)
        if answer is not None and meter is not None:
            meter.charge(len(answer.written) + (answer.file.length if answer.file is not None else 0))
        return answer
