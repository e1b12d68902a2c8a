"""An upstream: what it is asked for, and how its hosts are doing."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from regproxy.oci.digest import Digest
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.fleet.signed_hash import Statement
from regproxy.policy.routing import Trust
from regproxy.ports.errors import UpstreamError


class BlobBody(Protocol):
    """A part of a blob, or all of it, on its way from one host of an upstream; its text names the host."""

    @property
    def start(self) -> int:
        """Where in the blob the first byte belongs: what was asked for, or 0 where the host sends the whole whatever it is asked."""

    @property
    def stop(self) -> int | None:
        """Where in the blob it will end; None where that was not said."""

    @property
    def size(self) -> int | None:
        """The length of the whole blob that the host promised, in bytes; None where it promised none."""

    def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they arrive, with not much more than *ahead* of them in memory.

        Raise `Unavailable` where they stop coming, or come so slowly that it is not worth waiting.
        """

    def pause(self) -> None:
        """Stop reading until more is asked for; little of what was already sent comes before."""

    @property
    def is_untrusted(self) -> bool:
        """Whether its host is not trusted with more than content, and has sent nothing yet that was known to be right."""

    def confirm(self) -> None:
        """Record that the bytes were right."""

    def reject(self) -> None:
        """Record that the bytes were corrupt: their sender is asked last for a long while."""

    def suspect(self) -> None:
        """Record that the bytes may have been corrupt: their sender is asked last for a short while."""


@dataclass(frozen=True, slots=True)
class TagPage:
    """Some tags in upstream's order, and by which query the host that sent them gives those that follow."""

    tags: tuple[str, ...]
    host: str
    next_query: str | None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """How a host of an upstream is doing; durations in seconds, None where nothing was measured."""

    url: str
    rank: int  # 1: asked first for a blob
    backoff_seconds: float
    first_byte: float | None
    bytes_per_second: float | None
    failures: float  # remembered; they fade
    corrupt_responses: int
    honours_ranges: bool
    last_error: str
    refused_credentials: str = ""  # why they are, whatever is asked for


@dataclass(frozen=True, slots=True)
class HostFinding:
    """What one host answered about a manifest when it was only examined."""

    host: str
    trust: frozenset[Trust]
    credential: str  # named, never shown
    realm: str  # the token service, if it has one
    seconds: float
    digest: Digest | None
    failure: UpstreamError | None
    quota: RateLimit | None


class Watched(Protocol):
    """How one upstream is doing."""

    @property
    def is_backing_off(self) -> bool:
        """Whether everyone who may resolve a tag failed a moment ago."""

    @property
    def is_scarce(self) -> bool:
        """Whether everyone who may resolve a tag has few pulls left for us."""

    async def examine(self, reference: Reference) -> list[HostFinding]:
        """Ask every host by HEAD, changing nothing; raise nothing."""

    def hosts(self) -> list[HostStatus]:
        """Return of each host how it is doing, best first."""


class Registry(Watched, Protocol):
    """One upstream, however many hosts serve it. Every method raises `UpstreamError`."""

    @property
    def revalidate_timeout(self) -> float:
        """How many seconds a client waits for its word on a tag that is known."""

    @property
    def progress_timeout(self) -> float:
        """How many seconds a client of one of its blobs is left without a byte."""

    @property
    def quota(self) -> RateLimit | None:
        """How many pulls the one who is asked first about tags said that are left for us; None where it never said."""

    async def resolve(self, reference: Reference) -> Digest | None:
        """Ask hosts trusted to resolve, by HEAD, which digest a manifest's reference has now; None where the answer has none."""

    async def manifest(self, reference: Reference) -> Manifest:
        """Fetch a manifest by GET, verified."""

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        """Ask any host for the size of the blob *digest* of *repository*; None where it is not answered. It proves no permission."""

    async def confirm(self, repository: Repository, digest: Digest) -> None:
        """Make sure that *repository* holds the blob *digest*, by the word of a host that is trusted to resolve.

        Any other host may say so of what it has never seen, and so open to everyone what another repository keeps to itself.
        """

    async def confirm_manifest(self, reference: Reference) -> None:
        """Make sure that a manifest can be had, by the word of a host that is trusted to resolve: to a GET, where a HEAD does not tell."""

    @property
    def is_near(self) -> bool:
        """Whether one request for all of a blob is the best plan: its best host is near and fast, or a cache that plans by itself."""

    def has_others(self, repository: Repository) -> bool:
        """Whether more than one host may send blobs of *repository*: none of those that rest, or that refused it."""

    def may_repeat(self) -> bool:
        """Spend one of the few repetitions of requests that brought nothing, and report whether there was one."""

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        """Open a blob from *start* to *stop*, or to its end, at whichever host is best; the bytes are unverified.

        A host that failed, here or while it sent, is asked last next time: asking again is how a broken transfer goes on. So is the one
        that is called *last*.
        """

    @property
    def has_caches(self) -> bool:
        """Whether a host of it is a cache, which may state hashes."""

    async def statement(self, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
        """Ask its caches what bytes *start* to *stop* of a blob are, or those of them that there are; None: they have not got them yet."""

    async def tags(self, repository: Repository, query: str, host: str = "") -> TagPage | None:
        """List the tags that *query* asks for, with fewer in a page where upstream takes no page of that size.

        Ask the *host* that gave the query, if one did; return None where it does not understand the query, or is no more.
        """

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        """List the descriptors of what refers to *digest*; None where upstream has no such API."""

    async def close(self) -> None:
        """Close all connections."""
