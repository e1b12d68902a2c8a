"""A piece is asked for anew where that brings it sooner, and only there: what is on its way is lost."""

import asyncio

import pytest

from regproxy.fill.download import Download
from tests.fill.line import Line, run
from tests.fill.test_download import BLOB, DIGEST, REPOSITORY

RATE = 5_000_000  # bytes per second


async def _fetch(line: Line) -> float:
    """Return when the blob is there."""
    download, received = Download(line, REPOSITORY, DIGEST, connections=12, stall_timeout=60), bytearray()

    async def put(chunk: bytes) -> None:
        received.extend(chunk)
        download.advance(len(chunk))

    try:
        await download.run(put)
    finally:
        await download.close()
    assert received == BLOB
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0], ids="{} s apart".format)
def test_n13_24_no_byte_is_requested_twice_on_a_line_that_all_downloads_share(seconds: float) -> None:
    """Five cost up to 1.09 times their bytes: the connections that joined the first one were slower than that had been."""
    line = Line(RATE)

    async def fetch(number: int) -> None:
        await asyncio.sleep(number * seconds)
        await _fetch(line)

    async def main() -> None:
        await asyncio.gather(*map(fetch, range(5)))

    run(main)
    assert line.requested == 5 * len(BLOB)


@pytest.mark.parametrize("has_others", [False, True])
def test_a_connection_that_is_slower_than_the_others_is_left(*, has_others: bool) -> None:
    line = Line(RATE, has_others=has_others)
    line.slow[4] = 1000
    assert run(lambda: _fetch(line)) < 2.5 * len(BLOB) / RATE
    assert len(BLOB) < line.requested < 1.15 * len(BLOB)


def test_connections_that_all_died_are_left_one_after_the_other() -> None:
    """A router has forgotten them: they do not end, and those that are new are as fast as they were."""
    line = Line(2 * RATE)
    line.dies_at = len(BLOB) * 3 // 4
    assert run(lambda: _fetch(line)) < 5.0, "long before a silent host is left"
