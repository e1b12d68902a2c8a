"""Calls to a disk that do not come back in time, and what becomes of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from regproxy.ports import StoreError
from regproxy.storage.threads import DiskThreads


class Disk:
    """A disk that hangs until it is told to go on."""

    def __init__(self, root: Path) -> None:
        """Begin well."""
        self.run = DiskThreads(root, 0.05)
        self._goes_on = threading.Event()

    def go_on(self) -> None:
        self._goes_on.set()

    def hang(self) -> str:
        self._goes_on.wait(60)
        return "late"


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.go_on()
    disk.run.close()


async def _until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(300):
        while not is_true():  # noqa: ASYNC110 -- a thread sets no event of ours
            await asyncio.sleep(0.01)


async def test_what_comes_when_nobody_waits_any_more_is_undone(disk: Disk) -> None:
    undone: list[str] = []
    with pytest.raises(StoreError, match="did not answer"):
        await disk.run(disk.hang, undo=undone.append)
    waiting = asyncio.create_task(disk.run(disk.hang, undo=undone.append))
    await asyncio.sleep(0)
    waiting.cancel()
    disk.go_on()
    await _until(lambda: undone == ["late", "late"])


async def test_a_disk_hangs_for_as_long_as_a_call_is_out(disk: Disk) -> None:
    assert disk.run.trouble is None
    with pytest.raises(StoreError, match="did not answer"):
        await disk.run(disk.hang)
    assert "1 calls" in str(disk.run.trouble)
    assert await disk.run(lambda: "well") == "well", "what does not hang is done"
    disk.go_on()
    await _until(lambda: disk.run.trouble is None)


async def test_what_found_no_thread_in_time_is_never_done(disk: Disk) -> None:
    done: list[str] = []
    await asyncio.gather(*(disk.run(disk.hang) for _ in range(50)), return_exceptions=True)
    with pytest.raises(StoreError, match="did not answer"):
        await disk.run(done.append, "late")
    disk.go_on()
    await _until(lambda: disk.run.trouble is None)
    assert await disk.run(lambda: "well") == "well"
    assert done == []
