"""What the collector of a worker promises: garbage goes soon, and a crowd of clients is not looked over for it."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

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


async def _while_collecting(clients: int, seen: Callable[[], bool]) -> None:
    """Collect for so many clients until something is seen."""
    collecting = asyncio.create_task(collector.collect(lambda: clients, ALMOST_NO_TIME))
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
