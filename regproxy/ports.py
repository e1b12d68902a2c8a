"""The doors between deciding and acting: what the use cases ask of the world, and what it may answer.

UpstreamError            an upstream could not give what was asked
+- NotFound              it has no such thing: an answer, not an outage
+- Refused               it will not give it to us (401, 403): an answer, not an outage
+- Throttled             it wants to be left alone for a while (429)
+- Unavailable           it did not answer, or not in time, or with 5xx
+- Corrupt               it answered, and the answer is wrong
StoreError               the store could not keep or give content
+- Busy                  somebody else is writing this content
+- Full                  there is no room
+- Gone                  what was left behind is no longer there
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.ratelimit import RateLimit
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.eviction import Candidate, Shares
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Secret, Trust
from regproxy.policy.tokens import Token


class UpstreamError(Exception):
    """An upstream could not give what was asked; the message says which, what and whose fault."""


class NotFound(UpstreamError):
    """It has no such thing."""


class Refused(UpstreamError):
    """It will not give it to us."""

    def __init__(self, message: str, *, whatever_asked: bool = False) -> None:
        """Say whether it would give us nothing else either: who we say we are is wrong."""
        super().__init__(message)
        self.whatever_asked = whatever_asked


class Throttled(UpstreamError):
    """It wants to be left alone."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Take the pause it asked for, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(UpstreamError):
    """It did not answer, or not in time, or with an error of its own."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Say whether it was silent rather than broken."""
        super().__init__(message)
        self.timed_out = timed_out


class Corrupt(UpstreamError):
    """What it sent is not what it should be."""


class StoreError(Exception):
    """The store could not keep or give content."""


class Full(StoreError):
    """There is no room for it."""


class Gone(StoreError):
    """What was left behind is no longer there."""


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

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they arrive; raise `Unavailable` where they stop coming, or come so slowly that it is not worth waiting."""

    def reject(self) -> None:
        """Tell that the bytes were wrong: whoever sent them is asked last for a long while."""

    def suspect(self) -> None:
        """Tell that the bytes may have been wrong: whoever sent them is asked last for a short while."""


@dataclass(frozen=True, slots=True)
class TagPage:
    """Some tags in order, and whether there are more."""

    tags: tuple[str, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class HostStatus:
    """How a host of an upstream is doing; durations in seconds, None where nothing was measured."""

    url: str
    rank: int  # 1: asked first for a blob
    rests_for: float
    first_byte: float | None
    bytes_per_second: float | None
    failures: float  # remembered; they fade
    lies: int
    honours_ranges: bool
    last_error: str


@dataclass(frozen=True, slots=True)
class HostFinding:
    """What one host says about a manifest when it is asked just to find out."""

    host: str
    trust: frozenset[Trust]
    credential: str  # named, never shown
    realm: str  # the token service, if it has one
    seconds: float
    digest: Digest | None
    failure: UpstreamError | None
    quota: RateLimit | None


class Registry(Protocol):
    """One upstream, however many hosts serve it. Every method raises `UpstreamError`."""

    @property
    def is_resting(self) -> bool:
        """Whether everyone who may resolve a tag failed a moment ago."""

    @property
    def is_scarce(self) -> bool:
        """Whether everyone who may resolve a tag has few pulls left for us."""

    async def resolve(self, reference: Reference) -> Digest | None:
        """Ask by HEAD what a manifest's reference means now; None where the answer does not tell."""

    async def manifest(self, reference: Reference) -> Manifest:
        """Fetch a manifest by GET, verified."""

    async def examine(self, reference: Reference) -> list[HostFinding]:
        """Ask every host by HEAD, changing nothing; raise nothing."""

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        """Make sure that *repository* holds the blob *digest*; give its size where upstream tells."""

    def hosts(self) -> list[HostStatus]:
        """Tell of each host how it is doing, best first."""

    @property
    def is_near(self) -> bool:
        """Whether whoever is best for a blob is so near and fast that one request for all of it is the best plan."""

    def may_repeat(self) -> bool:
        """Take the right to ask once more after a request that brought nothing, and say whether there was one: they are few."""

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        """Open a blob from *start* to *stop*, or to its end, at whichever host is best; the bytes are unverified.

        A host that failed, here or while it sent, is asked last next time: asking again is how a broken transfer goes on. So is the one
        that is called *last*.
        """

    async def tags(self, repository: Repository, last: str, most: int | None) -> TagPage:
        """List tags after *last*, at most *most* where the upstream minds that."""

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        """List the descriptors of what refers to *digest*; None where upstream has no such API."""

    async def close(self) -> None:
        """Let go of all connections."""


