"""What an answer of one write promises: the bytes that any HTTP client reads as aiohttp's own."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from multidict import CIMultiDict

from regproxy.web.buffered import BufferedResponse
from tests.rig import LOOPBACK, Raw, raw


class Answering:
    """A server that gives one answer."""

    def __init__(self) -> None:
        self.status = 200
        self.headers = CIMultiDict({"Content-Type": "text/x", "ETag": '"a"'})
        self.port = 0

    async def __call__(self, _: web.BaseRequest) -> web.StreamResponse:
        return BufferedResponse(self.status, self.headers, b"body" if self.status == 200 else b"")

    async def asked(self, request: str) -> Raw:
        return await raw(self.port, request.replace("\n", "\r\n").encode())


@pytest.fixture
async def server() -> AsyncIterator[Answering]:
    answering = Answering()
    runner = web.ServerRunner(web.Server(answering, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    answering.port = runner.addresses[0][1]
    yield answering
    await runner.cleanup()


def head(answer: Raw) -> list[str]:
    lines = answer.received.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return [line for line in lines if not line.startswith("Date: ")]


async def test_an_answer_is_whole(server: Answering) -> None:
    answer = await server.asked("GET / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert head(answer) == ["HTTP/1.1 200 OK", "Content-Type: text/x", 'ETag: "a"', "Content-Length: 4", "Connection: close"]
    assert answer.body == b"body"
    assert b"\r\nDate: " in answer.received
    assert b" GMT\r\n" in answer.received


async def test_head_tells_the_length_and_sends_nothing(server: Answering) -> None:
    answer = await server.asked("HEAD / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert "Content-Length: 4" in head(answer)
    assert answer.body == b""


async def test_what_was_not_modified_has_no_body(server: Answering) -> None:
    server.status = 304
    answer = await server.asked("GET / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert head(answer)[0] == "HTTP/1.1 304 Not Modified"
    assert not any(line.startswith("Content-Length") for line in head(answer))
    assert answer.body == b""


async def test_a_connection_stays_for_the_next_request(server: Answering) -> None:
    answer = await server.asked("GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert answer.received.count(b"HTTP/1.1 200 OK") == 2
    assert answer.received.count(b"Connection: close") == 1
    assert answer.received.endswith(b"body")


async def test_http_1_0_is_answered_and_closed(server: Answering) -> None:
    answer = await server.asked("GET / HTTP/1.0\nConnection: keep-alive\n\n")
    assert "Connection: close" in head(answer)
    assert answer.body == b"body"


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nX: 1"])
async def test_a_header_of_two_lines_is_not_sent(server: Answering, value: str, caplog: pytest.LogCaptureFixture) -> None:
    server.headers["X-Odd"] = value
    answer = await server.asked("GET / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert answer.received == b""
    assert "ValueError" in caplog.text
