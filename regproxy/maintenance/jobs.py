"""What an operator asks of the store and takes long: all of it read again, what is old removed, images out of it and into it."""

from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO

from regproxy import files
from regproxy.maintenance.archive import Archive, decompressed
from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.exporter import Export, planned
from regproxy.maintenance.images import image_under_name
from regproxy.maintenance.importer import Importer
from regproxy.maintenance.object_store import ObjectStoreJobs
from regproxy.maintenance.progress import JobProgress
from regproxy.maintenance.reconciler import Reconciler
from regproxy.oci.digest import Digest
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Routes
from regproxy.policy.store.eviction import Candidate
from regproxy.policy.store.scrubbing import SHARDS
from regproxy.ports import BlobStore, Full, Image, Index, Ledger, Spool, StoreError


class MaintenanceJobs:
    """Long work on the store, beside all that is served from it."""

    def __init__(
        self,
        store: BlobStore,
        index: Index,
        ledger: Ledger,
        evictor: Evictor,
        clock: WallClock,
        routes: Routes,
        behind: ObjectStoreJobs | None = None,
    ) -> None:
        """Work on *store*, *index* and *ledger*, removing by *evictor*; *clock* returns epoch seconds; *routes* resolve short names.

        *behind* is the object store behind it, if there is one.
        """
        self.behind = behind
        self._store = store
        self._index = index
        self._ledger = ledger
        self._evictor = evictor
        self._clock = clock
        self._routes = routes

    async def verify(self, progress: JobProgress) -> dict[str, object]:
        """Read and hash everything; what is damaged is put aside. Raise `StoreError`."""
        return await self._gone_through(progress, doubts_all=True)

    async def push(self, progress: JobProgress) -> dict[str, object]:
        """Have everything written to the object store that is not there; raise `StoreError`."""
        return await self._behind().push(progress)

    async def check(self, progress: JobProgress) -> dict[str, object]:
        """Look for what is missing in the object store; raise `StoreError`."""
        return await self._behind().check(progress)

    def _behind(self) -> ObjectStoreJobs:
        if self.behind is None:
            raise StoreError("there is no object store behind this store: store.behind in the configuration names one")
        return self.behind

    async def rebuild(self, progress: JobProgress) -> dict[str, object]:
        """Rebuild the index from the files; raise `StoreError`."""
        return await self._gone_through(progress, doubts_all=False)

    async def collect(self, progress: JobProgress, unused_for: float, *, dry_run: bool = False) -> dict[str, object]:
        """Remove images that were unused for so many seconds and are neither pinned nor frozen; raise `StoreError`."""
        unused = await self._evictor.unused(unused_for)
        names = {image.digest: image.names for image in await self._ledger.images()}
        progress.total = _size(unused)
        if dry_run:
            return _collected(unused, names, progress.total)
        gone: list[Candidate] = []

        def tell(removed: Sequence[Candidate]) -> None:
            gone.extend(removed)
            progress.advance(_size(removed))

        freed = await self._evictor.collect(unused_for, tell)
        return _collected(gone, names, freed)

    async def export(self, names: Collection[str]) -> Export:
        """Plan a tar of images that moves no tag but *names* where it is imported; raise `UnknownImage`, `NotWhole` or `StoreError`."""
        images: list[Image] = [await image_under_name(self._ledger, self._routes, name) for name in names]
        return await planned(self._store, self._ledger, images)

    async def spool(self, size: int) -> Spool:
        """Reserve space for a tar of *size* bytes that comes over the network; raise `StoreError`."""
        return await self._store.spool(size)

    async def bring_in(self, file: BinaryIO, name: str | None, progress: JobProgress) -> dict[str, object]:
        """Keep the images of a tar, the only one under *name* if it is given; raise `ValueError` or `StoreError`."""
        chunks = await files.call(decompressed, file)
        if chunks is None:
            return await self._imported(file, name, progress)
        spool = await self._store.spool(0)
        try:
            while chunk := await files.call(next, chunks, b""):
                await _unpack(spool, chunk)
            return await self._imported(spool.file, name, progress)
        finally:
            spool.close()

    async def _imported(self, file: BinaryIO, name: str | None, progress: JobProgress) -> dict[str, object]:
        tar = await files.call(Archive, file)
        return {"images": await Importer(self._store, self._index, tar, self._clock(), progress).run(name)}

    async def _gone_through(self, progress: JobProgress, *, doubts_all: bool) -> dict[str, object]:
        taking = Reconciler(self._store, self._ledger, doubts_all=doubts_all)
        sizes = [sum(each.size for each in await self._store.list_shard(shard)) for shard in SHARDS]
        progress.total = sum(sizes)
        for shard, size in zip(SHARDS, sizes, strict=True):
            await taking.take(shard)
            progress.advance(size)
        return {"adopted": taking.adopted, "lost": taking.lost, "damaged": taking.damaged}


async def _unpack(spool: Spool, chunk: bytes) -> None:
    try:
        await spool.write(chunk)
    except Full as error:
        raise Full("unpacked it is larger than what the store has room for") from error


def _size(images: Sequence[Candidate]) -> int:
    return sum(each.size for each in images)


def _collected(images: Sequence[Candidate], names: Mapping[Digest, Sequence[str]], freed: int) -> dict[str, object]:
    removed = [
        {"names": names.get(each.digest, ()), "digest": str(each.digest), "bytes": each.size, "used_at": each.used_at} for each in images
    ]
    return {"bytes": freed, "removed": removed}
