"""An ingest whose disk is memory, and may fail (port Ingest)."""

from collections.abc import Callable, Sequence

from regproxy.policy.store.runs import Runs
from regproxy.ports import Extent, StoredBytes, StoreError


class MemoryIngest:
    """Keeps what is written ahead of its turn, until one write is refused; one read finds it gone."""

    def __init__(self, size: int, refused_at: int | None = None, lost_at: int | None = None) -> None:
        """Hold *size* bytes; refuse everything from the write *refused_at* on, and fail the read *lost_at*."""
        self.scattered = 0
        self.reads = 0
        self.can_scatter = True
        self.is_whole = True
        self.origin = None
        self._writes = 0
        self._refused_at = refused_at
        self._lost_at = lost_at
        self._content = bytearray(size)
        self._runs = Runs()

    async def scatter(self, start: int, chunks: Sequence[bytes]) -> None:
        self._writes += 1
        if self._refused_at is not None and self._writes > self._refused_at:
            self.can_scatter = False
            raise StoreError("no room")
        for chunk in chunks:
            self._content[start : start + len(chunk)] = chunk
            self._runs.add(start, start := start + len(chunk))
            self.scattered += len(chunk)

    async def read(self, start: int, stop: int) -> StoredBytes:
        self.reads += 1
        if self._lost_at == self.reads - 1:
            raise StoreError("it is gone")
        assert self._runs.reach(start) >= stop, "only what was written is read"
        return StoredBytes(self._content[start:stop])

    def reach(self, start: int) -> int:
        return self._runs.reach(start)

    def extent(self, start: int, stop: int) -> Extent:
        raise NotImplementedError

    async def write(self, chunks: Sequence[bytes]) -> None: ...

    def follow(self, slowest: Callable[[], int | None]) -> None: ...

    def moved(self) -> None: ...

    def close(self) -> None: ...

    def verify(self) -> None: ...

    async def commit(self) -> None: ...

    def leave(self) -> None: ...

    async def discard(self) -> None: ...
