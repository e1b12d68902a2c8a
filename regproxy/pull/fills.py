"""The copies in progress: each is started once, and driven to its end.

A copy belongs to nobody: it goes on when the client that caused it leaves, and when all have left.
"""

import asyncio
import logging
from collections.abc import Mapping

from regproxy import metrics
from regproxy.config import Downloads
from regproxy.flights import drain
from regproxy.log import fields
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import BlobStore, Elsewhere, Incoming, Index, Kind, Progress, Registry, Stage, StoreError, Unavailable, UpstreamError
from regproxy.pull.copier import Copier
from regproxy.pull.fill import Fill, Follower
from regproxy.pull.keeping import found, kept

BLOB_TYPE = "application/octet-stream"

_log = logging.getLogger(__name__)


class Fills:
    """The fills in progress, one per digest."""

    def __init__(self, registries: Mapping[str, Registry], store: BlobStore, index: Index, downloads: Downloads, patience: float) -> None:
        """Take the ports, and for how many seconds followers may be left without a byte."""
        self._copier = Copier(registries, store, downloads, patience)
        self._patience = patience
        self._registries = registries
        self._store = store
        self._index = index
        self._fills: dict[Digest, Fill] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._fills)

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
        await drain(self._tasks, grace)

    async def _run(self, fill: Fill) -> None:
        try:
            while (elsewhere := await found(self._store.lease(fill.digest, fill.repository), fill.digest)) is not None:
                if await self._read_along(fill, elsewhere):
                    return
            await self._bring(fill)
        except (UpstreamError, StoreError) as error:
            fill.fail(error)
            _log.warning("fill failed", extra=fields(repository=str(fill.repository), fill=repr(fill), reason=str(error)))
        except Exception as error:
            fill.fail(error)
            _log.exception("fill broke", extra=fields(repository=str(fill.repository), fill=repr(fill)))
        finally:
            if self._fills.get(fill.digest) is fill:
                del self._fills[fill.digest]
            fill.end()

    async def _bring(self, fill: Fill) -> None:
        """Have the blob in the store, and its record in the index, before another process may think that it has to."""
        failure: UpstreamError | None = None
        metrics.FILLS.inc()
        try:
            if await self._landed(fill) or await self._copier.copy(fill):
                await self._record(fill)
        except UpstreamError as error:
            failure = error
            raise
        finally:
            metrics.FILLS.dec()
            await kept(self._store.release(fill.digest, failure), fill.digest)

    async def _landed(self, fill: Fill) -> bool:
        """Read what another process has brought since we looked for it, if it has."""
        known = await found(self._index.known(Kind.BLOB, fill.digest), fill.digest)
        incoming = None if known is None else await found(self._store.landed(fill.digest, known.size), fill.digest)
        if known is None or incoming is None:
            return False
        is_held = await found(self._index.held(Kind.BLOB, fill.repository, fill.digest), fill.digest) is not None
        await self._go_along(fill, incoming, Progress(Stage.KEPT, str(fill.repository) if is_held else "", known.size, known.size))
        fill.verified()
        return True

    async def _read_along(self, fill: Fill, elsewhere: Elsewhere) -> bool:
        """Follow to its end what another process copies; say False where it is for us to go on."""
        try:
            while (progress := await self._news(elsewhere, fill)) is not None:
                if progress.error is not None:
                    if fill.has_begun or progress.repository == str(fill.repository):
                        raise progress.error
                    return False  # what was refused to another repository may be given to this one
                if progress.stage is Stage.ALONE:
                    await self._part(fill, elsewhere.incoming)
                    return True
                if elsewhere.incoming is not None:
                    await self._go_along(fill, elsewhere.incoming, progress)
                if progress.stage in {Stage.KEPT, Stage.VERIFIED}:
                    fill.verified()
                    if progress.stage is Stage.KEPT:
                        await self._record(fill)
                    return True
            return False
        finally:
            elsewhere.close()

    async def _news(self, elsewhere: Elsewhere, fill: Fill) -> Progress | None:
        patience = 2 * self._patience  # whoever copies has as much by itself, and is found dead within
        try:
            async with asyncio.timeout(patience):
                return await elsewhere.news()
        except TimeoutError as error:
            raise Unavailable(f"no byte of {fill.digest} came for {patience:g} s through the process that copies it") from error

    async def _go_along(self, fill: Fill, incoming: Incoming, progress: Progress) -> None:
        """Read from *incoming*, once upstream lets this repository have what it let another one have."""
        if fill.reads(incoming):
            fill.reach(progress.written)
            return
        try:
            if progress.repository != str(fill.repository):
                await self._registries[fill.repository.registry].describe(fill.repository, fill.digest)
        except BaseException:
            incoming.close()
            raise
        fill.begin(incoming, progress.size, progress.written)

    async def _part(self, fill: Fill, begun: Incoming | None) -> None:
        """Fetch by ourselves what the store does not take: nobody can read along."""
        if begun is not None and fill.reads(begun):
            await self._copier.finish(fill, begun, fill.written)
        else:
            await self._bring(fill)

    async def _record(self, fill: Fill) -> None:
        """Index the blob under everyone who may have it, those included who join meanwhile."""
        recorded: set[Repository] = set()
        while missing := fill.holders - recorded:
            for repository in missing:
                await kept(self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, fill.digest, fill.size)), fill.digest)
            recorded |= missing
