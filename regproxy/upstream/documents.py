"""Small bodies of an upstream's responses: read within a limit, counted, and parsed as JSON where they have to be."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from regproxy import large
from regproxy.oci.document import parse_json
from regproxy.ports import UnexpectedResponse, UpstreamError
from regproxy.telemetry import metrics
from regproxy.upstream.connections import paused, read_at_most
from regproxy.upstream.host import HostClient


@asynccontextmanager
async def read_body(
    client: HostClient, response: aiohttp.ClientResponse, limit: int, what: str, over: Callable[[str], UpstreamError] = UnexpectedResponse
) -> AsyncIterator[bytes]:
    """Read a body of at most *limit* bytes, which stays allocated within the block; raise *over*, naming *what* it is, beyond that."""
    async with AsyncExitStack() as room:
        with client.connections.translated(response.url):
            body = await read_at_most(response, limit, what, over, room)
        metrics.UPSTREAM_BYTES.labels(*client.labels).inc(len(body))
        if client.line is not None:
            client.line.charge(len(body))
        async with paused(response):
            yield body


async def read_document(client: HostClient, response: aiohttp.ClientResponse, limit: int, what: str) -> dict[str, Any]:
    """Read a JSON object of at most *limit* bytes; raise `UnexpectedResponse` where it is none."""
    async with read_body(client, response, limit, what) as body:
        try:
            document = await large.parsed(len(body), lambda: parse_json(body))
        except ValueError:
            document = None
    if not isinstance(document, dict):
        raise UnexpectedResponse(f"{client.host} sent {what} that is not a JSON object")
    return document
