"""Small bodies of a host: bounded, and JSON where they have to be."""

import pytest

from regproxy.ports import InvalidContent, Unavailable, UnexpectedResponse
from regproxy.upstream.connections import Pool
from regproxy.upstream.documents import read_body, read_document
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest
from tests.fakes.deeds import Cut
from tests.fakes.registry import FakeRegistry

NAME = "library/app"


async def _document(client: HostClient, upstream: FakeRegistry, body: bytes, limit: int = 1000) -> dict[str, object]:
    digest = upstream.add_blob(NAME, body)
    async with client.ask(HostRequest("GET", NAME, f"blobs/{digest}", Pool.LIST)) as response:
        return await read_document(client, response, limit, "a list")


async def test_a_document_is_read(client: HostClient, upstream: FakeRegistry) -> None:
    assert await _document(client, upstream, b'{"tags": ["1"]}') == {"tags": ["1"]}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b"{", b"\xff", b"[" * 500], ids=str)
async def test_what_is_no_json_object_is_no_answer(client: HostClient, upstream: FakeRegistry, body: bytes) -> None:
    with pytest.raises(UnexpectedResponse, match=rf"^{client.host} sent a list that is not a JSON object$"):
        await _document(client, upstream, body)


async def test_a_document_has_no_more_bytes_than_its_limit(client: HostClient, upstream: FakeRegistry) -> None:
    body = b'{"a": "%s"}' % (b"x" * 100)
    assert len(str((await _document(client, upstream, body, len(body)))["a"])) == 100
    with pytest.raises(UnexpectedResponse, match="a list"):
        await _document(client, upstream, body, len(body) - 1)


async def test_a_body_that_is_too_large_is_called_what_the_caller_wants(client: HostClient, upstream: FakeRegistry) -> None:
    digest = upstream.add_blob(NAME, bytes(100))
    async with client.ask(HostRequest("GET", NAME, f"blobs/{digest}", Pool.LIST)) as response:
        with pytest.raises(InvalidContent):
            await read_body(client, response, 99, "a manifest", InvalidContent).__aenter__()


async def test_a_body_that_breaks_off_is_an_outage(client: HostClient, upstream: FakeRegistry) -> None:
    upstream.misbehave("/blobs/", Cut(5))
    with pytest.raises(Unavailable):
        await _document(client, upstream, b'{"tags": ["1"]}')
