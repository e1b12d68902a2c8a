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
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord


class UpstreamError(Exception):
    """An upstream could not give what was asked; the message says which, what and whose fault."""


class NotFound(UpstreamError):
    """It has no such thing."""


class Refused(UpstreamError):
    """It will not give it to us."""


class Throttled(UpstreamError):
    """It wants to be left alone."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Take the pause it asked for, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(UpstreamError):
    """It did not answer, or not in time, or with an error of its own."""


class Corrupt(UpstreamError):
    """What it sent is not what it should be."""


class StoreError(Exception):
    """The store could not keep or give content."""


class Busy(StoreError):
    """Another process is writing this content."""


class Full(StoreError):
    """There is no room for it."""


class BlobBody(Protocol):
    """A blob on its way from an upstream."""

    @property
    def size(self) -> int | None:
        """The length upstream promised, in bytes; None where it promised none."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they arrive; raise `Unavailable` where they stop short of the promised length."""


@dataclass(frozen=True, slots=True)
class TagPage:
    """Some tags in order, and whether there are more."""

    tags: tuple[str, ...]
    has_more: bool


class Registry(Protocol):
    """One upstream, however many hosts serve it. Every method raises `UpstreamError`."""

    async def resolve(self, repository: Repository, tag: Tag, within: float | None = None) -> Descriptor | None:
        """Ask what *tag* means, by HEAD; None where the answer does not tell a digest, size and type. *within* is in seconds."""

    async def manifest(self, reference: Reference) -> Manifest:
        """Fetch a manifest, verified."""

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        """Make sure that *repository* holds the blob *digest*; give its size where upstream tells."""

    def blob(self, repository: Repository, digest: Digest) -> AbstractAsyncContextManager[BlobBody]:
        """Open a blob; the bytes are unverified."""

    async def tags(self, repository: Repository, last: str, most: int | None) -> TagPage:
        """List tags after *last*, at most *most* where the upstream minds that."""

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        """List the descriptors of what refers to *digest*; None where upstream has no such API."""

    async def close(self) -> None:
        """Let go of all connections."""


class OpenFile(Protocol):
    """An open file that others may be reading as well."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class InFile(Protocol):
    """Committed content, open for reading; release it when done."""

    @property
    def file(self) -> OpenFile: ...
    @property
    def size(self) -> int: ...
    def release(self) -> None: ...


class Ingest(Protocol):
    """Content on its way in, invisible until `commit`."""

    @property
    def file(self) -> OpenFile:
        """What was written so far, for reading."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append and hash; raise `StoreError`."""

    async def commit(self) -> None:
        """Verify, make durable, give it its name; raise `DigestMismatch` or `StoreError`."""

    async def discard(self) -> None:
        """Forget it, unless it was committed; those who read it may read on."""


class BlobStore(Protocol):
    """Content by digest. Nothing in it is unverified."""

    async def open(self, digest: Digest, size: int) -> InFile | None:
        """Open content of exactly *size* bytes; None where there is none such, whatever lies in its place."""

    async def read(self, digest: Digest, size: int) -> bytes | None:
        """Read and verify small content; None where there is none such."""

    async def write(self, digest: Digest, body: bytes) -> None:
        """Keep small content; raise `StoreError`."""

    async def ingest(self, digest: Digest) -> Ingest:
        """Begin to keep content; raise `Busy` or another `StoreError`."""

    async def check(self) -> None:
        """Do a real read and write; raise `StoreError`."""


class Index(Protocol):
    """What is known about content and tags. It may be lost: the store and upstream are the truth."""

    async def tag(self, reference: Reference) -> TagRecord | None: ...

    async def put_tag(self, reference: Reference, record: TagRecord) -> None: ...

    async def drop_tag(self, reference: Reference) -> None: ...

    async def held(self, repository: Repository, digest: Digest) -> Descriptor | None:
        """Describe content that *repository* is known to hold."""

    async def content(self, digest: Digest) -> Descriptor | None:
        """Describe content, whoever holds it."""

    async def put(self, repository: Repository, descriptor: Descriptor) -> None:
        """Record that *repository* holds the content; the first media type recorded for a digest stays."""

    async def forget(self, digest: Digest) -> None:
        """Drop content that is no longer in the store, with all its holders."""

    async def listing(self, key: str) -> bytes | None:
        """Give the last answer to a listing, for when upstream is down."""

    async def put_listing(self, key: str, body: bytes) -> None: ...
