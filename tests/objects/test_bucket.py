"""A server that speaks S3 and lies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from regproxy.objects import bucket
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


async def test_n17_04_a_list_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "_MAX_LISTED", 10)
    entry = (
        b"<Contents><Key>regproxy/uses/x</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>"
    )
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
        + entry
        + b"</ListBucketResult>"
    )
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(page), page) as url:
        listing = opened("s3://bucket/regproxy", url).list("uses/")
        with pytest.raises(StoreError, match="more than 10 objects"):
            assert [page async for page in listing] == []


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 10\r\n\r\n",
        HEAD.replace(b"200 OK", b"206 Partial Content") + b"Content-Range: bytes 0-9/20\r\nContent-Length: 10\r\n\r\n",
        HEAD.replace(b"200 OK", b"206 Partial Content") + b"Content-Range: bytes 5-14/9\r\nContent-Length: 10\r\n\r\n",
        HEAD.replace(b"200 OK", b"206 Partial Content") + b"Content-Length: 10\r\n\r\n",
    ],
    ids=["all of it", "another part", "a part of less", "some part"],
)
async def test_n17_04_another_part_than_was_asked_for_is_none(head: bytes) -> None:
    async with server(head, bytes(10)) as url:
        stack = AsyncExitStack()
        with pytest.raises(StoreError):
            await stack.enter_async_context(opened("s3://bucket/regproxy", url).stream("a/b", 5, 15))
