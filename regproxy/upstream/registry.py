"""One upstream, however many hosts serve it (port Registry)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TypeAlias, TypeVar

from cachetools import TTLCache

from regproxy.config import Timeouts
from regproxy.oci.digest import Digest
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.fleet.signed_hash import Statement
from regproxy.policy.routing import Host, HostKind, Trust, Upstream
from regproxy.policy.upstream import failover, plan
from regproxy.ports import (
    Corrupt,
    Fleet,
    HostFinding,
    HostStatus,
    NotFound,
    TagPage,
    Throttled,
    Unavailable,
    UpstreamError,
    detached,
)
from regproxy.upstream.body import HostBody, open_body
from regproxy.upstream.connections import Pool
from regproxy.upstream.health import Health
from regproxy.upstream.hedging import first_answer
from regproxy.upstream.host import HostClient
from regproxy.upstream.hosts.bandwidth import Bandwidth
from regproxy.upstream.hosts.blob_facts import find_size, get_statement
from regproxy.upstream.hosts.refusals import Refusals
from regproxy.upstream.hosts.verdict import is_answered, verdict
from regproxy.upstream.listings import TagPages, referrers, token
from regproxy.upstream.manifests import find_digest, get_manifest, head_manifest

_MAX_DESCRIBED = 10_000  # blobs whose size was asked for, some 4 MB
_DESCRIBED_FOR = 10.0  # seconds that a size is remembered: a client that asks by HEAD again and again is one request
_HANDSHAKE = 0.9  # seconds; when a record is at hand, a host that does not even shake hands is not worth a client's second
_HEDGED = 0.03  # of the requests for blobs may be asked of two hosts at once
_MOST_HEDGES = 3.0  # in a row, before that share is earned
_REPEATED = 0.1  # of the requests for blobs may be repetitions of one that brought nothing
_MOST_REPEATS = 20.0  # in a row

Result = TypeVar("Result")
Call: TypeAlias = Callable[[HostClient], Awaitable[Result]]
Ask: TypeAlias = Callable[[Host, Repository, Call[Result]], Awaitable[Result]]


class UpstreamRegistry:
    """Asks an upstream's hosts in turn until one gives an answer."""

    def __init__(self, upstream: Upstream, timeouts: Timeouts, fleet: Fleet, bandwidth: Bandwidth | None = None) -> None:
        """Open nothing yet."""
        line = bandwidth.line(upstream.name, upstream.max_rate) if bandwidth is not None else None
        self.upstream = upstream
        is_alone = len(upstream.hosts) == 1
        self._timeouts = {host: timeouts.of(dict(upstream.timeouts + host.timeouts), is_alone=is_alone) for host in upstream.hosts}
        self._clients = {host: HostClient(upstream.name, host, own, fleet, upstream.aliases, line) for host, own in self._timeouts.items()}
        self._own = timeouts.of(dict(upstream.timeouts), is_alone=is_alone)
        self._health = Health(upstream)
        self._refusals = Refusals(upstream)
        self._tag_pages = TagPages()
        self._hedges = failover.Budget(share=_HEDGED, left=_MOST_HEDGES)
        self._sizes: TTLCache[tuple[str, Digest], int | None] = TTLCache(_MAX_DESCRIBED, _DESCRIBED_FOR)
        self._cache = failover.Budget(share=_REPEATED, left=_MOST_REPEATS)

    @property
    def is_backing_off(self) -> bool:
        return all(self._health.is_backing_off(host) for host in self._health.candidates(Trust.RESOLVE))

    def hosts(self) -> list[HostStatus]:
        refused = {host.url: client.refused_credentials for host, client in self._clients.items()}
        return [replace(status, refused_credentials=refused[status.url]) for status in self._health.statuses()]

    @property
    def is_idle(self) -> bool:
        """Whether none of its hosts is being asked."""
        return not any(client.under_way for client in self._clients.values())

    @property
    def has_answered(self) -> bool:
        """Whether a host ever gave what it was asked for."""
        return any(self._health[host].first_byte is not None for host in self._clients)

    @property
    def used_at(self) -> float:
        """When it last gave something, was asked, or was made, by a monotonic clock."""
        return max(client.used_at for client in self._clients.values())

    @property
    def has_caches(self) -> bool:
        return any(host.kind is HostKind.CACHE for host in self.upstream.hosts)

    @property
    def is_near(self) -> bool:
        best = next(iter(self._health.candidates(Trust.PULL)), None)
        if best is None:
            return False
        # A cache finds out by itself how a blob comes fastest; of what it does not have, parts would be fetched beside the whole.
        return best.kind is HostKind.CACHE or plan.is_near(self._health[best].first_byte, self._health[best].rate)

    def has_others(self, repository: Repository) -> bool:
        return len(self._refusals.order(self._health.senders(), repository.name)[0]) > 1

    def may_repeat(self) -> bool:
        return self._cache.spend()

    @property
    def revalidate_timeout(self) -> float:
        return self._own.revalidate

    @property
    def progress_timeout(self) -> float:
        return self._own.progress

    @property
    def quota(self) -> RateLimit | None:
        host = next(iter(self._health.candidates(Trust.RESOLVE)), None)
        return None if host is None else self._clients[host].throttles[Pool.MANIFEST].quota

    @property
    def is_scarce(self) -> bool:
        return all(host in self._scarce() for host in self._health.candidates(Trust.RESOLVE))

    async def resolve(self, reference: Reference) -> Digest | None:
        return await self._first(Trust.RESOLVE, reference.repository, lambda client: head_manifest(client, reference, _HANDSHAKE))

    async def manifest(self, reference: Reference) -> Manifest:
        return await self._first(_need(reference), reference.repository, lambda client: get_manifest(client, reference))

    async def confirm_manifest(self, reference: Reference) -> None:
        async def ask(client: HostClient) -> None:
            if await head_manifest(client, reference) is None:
                await get_manifest(client, reference)

        await self._first(Trust.RESOLVE, reference.repository, ask)

    async def examine(self, reference: Reference) -> list[HostFinding]:
        return list(await asyncio.gather(*(self._examined(client, reference) for client in self._clients.values())))

    async def _examined(self, client: HostClient, reference: Reference) -> HostFinding:
        began, digest, failure = time.monotonic(), None, None
        try:
            digest = await find_digest(client, reference)
        except UpstreamError as error:
            failure = detached(error)
        seconds = time.monotonic() - began
        who, realm = await client.identity(reference.repository.name)
        quota = client.throttles[Pool.MANIFEST].quota
        return HostFinding(str(client.host), client.host.trust, who, realm, seconds, digest, failure, quota)

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        key = repository.name, digest
        if key not in self._sizes:
            self._sizes[key] = await self._described(Trust.PULL, repository, digest)
        return self._sizes.get(key)

    async def confirm(self, repository: Repository, digest: Digest) -> None:
        await self._described(Trust.RESOLVE, repository, digest)

    async def _described(self, need: Trust, repository: Repository, digest: Digest) -> int | None:
        return await self._first(need, repository, partial(find_size, repository=repository, digest=digest))

    async def statement(self, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
        failure: UpstreamError = NotFound(f"no host of {self.upstream.name} is a cache")
        for host in self._health.candidates(Trust.PULL):
            try:
                if host.kind is HostKind.CACHE:
                    return await get_statement(self._clients[host], repository, digest, start, stop)
            except UpstreamError as error:
                failure = detached(error)
        raise failure

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[HostBody]:
        async def get(host: Host) -> HostBody:
            def opened(client: HostClient) -> Awaitable[HostBody]:
                return open_body(client, self._health, self._timeouts[host], repository, digest, start, stop)

            return await self._ask(Trust.PULL, host, repository, opened, for_blob=True)

        asked_last = [host for host in self.upstream.hosts if str(host) == last]
        hosts = self._health.candidates(Trust.PULL, from_the_middle=start > 0, last=asked_last, for_blob=True)
        self._hedges.earn()
        self._cache.earn()
        failures: list[tuple[Host, UpstreamError]] = []
        for each in self._refusals.order(hosts, repository.name):
            if is_answered(failures) or not each:
                continue
            found = await first_answer(each, get, lambda host: failover.hedge_after(self._health[host]), self._hedges.spend, HostBody.close)
            if not isinstance(found, list):
                break
            failures += found
        else:
            raise detached(verdict(self.upstream.name, failures))
        try:
            yield found
        finally:
            await found.close()

    async def tags(self, repository: Repository, query: str, host: str = "") -> TagPage | None:
        async def get(client: HostClient) -> TagPage | None:
            return await self._tag_pages.page(client, repository, query)

        if not host:
            return await self._first(Trust.RESOLVE, repository, get, self._list)
        resolvers = [each for each in self.upstream.hosts if Trust.RESOLVE in each.trust]
        asked = next((each for each in resolvers if token(each) == host), None)
        if asked is None:
            return None
        try:
            return await self._list(asked, repository, get)
        except (Throttled, Unavailable, Corrupt):
            if len(resolvers) > 1:
                return None  # another one knows the list, if not the query
            raise

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        try:
            return await self._first(Trust.RESOLVE, repository, lambda client: referrers(client, repository, digest), self._list)
        except NotFound:
            return None

    async def login(self) -> bool | None:
        """Report whether who asks is known to the registry, by the word of a host that is shown credentials; None where none tells."""
        for host in self._health.candidates(Trust.RESOLVE):
            with suppress(UpstreamError):
                if host.is_shown_credentials and (found := await self._clients[host].login()) is not None:
                    return found
        return None

    def refuse(self, why: str) -> None:
        """Ask no host any more, and raise `LocalResourceError` that says *why*."""
        for client in self._clients.values():
            client.refusal = why

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _first(self, need: Trust, repository: Repository, call: Call[Result], ask: Ask[Result] | None = None) -> Result:
        """Ask host after host; what counts in the end is what a trusted one said."""
        ask = ask or partial(self._ask, need)
        failures: list[tuple[Host, UpstreamError]] = []
        hosts, refusing = self._refusals.order(self._health.candidates(need, last=self._scarce()), repository.name)
        for host in [*hosts, *refusing]:
            if host in refusing and is_answered(failures):
                break
            try:
                return await ask(host, repository, call)
            except UpstreamError as error:
                failures.append((host, detached(error)))
        raise detached(verdict(self.upstream.name, failures))

    async def _list(self, host: Host, repository: Repository, call: Call[Result]) -> Result:  # noqa: ARG002  as `_ask`
        """Ask one host for a list, and remember nothing of how that went: a list is slow, or fails, where manifests and blobs are well."""
        return await call(self._clients[host])

    async def _ask(self, need: Trust, host: Host, repository: Repository, call: Call[Result], *, for_blob: bool = False) -> Result:
        """Ask one host, and remember how that went."""
        self._health.asked(host, for_blob=for_blob)
        began = time.monotonic()
        try:
            result = await call(self._clients[host])
        except UpstreamError as error:
            self._health.failed(host, error)
            self._refusals.failed(host, repository.name, error, is_content=need is Trust.PULL)
            raise
        self._health.answered(host, time.monotonic() - began)
        self._refusals.answered(host, repository.name)
        return result

    def _scarce(self) -> set[Host]:
        return {host for host, client in self._clients.items() if client.throttles[Pool.MANIFEST].is_scarce}


def _need(reference: Reference) -> Trust:
    return Trust.RESOLVE if isinstance(reference.target, Tag) else Trust.PULL
