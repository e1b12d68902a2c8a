"""What a host says of a blob without sending it: how long it is, and what a cache says that a part of it is."""

import aiohttp

from regproxy.oci.digest import Digest
from regproxy.oci.http.byterange import parse_content_range
from regproxy.oci.reference import Repository
from regproxy.policy.fleet.signed_hash import KEY, SignedHash, Statement
from regproxy.ports import Answer, NotFound, Unavailable, UnexpectedResponse
from regproxy.upstream.connections import Pool
from regproxy.upstream.documents import read_document
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest

_MAX_STATEMENT = 4096  # bytes


async def find_size(client: HostClient, repository: Repository, digest: Digest) -> int | None:
    """Ask how long a blob is, by HEAD, or by GET where that does not tell; raise `UpstreamError`."""
    rest = f"blobs/{digest}"
    try:
        async with client.ask(HostRequest("HEAD", repository.name, rest, Pool.MANIFEST)) as response:
            if response.status == 200 and (size := _length(response, digest)) is not None:
                return size
    except (Answer, Unavailable):
        pass  # where it redirects may take no HEAD, or the host none: GET tells
    async with client.ask(HostRequest("GET", repository.name, rest, Pool.BLOB, {"Range": "bytes=0-0"})) as response:
        if response.status == 206:
            part = parse_content_range(response.headers.get("Content-Range"))
            return part.size if part else None
        return _length(response, digest)


async def get_statement(client: HostClient, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
    """Ask a cache what it says of a part; None where it has not got that yet. Raise `UpstreamError`."""
    wanted = {"Range": f"bytes={start}-{stop - 1}"}
    request = HostRequest("GET", repository.name, f"_regproxy/hashes/{digest}", Pool.MANIFEST, wanted, is_verified=True)
    async with client.ask(request) as response:
        document = await read_document(client, response, _MAX_STATEMENT, "a hash")
    if document.get("pending") is True:
        return None
    if document.get("kept") is False:
        raise NotFound(f"{client.host} keeps no copy of it")
    try:
        signed = SignedHash.decode(bytes.fromhex(document["hash"]))
        size, key = document["size"], bytes.fromhex(document["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedResponse(f"{client.host} sent a hash that is none") from error
    if signed is None or not isinstance(size, int) or size < 0 or len(key) != KEY:
        raise UnexpectedResponse(f"{client.host} sent a hash that is none")
    return Statement(size, signed, key)


def _length(response: aiohttp.ClientResponse, digest: Digest) -> int | None:
    """Return a blob's length by a response, unless it is an impossible 0 (some hosts answer so to every HEAD) or of a refusal."""
    is_empty = digest == Digest.of(b"", digest.algorithm)
    if is_empty and response.status in {200, 416}:
        return 0
    return response.content_length or None if response.status == 200 else None
