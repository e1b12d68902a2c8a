import asyncio
from time import monotonic

import aiohttp
import pytest

from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Raw, RawServer, Relay, Sink

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BODY = bytes(range(256)) * 1024


async def test_a_sink_remembers_what_it_was_sent_and_says_nothing() -> None:
    async with Sink() as sink, aiohttp.ClientSession() as client:
        asking = asyncio.create_task(client.get(f"{sink.url}/x", headers={"Authorization": "secret"}))
        await sink.heard(b"\r\n\r\n")
        assert sink.received[0].startswith(b"GET /x HTTP/1.1\r\n")
        assert b"secret" in sink.received[0]
        assert not asking.done()
        await sink.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking
    assert sink.connections == 1


async def test_a_sink_can_answer_each_request() -> None:
    async with Sink(OK, address="127.0.0.2") as sink, aiohttp.ClientSession() as client:
        for _ in range(2):
            async with client.get(sink.url) as answer:
                assert await answer.text() == "ok"
        assert sink.connections == 1
        assert sink.host.startswith("127.0.0.2:")


async def test_a_raw_server_follows_its_script() -> None:
    async with RawServer([Raw(OK, "keep"), b"nonsense\r\n\r\n"]) as server, aiohttp.ClientSession() as client:
        async with client.post(server.url, data=b"form") as answer:
            assert await answer.text() == "ok"
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                await client.get(server.url)
        assert server.requests[0].endswith(b"\r\n\r\nform")
        assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize(("ending", "error"), [("fin", asyncio.IncompleteReadError), ("rst", ConnectionResetError)])
async def test_a_raw_server_ends_as_told(ending: str, error: type[Exception]) -> None:
    script = {"fin": Raw(b"bytes", "fin"), "rst": Raw(b"bytes", "rst")}
    async with RawServer(lambda _: script[ending]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.readexactly(5) == b"bytes"
        with pytest.raises(error):
            await reader.readexactly(1)
        writer.close()


async def test_a_raw_server_hangs_until_it_is_stopped() -> None:
    short = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "hang")
    async with RawServer([short]) as server, aiohttp.ClientSession() as client, client.get(server.url) as answer:
        assert await answer.content.readexactly(2) == b"ok"
        await server.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_a_relay_passes_both_ways_and_counts() -> None:
    async with FakeRegistry() as registry, Relay("127.0.0.1", registry.port) as relay, aiohttp.ClientSession() as client:
        digest = registry.add_blob("a", BODY)
        async with client.get(f"{relay.url}/v2/a/blobs/{digest}") as answer:
            assert await answer.read() == BODY
        assert relay.connections == 1
        assert relay.sent_down > len(BODY)
        assert relay.sent_up > 50


@pytest.mark.parametrize(("ending", "error"), [("fin", "ContentLengthError"), ("rst", "reset")])
async def test_a_relay_cuts_after_so_many_bytes(ending: str, error: str) -> None:
    async with FakeRegistry() as registry, Relay("127.0.0.1", registry.port) as relay, aiohttp.ClientSession() as client:
        digest = registry.add_blob("a", BODY)
        relay.cut_after = 1000
        relay.ending = "rst" if ending == "rst" else "fin"
        async with client.get(f"{relay.url}/v2/a/blobs/{digest}") as answer:
            with pytest.raises(aiohttp.ClientError, match=error):
                await answer.read()
        assert relay.sent_down == 1000


async def test_a_relay_goes_silent_and_comes_back() -> None:
    async with FakeRegistry() as registry, Relay("127.0.0.1", registry.port) as relay, aiohttp.ClientSession() as client:
        relay.blackhole = True
        asking = asyncio.create_task(client.get(f"{relay.url}/v2/"))
        await relay.connected()
        assert registry.ledger == []
        relay.blackhole = False
        async with await asking as answer:
            assert answer.status == 200
        digest = registry.add_blob("a", BODY)
        relay.silent_after = relay.sent_down + 500
        async with client.get(f"{relay.url}/v2/a/blobs/{digest}") as answer:
            await answer.content.readany()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer.content.read(), 0.05)


async def test_a_relay_is_late_and_slow() -> None:
    async with FakeRegistry() as registry, Relay("127.0.0.1", registry.port) as relay, aiohttp.ClientSession() as client:
        digest = registry.add_blob("a", BODY)
        relay.delay, relay.rate = 0.001, len(BODY) * 10
        start = monotonic()
        async with client.get(f"{relay.url}/v2/a/blobs/{digest}") as answer:
            assert await answer.read() == BODY
        assert 0.08 < monotonic() - start < 5


async def test_a_relay_whose_target_is_down_ends_the_connection() -> None:
    async with FakeRegistry() as registry, Relay("127.0.0.1", registry.port) as relay, aiohttp.ClientSession() as client:
        await registry.stop()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.get(relay.url)
        before = asyncio.all_tasks()
    assert asyncio.all_tasks() <= before
