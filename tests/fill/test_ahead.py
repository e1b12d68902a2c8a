"""Parts that clients wait for are pieces of the fill, fetched ahead of their turn and once."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from regproxy.fill.ahead import PartDownloads
from regproxy.fill.download import Download
from regproxy.fill.fill import Fill
from regproxy.fill.part import Part
from regproxy.oci.digest import Digest
from regproxy.policy.store.quota import Limits, on_disk
from regproxy.ports import Corrupt, Full, NotFound, Resumable, StoreError, Unavailable
from tests.fakes.deeds import Chunked, Cut, CutShare, Deed, Headers, Lie, NoLength, NoRanges, Paced, Stall, Status
from tests.fakes.entry import Entry
from tests.fakes.registry import FakeRegistry
from tests.fill.memory_ingest import MemoryIngest
from tests.fill.test_download import BLOB, DIGEST, FakeSender
from tests.fill.test_fills import APP, MIB, Process, processes

SIZE = 9 * MIB
LARGE = random.Random(19).randbytes(SIZE)
LONG = 60.0  # seconds
UNTOLD = [
    pytest.param([NoRanges(), Chunked()], id="all of it, in chunks"),
    pytest.param([NoRanges(), NoLength()], id="all of it, to the end of the connection"),
    pytest.param([Headers({"content-range": f"bytes 0-{5 * MIB - 1}/*"})], id="a part of something"),
]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def process(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Process]:
    async with processes(tmp_path / "store", upstream, count=1) as (process,):
        yield process


def digest_of(upstream: FakeRegistry) -> Digest:
    return upstream.add_blob("library/app", LARGE)


def is_first(entry: Entry) -> bool:
    """Whether it asks for what is fetched in order."""
    return entry.kind == "blobs" and entry.headers.get("range", "bytes=0-").startswith("bytes=0-")


def part_of(process: Process, digest: Digest, *places: tuple[int, int]) -> Part:
    return process.fills.begin(APP, digest).part(places, LONG, lambda: None)


async def read_part(process: Process, digest: Digest, start: int, stop: int) -> bytes:
    part = part_of(process, digest, (start, stop))
    try:
        await part.started()
        body = b""
        while start + len(body) < min(stop, part.size):
            extent = await part.extent(start + len(body), min(stop, part.size))
            body += os.pread(extent.file.fileno(), extent.length, extent.offset)
        return body
    finally:
        part.release()


async def test_n19_06_parts_come_while_what_is_in_order_stands_still(upstream: FakeRegistry, process: Process) -> None:
    digest, stall = digest_of(upstream), Stall(1000)
    upstream.misbehave(is_first, stall)
    pulling = asyncio.create_task(process.pull(digest))
    await stall.reached.wait()
    places = [(8 * MIB, SIZE), (2 * MIB, 3 * MIB), (2 * MIB + 5, 4 * MIB), (2 * MIB, 4 * MIB)]
    bodies = await asyncio.gather(*(read_part(process, digest, *place) for place in places))
    assert bodies == [LARGE[start:stop] for start, stop in places]
    stall.event.set()
    assert await pulling == LARGE
    assert upstream.sent_blob_bytes() <= SIZE + 4 * MIB, "what had been asked for in order is left where the first part begins"


async def test_parts_before_all_else_are_fetched_once(upstream: FakeRegistry, process: Process) -> None:
    digest = digest_of(upstream)
    bodies = await asyncio.gather(*(read_part(process, digest, at * MIB, at * MIB + MIB) for at in (7, 3, 0, 5)))
    assert bodies == [LARGE[at * MIB : at * MIB + MIB] for at in (7, 3, 0, 5)]
    await process.fills.idle()
    assert upstream.sent_blob_bytes() == SIZE
    assert await process.pull(digest) == LARGE
    assert upstream.sent_blob_bytes() == SIZE


async def test_a_part_that_goes_beyond_the_end_ends_there(upstream: FakeRegistry, process: Process) -> None:
    digest = digest_of(upstream)
    assert await read_part(process, digest, SIZE - 10, SIZE + 10) == LARGE[-10:]
    await process.fills.idle()
    assert upstream.sent_blob_bytes() == SIZE


async def test_what_a_client_leaves_is_fetched_in_order(upstream: FakeRegistry, process: Process) -> None:
    digest, stall = digest_of(upstream), Stall(MIB)
    upstream.misbehave(lambda entry: entry.headers.get("range") == f"bytes={5 * MIB}-{8 * MIB - 1}", stall)
    part = part_of(process, digest, (5 * MIB, 8 * MIB))
    await part.started()
    await stall.reached.wait()
    part.release()
    assert await process.pull(digest) == LARGE
    stall.event.set()


async def test_a_part_that_breaks_goes_on(upstream: FakeRegistry, process: Process) -> None:
    digest = digest_of(upstream)
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith(f"bytes={5 * MIB}-"), Cut(1000), times=1)
    assert await read_part(process, digest, 5 * MIB, 8 * MIB) == LARGE[5 * MIB : 8 * MIB]
    await process.fills.idle()
    assert upstream.sent_blob_bytes() == SIZE


async def test_what_upstream_refuses_of_a_part_fails_the_part_alone(upstream: FakeRegistry, process: Process) -> None:
    digest, stall = digest_of(upstream), Stall(1000)
    upstream.misbehave(is_first, stall)
    pulling = asyncio.create_task(process.pull(digest))
    await stall.reached.wait()
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith(f"bytes={5 * MIB}-"), Status(404))
    with pytest.raises((NotFound, Unavailable)):
        await read_part(process, digest, 5 * MIB, 8 * MIB)
    upstream.behave()
    stall.event.set()
    assert await pulling == LARGE


async def test_an_upstream_without_ranges_sends_no_parts(upstream: FakeRegistry, process: Process) -> None:
    digest = digest_of(upstream)
    upstream.misbehave("/blobs/", NoRanges())
    with pytest.raises(Unavailable, match="no parts"):
        await read_part(process, digest, 5 * MIB, 8 * MIB)
    assert await process.pull(digest) == LARGE


async def test_a_blob_whose_length_nobody_tells_has_no_parts(upstream: FakeRegistry, process: Process) -> None:
    digest = digest_of(upstream)
    upstream.misbehave("/blobs/", NoRanges(), Chunked())
    with pytest.raises((Unavailable, StoreError)):
        await read_part(process, digest, 5 * MIB, 8 * MIB)
    assert await process.pull(digest) == LARGE


@pytest.mark.parametrize("deeds", UNTOLD)
async def test_a_first_part_that_tells_no_length_is_no_beginning_of_all(
    upstream: FakeRegistry, process: Process, deeds: list[Deed], caplog: pytest.LogCaptureFixture
) -> None:
    digest = digest_of(upstream)
    upstream.misbehave("/blobs/", *deeds, times=1)
    with suppress(Unavailable, StoreError):
        assert await read_part(process, digest, 0, 5 * MIB) == LARGE[: 5 * MIB]
    assert await process.pull(digest) == LARGE
    assert "restarting" not in caplog.text
    assert upstream.sent_blob_bytes() <= 3 * SIZE


@pytest.mark.parametrize("deeds", [[], [NoRanges(), Chunked()]], ids=["told", "untold"])
async def test_of_an_empty_blob_no_part_is_asked_for_again_and_again(upstream: FakeRegistry, process: Process, deeds: list[Deed]) -> None:
    digest = upstream.add_blob("library/app", b"")
    upstream.misbehave("/blobs/", *deeds)
    with suppress(Unavailable, StoreError):
        assert await read_part(process, digest, 0, 5 * MIB) == b""
    await process.fills.idle()
    assert upstream.count("GET", "blobs") <= 3


async def test_what_is_wrong_ahead_of_its_turn_is_not_kept(upstream: FakeRegistry, process: Process) -> None:
    def lied(body: bytes) -> bytes:
        return body[: 5 * MIB] + b"?" + body[5 * MIB + 1 :]

    digest = digest_of(upstream)
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith(f"bytes={5 * MIB}-"), Lie(lied))
    assert await read_part(process, digest, 5 * MIB, 6 * MIB) == b"?" + LARGE[5 * MIB + 1 : 6 * MIB], "nobody can know yet"
    await process.fills.idle()
    assert await process.pull(digest) == LARGE


async def test_what_is_known_to_be_wrong_is_sent_to_nobody(upstream: FakeRegistry, process: Process) -> None:
    """Whoever is in the middle of a part learns of it by an error, and whoever comes then by another copy."""
    digest = digest_of(upstream)
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith(f"bytes={5 * MIB}-"), Lie(lambda body: b"?" * len(body)))
    part = part_of(process, digest, (5 * MIB, 8 * MIB))
    await part.started()
    await process.fills.idle()
    with pytest.raises(Corrupt):
        await part.extent(5 * MIB, 8 * MIB)
    part.release()
    upstream.behave()
    assert await read_part(process, digest, 5 * MIB, 6 * MIB) == LARGE[5 * MIB : 6 * MIB]


async def test_a_store_without_room_brings_no_parts(tmp_path: Path, upstream: FakeRegistry) -> None:
    async with processes(tmp_path / "store", upstream, count=1, limits=Limits(max_size=4 * MIB)) as (process,):
        digest = digest_of(upstream)
        pulling = asyncio.create_task(process.pull(digest))
        with pytest.raises(Full):
            await read_part(process, digest, 5 * MIB, 8 * MIB)
        assert await pulling == LARGE


async def test_a_small_part_does_not_wait_for_a_large_one(upstream: FakeRegistry, process: Process) -> None:
    digest, stall = digest_of(upstream), Stall(1000)
    upstream.misbehave(lambda entry: entry.headers.get("range") == f"bytes=1000-{SIZE - 1}", stall)
    large = asyncio.create_task(read_part(process, digest, 1000, SIZE))
    await stall.reached.wait()
    places = [(8 * MIB, 8 * MIB + 100), (7 * MIB, 7 * MIB + 100), (8 * MIB, 8 * MIB + 200)]
    assert [await read_part(process, digest, *place) for place in places] == [LARGE[start:stop] for start, stop in places]
    assert not large.done()
    stall.event.set()
    assert await large == LARGE[1000:]
    await process.fills.idle()
    assert await process.pull(digest) == LARGE


@pytest.mark.parametrize("lost_at", range(3))
async def test_a_part_that_cannot_be_read_any_more_is_fetched_in_order(lost_at: int) -> None:
    sender, ingest = FakeSender(len(BLOB), []), MemoryIngest(len(BLOB), lost_at=lost_at)
    await ingest.scatter(5 * MIB, [BLOB[5 * MIB : 8 * MIB]])
    download = Download(sender, APP, DIGEST, stall_timeout=LONG)
    parts = PartDownloads(Fill(DIGEST, APP, True, lambda: None), download, Resumable(0, ((5 * MIB, 8 * MIB),)), LONG, None)
    received = bytearray()

    async def put(chunk: bytes) -> None:
        received.extend(chunk)
        download.advance(len(chunk))

    async with parts.running():
        await download.begin()
        parts.open(ingest)
        await download.run(put)
    await download.close()
    assert received == BLOB
    assert sum(sender.lengths) == len(BLOB) - lost_at * MIB


@pytest.mark.parametrize("seed", range(int(os.environ.get("REGPROXY_PARTS", "3"))))
async def test_n19_06_whatever_is_asked_for_and_whoever_leaves_every_byte_is_right(
    tmp_path: Path, upstream: FakeRegistry, seed: int
) -> None:
    """Over two processes, from an upstream that breaks off now and then."""
    chance = random.Random(seed)
    digest = digest_of(upstream)
    upstream.misbehave(lambda entry: entry.kind == "blobs" and chance.random() < 0.2, CutShare(chance.random()))
    upstream.misbehave("/blobs/", Paced(chance.choice([2, 20, 200]) * MIB))

    async def asked(process: Process) -> None:
        await asyncio.sleep(chance.random() * chance.choice([0.01, 0.3]))
        start = chance.randrange(SIZE)
        stop = min(start + chance.choice([1000, 100_000, 3_000_000]), SIZE)
        match chance.choice(["part", "part", "part", "leaves", "whole"]):
            case "whole":
                assert await process.pull(digest) == LARGE
            case "leaves":
                with suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() * 0.2):
                        await read_part(process, digest, start, stop)
            case _:
                assert await read_part(process, digest, start, stop) == LARGE[start:stop]

    async with processes(tmp_path / "store", upstream) as both:
        await asyncio.gather(*(asked(chance.choice(both)) for _ in range(24)))
        for process in both:
            await process.fills.idle()
        assert await both[0].pull(digest) == LARGE
        assert both[0].store.quota.held == on_disk(SIZE)
        assert both[0].store.quota.promised == 0
