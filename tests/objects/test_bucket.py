"""A server that speaks S3 and lies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from regproxy.objects.bucket import opened
from regproxy.ports import StoreError
from tests import behind_kit
from tests.free_port import free_port

assert behind_kit.REGION
HEAD = b'HTTP/1.1 200 OK\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: "x"\r\n'
CHUNK = b"100000\r\n" + bytes(0x100000) + b"\r\n"
_LONG = 64  # chunks of 1 MiB: as much as a test may cost that fails


@asynccontextmanager
async def server(head: bytes, *bodies: bytes) -> AsyncIterator[str]:
    """Answer every request with *head* and *bodies*."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            for each in bodies:
                writer.write(each)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


async def test_n17_04_a_small_object_that_does_not_end_is_given_up() -> None:
    lie = b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with server(HEAD + lie, *([CHUNK] * _LONG), b"0\r\n\r\n") as url:
        with pytest.raises(StoreError, match="more than one of its kind"):
            await opened("s3://bucket/regproxy", url).get("a/b", 1000)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Content-Length: 5000\r\n\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
async def test_n17_04_what_is_no_object_is_an_error_of_ours(head: bytes) -> None:
    async with server(head, b"x" * 5) as url:
        with pytest.raises(StoreError):
            await opened("s3://bucket/regproxy", url).get("a/b", 1000)
