import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import aiohttp
import pytest

from tests.fakes.deeds import (
    Chunked,
    Cut,
    CutShare,
    Deed,
    Delay,
    Drop,
    Flood,
    Headers,
    Hold,
    Lie,
    NoLength,
    NoRanges,
    Paced,
    Redirect,
    Reset,
    ShortChunked,
    Stall,
    Status,
)
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry

BODY = bytes(range(256)) * 1024


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        yield client


def blob(registry: FakeRegistry, *deeds: Deed, times: int | None = None) -> str:
    """Hold a blob that *deeds* will be done to; return its address."""
    digest = registry.add_blob("a", BODY)
    registry.misbehave("/blobs/", *deeds, times=times)
    return f"{registry.url}/v2/a/blobs/{digest}"


async def raw(registry: FakeRegistry, url: str) -> tuple[bytes, bytes, str]:
    """Ask without any library: the head, the bytes after it, and how the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", registry.port)
    writer.write(f"GET {url.removeprefix(registry.url)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    received, ending = b"", "fin"
    try:
        while part := await reader.read(65536):
            received += part
    except ConnectionResetError:
        ending = "rst"
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body, ending


@pytest.mark.parametrize(
    ("deeds", "said", "body", "ending"),
    [
        pytest.param((Cut(1000),), b"Content-Length: 262144", BODY[:1000], "fin", id="cut"),
        pytest.param((Cut(0),), b"Content-Length: 262144", b"", "fin", id="cut at once"),
        pytest.param((CutShare(1 / 3),), b"Content-Length: 262144", BODY[: len(BODY) // 3], "fin", id="a third"),
        pytest.param((CutShare(0),), b"Content-Length: 262144", BODY[:1], "fin", id="the least of all shares"),
        pytest.param((Cut(len(BODY)),), b"Content-Length: 262144", BODY, "fin", id="cut after all"),
        pytest.param((Reset(1000),), b"Content-Length: 262144", BODY[:1000], "rst", id="reset"),
        pytest.param((NoLength(),), b"Connection: close", BODY, "fin", id="no length"),
        pytest.param((NoLength(1000),), b"Connection: close", BODY[:1000], "fin", id="no length, cut"),
        pytest.param((NoLength(1000, rst=True),), b"Connection: close", BODY[:1000], "rst", id="no length, reset"),
        pytest.param((Chunked(), Cut(3)), b"Transfer-Encoding: chunked", b"3\r\n\0\1\2\r\n", "fin", id="chunks cut off"),
        pytest.param((Drop(),), b"", b"", "fin", id="dropped"),
        pytest.param((Drop(rst=True),), b"", b"", "rst", id="dropped with a reset"),
    ],
)
async def test_a_connection_ends_where_and_how_it_was_told(
    registry: FakeRegistry, deeds: tuple[Deed, ...], said: bytes, body: bytes, ending: str
) -> None:
    head, received, ended = await raw(registry, blob(registry, *deeds))
    assert said in head
    assert (received, ended) == (body, ending)


async def test_a_short_chunked_body_looks_complete(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    async with client.get(blob(registry, ShortChunked(10))) as answer:
        assert await answer.read() == BODY[:10]
        assert answer.content_length is None
    assert registry.ledger[0].sent == 10


async def test_the_ledger_counts_what_left(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    async with client.get(blob(registry, Cut(1000), times=1)) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert registry.sent_blob_bytes() == 1000


async def test_deeds_are_done_as_often_as_told_in_the_order_told(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = blob(registry, Status(500), times=2)
    registry.misbehave(on("GET", "/blobs/"), Status(429, {"Retry-After": "7"}, b"later"), times=1)
    statuses = []
    for _ in range(4):
        async with client.get(url) as answer:
            statuses.append(answer.status)
    assert statuses == [500, 500, 429, 200]
    registry.misbehave("/v2/", Status(503))
    registry.behave()
    async with client.get(url) as answer:
        assert answer.status == 200


async def test_only_the_method_that_is_meant_is_met(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = blob(registry, times=0)
    registry.misbehave(on("HEAD"), Status(405))
    async with client.head(url) as head, client.get(url) as get:
        assert (head.status, get.status) == (405, 200)


async def test_a_held_request_waits_and_the_others_do_not(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    held = Hold()
    url = blob(registry, held, times=1)
    first = asyncio.create_task(client.get(url))
    await held.reached.wait()
    async with client.get(url) as answer:
        assert answer.status == 200
    assert not first.done()
    held.event.set()
    async with await first as answer:
        assert await answer.read() == BODY


async def test_a_stalled_body_goes_on_when_told(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    stall = Stall(1000)
    async with client.get(blob(registry, stall)) as answer:
        assert await answer.content.readexactly(1000) == BODY[:1000]
        await stall.reached.wait()
        assert registry.ledger[0].sent == 1000
        stall.event.set()
        assert await answer.read() == BODY[1000:]


async def test_a_client_that_leaves_ends_the_wait(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    stall = Stall(1000)
    answer = await client.get(blob(registry, stall))
    await stall.reached.wait()
    answer.close()
    await asyncio.wait_for(asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True), 5)


@pytest.mark.parametrize("deed", [Stall(10), Hold(), Paced(100), Flood(10**12)], ids=lambda deed: type(deed).__name__)
async def test_stopping_ends_what_is_under_way(deed: Deed, client: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    async with FakeRegistry() as registry:
        asking = asyncio.create_task(client.get(blob(registry, deed)))
        await registry.seen("/blobs/")
        await registry.stop()
        with pytest.raises(aiohttp.ClientError):
            await (await asking).read()
    assert asyncio.all_tasks() == before


async def test_a_redirect_says_its_location_as_it_is(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = blob(registry, Redirect(lambda entry: f"http://cdn.example{entry.path}?sig=%2B"))
    async with client.get(url, allow_redirects=False) as answer:
        assert answer.status == 307
        assert answer.headers["Location"] == url.replace(registry.url, "http://cdn.example") + "?sig=%2B"


async def test_a_lie_keeps_the_headers_and_can_be_cut_into_ranges(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = blob(registry, Lie(lambda body: body[::-1]))
    async with client.get(url) as answer:
        assert await answer.read() == BODY[::-1]
        assert answer.headers["Docker-Content-Digest"] in url
    async with client.get(url, headers={"Range": "bytes=-2"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"\x01\x00")


async def test_headers_are_replaced_repeated_and_taken_away(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    changes = Headers({"docker-content-digest": None, "Content-Type": "text/html", "Link": ["a", "b"]})
    async with client.get(blob(registry, changes)) as answer:
        assert "Docker-Content-Digest" not in answer.headers
        assert answer.headers.getall("Content-Type") == ["text/html"]
        assert answer.headers.getall("Link") == ["a", "b"]
        assert await answer.read() == BODY


async def test_ranges_can_be_ignored_or_mislabelled(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = blob(registry, NoRanges(), times=1)
    registry.misbehave("/blobs/", Headers({"Content-Range": "bytes 0-9/10"}))
    async with client.get(url, headers={"Range": "bytes=5-"}) as answer:
        assert (answer.status, await answer.read()) == (200, BODY)
    async with client.get(url, headers={"Range": "bytes=5-"}) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 0-9/10")


async def test_a_flood_is_as_long_as_told(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    size = 3 * 1024 * 1024 + 7
    for deeds, length in (((Flood(size),), size), ((Flood(size), Chunked()), None), ((Flood(size), NoLength()), None)):
        registry.behave()
        async with client.get(blob(registry, *deeds)) as answer:
            assert answer.content_length == length
            assert len(await answer.read()) == size


@pytest.mark.parametrize("deed", [Paced(len(BODY) * 10), Delay(0.1)], ids=repr)
async def test_a_slow_answer_takes_its_time(registry: FakeRegistry, client: aiohttp.ClientSession, deed: Deed) -> None:
    start = monotonic()
    async with client.get(blob(registry, deed)) as answer:
        assert await answer.read() == BODY
    assert 0.08 < monotonic() - start < 5


async def test_a_connection_is_kept_between_honest_answers(registry: FakeRegistry) -> None:
    url = blob(registry, Chunked(), times=1)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
        for _ in range(3):
            async with client.get(url) as answer:
                assert await answer.read() == BODY
                assert "Connection" not in answer.headers
