"""Content being ingested: written by one process of a machine, followed by all."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports.content import Extent
from regproxy.ports.errors import StoreError, UpstreamError


@dataclass(frozen=True, slots=True)
class DownloadStatus:
    """How far a download is, how many responses follow it, and for how many seconds it has been going on; *size* is None until known."""

    repository: str
    digest: str
    written: int
    size: int | None
    followers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Resumable:
    """What an earlier fill left of content: its first *start* bytes, and *parts* behind them, each from where to where (excluded)."""

    start: int = 0
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.start and not self.parts

    @property
    def total(self) -> int:
        """Count the bytes."""
        return self.start + sum(stop - start for start, stop in self.parts)


class StoredBytes(bytes):
    """Bytes that were read from where they are to be kept: they need not be written again."""

    __slots__ = ()


class Incoming(Protocol):
    """Where the bytes of content being ingested are read."""

    @property
    def is_whole(self) -> bool:
        """Whether a reader that joins now can have all of it: nothing of it is gone, and it goes on."""

    @property
    def origin(self) -> object:
        """What is equal for two that read the very same bytes."""

    def reach(self, start: int) -> int:
        """Return up to where the bytes from *start* on lie in a file, and stay there: *start* where the first of them does not."""

    def extent(self, start: int, stop: int) -> Extent:
        """Return where some of what was written from *start* on lies, up to *stop* at most; raise `StoreError` where it is gone."""

    def follow(self, slowest: Callable[[], int | None]) -> None:
        """Set how to find the slowest reader's offset, None without readers; it is called only where that matters."""

    def moved(self) -> None:
        """Record that a reader has moved on or left."""

    def close(self) -> None: ...


class Ingest(Incoming, Protocol):
    """Content being ingested, invisible until `commit`.

    Where the store has no room for it, or fails on the way, it still passes through: those who read get every byte, as fast as the
    slowest of them reads, and `commit` says why it was not kept.
    """

    @property
    def can_scatter(self) -> bool:
        """Whether bytes can be written ahead of their turn: the size is known, and there is a file."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append and hash at most 8 MiB; raise `StoreError` where they cannot be stored and there is no reader.

        `StoredBytes` are only hashed.
        """

    async def scatter(self, start: int, chunks: Sequence[bytes]) -> None:
        """Write from *start* on, ahead of their turn, at most 8 MiB that nobody else writes; raise `StoreError`. It must not be cancelled.

        When it is their turn they are read, and given to `write`.
        """

    async def read(self, start: int, stop: int) -> StoredBytes:
        """Read some of what was written; raise `StoreError`."""

    def verify(self) -> None:
        """Raise `DigestMismatch` unless what was written is what it should be."""

    async def commit(self) -> None:
        """Verify, make durable, give it its name; raise `DigestMismatch` or `StoreError`."""

    def leave(self) -> None:
        """Keep what was written so far to be resumed, also at `discard`."""

    async def discard(self) -> None:
        """Forget what was not committed; those who read it may read on."""


class IngestStage(Enum):
    """How far a copy is."""

    ASKING = "asking"
    COPYING = "copying"
    ALONE = "alone"  # the store takes no more of it: nobody else can read what comes
    KEPT = "kept"
    VERIFIED = "verified"  # right, and yet not kept
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """How far another process's copy is: under which name it asked, of how many bytes, how many are written, what ended it.

    Of *parts* that are written, from where to where, those at the beginning count as *written*.
    """

    stage: IngestStage
    repository: str
    size: int | None
    written: int
    error: UpstreamError | None = None
    parts: tuple[tuple[int, int], ...] = ()


class PeerIngest(Protocol):
    """Content that another process of this machine copies in."""

    @property
    def incoming(self) -> Incoming | None:
        """Where its bytes are read; None before there are any."""

    async def status(self) -> IngestStatus | None:
        """Wait for news; None where the holder gave up or died, and another process may continue."""

    def want(self) -> None:
        """Notify the copying process that a client of ours waits."""

    def want_part(self, start: int, stop: int) -> bool:
        """Ask the copying process for a part ahead of its turn; return False where it was asked for too many."""

    def close(self) -> None:
        """Look no more; what it reads from, if it does, is closed by itself."""


class Spool(Protocol):
    """A file without a name, for what has to be read here and there before it can be kept; it takes room until it is closed."""

    file: BinaryIO

    async def write(self, chunk: bytes) -> None:
        """Append; raise `StoreError`."""

    def close(self) -> None: ...


class Ingester(Protocol):
    """Writes content, which is visible once it is verified."""

    async def write(self, digest: Digest, body: bytes) -> bool:
        """Keep small content, and report whether it is kept; raise `DigestMismatch` or `StoreError`."""

    async def resumable(self, digest: Digest) -> Resumable:
        """Return which bytes of content are here already, left behind by a fill that came to no end; raise `StoreError`."""

    async def ingest(
        self,
        digest: Digest,
        size: int | None,
        resumed: Resumable = Resumable(),
        begun: Incoming | None = None,
        *,
        locked_for: str | None = None,
        refused: StoreError | None = None,
    ) -> Ingest:
        """Begin to keep content of *size* bytes, as far as that is known, or go on with what is *resumed*; raise `Gone`.

        After what another process has *begun* and has no room for, nothing is kept, nor where *refused* says why. Where this copy holds
        the lock of the upstream *locked_for*, its progress is published to those who watch that lock.
        """

    async def spool(self, size: int) -> Spool:
        """Reserve *size* bytes; raise `StoreError`."""


class IngestLocks(Protocol):
    """Locks of content being ingested: one for each upstream that it comes from, so that no upstream delays or fails another's fill."""

    async def acquire(self, digest: Digest, repository: Repository) -> PeerIngest | None:
        """Lock *digest* for the upstream of *repository*, or return the ingest of the holder; raise `StoreError`."""

    async def release(self, digest: Digest, upstream: str, error: UpstreamError | None = None) -> None:
        """Release the lock, if we have it, and report the error to those who watch."""

    async def ingesting(self) -> Collection[Digest]:
        """List what is being copied in; raise `StoreError`."""

    def is_wanted(self, digest: Digest, upstream: str) -> bool:
        """Whether another process has a client that waits for content that we copy in from *upstream*."""

    def wanted_parts(self, digest: Digest, upstream: str) -> Sequence[tuple[int, int]]:
        """List the parts of it that other processes have asked for since the last call."""

    async def landed(self, digest: Digest, size: int) -> Incoming | None:
        """Open complete content as `Incoming`; None where there is none. Raise `StoreError`."""
