"""The copies in progress: each is started once, and driven to its end.

A copy belongs to nobody: it goes on when the client that caused it leaves, and when all have left.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from operator import attrgetter

from regproxy.config import Downloads
from regproxy.derived import Derived
from regproxy.fill.fetcher import Fetcher
from regproxy.fill.fill import Fill
from regproxy.fill.follower import Follower
from regproxy.fill.passed_parts import First, PartsFirst, PassedParts
from regproxy.fill.peer_parts import PeerParts
from regproxy.flights import Flights, drain
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.clients.precedence import max_wait
from regproxy.ports import (
    ContentStore,
    Corrupt,
    DownloadStatus,
    Incoming,
    Index,
    IngestStage,
    IngestStatus,
    Kind,
    LocalResourceError,
    PeerIngest,
    Registry,
    StoreError,
    Throttled,
    Unavailable,
    UpstreamError,
    detached,
)
from regproxy.telemetry import metrics, tracing
from regproxy.telemetry.log import fields

BLOB_TYPE = "application/octet-stream"
_MAX_WAIT = 3.0  # seconds for the first byte that upstream sends to another repository: what it makes of that one is not known
_MAX_LISTED = 50  # downloads of a worker that are reported: 500 bytes each

_log = logging.getLogger(__name__)


class _NotBegunError(Exception):
    """Upstream takes too long to answer another repository; this one asks for itself."""


class Fills:
    """The fills in progress, one per repository and digest.

    What upstream lets one repository have it may keep from another, and what it refuses to one it may give to another. So a fill belongs
    to one repository, and is found under no other. Two that copy the same blob share its bytes as two processes do, by the lock: the
    second reads along what the first one copies, once upstream has confirmed that it may.
    """

    def __init__(self, registries: Mapping[str, Registry], store: ContentStore, index: Index, downloads: Downloads) -> None:
        """Copy blobs from *registries*, by upstream, into *store*, and record them in *index*; *downloads* says how they are fetched."""
        self.parts: Mapping[str, PassedParts] = Derived(registries, lambda _, each: PassedParts(max_wait(each.progress_timeout)))
        self._fetcher = Fetcher(registries, store, downloads, self._first)
        self._registries = registries
        self._store = store
        self._index = index
        self._fills: dict[Digest, dict[Repository, Fill]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._confirmations: Flights[tuple[Repository, Digest], None] = Flights()

    def __len__(self) -> int:
        return len(self._tasks)

    def downloads(self) -> list[DownloadStatus]:
        """List the downloads in progress, the first to begin first, and no more than operators look at."""
        fills = (fill for by_repository in self._fills.values() for fill in by_repository.values())
        return [fill.status() for fill in islice(fills, _MAX_LISTED)]

    def find(self, repository: Repository, digest: Digest) -> Fill | None:
        """Return the fill that may be joined: one that is not kept cannot be, once its beginning is gone."""
        fill = self._fills.get(digest, {}).get(repository)
        return fill if fill is not None and fill.is_whole else None

    def copies(self, digest: Digest) -> bool:
        """Whether *digest* is being copied for any repository."""
        return digest in self._fills

    async def confirmed(self, repository: Repository, digest: Digest) -> bool:
        """Ask upstream whether *repository* may have what was fetched for others; False where no host that is trusted to resolve answers.

        Raise `NotFound` or `Refused` where it may not.
        """
        registry = self._registries[repository.registry]
        try:
            await self._confirmations.join((repository, digest), lambda: registry.confirm(repository, digest))
        except (Throttled, Unavailable, Corrupt) as error:
            if isinstance(error, LocalResourceError):
                raise
            _log.info("access not confirmed by upstream", extra=fields(repository=str(repository), digest=str(digest), reason=str(error)))
            return False
        return True

    def join(self, repository: Repository, digest: Digest, *, may_share: bool | None = None) -> Follower:
        """Follow the fill of *digest* for *repository*, starting one if there is none; the caller releases it."""
        metrics.FOLLOWERS.inc()
        return self.begin(repository, digest, may_share=may_share).follow()

    def begin(self, repository: Repository, digest: Digest, *, may_share: bool | None = None) -> Fill:
        """Start the fill of *digest* for *repository* if there is none, and follow nothing; *may_share* is what `confirmed` said."""
        fill = self.find(repository, digest)
        if fill is None:
            wake = self.parts[repository.registry].wake
            fill = self._fills.setdefault(digest, {})[repository] = Fill(digest, repository, may_share, wake)
            task = asyncio.create_task(self._run(fill), name=f"fill {digest}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fill

    async def idle(self) -> None:
        """Wait until none is in progress."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def drain(self, grace: float) -> None:
        """Wait up to *grace* seconds for the fills, then cancel them."""
        await drain(self._tasks, grace)
        await self._confirmations.close()

    async def _run(self, fill: Fill) -> None:
        with tracing.span("fill") as span:
            tracing.enter(span.trace)
            span.annotate(regproxy__repository=str(fill.repository), regproxy__digest=str(fill.digest))
            if (error_type := await self._driven(fill)) is not None:
                span.fail(error_type)

    async def _driven(self, fill: Fill) -> str | None:
        """Drive *fill* to its end, and return the type of the error that it failed with."""
        try:
            is_locked = True
            while (elsewhere := await self._elsewhere(fill)) is not None:
                if isinstance(elsewhere, StoreError):
                    is_locked = False
                    break
                if await self._read_along(fill, elsewhere):
                    return None
            await self._bring(fill, is_locked=is_locked)
        except (UpstreamError, StoreError) as error:
            fill.fail(error)
            _log.warning("fill failed: upstream error", extra=fields(repository=str(fill.repository), fill=repr(fill), reason=str(error)))
            return type(error).__name__
        except Exception as error:
            fill.fail(error)
            _log.exception("fill failed: internal error", extra=fields(repository=str(fill.repository), fill=repr(fill)))
            return type(error).__name__
        else:
            return None
        finally:
            self._forget(fill)
            fill.end()

    def _first(self, fill: Fill) -> First:
        """Return the parts that take precedence over *fill*, unless a client waits for it, be it in another process."""

        def is_any(has: Callable[[Fill], bool]) -> bool:
            siblings = self._fills.get(fill.digest, {}).values()
            return has(fill) or any(map(has, siblings)) or self._store.is_wanted(fill.digest, fill.repository.registry)

        is_wanted, is_followed = partial(is_any, attrgetter("is_wanted")), partial(is_any, attrgetter("is_followed"))
        return PartsFirst(self.parts[fill.repository.registry], is_wanted, is_followed)

    def _forget(self, fill: Fill) -> None:
        fills = self._fills.get(fill.digest, {})
        if fills.get(fill.repository) is fill:
            del fills[fill.repository]
            if not fills:
                del self._fills[fill.digest]

    async def _elsewhere(self, fill: Fill) -> PeerIngest | StoreError | None:
        """Take the lock, or return the ingest of its holder, or the error that keeps us from knowing."""
        try:
            return await self._store.acquire(fill.digest, fill.repository)
        except StoreError as error:
            _log.warning("cannot look up ingest", extra=fields(what=str(fill.digest), reason=str(error)))
            return error

    async def _bring(self, fill: Fill, *, is_locked: bool) -> None:
        """Store the blob and its record before another fill of it can begin."""
        failure: UpstreamError | None = None
        metrics.FILLS.inc()
        try:
            if await self._landed(fill) or await self._fetcher.copy(fill, is_locked=is_locked):
                await self._record(fill)
        except UpstreamError as error:
            failure = error
            raise
        finally:
            metrics.FILLS.dec()
            if is_locked:
                await self._store.release(fill.digest, fill.repository.registry, failure)
            failure = None  # its traceback keeps this frame

    async def _landed(self, fill: Fill) -> bool:
        """Read what another fill has brought since we looked for it, if it has, and if this repository may have it."""
        known = await self._index.known(Kind.BLOB, fill.digest)
        if known is None:
            return False
        is_held = await self._index.held(Kind.BLOB, fill.repository, fill.digest) is not None
        if not is_held and not await self._may_share(fill):
            return False
        incoming = await self._store.landed(fill.digest, known.size)
        if incoming is None:
            return False
        fill.begin(incoming, known.size, known.size)
        fill.verified()
        return True

    async def _read_along(self, fill: Fill, elsewhere: PeerIngest) -> bool:
        """Follow another process's fill to its end; return False where this one has to continue it."""
        begun: Incoming | None = None
        is_ours, parts = True, PeerParts(fill, elsewhere)
        try:
            while (progress := await self._status(elsewhere, fill, has_begun=begun is not None or is_ours)) is not None:
                if fill.is_wanted:
                    elsewhere.want()
                is_ours = progress.repository == str(fill.repository)
                if progress.error is not None:
                    if is_ours:
                        raise detached(progress.error)
                    return False  # what was refused to another repository may be given to this one
                if not is_ours and not await self._may_share(fill):
                    fill.may_share = False
                    await self._bring(fill, is_locked=False)
                    return True
                if progress.stage is IngestStage.ALONE:
                    await self._part(fill, elsewhere.incoming)
                    return True
                parts.moved()
                if not fill.is_brought_by(parts):
                    fill.bring_by(parts)
                if elsewhere.incoming is not None and elsewhere.incoming is begun:
                    fill.reach(progress.written)
                elif elsewhere.incoming is not None:
                    begun = elsewhere.incoming
                    fill.begin(begun, progress.size, progress.written)
                if progress.stage in {IngestStage.KEPT, IngestStage.VERIFIED}:
                    fill.verified()
                    if progress.stage is IngestStage.KEPT:
                        await self._record(fill)
                    return True
            return False
        except _NotBegunError:
            await self._bring(fill, is_locked=False)
            return True
        finally:
            if fill.is_brought_by(parts):
                fill.bring_by(None)
            parts.close()
            elsewhere.close()
            if elsewhere.incoming is not None and elsewhere.incoming is not begun:
                elsewhere.incoming.close()

    async def _may_share(self, fill: Fill) -> bool:
        """Ask once whether this repository may have what was fetched for others; raise upstream's refusal where it may not."""
        if fill.may_share is None:
            fill.may_share = await self.confirmed(fill.repository, fill.digest)
        return fill.may_share

    async def _status(self, elsewhere: PeerIngest, fill: Fill, *, has_begun: bool) -> IngestStatus | None:
        # Whoever copies has as much by itself, and is found dead within.
        timeout = 2 * self._registries[fill.repository.registry].progress_timeout if has_begun else _MAX_WAIT
        try:
            async with asyncio.timeout(timeout):
                return await elsewhere.status()
        except TimeoutError as error:
            if not has_begun:
                raise _NotBegunError from error
            raise Unavailable(f"no byte of {fill.digest} came for {timeout:g} s through the process that copies it") from error

    async def _part(self, fill: Fill, begun: Incoming | None) -> None:
        """Fetch what the store does not take for this process alone: others cannot follow."""
        if begun is not None and fill.reads(begun):
            await self._fetcher.finish(fill, begun, fill.written)
        else:
            await self._bring(fill, is_locked=False)

    async def _record(self, fill: Fill) -> None:
        """Index the blob under the repository that may have it."""
        descriptor = Descriptor(BLOB_TYPE, fill.digest, fill.size)
        await self._index.put(Kind.BLOB, fill.repository, descriptor)
