"""One upstream, however many hosts serve it (port Registry)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeAlias, TypeVar

import aiohttp
from cachetools import TTLCache

from regproxy import large
from regproxy.config import Timeouts
from regproxy.oci.digest import Digest, DigestMismatch, InvalidDigest
from regproxy.oci.document import TooManyValues, parse_json
from regproxy.oci.http.byterange import parse_content_range
from regproxy.oci.http.link import next_query
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import ACCEPT, LIMIT, OCI_INDEX, InvalidManifest, Manifest
from regproxy.oci.reference import InvalidName, Reference, Repository, Tag
from regproxy.policy.paging import page_size, smaller_pages
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
    UnexpectedResponse,
    UpstreamError,
    detached,
)
from regproxy.telemetry import metrics
from regproxy.upstream.body import HostBody, open_body
from regproxy.upstream.connections import Pool, paused, read_at_most
from regproxy.upstream.health import Health
from regproxy.upstream.hedging import first_answer
from regproxy.upstream.host import HostClient, HostRequest

_LISTING_LIMIT = 8 * 1024 * 1024  # 60,000 tags of the longest kind
_MOST_PAGES = 20  # of referrers, each up to 4 MiB by the spec; more is an attack
_BAD_QUERIES = frozenset({400, 405, 409, 410, 412, 413, 414, 416, 422, 431})  # a page of that size, or what `last` or a cursor means
_MAX_DESCRIBED = 10_000  # blobs whose size was asked for, some 4 MB
_DESCRIBED_FOR = 10.0  # seconds that a size is remembered: a client that asks by HEAD again and again is one request
_HANDSHAKE = 0.9  # seconds; when a record is at hand, a host that does not even shake hands is not worth a client's second
_HEDGED = 0.03  # of the requests for blobs may be asked of two hosts at once
_MOST_HEDGES = 3.0  # in a row, before that share is earned
_REPEATED = 0.1  # of the requests for blobs may be repetitions of one that brought nothing
_MOST_REPEATS = 20.0  # in a row

_NO_REFERRERS = frozenset({400, 404, 405, 406, 500, 501})  # what registries without the API say to it (public reports, by registry)

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
        self._page_sizes: dict[Host, int] = {}  # of tag lists, where a host took no larger page; 0: it takes no size at all
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
            return await self._head(client, reference, _HANDSHAKE)

        return await self._first(Trust.RESOLVE, head)

    async def manifest(self, reference: Reference) -> Manifest:
        return await self._first(_need(reference), lambda client: self._manifest(client, reference))

    async def confirm_manifest(self, reference: Reference) -> None:
        async def ask(client: HostClient) -> None:
            if await self._head(client, reference) is None:
                await self._manifest(client, reference)

        await self._first(Trust.RESOLVE, ask)

    async def _head(self, client: HostClient, reference: Reference, connect: float | None = None) -> Digest | None:
        """Ask for the digest alone; a refusal may be of the method, so it tells nothing."""
        try:
            async with client.ask(_manifest_question("HEAD", reference, connect)) as response:
                return _claimed_digest(response) if response.status == 200 else None
        except Answer:
            return None

    async def _manifest(self, client: HostClient, reference: Reference) -> Manifest:
        async with (
            client.ask(_manifest_question("GET", reference)) as response,
            self._body(client, response, LIMIT, "a manifest", InvalidContent) as body,
        ):
            claimed = _claimed_digest(response)
            return await large.parsed(len(body), lambda: _verified(client.host, reference, body, claimed))

    async def examine(self, reference: Reference) -> list[HostFinding]:
        return list(await asyncio.gather(*(self._examined(client, reference) for client in self._clients.values())))

    async def _examined(self, client: HostClient, reference: Reference) -> HostFinding:
        began, digest, failure = time.monotonic(), None, None
        try:
            digest = await self._head(client, reference) or (await self._manifest(client, reference)).descriptor.digest
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
            return await self._tag_page(client, repository, query)

        if not host:
            return await self._first(Trust.RESOLVE, get, self._list)
        resolvers = [each for each in self._upstream.hosts if Trust.RESOLVE in each.trust]
        asked = next((each for each in resolvers if _token(each) == host), None)
        if asked is None:
            return None
        try:
            return await self._list(asked, get)
        except (Throttled, Unavailable, Corrupt):
            if len(resolvers) > 1:
                return None  # another one knows the list, if not the query
            raise

    async def _tag_page(self, client: HostClient, repository: Repository, query: str) -> TagPage | None:
        """Ask one host; what it says to a query that is more than a size is for our caller to understand."""
        pages = list(smaller_pages(query, self._page_sizes.get(client.host)))
        for number, each in enumerate(pages, 1):
            is_last = number == len(pages)
            understood = _BAD_QUERIES if not is_last or each else frozenset[int]()
            rest = f"tags/list?{each}" if each else "tags/list"
            accept = {"Accept": "application/json"}
            async with client.ask(HostRequest("GET", repository.name, rest, Pool.LIST, accept, understood=understood)) as response:
                if response.status in understood:
                    continue
                document = await self._document(client, response, "a list of tags")
                if number > 1:
                    self._page_sizes[client.host] = page_size(each) or 0
                following = next_query(response.headers.getall("Link", []))
                is_there_more = following is not None and following not in {each, query}  # else it would go on for ever
                return TagPage(_tags(document.get("tags")), _token(client.host), following if is_there_more else None)
        return None

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        async def get(client: HostClient) -> list[dict[str, object]]:
            found: list[dict[str, object]] = []
            size, rest = 0, f"referrers/{digest}"
            for _ in range(_MOST_PAGES):
                accept = {"Accept": OCI_INDEX}
                async with client.ask(HostRequest("GET", repository.name, rest, Pool.LIST, accept, understood=_NO_REFERRERS)) as response:
                    if response.status in _NO_REFERRERS:
                        raise NotFound(f"{client.host} has no referrers of {digest} ({response.status})")
                    document = await self._document(client, response, "a list of referrers")
                    page = [item for item in _list(document.get("manifests")) if isinstance(item, dict)]
                    query = next_query(response.headers.getall("Link", []))
                    size += len(json.dumps(page)) if query is not None or found else 0
                if size > _LISTING_LIMIT:
                    raise UnexpectedResponse(f"{client.host} has more than {_LISTING_LIMIT} bytes of referrers of {digest}")
                found += page
                if query is None:
                    return found
                rest = f"referrers/{digest}?{query}"
            raise UnexpectedResponse(f"{client.host} has more than {_MOST_PAGES} pages of referrers of {digest}")

        try:
            return await self._first(Trust.RESOLVE, get, self._list)
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

    async def _document(self, client: HostClient, response: aiohttp.ClientResponse, what: str) -> dict[str, Any]:
        async with self._body(client, response, _LISTING_LIMIT, what) as body:
            try:
                document = await large.parsed(len(body), lambda: parse_json(body))
            except ValueError:
                document = None
        if not isinstance(document, dict):
            raise UnexpectedResponse(f"{client.host} sent {what} that is not a JSON object")
        return document

    @asynccontextmanager
    async def _body(
        self,
        client: HostClient,
        response: aiohttp.ClientResponse,
        limit: int,
        what: str,
        over: type[UpstreamError] = UnexpectedResponse,
    ) -> AsyncIterator[bytes]:
        async with AsyncExitStack() as room:
            with client.connections.translated(response.url):
                body = await read_at_most(response, limit, what, over, room)
            metrics.UPSTREAM_BYTES.labels(self._upstream.name, str(client.host)).inc(len(body))
            async with paused(response):
                yield body


def _need(reference: Reference) -> Trust:
    return Trust.RESOLVE if isinstance(reference.target, Tag) else Trust.PULL


def _verdict(upstream: str, failures: list[tuple[Host, UpstreamError]]) -> UpstreamError:
    """Choose the failure to tell: an answer of a host trusted to resolve, else a pause, else the outage."""
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


def _verified(host: Host, reference: Reference, body: bytes, claimed: Digest | None) -> Manifest:
    """Make a manifest of what *host* sent; raise `UpstreamError` that says whose fault it is where that is none.

    What matches its digest is its author's, and so is JSON that the host of a tag sent; *claimed* is the digest that came with it.
    """
    expected = reference.target if isinstance(reference.target, Digest) else None
    try:
        return Manifest.verify(body, expected or _named_otherwise(claimed))
    except DigestMismatch as error:
        metrics.CORRUPT.inc()
        raise Corrupt(f"{host} sent wrong bytes for {reference}: {error}") from error
    except InvalidManifest as error:
        if expected is None and not _is_authors(body, claimed):
            raise UnexpectedResponse(f"{host} sent something else than a manifest for {reference}: {error}") from error
        raise InvalidContent(f"{reference} is no manifest that can be served, which is its author's fault: {error}") from error


def _is_authors(body: bytes, claimed: Digest | None) -> bool:
    """Return what a registry was given as a manifest from a web page, and from one that was cut on its way."""
    if not body.lstrip().startswith(b"{"):
        return False
    if claimed is not None and claimed == Digest.of(body, claimed.algorithm):
        return True
    try:
        return isinstance(parse_json(body), dict)
    except TooManyValues:
        return True
    except ValueError:
        return False


def _length(response: aiohttp.ClientResponse, digest: Digest) -> int | None:
    """Take the length that a response gives a blob, unless that is a 0 that cannot be (some say so to every HEAD), or of a refusal."""
    is_empty = digest == Digest.of(b"", digest.algorithm)
    if is_empty and response.status in {200, 416}:
        return 0
    return response.content_length or None if response.status == 200 else None


def _claimed_digest(response: aiohttp.ClientResponse) -> Digest | None:
    try:
        return Digest.parse(response.headers.get("Docker-Content-Digest", "").strip('"'))
    except InvalidDigest:
        return None


def _named_otherwise(claimed: Digest | None) -> Digest | None:
    """Return the digest that upstream names a tag's manifest by, where that is not the usual sha256: it may know it by no other."""
    return claimed if claimed is not None and claimed.algorithm != "sha256" else None


def _manifest_question(method: str, reference: Reference, connect: float | None = None) -> HostRequest:
    return HostRequest(
        method,
        reference.repository.name,
        f"manifests/{reference.target}",
        Pool.MANIFEST,
        {"Accept": ACCEPT},
        connect=connect,
        is_verified=method == "GET" and isinstance(reference.target, Digest),
    )


def _tags(found: object) -> tuple[str, ...]:
    """Keep upstream's order, and what can be pulled."""
    tags: dict[str, None] = {}
    for item in _list(found):
        try:
            tags[Tag.parse(str(item)).name] = None
        except InvalidName:
            continue
    return tuple(tags)


def _token(host: Host) -> str:
    """Distinguish hosts of an upstream without telling clients their addresses."""
    return sha256(f"{host.url}/{host.prefix}".encode()).hexdigest()[:16]


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []  # Huawei SWR: "tags": null