class TokenCache(Protocol):
    """Tokens that other replicas asked for. It never raises and is never needed."""

    async def token(self, key: Secret) -> Token | None: ...

    def put_token(self, key: Secret, token: Token) -> None:
        """Share a token, behind the answer."""


class TagCache(Protocol):
    """What other replicas found tags to mean. It never raises and is never needed."""

    async def tag(self, reference: Reference) -> TagRecord | None: ...

    def put_tag(self, reference: Reference, record: TagRecord) -> None:
        """Share a record, behind the answer."""


class Leases(Protocol):
    """Whose turn it is. It never raises, and at worst two do the same."""

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for a while until nobody else is at *name*."""


class Fleet(TokenCache, TagCache, Leases, Protocol):
    """All that replicas share."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Where bytes lie: a file, an offset in it, how many, and whether they stay as they are."""

    file: BinaryIO
    offset: int
    length: int
    is_lasting: bool = True  # else they must be copied: what sendfile has sent refers to its pages until the client has it


class Content(Protocol):
    """Bytes that lie in files, all of them or those that have arrived; release it when done."""

    @property
    def size(self) -> int: ...

    async def extent(self, start: int, stop: int) -> Extent:
        """Wait for bytes from *start* on, and tell where some of those before *stop* lie that may be sent.

        Asking says that what is before *start* will not be asked for again. Raise what keeps the bytes from coming.
        """

    async def spoiled(self) -> None:
        """Put it aside: its bytes cannot be read."""

    def release(self) -> None: ...


class Ingest(Protocol):
    """Content on its way in, invisible until `commit`.

    Where the store has no room for it, or fails on the way, it still passes through: those who read get every byte, as fast as the
    slowest of them reads, and `commit` says why it was not kept.
    """

    @property
    def is_whole(self) -> bool:
        """Whether all that was written can still be read, by somebody who joins now."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append and hash at most 8 MiB; raise `StoreError` where they cannot be kept and nobody reads."""

    def extent(self, start: int, stop: int) -> Extent:
        """Tell where some of what was written from *start* on lies, up to *stop* at most; raise `StoreError` where it is gone."""

    def follow(self, slowest: Callable[[], int | None]) -> None:
        """Learn how to find out where the slowest reader is; None where nobody reads. It is asked only where that matters."""

    def moved(self) -> None:
        """Learn that a reader has moved on or left."""

    def verify(self) -> None:
        """Raise `DigestMismatch` unless what was written is what it should be."""

    async def commit(self) -> None:
        """Verify, make durable, give it its name; raise `DigestMismatch` or `StoreError`."""

    def leave(self) -> None:
        """Keep what was written so far for somebody to go on with, whatever `discard` says later."""

    async def discard(self) -> None:
        """Forget what was not committed; those who read it may read on."""

    def close(self) -> None: ...


class Spool(Protocol):
    """A file without a name, for what has to be read here and there before it can be kept; it takes room until it is closed."""

    file: BinaryIO

    async def write(self, chunk: bytes) -> None:
        """Append; raise `StoreError`."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies in the store: its name, its size in bytes, when it was written, in epoch seconds."""

    digest: Digest
    size: int
    modified_at: float


class BlobStore(Protocol):
    """Content by digest. Nothing in it is unverified."""

    @property
    def opened_at(self) -> float:
        """When this process began to use the store, in epoch seconds of its file system."""

    @property
    def interrupted_at(self) -> float | None:
        """When the last process to use the store was last seen alive, in epoch seconds, if it did not end in order."""

    async def open(self, digest: Digest, size: int) -> Content | None:
        """Open content of exactly *size* bytes; None where there is none such, whatever lies in its place."""

    async def read(self, digest: Digest, size: int) -> bytes | None:
        """Read and verify small content; None where there is none such."""

    async def write(self, digest: Digest, body: bytes) -> None:
        """Keep small content; raise `DigestMismatch` or `StoreError`."""

    async def resumable(self, digest: Digest) -> int:
        """Tell how many bytes of content are here already, left behind by a fill that came to no end; raise `StoreError`."""

    async def ingest(self, digest: Digest, size: int | None, start: int = 0) -> Ingest:
        """Begin to keep content of *size* bytes, as far as that is known, or go on after its first *start*; raise `Gone`."""

    async def spool(self, size: int) -> Spool:
        """Take room for *size* bytes; raise `StoreError`."""

    async def remove(self, digest: Digest) -> int:
        """Remove content, and tell how many bytes that frees; those who read it read on. Raise `StoreError`."""

    async def lying(self, shelf: str) -> list[Lying]:
        """List all content whose digest begins with the two digits *shelf*; raise `StoreError`."""

    async def verify(self, digest: Digest) -> int | None:
        """Read and hash content and tell its size; put it aside and say None where it is not right. Raise `StoreError`."""

    def mended(self) -> None:
        """Learn that what an interruption may have damaged has been looked at."""

    def count(self, size: int) -> None:
        """Take into account that *size* more bytes lie in the store than it knew of, or less where it is negative."""

    async def shortage(self) -> int:
        """Wait until content has to go, and tell how many bytes of it."""

    async def look(self) -> None:
        """Look at what others have left of the file system; raise `StoreError`."""

    async def check(self) -> str | None:
        """Read for real, or raise `StoreError`; tell why nothing can be kept at the moment."""


