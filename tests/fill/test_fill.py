"""A copy in progress and those who read it."""

import asyncio
import tempfile
from collections.abc import Callable

import pytest

from regproxy.fill.fill import Fill
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Extent, Gone, NotFound, Unavailable

DIGEST = Digest.of(b"blob")
APP = Repository("docker.io", "library/app")


class Bytes:
    """An ingest as its readers see it."""

    is_whole = True

    def __init__(self, origin: object = None) -> None:
        self.origin = origin
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by whoever reads last
        self.slowest: Callable[[], int | None] = lambda: None

    def reach(self, start: int) -> int:
        return start

    def extent(self, start: int, stop: int) -> Extent:
        return Extent(self.file, start, stop - start)

    def follow(self, slowest: Callable[[], int | None]) -> None:
        self.slowest = slowest

    def moved(self) -> None: ...

    def close(self) -> None:
        self.file.close()


def filling(wake: Callable[[], None] = lambda: None) -> Fill:
    return Fill(DIGEST, APP, None, wake)


async def test_the_last_byte_waits_until_all_of_it_is_verified() -> None:
    fill = filling()
    fill.begin(Bytes(), 10, 0)
    fill.reach(10)
    follower = fill.follow()
    assert (await follower.extent(0, 10)).length == 9
    last = asyncio.create_task(follower.extent(9, 10))
    await asyncio.sleep(0)
    assert not last.done()
    fill.verified()
    assert (await last).length == 1
    follower.release()
    fill.end()


async def test_the_last_byte_of_a_part_waits_too() -> None:
    fill = filling()
    fill.begin(Bytes(), 10, 10)
    follower = fill.follow()
    assert (await follower.extent(2, 5)).length == 2
    follower.release()
    fill.end()


async def test_an_empty_blob_starts_when_it_is_verified() -> None:
    fill = filling()
    fill.begin(Bytes(), 0, 0)
    starting = asyncio.create_task(fill.started())
    await asyncio.sleep(0)
    assert not starting.done()
    fill.verified()
    await starting
    assert fill.size == 0
    fill.end()


async def test_a_blob_that_is_shorter_than_promised_is_told_from_a_whole_one() -> None:
    fill = filling()
    fill.begin(Bytes(), 10, 5)
    fill.verified()
    with pytest.raises(Unavailable, match="shorter"):
        await fill.extent(5, 10)
    fill.end()


async def test_each_follower_gets_an_error_of_its_own() -> None:
    fill = filling()
    fill.fail(NotFound("gone"))
    errors = await asyncio.gather(fill.started(), fill.started(), return_exceptions=True)
    assert [type(error) for error in errors] == [NotFound, NotFound]
    assert errors[0] is not errors[1]
    fill.end()


async def test_a_copy_that_ends_without_a_result_fails_its_followers() -> None:
    fill = filling()
    starting = asyncio.create_task(fill.started())
    await asyncio.sleep(0)
    fill.end()
    with pytest.raises(Unavailable, match="given up"):
        await starting


def test_whoever_has_some_of_one_copy_gets_nothing_of_another() -> None:
    fill, before, after = filling(), Bytes("one"), Bytes("other")
    fill.begin(before, 10, 5)
    with pytest.raises(Unavailable, match="died"):
        fill.begin(after, 10, 5)
    fill.end()
    assert (before.file.closed, after.file.closed) == (True, True)


def test_nobody_minds_another_copy_before_anything_was_read() -> None:
    fill = filling()
    fill.begin(Bytes("one"), 10, 0)
    fill.begin(Bytes("other"), 12, 3)
    assert (fill.size, fill.written) == (12, 3)
    fill.end()


async def test_a_file_is_closed_by_whoever_reads_it_last() -> None:
    fill, incoming = filling(), Bytes()
    fill.begin(incoming, 10, 5)
    one, other = fill.follow(), fill.follow()
    fill.end()
    one.release()
    assert not incoming.file.closed
    other.release()
    assert incoming.file.closed


async def test_an_ingest_finds_its_slowest_reader() -> None:
    fill, incoming = filling(), Bytes()
    fill.begin(incoming, 10, 8)
    assert incoming.slowest() is None
    one, other = fill.follow(), fill.follow()
    await one.extent(5, 10)
    assert incoming.slowest() == 0
    other.release()
    assert incoming.slowest() == 5
    one.release()
    fill.end()


async def test_a_fill_is_wanted_while_somebody_follows_or_asks() -> None:
    woken: list[bool] = []
    fill = filling(lambda: woken.append(True))
    assert not fill.is_wanted
    asking = asyncio.create_task(fill.started())
    await asyncio.sleep(0)
    assert (fill.is_wanted, woken) == (True, [True])
    fill.begin(Bytes(), 10, 0)
    await asking
    assert not fill.is_wanted
    follower = fill.follow()
    assert (fill.is_wanted, woken) == (True, [True, True])
    follower.release()
    fill.end()


def test_nobody_is_given_a_byte_before_the_size_is_known() -> None:
    fill = filling()
    fill.begin(Bytes(), None, 5)
    assert not fill.is_seen
    with pytest.raises(RuntimeError):
        _ = fill.size
    fill.fail(Gone("x"))
    fill.end()
