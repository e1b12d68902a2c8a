"""The fleet that this one is a member of, joined together; where there is none, nothing of it is imported but names."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from regproxy.asker import asker
from regproxy.config import ConfigError, Settings
from regproxy.config.sections.fleet import AUTO, FleetSettings
from regproxy.derived import Derived
from regproxy.fill.fills import Fills
from regproxy.oci.endpoint import BlobPull
from regproxy.peers.attribution import Attribution
from regproxy.peers.client import PeerClient
from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.exchange import Exchange
from regproxy.peers.keys import FleetKeys
from regproxy.peers.membership import Membership, Resolve, members_here, resolved
from regproxy.peers.names import Blob
from regproxy.peers.pieces.cache import PieceCache
from regproxy.peers.registry import PeeredRegistry
from regproxy.peers.upstreams import Upstreams
from regproxy.peers.watch import FleetWatch, Suspected
from regproxy.peers.zones import ZoneFinder
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.permitted import check_denied
from regproxy.policy.routing import Route, Routes
from regproxy.ports import Content, ContentStore, Decisions, Index, KeyValueStore, Kind, Registry
from regproxy.pull.blobs import Blobs
from regproxy.shm import Flag
from regproxy.storage.threads import DiskThreads
from regproxy.telemetry.log import fields
from regproxy.web.clients.entrance import Entrance
from regproxy.web.fleet.key_values import KeyValueEndpoint
from regproxy.web.fleet.pieces import Members
from regproxy.web.fleet.watching import WatchEndpoint
from regproxy.wiring.running import running

_DISK = 10.0  # seconds for a call
_FIRST_LOOK = 2.0  # seconds that serving waits for the first look at who the members are
_MAX_AGE = 600.0  # seconds that a piece is given to others without asking upstream again, at most

_MAX_SUSPECTED = 1000  # members in a report
_MAX_REASON = 200  # characters

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peering:
    """What a process exchanges with other members, and holds against them."""

    exchange: Exchange
    client: PeerClient
    cache: PieceCache
    suspicions: Suspicions
    decisions: SharedDecisions

    @property
    def traffic(self) -> Traffic:
        return self.exchange.traffic

    def suspected(self) -> dict[str, str]:
        """Return why members are left alone, of not more than are in a report."""
        reasons = self.suspicions.reasons(time.monotonic())
        return {member: reason[:_MAX_REASON] for member, reason in islice(reasons.items(), _MAX_SUSPECTED)}


async def check_members(settings: Settings, resolve: Resolve = resolved) -> None:
    """Raise `ConfigError` where `fleet.peers` is a list, and not one of it is this machine, or two are; a name may be looked up later."""
    if (found := await _found_here(settings, resolve)) is None:
        return
    if len(found.ours) > 1:
        raise ConfigError([f"fleet.peers: has this machine twice: {', '.join(found.ours)}"])
    if not found.ours and not found.failed:
        raise ConfigError([f"fleet.peers: no member has an address of this machine and the port of {settings.listen}: see fleet.advertise"])


async def members_caution(settings: Settings, resolve: Resolve = resolved) -> str | None:
    """Say in one line what `check_members` would find, or may find later, on a machine that need not be a member; None: nothing."""
    found = await _found_here(settings, resolve)
    if found is None or len(found.ours) == 1:
        return None
    if found.ours:
        return f"fleet.peers has this machine twice: {', '.join(found.ours)}: regproxy would not start on it"
    unknown = f" (no address is found of {', '.join(found.failed)})" if found.failed else ""
    return (
        f"fleet.advertise: auto finds no address of this machine and the port of {settings.listen} in fleet.peers: "
        f"this is right unless it is a member{unknown}"
    )


@dataclass(frozen=True, slots=True)
class _FoundHere:
    """Which members have an address of this machine, and the names that could not be looked up."""

    ours: list[str]
    failed: list[str]


async def _found_here(settings: Settings, resolve: Resolve) -> _FoundHere | None:
    """Look which of the listed members we are; None where that is said, or only known later."""
    fleet = settings.fleet
    if fleet is None or fleet.advertise != AUTO or isinstance(fleet.peers, str):
        return None
    failed: list[str] = []

    async def looked_up(host: str, port: int) -> Sequence[str]:
        try:
            async with asyncio.timeout(_FIRST_LOOK):
                return await resolve(host, port)
        except OSError:  # TimeoutError is one
            failed.append(host)
            raise

    return _FoundHere(await members_here(fleet.peers, settings.listen, looked_up), failed)


@asynccontextmanager
async def exchanging(
    settings: Settings,
    registries: Mapping[str, Registry],
    routes: Routes,
    store: ContentStore,
    index: Index,
    decisions: Decisions,
    clock: WallClock = time.time,
) -> AsyncIterator[Peering | None]:
    """Exchange pieces of blobs of *registries* with the other members: what everybody may have whom we let in."""
    fleet = settings.fleet
    if fleet is None:
        yield None
        return

    async def stored(blob: Blob) -> Content | None:
        held = await index.held(Kind.BLOB, blob.repository, blob.digest)
        return None if held is None else await store.open(blob.digest, held.size)

    suspicions = Suspicions()
    membership = Membership(fleet, settings.listen, is_tls=settings.tls is not None, suspicions=suspicions)

    def is_named(name: str) -> bool:
        upstream = routes.called(name)
        return upstream is not None and upstream.name == name

    def is_proven(name: str) -> bool:
        upstream = routes.called(name)
        return upstream is None or upstream.access is AccessMode.PROVEN

    upstreams = Upstreams(Derived(registries, lambda _, registry: registry, is_named), is_proven)
    async with AsyncExitStack() as stack:
        run = DiskThreads(settings.store.root, _DISK)
        stack.callback(run.close)
        cache = PieceCache(settings.store.root / "pieces", fleet.piece_cache, min(_MAX_AGE, settings.reconfirm_after))
        await run(cache.prepare)
        proof = Flag(settings.store.root, "members")
        client = PeerClient(FleetKeys(fleet.key, clock), fleet.timeout, clock, *_tls(settings, fleet))
        exchange = Exchange(upstreams, membership, suspicions, client, cache, run, Attribution(cache, run, stored, proof))
        stack.push_async_callback(exchange.close)
        try:
            async with asyncio.timeout(_FIRST_LOOK):
                await membership.refresh()
        except TimeoutError:
            _log.warning("members of the fleet are not known yet", extra=fields(peers=str(fleet.peers)))
        finder = ZoneFinder(membership, client.zone)
        await stack.enter_async_context(running(membership.run(), finder.run(), exchange.keep(), exchange.at_work.show()))
        yield Peering(exchange, client, cache, suspicions, SharedDecisions(decisions, clock))


@asynccontextmanager
async def watching(
    peering: Peering | None, total: Traffic | None = None, suspected: Suspected = tuple, clock: WallClock = time.time
) -> AsyncIterator[FleetWatch | None]:
    """Watch the fleet, if there is one, for this process and for workers, which add to *total* and say whom they have *suspected*."""
    if peering is None:
        yield None
        return

    def all_suspected() -> list[Mapping[str, str]]:
        return [peering.suspected(), *suspected()]

    membership = peering.exchange.membership
    exchanged, total = peering.exchange.upstreams.registries, total or Traffic()
    watch = FleetWatch(
        membership, peering.client, peering.cache, exchanged, peering.traffic, total, all_suspected, peering.decisions, clock
    )
    async with running(watch.run()):
        yield watch


def peered(registries: Mapping[str, Registry], exchange: Exchange) -> Mapping[str, Registry]:
    """Have blobs come from other members where they are exchanged."""

    def wrapped(name: str, registry: Registry) -> Registry:
        upstreams = exchange.upstreams
        return PeeredRegistry(registry, exchange, upstreams.asker(name)) if name in upstreams.registries else registry

    return Derived(registries, wrapped)


def members_of(
    settings: Settings,
    routes: Routes,
    peering: Peering,
    blobs: Blobs,
    fills: Fills,
    entrance: Entrance,
    clock: WallClock,
    key_values: KeyValueStore | None,
) -> Members:
    """Return what answers the other members; of what clients have to prove they get what *entrance* lets nobody in particular have."""
    assert settings.fleet is not None  # noqa: S101 -- there is an exchange
    exchange = peering.exchange

    async def cached(blob: Blob) -> Content | None:
        upstream = routes.called(blob.repository.registry)
        if upstream is None:
            return None
        route = Route(upstream, blob.repository)
        check_denied(route, blob.digest)
        asker.set(exchange.upstreams.asker(upstream.name))
        if asker.get() is not None:
            await entrance.prove_public(route, BlobPull(blob.repository.name, blob.digest))
        return await blobs.cached(route, blob.digest)

    endpoint = None if key_values is None else KeyValueEndpoint(key_values)
    watching = WatchEndpoint(exchange.membership, peering.decisions)
    return Members(FleetKeys(settings.fleet.key, clock), exchange, cached, fills, clock, watching, key_values=endpoint)


def _tls(settings: Settings, fleet: FleetSettings) -> tuple[ssl.SSLContext | None, str]:
    """Return how members are verified, by the name that stands for all of them where there is one, and what is shown where they ask."""
    if settings.tls is None and fleet.ca is None:
        return None, ""
    context = ssl.create_default_context(cafile=fleet.ca)
    if settings.tls is not None and settings.tls.client_ca is not None:
        context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    name = urlsplit(fleet.peers).hostname if isinstance(fleet.peers, str) else None
    return context, name or ""
