"""A model of 100 GB in one layer, of which nobody needs all at once: sparse at the upstream, and as sparse in the store while it comes."""

import asyncio
import mmap
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from regproxy.oci.digest import Digest
from regproxy.storage.blob_files import path_of
from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import taken, tmpfs
from tests.rig import PATIENT, Rig, metric, rig

MIB = 1024 * 1024
SIZE = 100_000_000_000
NAME = "library/model"
DIGEST = Digest.of(b"never fetched whole, hence never hashed")
PATH = f"/v2/{NAME}/blobs/{DIGEST}?ns=docker.io"
COMES = 8 * MIB  # of each response, which then stalls
WRITTEN = (0, 5_000_000_000, SIZE // 2 + 1, SIZE - MIB)  # where the model has bytes that are no zeros, a mebibyte each


@pytest.fixture
def model(tmp_path: Path) -> memoryview:
    """Make a file of holes, and map it."""
    chance = random.Random(100)
    with (tmp_path / "model").open("wb+") as file:
        file.truncate(SIZE)
        for offset in WRITTEN:
            os.pwrite(file.fileno(), chance.randbytes(MIB), offset)
        return memoryview(mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ))


@pytest.fixture
def stalled(upstream: FakeRegistry, model: memoryview) -> Stall:
    upstream.repositories[NAME].blobs[DIGEST] = cast("bytes", model)
    stall = Stall(COMES)
    upstream.misbehave(lambda entry: on("GET", f"/blobs/{DIGEST}")(entry) and _asked(entry.headers.get("range")) > COMES, stall)
    return stall


def _asked(asked: str | None) -> int:
    first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
    return int(last or SIZE - 1) + 1 - int(first)


@asynccontextmanager
async def _store(root: Path, upstream: FakeRegistry, **store: str) -> AsyncIterator[Rig]:
    docker = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "365d"}]}
    async with rig(root, {"docker.io": docker}, store={"root": str(root), **store}, timeouts=PATIENT) as proxy:
        yield proxy


async def _right(proxy: Rig, model: memoryview, spans: Sequence[tuple[int, int]]) -> bool:
    answers = await asyncio.gather(*(proxy.ask(PATH, Range=f"bytes={start}-{stop - 1}") for start, stop in spans))
    return [(each.status, each.body) for each in answers] == [(206, bytes(model[start:stop])) for start, stop in spans]


@pytest.mark.usefixtures("stalled")
async def test_n19_06_parts_of_100_gb_come_before_all_of_it_and_take_no_more_than_they_are(
    upstream: FakeRegistry, model: memoryview, tmp_path: Path
) -> None:
    spans = [(offset, offset + MIB) for offset in WRITTEN] + [(SIZE - 1, SIZE), (10_000_000_000, 10_000_000_001)]
    with tmpfs(tmp_path / "volume", "size=200g") as volume:
        async with _store(volume, upstream) as proxy:
            head = await proxy.ask(PATH, "HEAD")
            assert head.headers["Content-Length"] == str(SIZE)
            assert await _right(proxy, model, spans)
            assert (await proxy.ask(PATH, Range="bytes=-100")).body == bytes(model[-100:])
            assert (await proxy.ask(PATH, Range=f"bytes={SIZE}-")).status == 416
            assert taken(volume) < 1000 * MIB
            upstream.ledger.clear()
            assert await _right(proxy, model, spans), "and again, out of what is there"
            assert upstream.sent_blob_bytes() == 0
        async with _store(volume, upstream) as proxy:
            assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(volume), "what is left of it is counted, not its length"
            assert await _right(proxy, model, spans)
            assert upstream.sent_blob_bytes() <= 2 * COMES * len(spans), "it is gone on with"


@pytest.mark.usefixtures("stalled")
async def test_n19_06_no_image_goes_for_what_is_too_large(upstream: FakeRegistry, model: memoryview, tmp_path: Path) -> None:
    images = [os.urandom(MIB) for _ in range(50)]
    digests = [upstream.add_blob(NAME, body) for body in images]
    async with _store(tmp_path / "store", upstream, max_size="64MiB") as proxy:
        for digest in digests:
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status == 200
        await proxy.settled()
        assert await _right(proxy, model, [(offset, offset + MIB) for offset in WRITTEN])
        assert [path_of(tmp_path / "store", digest).exists() for digest in digests] == [True] * 50
        assert taken(tmp_path / "store") <= 64 * MIB
