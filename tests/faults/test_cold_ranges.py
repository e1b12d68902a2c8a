"""Row C05: a cold blob that is asked for in any number of ranges at once is fetched once, over however many workers."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig

NAME = "library/model"
MIB = 1024 * 1024
SIZE = 24 * MIB + 12_345
BLOB = os.urandom(SIZE)
STEP = -(-SIZE // 16)
SIXTEEN = [(start, min(start + STEP, SIZE)) for start in range(0, SIZE, STEP)]
OVERLAPPING = [(max(start - STEP // 2, 0), stop) for start, stop in SIXTEEN]
SMALL = [(start, start + 10_000) for start in random.Random(19).sample(range(SIZE - 10_000), 64)]
ROUNDED = [(start, min(start + 2 * MIB, SIZE)) for start in random.Random(20).choices(range(0, SIZE, 4096), k=40)]

ASKED = [
    pytest.param(SIXTEEN, id="sixteen"),
    pytest.param(SIXTEEN[::-1], id="from the last"),
    pytest.param(OVERLAPPING, id="overlapping"),
    pytest.param([*SMALL, None], id="64 small ones and the whole"),
    pytest.param([None, *SMALL], id="the whole and 64 small ones"),
    pytest.param(ROUNDED, id="here and there"),
]


@pytest.fixture
async def digest(upstream: FakeRegistry) -> Digest:
    return upstream.add_blob(NAME, BLOB)


async def _asked(port: int, digest: Digest, place: tuple[int, int] | None) -> bytes:
    """Ask over a connection of its own: the kernel chooses the worker."""
    path = f"http://{LOOPBACK}:{port}/v2/{NAME}/blobs/{digest}?ns=docker.io"
    headers = {} if place is None else {"Range": f"bytes={place[0]}-{place[1] - 1}"}
    async with aiohttp.ClientSession() as session, session.get(path, headers=headers) as response:
        assert response.status == (200 if place is None else 206)
        return await response.read()


async def _all(port: int, digest: Digest, places: Sequence[tuple[int, int] | None]) -> None:
    bodies = await asyncio.gather(*(_asked(port, digest, place) for place in places))
    assert [body == (BLOB if place is None else BLOB[slice(*place)]) for body, place in zip(bodies, places, strict=True)] == [True] * len(
        places
    )


@pytest.mark.parametrize("rate", [None, 24 * MIB], ids=["near", "slow"])
@pytest.mark.parametrize("places", ASKED)
async def test_n19_06_a_cold_blob_under_many_ranges_is_fetched_once(
    upstream: FakeRegistry, proxy: Rig, digest: Digest, places: Sequence[tuple[int, int] | None], rate: int | None
) -> None:
    if rate is not None:
        upstream.misbehave(on("GET", "/blobs/"), Paced(rate / 16))
    await _all(proxy.port, digest, places)
    await proxy.settled()
    assert upstream.sent_blob_bytes() <= 1.02 * SIZE
    assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).body == BLOB
    assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).headers["Cache-Status"] == "regproxy; hit"


@pytest.fixture
async def program(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Program]:
    running = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=2)
    async with running.running():
        yield running


@pytest.mark.parametrize("places", ASKED)
async def test_n19_06_two_workers_fetch_it_once(
    upstream: FakeRegistry, program: Program, digest: Digest, places: Sequence[tuple[int, int] | None]
) -> None:
    upstream.misbehave(on("GET", "/blobs/"), Paced(2 * MIB))
    await _all(program.port, digest, places)
    assert await _asked(program.port, digest, None) == BLOB
    assert upstream.sent_blob_bytes() <= 1.02 * SIZE
