"""All that answers pulls, joined together."""

import socket
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from regproxy.best_effort import BestEffortIndex, BestEffortStore
from regproxy.clients import quota_table
from regproxy.clients.proofs import Proofs
from regproxy.clients.quota_table import QuotaTable
from regproxy.config import Settings
from regproxy.derived import Derived
from regproxy.fill.fills import Fills
from regproxy.index.generation import Generation
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.http.via import pseudonym
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Routes, Upstream
from regproxy.ports import BlobStore, ContentStore, Fleet, Index, KeyValueStore, Ledger, Registry
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.blobs import Blobs
from regproxy.pull.freezes import Freezes
from regproxy.pull.listings import Listings
from regproxy.pull.manifests import Manifests
from regproxy.pull.recording import RecordingRegistry
from regproxy.pull.trust.keyring import KeyRing
from regproxy.pull.trust.requirements import Requirements
from regproxy.pull.trust.signatures import Signatures
from regproxy.pull.usage import Usage
from regproxy.store_shares import SharedStore
from regproxy.telemetry import metrics
from regproxy.upstream.hosts.bandwidth import Bandwidth
from regproxy.upstream.hosts.registries import Registries
from regproxy.upstream.registry import UpstreamRegistry
from regproxy.web.clients.entrance import Entrance
from regproxy.web.clients.metering import Meters
from regproxy.web.fleet.hashes import Hashes
from regproxy.web.handlers import Handlers
from regproxy.web.not_found_limiter import NotFoundLimiter
from regproxy.wiring import behind
from regproxy.wiring.behind import Readable, Remote
from regproxy.wiring.peering import Peering, exchanging, members_of, peered
from regproxy.wiring.running import running
from regproxy.wiring.stores import configured


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything that answers pulls, joined together."""

    routes: Routes
    handlers: Handlers
    fills: Fills
    registries: Mapping[str, Registry]
    freezes: Freezes
    manifests: Manifests
    usage: Usage
    access: RepositoryAccess
    requirements: Requirements
    recorded: Mapping[str, Registry]  # `registries`, with what they say of who may read what put on record
    proven: Collection[str]  # the upstreams that are asked with clients' own credentials
    peering: Peering | None = None  # the other members of the fleet
    behind: Readable | None = None  # the object store behind the disk

    @property
    def remote(self) -> Remote | None:
        """The object store behind the disk, for whoever writes there."""
        return self.behind.remote if self.behind is not None else None


def content_store(settings: Settings, store: BlobStore, ledger: Ledger, clock: WallClock) -> ContentStore:
    """Return the store as pulls see it: where clients have shares of it, it keeps no more for one than that."""
    has_shares = any(each.store is not None for each in settings.quotas)
    return SharedStore(store, ledger, clock) if has_shares else BestEffortStore(store)


@asynccontextmanager
async def serving(
    settings: Settings,
    store: BlobStore,
    index: SqliteIndex,
    fleet: Fleet,
    clock: WallClock = time.time,
    key_values: KeyValueStore | None = None,
) -> AsyncIterator[Serving]:
    """Join all that answers pulls, and in the end let fills finish within the time to drain; members are given *key_values*."""
    async with AsyncExitStack() as stack:
        usage = Usage(index.ledger(), clock)
        stack.push_async_callback(usage.record)
        routes = Routes(settings.upstreams, settings.default_upstream)
        side = await stack.enter_async_context(behind.reading(settings, index, clock))
        here, local = content_store(settings, store, index.ledger(), clock), BestEffortIndex(index)
        backed = behind.backed(here, index, side)
        content, known = backed.content, backed.index
        freezes = Freezes(configured(settings), known, routes, clock)
        stack.enter_context(metrics.labelling_upstreams(routes.label))
        table, bandwidth = None, None
        if settings.quotas or settings.limits_upstreams:
            stack.callback((table := quota_table.joined(settings.store.root)).close)
            bandwidth = Bandwidth(table, settings.downloads.max_rate)

        def opened(upstream: Upstream) -> UpstreamRegistry:
            return UpstreamRegistry(upstream, settings.timeouts, fleet, bandwidth)

        asked = Registries(settings.upstreams, routes.called, opened)
        stack.push_async_callback(asked.close)
        access = RepositoryAccess(asked, known, freezes, fleet, clock, settings.reconfirm_after)
        stack.push_async_callback(access.close, settings.drain)
        entrance = await stack.enter_async_context(_entrance(settings, asked, routes, fleet, table, clock))
        proofs = entrance.proofs or access

        def recording(name: str, registry: UpstreamRegistry) -> Registry:
            recorder = proofs if name in entrance.registries else access
            return backed.registry(RecordingRegistry(registry, registry.upstream, recorder, clock))

        recorded = Derived(asked, recording)
        peering = await stack.enter_async_context(exchanging(settings, recorded, routes, here, local, index.decisions(), clock))
        exchange = None if peering is None else peering.exchange
        registries: Mapping[str, Registry] = recorded if exchange is None else peered(recorded, exchange)
        fills = Fills(registries, content, known, settings.downloads)
        stack.push_async_callback(fills.drain, settings.drain)
        await stack.enter_async_context(running(usage.run(), store.let_go()))
        requirements = await stack.enter_async_context(_requirements(settings, registries, content, known, index, clock))
        manifests = Manifests(registries, content, known, usage, freezes, fleet, clock, access, requirements, entrance.registries)
        stack.push_async_callback(manifests.drain, settings.drain)
        blobs = Blobs(
            registries, content, known, fills, usage, settings.downloads.uncached_ranges, access, clock, behind.redirects(settings, side)
        )
        stack.push_async_callback(blobs.close)
        members = None
        if peering is not None:
            on_disk = Blobs(registries, here, local, fills, usage, settings.downloads.uncached_ranges, access, clock)
            stack.push_async_callback(on_disk.close)
            members = members_of(settings, routes, peering, on_disk, fills, entrance, clock, key_values)
        name = pseudonym(socket.gethostname(), str(settings.listen), str(settings.store.root))
        listings = Listings(registries, known, manifests)
        stack.push_async_callback(listings.close)
        handlers = Handlers(
            routes,
            manifests,
            blobs,
            listings,
            NotFoundLimiter(settings.not_found_limit.rate()),
            name,
            Hashes(settings.shared_key, blobs, entrance),
            settings.catalog,
            cluster=settings.cluster,
            entrance=entrance,
            members=members,
        )
        yield Serving(
            routes, handlers, fills, asked, freezes, manifests, usage, access, requirements, registries, entrance.registries, peering, side
        )


@asynccontextmanager
async def _requirements(
    settings: Settings, registries: Mapping[str, Registry], content: ContentStore, known: Index, index: SqliteIndex, clock: WallClock
) -> AsyncIterator[Requirements]:
    """Judge by the keys of the configuration, and forget what was answered when they change."""
    keyring = KeyRing([rule for upstream in settings.upstreams for rule in upstream.require], index.forget_answers)
    await keyring.refresh()
    requirements = Requirements(keyring, Signatures(registries, content, known), known, clock)
    async with running(keyring.run()):
        try:
            yield requirements
        finally:
            await requirements.close()


@asynccontextmanager
async def _entrance(
    settings: Settings, asked: Mapping[str, UpstreamRegistry], routes: Routes, fleet: Fleet, table: QuotaTable | None, clock: WallClock
) -> AsyncIterator[Entrance]:
    """Let in who the configuration says, and who has shown an upstream that it may pull."""
    proven = [each for each in settings.upstreams if each.access is AccessMode.PROVEN]
    async with AsyncExitStack() as stack:
        meters = None
        if settings.quotas and table is not None:
            meters = Meters([each.quota() for each in settings.quotas], table)
        if settings.token_key is None:
            yield Entrance(meters=meters)
            return
        from regproxy.clients.authenticator import Authenticator  # noqa: PLC0415  9 MB that who asks nobody who they are does without

        authenticator = Authenticator(settings.clients, settings.token_key, may_prove=bool(proven), clock=clock)
        stack.push_async_callback(authenticator.close)
        await authenticator.refresh()
        await stack.enter_async_context(running(authenticator.run()))
        if not proven:
            yield Entrance(authenticator, clock, settings.public_url, meters=meters)
            return
        ended = Generation(settings.store.root / "proofs")
        stack.callback(ended.close)
        rate = settings.not_found_limit.rate()
        # A pattern has many registries, and nobody can tell for which of them a login is.
        logins = {} if any(each.is_pattern for each in proven) else {each.name: asked[each.name].login for each in proven}
        proofs = Proofs(routes.called, fleet, authenticator.tokens, ended.current, ended.advance, rate, logins, clock)
        stack.push_async_callback(proofs.close)
        await stack.enter_async_context(running(proofs.run()))

        def is_proven(name: str) -> bool:
            upstream = routes.called(name)
            return upstream is not None and upstream.access is AccessMode.PROVEN

        wants_proofs = Derived(asked, lambda _, registry: registry, is_proven)
        yield Entrance(authenticator, clock, settings.public_url, proofs, wants_proofs, meters)
