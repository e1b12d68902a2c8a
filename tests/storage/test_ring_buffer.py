"""Content that passes through memory."""

import asyncio
import os
from collections.abc import Callable

from regproxy.storage.ring_buffer import WINDOW, RingBuffer

START = 3 * WINDOW - 5  # in the middle of a lap


def ring(slowest: Callable[[], int | None], start: int = START) -> RingBuffer:
    return RingBuffer(start, slowest)


def read(buffer: RingBuffer, start: int, stop: int) -> bytes:
    body = bytearray()
    while start < stop:
        extent = buffer.extent(start, stop)
        body += os.pread(extent.file.fileno(), extent.length, extent.offset)
        start += extent.length
    return bytes(body)


async def test_what_was_written_is_read_across_the_end_of_the_ring() -> None:
    buffer = ring(lambda: START)
    assert await buffer.write(memoryview(b"0123456789"))
    assert (buffer.begin, buffer.end, read(buffer, START, START + 10)) == (START, START + 10, b"0123456789")
    buffer.close()


async def test_a_byte_stays_until_its_slowest_reader_has_had_it() -> None:
    position = START
    buffer = ring(lambda: position)
    assert await buffer.write(memoryview(bytes(WINDOW)))
    writing = asyncio.create_task(buffer.write(memoryview(b"new")))
    await asyncio.sleep(0)
    assert (writing.done(), buffer.end) == (False, START + WINDOW)
    position += 3
    buffer.moved()
    assert await writing
    assert (buffer.begin, read(buffer, START + WINDOW, START + WINDOW + 3)) == (START + 3, b"new")
    buffer.close()


async def test_nothing_is_written_for_nobody() -> None:
    reader: list[int | None] = [START]
    buffer = ring(lambda: reader[0])
    assert await buffer.write(memoryview(bytes(WINDOW)))
    writing = asyncio.create_task(buffer.write(memoryview(b"new")))
    await asyncio.sleep(0)
    reader[0] = None
    buffer.moved()
    assert not await writing
    buffer.close()
