"""What was used, written down now and then: a hit must not wait for a database."""

import asyncio

from regproxy.best_effort import kept
from regproxy.oci.digest import Digest
from regproxy.policy.clock import WallClock
from regproxy.ports import Ledger

_MOST = 100_000  # digests between two records, some 20 MB; past that, uses are lost, and only the order of eviction suffers
_EVERY = 10.0  # seconds between two records


class Usage:
    """The content that was used since the last record."""

    def __init__(self, ledger: Ledger, clock: WallClock) -> None:
        """Record in *ledger*; *clock* returns epoch seconds."""
        self._ledger = ledger
        self._clock = clock
        self._manifests: dict[Digest, int] = {}  # how often
        self._blobs: set[Digest] = set()

    def of_manifest(self, digest: Digest, count: int = 1) -> None:
        """Count *count* uses."""
        before = self._manifests.get(digest, 0)
        if before or len(self._manifests) < _MOST:
            self._manifests[digest] = before + count

    def of_blob(self, digest: Digest) -> None:
        if len(self._blobs) < _MOST:
            self._blobs.add(digest)

    async def run(self) -> None:
        """Write down what there is now and then, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.record()

    async def record(self) -> None:
        """Write down what there is; what cannot be written is lost."""
        manifests, self._manifests = self._manifests, {}
        blobs, self._blobs = self._blobs, set()
        if manifests or blobs:
            await kept(self._ledger.touch(manifests, blobs, self._clock()), "uses")
        if manifests:
            await kept(self._ledger.count_pulls(manifests), "pulls")
