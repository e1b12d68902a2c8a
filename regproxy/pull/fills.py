"""A blob being copied into the store while any number of clients read along.

The copy belongs to nobody: it goes on when the client that caused it leaves, and when all have left. Its followers read the growing file
at their own speed. None of them gets the last byte of its response before the digest is right, so a response that was wrong never looks
complete. Receiving overlaps with hashing and writing: while a thread writes what has arrived, more arrives, up to a limit.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from cachetools import LRUCache

from regproxy import metrics
from regproxy.config import Downloads
from regproxy.log import fields
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.oci.reference import Repository
from regproxy.policy.plan import FIRST
from regproxy.ports import (
    BlobStore,
    Corrupt,
    Extent,
    Gone,
    Index,
    Ingest,
    Kind,
    NotFound,
    Refused,
    Registry,
    StoreError,
    Throttled,
    Unavailable,
    UpstreamError,
)
from regproxy.pull import blame
from regproxy.pull.download import Download
from regproxy.pull.keeping import found, kept

BLOB_TYPE = "application/octet-stream"
_DOUBTS = 1000  # blobs that came wrong from several hosts and were not asked for again since
_UNWRITTEN = 4 * 1024 * 1024  # bytes received and not yet on disk; past that upstream has to wait

_log = logging.getLogger(__name__)


class Fill:
    """A copy in progress, with followers."""

    def __init__(self, digest: Digest, repository: Repository) -> None:
        """Describe what is copied; `Fills` drives it."""
        self.digest = digest
        self.repository = repository
        self.holders = {repository}  # the repositories that upstream lets have it
        self._ingest: Ingest | None = None
        self._promised: int | None = None
        self._written = 0
        self._readers = 1  # the copy itself; the others follow
        self._followers: set[Follower] = set()
        self._verified = False
        self._error: Exception | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        of = "?" if self._promised is None else f"{self._promised / 1e6:.0f}"
        return f"<Fill {str(self.digest)[:15]}... {self._written / 1e6:.0f}/{of} MB, {self._readers - 1} followers>"

    @property
    def size(self) -> int:
        if self._promised is None:
            raise RuntimeError("a fill has no size before it started")
        return self._promised

    def is_near(self, stop: int) -> bool:
        """Whether bytes up to *stop* are here, or come with what is being asked for anyway."""
        return stop <= self._written + FIRST

    async def started(self) -> None:
        """Wait until the size is known, or raise what keeps the blob from coming.

        An empty blob has no last byte to hold back, so it starts when it is verified (distribution #4191: empty bodies served for years).
        """
        while not self._promised and not self._verified:
            if self._error is not None:
                raise self._error
            await self._news()

    async def extent(self, start: int, stop: int) -> Extent:
        """Wait for bytes from *start* on, and tell where they lie; raise what keeps them from coming."""
        while True:
            upto = min(self._written, stop) if self._verified else min(self._written, stop - 1)
            if upto > start and self._ingest is not None:
                return self._ingest.extent(start, upto)
            if self._error is not None:
                raise self._error
            if self._verified:
                raise Unavailable(f"{self.digest} is shorter than upstream promised")
            await self._news()

    @property
    def is_whole(self) -> bool:
        """Whether somebody who joins now can have all of it."""
        return self._ingest is None or self._ingest.is_whole

    def follow(self) -> "Follower":
        """Read along until `release`."""
        self._readers += 1
        follower = Follower(self)
        self._followers.add(follower)
        self.moved()
        return follower

    def leave(self, follower: "Follower") -> None:
        self._followers.discard(follower)
        self.moved()
        self.release()

    def moved(self) -> None:
        """Tell the ingest that a reader has moved on or left."""
        if self._ingest is not None:
            self._ingest.moved()

    def slowest(self) -> int | None:
        return min((follower.position for follower in self._followers), default=None)

    def release(self) -> None:
        self._readers -= 1
        if not self._readers and self._ingest is not None:
            self._ingest.close()

    def begin(self, ingest: Ingest, promised: int | None, written: int) -> None:
        self._ingest = ingest
        self._promised = promised
        self._written = written
        ingest.follow(self.slowest)
        self._tell()

    def advance(self, count: int) -> None:
        self._written += count
        self._tell()

    def verified(self) -> None:
        """Let the last byte go: all of them are right."""
        self._promised = self._written
        self._verified = True
        self._tell()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._tell()

    def end(self) -> None:
        """Say that nothing more will happen."""
        if self._error is None and not self._verified:
            self.fail(Unavailable(f"the copy of {self.digest} was given up"))
        self.release()

    async def _news(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Follower:
    """One reader of a fill, and how far it is (port Content)."""

    def __init__(self, fill: Fill) -> None:
        """Begin at the beginning."""
        self.position = 0
        self._fill = fill

    @property
    def size(self) -> int:
        return self._fill.size

    async def started(self) -> None:
        await self._fill.started()

    async def extent(self, start: int, stop: int) -> Extent:
        self.position = start
        self._fill.moved()
        return await self._fill.extent(start, stop)

    async def spoiled(self) -> None:
        """Leave it to the copy, which finds out for itself when it is written."""

    def release(self) -> None:
        self._fill.leave(self)


class Fills:
    """The fills in progress, one per digest."""

    def __init__(self, registries: Mapping[str, Registry], store: BlobStore, index: Index, downloads: Downloads, patience: float) -> None:
        """Take the ports, and for how many seconds followers may be left without a byte."""
        self._downloads = downloads
        self._patience = patience
        self._doubts: LRUCache[Digest, list[blame.Statement]] = LRUCache(_DOUBTS)
        self._registries = registries
        self._store = store
        self._index = index
        self._fills: dict[Digest, Fill] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._fills)

    def digests(self) -> Collection[Digest]:
        """What is being copied."""
        return self._fills.keys()

    def find(self, digest: Digest) -> Fill | None:
        """Give the fill that may be joined: one that is not kept cannot be, once its beginning is gone."""
        fill = self._fills.get(digest)
        return fill if fill is not None and fill.is_whole else None

    def join(self, repository: Repository, digest: Digest) -> Follower:
        """Follow the fill of *digest*, starting one out of *repository* if there is none; the caller releases it."""
        metrics.FOLLOWERS.inc()
        return self.begin(repository, digest).follow()

    def begin(self, repository: Repository, digest: Digest) -> Fill:
        """Start the fill of *digest* if there is none, and follow nothing."""
        fill = self.find(digest)
        if fill is None:
            fill = self._fills[digest] = Fill(digest, repository)
            task = asyncio.create_task(self._run(fill), name=f"fill {digest}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fill

    async def idle(self) -> None:
        """Wait until none is in progress."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def drain(self, grace: float) -> None:
        """Let the fills end within *grace* seconds, then give them up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, fill: Fill) -> None:
        metrics.FILLS.inc()
        try:
            if await self._copy(fill):
                await self._record(fill)
        except (UpstreamError, StoreError) as error:
            fill.fail(error)
            _log.warning("fill failed", extra=fields(repository=str(fill.repository), fill=repr(fill), reason=str(error)))
        except Exception as error:
            fill.fail(error)
            _log.exception("fill broke", extra=fields(repository=str(fill.repository), fill=repr(fill)))
        finally:
            metrics.FILLS.dec()
            if self._fills.get(fill.digest) is fill:
                del self._fills[fill.digest]
            fill.end()

    async def _copy(self, fill: Fill) -> bool:
        """Fetch and verify the blob, and say whether the store kept it."""
        start = await found(self._store.resumable(fill.digest), fill.digest) or 0
        try:
            return await self._copy_from(fill, start)
        except Gone:
            return await self._copy_from(fill, 0)

    async def _copy_from(self, fill: Fill, start: int) -> bool:
        connections = 1 if fill.digest in self._doubts else self._downloads.connections
        registry = self._registries[fill.repository.registry]
        download = Download(registry, fill.repository, fill.digest, start, connections=connections, patience=self._patience)
        try:
            await download.begin()
            ingest = await self._store.ingest(fill.digest, download.size, start)
            try:
                fill.begin(ingest, download.size, start)
                await _receive(download, fill, ingest)
                await self._verify(fill, ingest, download)
                fill.verified()
                return await kept(ingest.commit(), fill.digest)
            except (NotFound, Refused, Throttled, Unavailable, asyncio.CancelledError):
                ingest.leave()
                raise
            finally:
                await ingest.discard()
        finally:
            await download.close()

    async def _verify(self, fill: Fill, ingest: Ingest, download: Download) -> None:
        """Raise `Corrupt` for wrong bytes, and find out who sent them."""
        doubts = self._doubts.pop(fill.digest, None)
        try:
            ingest.verify()
        except DigestMismatch as error:
            metrics.CORRUPT.inc()
            senders = blame.senders(download.segments)
            if len(senders) == 1 and not download.start:
                download.segments[0].body.reject()
            elif ingest.is_whole:
                self._doubts[fill.digest] = await asyncio.to_thread(blame.statements, ingest, download.segments)
            raise Corrupt(f"{' and '.join(senders)} sent wrong bytes for {fill.repository}: {error}") from error
        if doubts is not None and ingest.is_whole:
            await asyncio.to_thread(blame.convict, ingest, doubts)

    async def _record(self, fill: Fill) -> None:
        """Index the blob under everyone who may have it, those included who join meanwhile."""
        recorded: set[Repository] = set()
        while missing := fill.holders - recorded:
            for repository in missing:
                await kept(self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, fill.digest, fill.size)), fill.digest)
            recorded |= missing


class _Writer:
    """Writes behind the receiver's back, everything that has arrived at a time."""

    def __init__(self, ingest: Ingest, advance: Callable[[int], None]) -> None:
        self._ingest = ingest
        self._advance = advance
        self._unwritten: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    async def put(self, chunk: bytes) -> None:
        self._unwritten.append(chunk)
        self._size += len(chunk)
        if self._task is not None and (self._task.done() or self._size > _UNWRITTEN):
            await self._task
            self._task = None
        if self._task is None:
            self._task = asyncio.create_task(self._flush())

    async def finish(self) -> None:
        """Wait until all is written; raise what kept it from being."""
        if self._task is not None:
            await self._task
        await self._flush()

    async def stop(self) -> None:
        """Wait for the write in progress, whatever became of it: the file must not close under it."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _flush(self) -> None:
        while self._unwritten:
            batch, self._unwritten, self._size = self._unwritten, [], 0
            await self._ingest.write(batch)
            self._advance(sum(map(len, batch)))


async def _receive(download: Download, fill: Fill, ingest: Ingest) -> None:
    def written(count: int) -> None:
        fill.advance(count)
        download.advance(count)

    writer = _Writer(ingest, written)
    try:
        await download.run(writer.put)
        await writer.finish()
    finally:
        await writer.stop()