class Kind(Enum):
    """What content was pulled as. A manifest fetched as a blob has no media type, so the two are kept apart."""

    MANIFEST = "manifest"
    BLOB = "blob"


class Index(Protocol):
    """What is known about content and tags. It may be lost: the store and upstream are the truth."""

    async def tag(self, reference: Reference) -> TagRecord | None: ...

    async def put_tag(self, reference: Reference, record: TagRecord) -> None: ...

    async def drop_tag(self, reference: Reference) -> None: ...

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        """Describe content that *repository* is known to hold."""

    async def known(self, kind: Kind, digest: Digest) -> Descriptor | None:
        """Describe content, whoever holds it."""

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor, children: Collection[Digest] = ()) -> None:
        """Record that *repository* holds the content, which needs *children*; the first media type recorded for a digest stays."""

    async def digest_named(self, reference: str) -> Digest | None:
        """Give the digest that a tag has on record, where *reference* names exactly one."""

    async def freezes(self) -> Sequence[Freeze]:
        """List what operators froze."""

    async def put_freeze(self, freeze: Freeze) -> None: ...

    async def drop_freeze(self, pattern: str) -> bool:
        """Forget a freeze, and say whether there was one."""

    async def listing(self, key: str) -> bytes | None:
        """Give the last answer to a listing, for when upstream is down."""

    async def put_listing(self, key: str, body: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Census:
    """How many manifests and blobs the store holds, and how many bytes."""

    count: int
    shares: Shares

    @property
    def size(self) -> int:
        return self.shares.once + self.shares.often


@dataclass(frozen=True, slots=True)
class Record:
    """What content is, and what it needs."""

    kind: Kind
    descriptor: Descriptor
    children: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image that no kept index lists: what it costs with all its parts, and alone, without what others share; in bytes."""

    digest: Digest
    names: tuple[str, ...]
    size: int
    alone: int
    used_at: float
    is_pinned: bool
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest or blob of an image, and how many listings it has beside that one."""

    digest: Digest
    media_type: str
    size: int
    shared_with: int


class Ledger(Protocol):
    """What the store holds, what of it is needed, and when it was used. Every method raises `StoreError`."""

    async def census(self) -> Census: ...

    async def touch(self, manifests: Collection[Digest], blobs: Collection[Digest], now: float) -> None:
        """Record uses; one of a manifest is one of all that it lists, and of what lists it."""

    async def idlest(self, most: int, *, often: bool) -> list[Candidate]:
        """List what neither a kept manifest nor an operator needs, of what was used often or was not; the longest unused first."""

    async def forget(self, digest: Digest) -> list[Digest]:
        """Drop the record of content and of what only it needed; list whose."""

    async def images(self) -> list[Image]:
        """List all images."""

    async def image(self, name: str) -> Image | None:
        """Find an image by its full name with a tag or digest, or by its digest alone."""

    async def parts(self, image: Digest) -> list[Part]:
        """List an image, and all it needs that is here."""

    async def unused(self, since: float) -> list[Candidate]:
        """List what neither a kept manifest nor an operator needs, and nobody used since then."""

    async def recorded(self, shelf: str) -> dict[Digest, int]:
        """List the sizes of all content whose digest begins with the two digits *shelf*."""

    async def adopt(self, record: Record, used_at: float) -> None:
        """Record content that nobody is known to hold."""

    async def lose(self, digests: Collection[Digest]) -> int:
        """Drop the records of content that is not there, and of nothing else; tell how many bytes on the disk they stood for."""

    async def pin(self, digest: Digest, *, pinned: bool) -> None:
        """Keep content, and all it needs, whatever else goes; or no longer."""
