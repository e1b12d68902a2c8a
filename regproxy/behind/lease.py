"""One member at a time, by objects that only one of all can create: numbered leases, each with an end.

Who finds the last one ended creates the next. Whoever loses that race has nothing, whatever it has read before. Two may work at once only
where their clocks differ by more than a lease is long.
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.policy.clock import WallClock
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore

LENGTH = 3600.0  # seconds: an eviction waits ten minutes, and deletes for some more
_MAX_SIZE = 1024


class Lease:
    """The right to evict."""

    def __init__(self, remote: ObjectStore, clock: WallClock) -> None:
        """Keep it in *remote*; *clock* returns epoch seconds."""
        self._remote = remote
        self._clock = clock

    async def is_possible(self) -> bool:
        """Try whether of two who create an object one is refused; raise `StoreError`."""
        path = f"{objects.PROBES}{secrets.token_hex(8)}"
        try:
            return [await self._remote.create(path, objects.MARK), await self._remote.create(path, objects.MARK)] == [True, False]
        finally:
            await self._remote.delete(path)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[float | None]:
        """Hold it for the block, until the time that it gives at most; None where another member has it. Raise `StoreError`."""
        paths = [each.path async for page in self._remote.list(objects.LEASES) for each in page]
        last = max(paths, default=None)
        if last is not None and await self._ends_at(last) > self._clock():
            yield None
            return
        until = self._clock() + LENGTH
        ours = f"{objects.LEASES}{_number(last) + 1:012d}"
        if not await self._remote.create(ours, json.dumps({"until": until}).encode()):
            yield None
            return
        for each in paths:
            await self._remote.delete(each)
        try:
            yield until
        finally:
            await self._remote.put(ours, json.dumps({"until": 0.0}).encode())  # not deleted: the next one counts on from it

    async def _ends_at(self, path: str) -> float:
        written = await self._remote.get(path, _MAX_SIZE)
        try:
            until = float(json.loads(written or b"{}")["until"])
        except (KeyError, TypeError, ValueError):
            return 0.0
        return until if until <= self._clock() + LENGTH else 0.0  # nobody writes one that is longer


def _number(path: str | None) -> int:
    name = (path or "").rpartition("/")[2]
    return int(name) if name.isascii() and name.isdigit() else 0
