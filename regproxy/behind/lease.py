"""One member at a time, by objects that only one of all can create: numbered leases, each with an end.

Who finds the last one ended creates the next. Whoever loses that race has nothing, whatever it has read before. Two may work at once only
where their clocks differ by more than a lease is long.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.policy.clock import WallClock
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore, StoreError, TooLong

LENGTH = 3600.0  # seconds: an eviction waits ten minutes, and deletes for some more
_MAX_SIZE = 1024
_MAX_LEASES = 10_000  # those of members that died before they deleted them
_NAME = re.compile(r"[0-9]{12}")


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
        numbers: set[int] = set()
        async for page in self._remote.list(objects.LEASES):
            numbers.update(number for each in page if (number := _number(each.path)) is not None)
            if len(numbers) > _MAX_LEASES:
                raise StoreError(f"more than {_MAX_LEASES} leases in the object store: there is one at a time")
        last = max(numbers, default=0)
        if await self._ends_at(_path(last)) > self._clock():
            yield None
            return
        until = self._clock() + LENGTH
        ours = _path(last + 1)
        if not await self._remote.create(ours, json.dumps({"until": until}).encode()):
            yield None
            return
        for number in numbers:
            await self._remote.delete(_path(number))
        try:
            yield until
        finally:
            await self._remote.put(ours, json.dumps({"until": 0.0}).encode())  # not deleted: the next one counts on from it

    async def _ends_at(self, path: str) -> float:
        try:
            until = float(json.loads(await self._remote.get(path, _MAX_SIZE) or b"{}")["until"])
        except (TooLong, KeyError, TypeError, ValueError, OverflowError, RecursionError):  # anybody may have written it
            return 0.0
        return until if until <= self._clock() + LENGTH else 0.0  # nobody writes one that is longer


def _path(number: int) -> str:
    return f"{objects.LEASES}{number:012d}"


def _number(path: str) -> int | None:
    """Return which lease lies at *path*; None where that is none of ours."""
    name = path.removeprefix(objects.LEASES)
    return int(name) if _NAME.fullmatch(name) else None
