"""What an operator asks of the object store behind the disk: how it is doing, what is missing, everything that is here written there."""

import asyncio
from typing import Protocol

from regproxy.maintenance.progress import JobProgress
from regproxy.oci.digest import Digest
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore, StoreError, UploadQueue

_LOOK = 0.5  # seconds
_MAX_IDLE = 300.0  # seconds without progress until whoever waits is told


class Trouble(Protocol):
    """Who writes there."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is written at the moment."""


class ObjectStoreJobs:
    """The object store as its operator sees it."""

    def __init__(self, remote: ObjectStore, queue: UploadQueue, uploader: Trouble, evictor: Trouble | None = None) -> None:
        """Look into *remote*, and into the *queue* that *uploader* works off; *evictor* is there where its size is bounded."""
        self._evictor = evictor
        self._remote = remote
        self._queue = queue
        self._uploader = uploader

    def troubles(self) -> list[str]:
        """List what does not work, in sentences."""
        found = []
        if self._uploader.trouble is not None:
            found.append(f"the object store takes nothing, and content waits on the disk: {self._uploader.trouble}")
        if self._evictor is not None and self._evictor.trouble is not None:
            found.append(f"nothing is evicted from the object store: {self._evictor.trouble}")
        return found

    async def status(self) -> dict[str, object]:
        """Describe what waits, and why; raise `StoreError`."""
        pending = await self._queue.pending()
        return {"place": self._remote.place, "pending": pending.count, "pending_bytes": pending.size, "trouble": self._uploader.trouble}

    async def push(self, progress: JobProgress) -> dict[str, object]:
        """Have everything that is here written there, and wait for that; whoever leaves stops nothing. Raise `StoreError`."""
        await self._queue.put_all()
        left = before = await self._queue.remaining()
        progress.total = left.size
        idle = 0.0
        while left.count:
            await asyncio.sleep(_LOOK)
            left = await self._queue.remaining()
            progress.advance(max(0, progress.total - left.size - progress.done))
            idle = 0.0 if left != before else idle + _LOOK
            before = left
            if idle >= _MAX_IDLE:
                raise StoreError(
                    f"nothing was written for {idle:g} s, and {left.count} entries wait: {self._uploader.trouble or 'see the log'}"
                )
        return {"bytes": progress.total, "place": self._remote.place}

    async def check(self, progress: JobProgress) -> dict[str, object]:
        """Compare what lies there with what says that it does, and have written again what is not there; raise `StoreError`."""
        blobs, size = await self._found(objects.BLOBS)
        sums, _ = await self._found(objects.SUMS)
        manifests, _ = await self._found(objects.LINKS, "/_/manifest/")
        progress.total = progress.done = size
        missing = (sums | manifests) - blobs
        for digest in missing:
            await (self._queue.repair(digest) if digest in sums else self._queue.put_again(digest))
        tombstones, _ = await self._found(objects.TOMBSTONES)
        return {"blobs": len(blobs), "bytes": size, "missing": len(missing), "going": len(tombstones)}

    async def _found(self, prefix: str, part: str = "") -> tuple[set[Digest], int]:
        """List the digests that paths below *prefix* end with which have *part* in them, and how many bytes they have."""
        found, size = set(), 0
        async for page in self._remote.list(prefix):
            for each in page:
                if part in each.path and (digest := objects.digest_of(each.path)) is not None:
                    found.add(digest)
                    size += each.size
        return found, size
