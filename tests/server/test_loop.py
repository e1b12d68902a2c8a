"""What the loop of a worker promises: a little at a time, and everybody in turn."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from regproxy.server.loop import SparingLoop, new_loop

_MANY = 400


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = new_loop()
    yield loop
    loop.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(_MANY)]
        for pair in made:
            for end in pair:
                stack.enter_context(end)
        yield made


def test_what_happens_at_once_is_dealt_with_in_several_turns_and_all_of_it(
    loop: asyncio.AbstractEventLoop, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    read: list[int] = []
    turns: list[int] = []

    def ready(number: int) -> None:
        pairs[number][0].recv(1)
        read.append(number)

    async def run() -> None:
        for number, (reader, writer) in enumerate(pairs):
            loop.add_reader(reader, ready, number)
            writer.send(b"x")
        for _ in range(20):
            before = len(read)
            await asyncio.sleep(0)
            turns.append(len(read) - before)

    loop.run_until_complete(run())
    assert sorted(read) == list(range(_MANY))
    assert max(turns) <= 128


def test_those_who_are_always_ready_keep_nobody_from_a_turn(
    loop: asyncio.AbstractEventLoop, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    seen: set[int] = set()

    async def run() -> None:
        for number, (reader, writer) in enumerate(pairs):
            writer.send(b"x")
            loop.add_reader(reader, seen.add, number)  # which reads nothing
        for _ in range(20):
            await asyncio.sleep(0)

    loop.run_until_complete(run())
    assert len(seen) == _MANY


def test_a_loop_that_has_nothing_to_do_waits(loop: asyncio.AbstractEventLoop) -> None:
    async def wake() -> bool:
        woken = asyncio.Event()
        loop.call_later(0.05, woken.set)
        return await woken.wait()

    assert loop.run_until_complete(wake())


def test_writers_have_their_turn_too(loop: asyncio.AbstractEventLoop, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    written: set[int] = set()

    async def run() -> None:
        for number, (_, writer) in enumerate(pairs):
            loop.add_writer(writer, written.add, number)
        for _ in range(20):
            await asyncio.sleep(0)

    loop.run_until_complete(run())
    assert written == set(range(_MANY))


def test_it_knows_for_how_long_it_stood_still(loop: asyncio.AbstractEventLoop) -> None:
    """Once: whoever asks again asks about the time since."""
    assert isinstance(loop, SparingLoop)
    lag = loop.take_lag

    async def run() -> tuple[float, float]:
        await asyncio.sleep(0.01)
        lag()
        time.sleep(0.3)  # noqa: ASYNC251  as what stands still does
        await asyncio.sleep(0)
        first = lag()
        loop.call_later(0.02, lambda: None)
        await asyncio.sleep(0.02)
        return first, lag()

    first, second = loop.run_until_complete(run())
    assert 0.3 <= first < 300
    assert second < first


def test_sleep_is_no_lag(loop: asyncio.AbstractEventLoop) -> None:
    assert isinstance(loop, SparingLoop)
    loop.run_until_complete(asyncio.sleep(1.5))
    assert loop.take_lag() < 1.5
