"""What the collector of a worker promises: garbage goes soon, and a crowd of clients is not looked over for it."""

import asyncio
import gc
import os
import platform
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from regproxy.server import gc as collector

ALMOST_NO_TIME = 1e-6


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """Note which generations are looked at; put everything as it was."""
    seen: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            seen.append(about["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.unfreeze()
    gc.enable()


async def _while_collecting(clients: int, seen: Callable[[], bool], max_growth: int = 10**9) -> None:
    """Collect for so many clients until something is seen."""
    collecting = asyncio.create_task(collector.collect(lambda: clients, ALMOST_NO_TIME, max_growth))
    async with asyncio.timeout(300):
        while not seen():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.001)
    collecting.cancel()
    with suppress(asyncio.CancelledError):
        await collecting


async def test_garbage_in_a_circle_is_found_while_thousands_of_clients_are_connected(looks: list[int]) -> None:
    knots: list[weakref.ref[Knot]] = []

    def is_found() -> bool:
        if len(looks) > 10 and not knots:
            knots.append(weakref.ref(Knot()))
        return bool(knots) and knots[0]() is None

    await _while_collecting(5000, is_found)


async def test_nobody_is_made_to_wait_for_a_look_at_everything(looks: list[int]) -> None:
    """But for the one in the beginning, before there are clients."""
    await _while_collecting(5000, lambda: len(looks) > 10_000)
    assert looks.count(2) == 1


async def test_everything_is_looked_at_while_few_clients_are_connected(looks: list[int]) -> None:
    await _while_collecting(3, lambda: looks.count(2) > 2)
    assert looks.count(0) > looks.count(1) > looks.count(2)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives memory back by itself")
async def test_n12_14_what_lies_free_between_what_lasts_is_given_back(looks: list[int]) -> None:
    lasting, buffers = [], []
    for _ in range(2_000):
        buffers.append(bytearray(100_000))
        lasting.append(bytearray(1_000))
    most = _resident()
    buffers.clear()
    await _while_collecting(5000, lambda: len(looks) > 100 and _resident() < most - 100_000_000)
    assert len(lasting) == 2_000


def _resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_n12_14_garbage_that_outlives_two_looks_is_bounded_while_many_clients_are_connected(looks: list[int]) -> None:
    """Connections that ended would pile up for ten minutes, for as long as somebody holds enough of them open."""
    young: list[Knot] = []
    old: list[weakref.ref[Knot]] = []

    def is_found() -> bool:
        if len(looks) > 100 and not old:
            if not young:
                young.extend(Knot() for _ in range(20_000))
                looks.clear()
                return False
            old.append(weakref.ref(young[0]))
            young.clear()
        return bool(old) and old[0]() is None

    await _while_collecting(5000, is_found, max_growth=10_000)
    assert looks.index(2) < 1_000, "and not when it is overdue"


async def test_a_process_that_does_nothing_is_looked_at_less_often(looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("regproxy.server.gc.asyncio.sleep", noted)
    young: list[Knot] = []
    collecting = asyncio.create_task(collector.collect(lambda: 0, 1.0))
    async with asyncio.timeout(300):
        while len(slept) < 10:
            await sleep(0)
        assert set(slept[1:]) == {3.0}
        young += [Knot() for _ in range(2_000)]
        while 1.0 not in slept[1:]:
            await sleep(0)
    assert len(looks) >= 10
    collecting.cancel()
    with suppress(asyncio.CancelledError):
        await collecting
