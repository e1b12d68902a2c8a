"""Row C05: ranges of blobs that are not here, or not yet."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Cut, NoRanges, Stall, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, get, raw, rig

NAME = "library/app"
SIZE = 12_000_000
BLOB = os.urandom(SIZE)
FAR = "bytes=10000000-10000999"


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _is_part(answer: Answer, start: int, stop: int) -> bool:
    said = answer.headers.get("Content-Range")
    return (answer.status, said, answer.body) == (206, f"bytes {start}-{stop - 1}/{SIZE}", BLOB[start:stop])


SEVERAL = [(10_000_000, 10_001_000), (11_000_000, 11_500_000), (SIZE - 100, SIZE)]
THEIR_HEADER = "bytes=10000000-10000999, 11000000-11499999, -100"


def _are_parts(answer: Answer, places: list[tuple[int, int]]) -> bool:
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    first, *framed, last = answer.body.split(f"\r\n--{boundary}".encode())
    parts = [part.removeprefix(b"\r\n").partition(b"\r\n\r\n") for part in framed]
    ends = (answer.status, kind, first, last, int(answer.headers["Content-Length"]))
    return (
        ends == (206, "multipart/byteranges", b"", b"--\r\n", len(answer.body))
        and [body for _, _, body in parts] == [BLOB[start:stop] for start, stop in places]
        and all(head.endswith(f"{start}-{stop - 1}/{SIZE}".encode()) for (head, _, _), (start, stop) in zip(parts, places, strict=True))
    )


@pytest.fixture
def digest(upstream: FakeRegistry) -> Digest:
    return upstream.add_blob(NAME, BLOB)


@pytest.fixture
async def held(upstream: FakeRegistry, digest: Digest) -> AsyncIterator[Stall]:
    """Let upstream begin the blob and stop; parts of it come at once."""
    assert digest
    stall = Stall(1000)
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith("bytes=0-"), stall)
    yield stall
    stall.event.set()


PARTS = [
    pytest.param("bytes=10-19", 10, 20, id="near"),
    pytest.param(FAR, 10_000_000, 10_001_000, id="far"),
    pytest.param("bytes=11999990-99999999", 11_999_990, SIZE, id="beyond the end"),
    pytest.param("bytes=11000000-", 11_000_000, SIZE, id="to the end"),
    pytest.param("bytes=-5", SIZE - 5, SIZE, id="the last five"),
]


@pytest.mark.parametrize("mode", ["fill", "wait", "pass"])
@pytest.mark.parametrize(("header", "start", "stop"), PARTS)
async def test_c05_a_part_of_a_cold_blob_is_right(
    upstream: FakeRegistry, tmp_path: Path, digest: Digest, mode: str, header: str, start: int, stop: int
) -> None:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, downloads={"uncached_ranges": mode}) as proxy:
        assert _is_part(await proxy.ask(_path(digest), Range=header), start, stop)
        await proxy.settled()


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [("bytes=10-19", 10, 20), (FAR, 10_000_000, 10_001_000), ("bytes=-500", SIZE - 500, SIZE)],
    ids=["near", "far", "last"],
)
async def test_c05_a_part_does_not_wait_for_the_fill(proxy: Rig, digest: Digest, held: Stall, header: str, start: int, stop: int) -> None:
    answer = await proxy.ask(_path(digest), Range=header)
    assert _is_part(answer, start, stop)
    assert answer.headers["Cache-Status"] == "regproxy; fwd=miss; detail=unverified"
    held.event.set()
    await proxy.settled()
    assert (await proxy.ask(_path(digest))).headers["Cache-Status"] == "regproxy; hit", "the whole came behind it"


@pytest.mark.parametrize("mode", ["fill", "wait", "pass"])
async def test_c05_several_parts_of_a_cold_blob_are_right(upstream: FakeRegistry, tmp_path: Path, digest: Digest, mode: str) -> None:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, downloads={"uncached_ranges": mode}) as proxy:
        assert _are_parts(await proxy.ask(_path(digest), Range=THEIR_HEADER), SEVERAL)
        await proxy.settled()


async def test_c05_several_parts_do_not_wait_for_the_fill(proxy: Rig, digest: Digest, held: Stall) -> None:
    """Lazy snapshotters ask so for the chunks of a layer that a program reads first."""
    answer = await proxy.ask(_path(digest), Range=THEIR_HEADER)
    assert _are_parts(answer, SEVERAL)
    assert answer.headers["Cache-Status"] == "regproxy; fwd=miss; detail=unverified"
    held.event.set()
    await proxy.settled()
    assert (await proxy.ask(_path(digest))).headers["Cache-Status"] == "regproxy; hit", "the whole came behind them"


def _header(places: list[tuple[int, int]]) -> str:
    return "bytes=" + ",".join(f"{start}-{stop - 1}" for start, stop in places)


MANY = [(10_000_000 + 1000 * at, 10_000_900 + 1000 * at) for at in range(1000)]


@pytest.mark.parametrize("mode", ["fill", "pass"])
async def test_n12_12_parts_that_are_near_are_one_question(
    upstream: FakeRegistry, tmp_path: Path, digest: Digest, held: Stall, mode: str
) -> None:
    """The parts come one by one all the same: containers-storage counts them."""
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, downloads={"uncached_ranges": mode}) as proxy:
        places = [(9_000_000, 9_000_010), (9_000_010, 9_100_000), *MANY]
        assert _are_parts(await proxy.ask(_path(digest), Range=_header(places)), places)
        held.event.set()
        await proxy.settled()
    asked = [entry.headers.get("range") for entry in upstream.ledger if entry.method == "GET" and entry.kind == "blobs"]
    ours = [text for text in asked if text in {"bytes=9000000-9099999", "bytes=10000000-10999899"}]
    assert len(ours) == 2
    assert len(asked) < 8


async def test_n13_19_a_thousand_parts_of_what_is_stored_come_as_parts(proxy: Rig, digest: Digest) -> None:
    """containers-storage asks so, and counts what comes: parts that touch stay apart."""
    await proxy.ask(_path(digest))
    await proxy.settled()
    places = [(at, at + (100 if number % 2 else 50)) for number, at in enumerate(range(0, 1024 * 100, 100))]
    assert len(_header(places)) > 8190
    answer = await proxy.ask(_path(digest), Range=_header(places))
    assert _are_parts(answer, places)
    assert answer.headers["Cache-Status"] == "regproxy; hit"
    assert (await proxy.ask(_path(digest), Range=_header([*places, (SIZE - 1, SIZE)]))).status == 200


async def test_n12_12_parts_that_would_be_many_questions_come_with_the_fill(upstream: FakeRegistry, proxy: Rig, digest: Digest) -> None:
    places = [(start, start + 10) for start in range(SIZE - 100_000, 0, -100_000)]
    assert _are_parts(await proxy.ask(_path(digest), Range=_header(places[:60])), places[:60])
    await proxy.settled()
    assert upstream.sent_blob_bytes() == SIZE


async def test_n12_12_one_part_too_many_is_told_when_to_come_back(upstream: FakeRegistry, tmp_path: Path, digest: Digest) -> None:
    """Where nothing is filled there is nothing else to wait for."""
    stall, timeouts = Stall(10), {"silence": "60s"}
    upstream.misbehave(lambda entry: "range" in entry.headers, stall)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, downloads={"uncached_ranges": "pass"}, timeouts=timeouts) as proxy:
        asking = {asyncio.create_task(proxy.ask(_path(digest), Range=f"bytes={start}-{start + 99}")) for start in range(49)}
        (refused,), asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert refused.result().status == 503
        assert int(refused.result().headers["Retry-After"]) > 0
        stall.event.set()
        assert {(answer.status, len(answer.body)) for answer in await asyncio.gather(*asking)} == {(206, 100)}
        assert (await proxy.ask(_path(digest), Range="bytes=0-99")).status == 206


async def test_c05_parts_of_which_one_fails_end_short(upstream: FakeRegistry, proxy: Rig, digest: Digest, held: Stall) -> None:
    upstream.misbehave(lambda entry: entry.headers.get("range") == "bytes=11000000-11499999", Status(404))
    answer = await proxy.ask(_path(digest), Range=THEIR_HEADER)
    assert (answer.status, answer.is_whole) == (206, False)
    assert BLOB[10_000_000:10_001_000] in answer.body
    held.event.set()
    await proxy.settled()


@pytest.mark.parametrize("header", ["bytes=0-1,x", "bytes=20000000-,30000000-", "bytes=0-9000000,0-9000000"])
async def test_c05_parts_that_make_no_sense_are_as_of_a_warm_blob(proxy: Rig, digest: Digest, header: str) -> None:
    cold = await proxy.ask(_path(digest), Range=header)
    await proxy.settled()
    warm = await proxy.ask(_path(digest), Range=header)
    assert warm.status == 416 or warm.headers["Cache-Status"] == "regproxy; hit"
    assert (cold.status, cold.body) == (warm.status, warm.body)


async def test_c05_a_part_of_a_blob_that_comes_at_once_is_not_fetched_by_itself(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB[:1_000_000])
    assert (await proxy.ask(_path(digest), Range="bytes=10-19")).body == BLOB[10:20]
    await proxy.settled()
    assert 0 <= upstream.sent_blob_bytes() - 1_000_000 <= 10, "unless this machine is too slow for that to be soon"


async def test_n13_23_a_part_of_a_small_blob_does_not_wait_for_a_slow_fill(upstream: FakeRegistry, proxy: Rig) -> None:
    digest, stall = upstream.add_blob(NAME, BLOB[:1_000_000]), Stall(1000)
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith("bytes=0-"), stall)
    answer = await proxy.ask(_path(digest), Range="bytes=500000-500009")
    assert (answer.status, answer.body) == (206, BLOB[500_000:500_010])
    assert answer.headers["Cache-Status"] == "regproxy; fwd=miss; detail=unverified"
    stall.event.set()
    await proxy.settled()
    assert (await proxy.ask(_path(digest))).headers["Cache-Status"] == "regproxy; hit"


async def test_n13_23_a_part_that_a_client_waits_for_comes_before_the_fill(upstream: FakeRegistry, proxy: Rig, digest: Digest) -> None:
    assert _is_part(await proxy.ask(_path(digest), Range=FAR), 10_000_000, 10_001_000)
    await proxy.settled()
    asked = [entry.headers.get("range", "") for entry in upstream.ledger if entry.method == "GET" and entry.kind == "blobs"]
    assert asked[0] == FAR
    assert asked[1] == "" or asked[1].startswith("bytes=0-")  # the fill, by one request or several


async def test_c05_many_parts_to_the_end_are_one_fill(upstream: FakeRegistry, proxy: Rig, digest: Digest) -> None:
    """containerd: one such request per chunk, each hung up on once the chunk is read."""
    chunk = 1_000_000
    requests = [get(_path(digest), Range=f"bytes={start}-") for start in range(0, SIZE, chunk)]
    answers = await asyncio.gather(*(raw(proxy.port, request, read=chunk) for request in requests))
    assert [answer.body[: chunk - 2000] for answer in answers] == [BLOB[at : at + chunk - 2000] for at in range(0, SIZE, chunk)]
    await proxy.settled()
    assert upstream.sent_blob_bytes() == SIZE


async def test_c05_a_part_that_breaks_goes_on(upstream: FakeRegistry, proxy: Rig, digest: Digest) -> None:
    upstream.misbehave(lambda entry: entry.headers.get("range") == FAR, Cut(400), times=1)
    assert _is_part(await proxy.ask(_path(digest), Range=FAR), 10_000_000, 10_001_000)
    await proxy.settled()


async def test_c05_a_part_from_a_registry_without_ranges_comes_with_the_fill(upstream: FakeRegistry, proxy: Rig, digest: Digest) -> None:
    upstream.misbehave("/blobs/", NoRanges())
    assert _is_part(await proxy.ask(_path(digest), Range=FAR), 10_000_000, 10_001_000)


async def test_c05_beyond_the_end_of_a_cold_blob_is_nothing(proxy: Rig, digest: Digest) -> None:
    answer = await proxy.ask(_path(digest), Range="bytes=12000000-12000009")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(("status", "heard"), [(404, 404), (403, 403), (500, 502)])
async def test_c05_what_upstream_does_not_give_has_no_parts(
    upstream: FakeRegistry, proxy: Rig, digest: Digest, status: int, heard: int
) -> None:
    upstream.misbehave("/blobs/", Status(status))
    assert (await proxy.ask(_path(digest), Range=FAR)).status == heard


async def test_passed_parts_are_not_kept(upstream: FakeRegistry, tmp_path: Path, digest: Digest) -> None:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, downloads={"uncached_ranges": "pass"}) as proxy:
        for _ in range(2):
            assert _is_part(await proxy.ask(_path(digest), Range=FAR), 10_000_000, 10_001_000)
    assert upstream.sent_blob_bytes() == 2000
