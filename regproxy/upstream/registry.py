"""One upstream, however many hosts serve it (port Registry)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeAlias, TypeVar

import aiohttp
from cachetools import TTLCache

from regproxy.config import Timeouts
from regproxy.oci.digest import Digest
from regproxy.oci.http.byterange import parse_content_range
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.routing import Host, HostKind, Trust, Upstream
from regproxy.policy.upstream import failover, plan
from regproxy.ports import (
    Answer,
    Corrupt,
    Fleet,
    HostFinding,
    HostStatus,
    InvalidContent,
    LocalResourceError,
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
from regproxy.upstream.host import HostClient, HostRequest
from regproxy.upstream.listings import TagPages, referrers, token
from regproxy.upstream.manifests import get_manifest, head_manifest

_MAX_DESCRIBED = 10_000  # blobs whose size was asked for, some 4 MB
_DESCRIBED_FOR = 10.0  # seconds that a size is remembered: a client that asks by HEAD again and again is one request
_HANDSHAKE = 0.9  # seconds; when a record is at hand, a host that does not even shake hands is not worth a client's second
_HEDGED = 0.03  # of the requests for blobs may be asked of two hosts at once
_MOST_HEDGES = 3.0  # in a row, before that share is earned
_REPEATED = 0.1  # of the requests for blobs may be repetitions of one that brought nothing
_MOST_REPEATS = 20.0  # in a row

Result = TypeVar("Result")
Call: TypeAlias = Callable[[HostClient], Awaitable[Result]]


class UpstreamRegistry:
    """Asks an upstream's hosts in turn until one gives an answer."""

    def __init__(self, upstream: Upstream, timeouts: Timeouts, fleet: Fleet) -> None:
        """Open nothing yet."""
        self._upstream = upstream
        is_alone = len(upstream.hosts) == 1
        self._timeouts = {host: timeouts.of(dict(upstream.timeouts + host.timeouts), is_alone=is_alone) for host in upstream.hosts}
        self._clients = {host: HostClient(upstream.name, host, own, fleet, upstream.aliases) for host, own in self._timeouts.items()}
        self._own = timeouts.of(dict(upstream.timeouts), is_alone=is_alone)
        self._health = Health(upstream)
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
    def is_near(self) -> bool:
        best = next(iter(self._health.candidates(Trust.PULL)), None)
        if best is None:
            return False
        # A cache finds out by itself how a blob comes fastest; of what it does not have, parts would be fetched beside the whole.
        return best.kind is HostKind.CACHE or plan.is_near(self._health[best].first_byte, self._health[best].rate)

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
        async def head(client: HostClient) -> Digest | None:
            return await head_manifest(client, reference, _HANDSHAKE)

        return await self._first(Trust.RESOLVE, head)

    async def manifest(self, reference: Reference) -> Manifest:
        return await self._first(_need(reference), lambda client: get_manifest(client, reference))

    async def confirm_manifest(self, reference: Reference) -> None:
        async def ask(client: HostClient) -> None:
            if await head_manifest(client, reference) is None:
                await get_manifest(client, reference)

        await self._first(Trust.RESOLVE, ask)

    async def examine(self, reference: Reference) -> list[HostFinding]:
        return list(await asyncio.gather(*(self._examined(client, reference) for client in self._clients.values())))

    async def _examined(self, client: HostClient, reference: Reference) -> HostFinding:
        began, digest, failure = time.monotonic(), None, None
        try:
            digest = await head_manifest(client, reference) or (await get_manifest(client, reference)).descriptor.digest
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
        async def head(client: HostClient) -> int | None:
            rest = f"blobs/{digest}"
            try:
                async with client.ask(HostRequest("HEAD", repository.name, rest, Pool.MANIFEST)) as response:
                    if response.status == 200 and (size := _length(response, digest)) is not None:
                        return size
            except (Answer, Unavailable):
                pass  # where it redirects may take no HEAD, or the host none: GET tells
            async with client.ask(HostRequest("GET", repository.name, rest, Pool.BLOB, {"Range": "bytes=0-0"})) as response:
                if response.status == 206:
                    part = parse_content_range(response.headers.get("Content-Range"))
                    return part.size if part else None
                return _length(response, digest)

        return await self._first(need, head)

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[HostBody]:
        async def get(host: Host) -> HostBody:
            def opened(client: HostClient) -> Awaitable[HostBody]:
                return open_body(client, self._health, self._timeouts[host], repository, digest, start, stop)

            return await self._ask(host, opened, for_blob=True)

        asked_last = [host for host in self._upstream.hosts if str(host) == last]
        hosts = self._health.candidates(Trust.PULL, from_the_middle=start > 0, last=asked_last, for_blob=True)
        self._hedges.earn()
        self._cache.earn()
        found = await first_answer(hosts, get, lambda host: failover.hedge_after(self._health[host]), self._hedges.spend, HostBody.close)
        if isinstance(found, list):
            raise detached(_verdict(self._upstream.name, found))
        try:
            yield found
        finally:
            await found.close()

    async def tags(self, repository: Repository, query: str, host: str = "") -> TagPage | None:
        async def get(client: HostClient) -> TagPage | None:
            return await self._tag_pages.page(client, repository, query)

        if not host:
            return await self._first(Trust.RESOLVE, get, self._list)
        resolvers = [each for each in self._upstream.hosts if Trust.RESOLVE in each.trust]
        asked = next((each for each in resolvers if token(each) == host), None)
        if asked is None:
            return None
        try:
            return await self._list(asked, get)
        except (Throttled, Unavailable, Corrupt):
            if len(resolvers) > 1:
                return None  # another one knows the list, if not the query
            raise

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        try:
            return await self._first(Trust.RESOLVE, lambda client: referrers(client, repository, digest), self._list)
        except NotFound:
            return None

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _first(self, need: Trust, call: Call[Result], ask: Callable[[Host, Call[Result]], Awaitable[Result]] | None = None) -> Result:
        """Ask host after host; what counts in the end is what a trusted one said."""
        ask = ask or self._ask
        failures: list[tuple[Host, UpstreamError]] = []
        for host in self._health.candidates(need, last=self._scarce()):
            try:
                return await ask(host, call)
            except UpstreamError as error:
                failures.append((host, detached(error)))
        raise detached(_verdict(self._upstream.name, failures))

    async def _list(self, host: Host, call: Call[Result]) -> Result:
        """Ask one host for a list, and remember nothing of how that went: a list is slow, or fails, where manifests and blobs are well."""
        return await call(self._clients[host])

    async def _ask(self, host: Host, call: Call[Result], *, for_blob: bool = False) -> Result:
        """Ask one host, and remember how that went."""
        self._health.asked(host, for_blob=for_blob)
        began = time.monotonic()
        try:
            result = await call(self._clients[host])
        except UpstreamError as error:
            self._health.failed(host, error)
            raise
        self._health.answered(host, time.monotonic() - began)
        return result

    def _scarce(self) -> set[Host]:
        return {host for host, client in self._clients.items() if client.throttles[Pool.MANIFEST].is_scarce}


