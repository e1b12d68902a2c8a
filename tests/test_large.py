"""Documents in memory: bounded in bytes on all of their way."""

import asyncio

from regproxy import large
from regproxy.best_effort import Behind

MIB = 1024 * 1024
SIZE = 4 * MIB


async def _holders(count: int) -> list[asyncio.Task[None]]:
    """Start tasks that each hold a document for ever, and let them come as far as they come."""

    async def hold() -> None:
        async with large.held(SIZE):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _may_hold(size: int) -> bool:
    """Say whether there is memory for a document now; nothing here ends by itself."""

    async def hold() -> None:
        async with large.allocation(), large.held(size):  # one of its own
            pass

    task = asyncio.create_task(hold())
    for _ in range(10):
        await asyncio.sleep(0)
    is_done = task.done()
    await _end([task])
    return is_done


async def test_n12_14_large_documents_are_bounded_in_bytes() -> None:
    tasks = await _holders(5)
    assert await _may_hold(SIZE), "one client may have three quarters of 32 MiB"
    assert not await _may_hold(2 * SIZE)
    assert await _may_hold(large.LARGE), "what is small waits for nobody"
    more = await _holders(1)
    assert not await _may_hold(SIZE)
    await _end(tasks + more)
    assert await _may_hold(6 * SIZE)


async def test_n12_14_a_document_is_allocated_until_it_is_stored() -> None:
    """Else documents pile up before a disk that is slow."""
    behind, stored = Behind(), asyncio.Event()
    tasks = await _holders(5)

    async def store() -> None:
        await stored.wait()

    async with large.allocation():
        async with large.held(SIZE):
            pass
        assert not await _may_hold(SIZE)
        doing = asyncio.create_task(behind.do(store()))
        await asyncio.sleep(0)
    assert not await _may_hold(SIZE)
    stored.set()
    await doing
    assert await _may_hold(SIZE)
    await _end(tasks)


async def test_n12_14_an_allocation_that_grows_waits_with_nothing() -> None:
    """Two that wait for each other's bytes would wait for ever."""
    tasks = await _holders(4)

    async def grow() -> None:
        async with large.allocation() as allocated:
            await allocated.require(SIZE)
            await allocated.require(3 * SIZE)

    growing = asyncio.create_task(grow())
    await asyncio.sleep(0)
    assert not growing.done()
    others = await _holders(2)
    assert [task.done() for task in others] == [False, False]
    await _end(others + tasks)
    await growing
    assert await _may_hold(6 * SIZE)


async def test_n12_14_an_allocation_that_is_over_is_not_used() -> None:
    """A task that was started within may go on behind."""
    go = asyncio.Event()

    async def later() -> bool:
        await go.wait()
        return large.current() is None

    async with large.allocation():
        task = asyncio.create_task(later())
        assert large.current() is not None
    go.set()
    assert await task
    assert await _may_hold(6 * SIZE)
