"""Bytes on their way to the disk."""

import asyncio
from collections.abc import Sequence

import pytest

from regproxy.fill.writer import Writer
from regproxy.ports import Extent, StoredBytes, StoreError

MIB = 1024 * 1024


class SlowDisk:
    """Takes what it is given once it may; the rest of an ingest is not asked for here."""

    is_whole = True
    origin = None

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.may_write = asyncio.Event()
        self.error: StoreError | None = None

    async def write(self, chunks: Sequence[bytes]) -> None:
        self.batches.append(list(chunks))
        await self.may_write.wait()
        if self.error is not None:
            raise self.error

    can_scatter = False

    def reach(self, start: int) -> int:
        return start

    async def scatter(self, start: int, chunks: Sequence[bytes]) -> None:
        raise NotImplementedError

    async def read(self, start: int, stop: int) -> StoredBytes:
        raise NotImplementedError

    def extent(self, start: int, stop: int) -> Extent:
        raise NotImplementedError

    def follow(self, slowest: object) -> None: ...

    def moved(self) -> None: ...

    def close(self) -> None: ...

    def verify(self) -> None: ...

    async def commit(self) -> None: ...

    def leave(self) -> None: ...

    async def discard(self) -> None: ...


async def test_what_arrives_while_the_disk_writes_is_written_at_once() -> None:
    disk, written = SlowDisk(), list[int]()
    writer = Writer(disk, written.append)
    for chunk in (b"a", b"b", b"c"):
        await writer.put(chunk)
        await asyncio.sleep(0)
    disk.may_write.set()
    await writer.finish()
    assert (disk.batches, written) == ([[b"a"], [b"b", b"c"]], [1, 2])


async def test_upstream_waits_for_a_slow_disk_past_a_limit() -> None:
    disk = SlowDisk()
    writer = Writer(disk, lambda _: None)
    await writer.put(b"first")
    await asyncio.sleep(0)
    for _ in range(4):
        await writer.put(bytes(MIB))
    waiting = asyncio.create_task(writer.put(b"x"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    disk.may_write.set()
    await waiting
    await writer.finish()
    assert sum(len(chunk) for batch in disk.batches for chunk in batch) == 4 * MIB + 6


async def test_a_disk_that_fails_ends_the_download_and_not_its_end() -> None:
    disk = SlowDisk()
    disk.error = StoreError("full")
    disk.may_write.set()
    writer = Writer(disk, lambda _: None)
    await writer.put(b"x")
    await writer.stop()
    with pytest.raises(StoreError):
        await writer.finish()
