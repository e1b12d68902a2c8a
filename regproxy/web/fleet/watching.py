"""What a member is told that asks whether we live: our zone, and a name for what operators decided, which it may ask for."""

from hashlib import sha256

from aiohttp import web

from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.keys import Sealed
from regproxy.peers.membership import Membership
from regproxy.peers.names import PING
from regproxy.peers.reply import BYTES, DECISIONS, FAILED, ZONE
from regproxy.policy.fleet.decisions import encoded
from regproxy.ports import StoreError
from regproxy.web.fleet.answers import short


class WatchEndpoint:
    """Answers `PING`, and what is asked after it."""

    def __init__(self, membership: Membership, decisions: SharedDecisions) -> None:
        self._membership = membership
        self._decisions = decisions

    async def answer(self, path: str, sealed: Sealed) -> web.Response:
        """Answer a request that a member made."""
        if path == PING:
            response = short(sealed, BYTES)
            if (zone := self._membership.zone) is not None:
                response.headers[ZONE] = f"{zone} {sealed.mac(ZONE, zone)}"
            if version := await self._decisions.version():
                response.headers[DECISIONS] = f"{version} {sealed.mac(DECISIONS, version)}"
            return response
        try:
            body = encoded(await self._decisions.told())
        except StoreError:
            return short(sealed, FAILED)
        response = short(sealed, BYTES, body)
        response.headers[DECISIONS] = sealed.mac(DECISIONS, sha256(body).hexdigest())
        return response
