"""With whom this machine shares tags and tokens, and asks for each once: replicas at one Redis, or the members of its fleet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.config import Settings
from regproxy.fleet.encryption import Encryption
from regproxy.peers.replicas import FleetLink, MemberFleet
from regproxy.policy.clients.identity import AccessMode
from regproxy.ports import KeyValueStore, Replicas
from regproxy.wiring.serving import Serving

_SHARE = 5  # of `fleet.timeout`: pieces are worth a second, a tag is not


def fleet_of(settings: Settings, key_values: KeyValueStore) -> Replicas:
    """Return those beyond this machine with whom it shares what it knows; *key_values* are what it keeps for members of its fleet."""
    if settings.redis is None:
        return MemberFleet(key_values)
    from regproxy.fleet.redis_fleet import RedisFleet  # noqa: PLC0415  15 MB that most do without

    return RedisFleet(settings.redis.url, settings.redis.key, timeout=settings.redis.timeout)


@asynccontextmanager
async def sharing(settings: Settings, fleet: Replicas, served: Serving) -> AsyncIterator[None]:
    """Have *fleet* ask the members that the configuration names, if that is how it shares."""
    if settings.fleet is None or served.peering is None or not isinstance(fleet, MemberFleet):
        yield
        return

    def is_shared(name: str) -> bool:
        upstream = served.routes.called(name)
        return upstream is not None and upstream.access is not AccessMode.PROVEN

    encryption = Encryption(settings.fleet.key, "fleet", is_bound=True)
    membership = served.peering.exchange.membership
    fleet.join(FleetLink(lambda: membership.ring, served.peering.client, encryption, is_shared, settings.fleet.timeout / _SHARE))
    try:
        yield
    finally:
        await fleet.leave()
