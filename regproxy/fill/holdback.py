"""What a stranger sends is held back until it is verified.

What clients have got of a lie cannot be called back: their pull fails, whoever sends the rest. So the first blobs of a host that has not
yet sent anything right are kept from them until their digest is, or that of another one, as far as memory goes and a client's timeout:
larger or slower ones are passed on as they come.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from regproxy.fill import attribution
from regproxy.fill.download import Download
from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.ports import Corrupt

LIMIT = 16 * 1024 * 1024  # bytes; as much as a download may hold anyway
_TIMEOUT = 5.0  # seconds without a byte for the client: a third of what it is left to wait at most
_LOOKS = 50  # in that time: another blob may turn out to be right


class Exposed(Corrupt):
    """Corrupt bytes that no client has received: another host may still be asked for the whole blob."""


class HoldbackBudget:
    """The memory that all quarantines have together: a cold start with a new mirror is many fills at once."""

    def __init__(self, free: int = 4 * LIMIT) -> None:
        """Hold *free* bytes at most."""
        self._free = free

    def take(self, size: int) -> bool:
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        self._free += size


class Holdback:
    """Gives what a download brings, and nothing of it too early."""

    def __init__(self, budget: HoldbackBudget, download: Download, digest: Digest) -> None:
        """Hold back bytes of *download*, which has not begun, within the *budget* of all."""
        self._budget = budget
        self._taken = 0
        self._download = download
        self._digest = digest
        self._held: deque[bytes] = deque()
        self._put: Callable[[bytes], Awaitable[None]] | None = None
        self._running: asyncio.Task[None] | None = None

    async def inspect(self) -> None:
        """Hold what comes from a stranger until it is known to be right, or for a while; raise `Exposed`."""
        size = self._download.size
        if not self._download.is_untrusted or self._download.start or size is None or size > LIMIT or not self._budget.take(size):
            return
        self._taken = size
        self._running = asyncio.create_task(self._download.run(self._take), name=f"holdback of {self._digest}")
        for _ in range(_LOOKS):
            await asyncio.wait({self._running}, timeout=_TIMEOUT / _LOOKS)
            if self._running.done() or not self._download.is_untrusted:
                break
        is_whole = self._running.done() and self._running.exception() is None
        if is_whole and not await asyncio.to_thread(self._is_right):
            segments = self._download.source.segments
            attribution.report_corrupt(segments)
            raise Exposed(f"{' and '.join(attribution.senders(segments))} sent wrong bytes for {self._digest}, and nobody saw them")

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass all bytes to *put*, in order; raise as `Download.run`."""
        if self._running is None:
            await self._download.run(put)
            return
        while self._held:
            await put(self._held.popleft())
        self._put = put
        self._give_back()
        await self._running

    async def close(self) -> None:
        self._give_back()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _give_back(self) -> None:
        self._budget.give_back(self._taken)
        self._taken = 0

    async def _take(self, chunk: bytes) -> None:
        if self._put is None:
            self._held.append(chunk)
        else:
            await self._put(chunk)

    def _is_right(self) -> bool:
        verifier = self._digest.verifier()
        for chunk in self._held:
            verifier.update(chunk)
        try:
            verifier.check()
        except DigestMismatch:
            return False
        return True