def _need(reference: Reference) -> Trust:
    return Trust.RESOLVE if isinstance(reference.target, Tag) else Trust.PULL


def _verdict(upstream: str, failures: list[tuple[Host, UpstreamError]]) -> UpstreamError:
    """Choose the failure to report: an answer of a host trusted to resolve, else a throttle, else the outage."""
    if len(failures) == 1:
        return failures[0][1]
    for host, error in failures:
        if isinstance(error, Answer) and Trust.RESOLVE in host.trust:
            return error
    for _, error in failures:
        if isinstance(error, InvalidContent):  # by its digest: whoever sent it, that is what it is
            return error
    for _, error in failures:
        if isinstance(error, Throttled | LocalResourceError):
            return error
    silent = all(isinstance(error, Unavailable) and error.timed_out for _, error in failures)
    return Unavailable(f"no host of {upstream} answered: " + "; ".join(str(error) for _, error in failures), timed_out=silent)


def _length(response: aiohttp.ClientResponse, digest: Digest) -> int | None:
    """Return a blob's length by a response, unless it is an impossible 0 (some hosts answer so to every HEAD) or of a refusal."""
    is_empty = digest == Digest.of(b"", digest.algorithm)
    if is_empty and response.status in {200, 416}:
        return 0
    return response.content_length or None if response.status == 200 else None
