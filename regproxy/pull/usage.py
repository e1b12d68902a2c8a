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
        self._manifests: set[Digest] = set()
        self._blobs: set[Digest] = set()

    def of_manifest(self, digest: Digest) -> None:
        _note(self._manifests, digest)

    def of_blob(self, digest: Digest) -> None:
        _note(self._blobs, digest)

    async def run(self) -> None:
        """Write down what there is now and then, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.record()

    async def record(self) -> None:
        """Write down what there is; what cannot be written is lost."""
        manifests, self._manifests = self._manifests, set()
        blobs, self._blobs = self._blobs, set()
        if manifests or blobs:
            await kept(self._ledger.touch(manifests, blobs, self._clock()), "uses")


def _note(digests: set[Digest], digest: Digest) -> None:
    if len(digests) < _MOST:
        digests.add(digest)
