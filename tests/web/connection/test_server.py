"""Connections of the registry port: how they end, and the heads that they may send."""

import asyncio

import pytest
from aiohttp import web

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.policy.clients.sharing import Share
from regproxy.web.connection.head_budget import HeadBudget
from regproxy.web.connection.server import RegistryServer
from regproxy.web.response_cache import ResponseCache
from tests.rig import LOOPBACK
from tests.web.connection.watched import ASK, ended, serving, until


async def test_c14_who_will_ask_no_more_is_still_answered() -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.connect()
        writer.write(ASK.replace(b"GET /", b"GET /held"))
        writer.write_eof()
        await subject.begun.wait()
        subject.gate.set()
        assert (await ended(reader)).endswith(b"\r\n\r\nok")


async def test_c14_who_ends_without_a_question_is_let_go_at_once() -> None:
    async with serving(ClientTimeouts()) as subject:
        for request in (b"", b"GET / HT", ASK):
            reader, writer = await subject.connect()
            if request == ASK:
                await subject.ask(reader, writer)
            writer.write_eof()
            assert await ended(reader) == b""


async def test_c14_who_leaves_in_the_middle_of_an_answer_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.connect()
        writer.write(ASK.replace(b"GET /", b"GET /left"))
        await ended(reader)
        await until(lambda: not subject.server.connections)
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["not ended", "not answered"])
async def test_n12_14_large_heads_are_bounded_over_all_connections(end: bytes) -> None:
    """Connections are many; others have a quarter to themselves, and what is answered counts no longer."""
    head = b"GET /held HTTP/1.1\r\nHost: proxy\r\nX-Long: " + b"a" * 60_000
    async with serving(ClientTimeouts()) as subject:
        budget = repr(subject.server.heads)
        first = await subject.connect()
        first[1].write(head + end)
        await until(lambda: repr(subject.server.heads) != budget)
        refused = []
        for _ in range(300):
            reader, writer = await asyncio.open_connection(LOOPBACK, subject.port)
            subject.writers.append(writer)
            writer.write(head + end)
            refused.append(asyncio.create_task(reader.read(12)))
        await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED)
        said = {task.result() for task in refused if task.done()}
        assert said == {b"HTTP/1.1 503"}
        reader, writer = await asyncio.open_connection(LOOPBACK, subject.port)
        subject.writers.append(writer)
        await subject.ask(reader, writer)
        assert sum(not task.done() for task in refused) > 100
        if end:
            subject.gate.set()
            await until(lambda: repr(subject.server.heads) == budget)
        for writer in subject.writers:
            writer.transport.abort()
        await until(lambda: not subject.server.connections)
        assert repr(subject.server.heads) == budget
        for task in refused:
            task.cancel()
        await asyncio.gather(*refused, return_exceptions=True)


def test_n12_14_one_client_has_three_quarters_of_the_memory_for_heads() -> None:
    budget, share = HeadBudget(), Share.of(16 * 1024 * 1024)
    most = share.most - share.reserved
    assert budget.resize("192.0.2.1", 0, most)
    assert not budget.resize("192.0.2.1", most, most + 1)
    assert budget.resize("192.0.2.2", 0, 64 * 1024)
    assert budget.resize("192.0.2.1", most, 0)
    assert budget.resize("192.0.2.2", 64 * 1024, 0)
    assert "0/" in repr(budget)


async def test_n12_14_the_end_of_a_body_is_no_head() -> None:
    """The next request on the same connection is answered, too."""
    asked = asyncio.Queue[None]()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        asked.put_nowait(None)
        size = sum([len(chunk) async for chunk in request.content.iter_any()])
        return web.Response(text=f"{size} ok")

    body = bytes(100_000)  # more than a head may have
    server = RegistryServer(read, ClientTimeouts(), ResponseCache())
    listener = await asyncio.get_running_loop().create_server(server, LOOPBACK)
    reader, writer = await asyncio.open_connection(LOOPBACK, listener.sockets[0].getsockname()[1])
    async with asyncio.timeout(300):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            await asked.get()
            writer.write(body)
            assert (await reader.readuntil(b" ok")).endswith(b"\r\n100000 ok")
    writer.close()
    listener.close()
    await server.shutdown()
