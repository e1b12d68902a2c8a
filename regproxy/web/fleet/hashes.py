"""What parts of blobs are, stated for caches whose members pass them on: none of those is believed without that."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from aiohttp import web
from cachetools import LRUCache

from regproxy.fleet.signing import HashSigner
from regproxy.oci import errors
from regproxy.oci.endpoint import HashPull
from regproxy.policy.fleet.cut import LARGEST
from regproxy.policy.fleet.signed_hash import Part, SignedHash
from regproxy.policy.routing import Route
from regproxy.ports import Content, Extent
from regproxy.pull.blobs import Blobs
from regproxy.web.buffered import read_whole
from regproxy.web.clients.entrance import Entrance
from regproxy.web.context import RequestContext
from regproxy.web.parameters import byte_ranges, wanted_parts

_AT_ONCE = 4  # parts that are hashed
_READ = 1024 * 1024
_WAIT = 2.0  # seconds for a part that is on its way; then who asks knows at least that we live
_KEPT = 4096  # hashes of what is stored, some 2 MB


class Hashes:
    """States hashes, signed, of what a client may have."""

    def __init__(self, keys: str, blobs: Blobs, entrance: Entrance) -> None:
        """Sign by a key that is derived from *keys*, as `HashSigner`."""
        self._blobs = blobs
        self._entrance = entrance
        self._signer = HashSigner(keys)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._known: LRUCache[Part, SignedHash] = LRUCache(_KEPT)

    async def answer(self, request: web.BaseRequest, route: Route, pull: HashPull, context: RequestContext) -> web.Response:
        """Answer what the part is that `Range` names, or, where that takes long, that it is on its way; raise as `Blobs.open`."""
        said: dict[str, object] = {"pending": True}
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT):
                said = await self._said(request, route, pull, context)
        return web.json_response(said, headers={"Cache-Control": "no-store"})

    async def _said(self, request: web.BaseRequest, route: Route, pull: HashPull, context: RequestContext) -> dict[str, object]:
        opened = await self._blobs.kept(route, pull.digest, wanted_parts(request, pull.digest))
        if opened is None:
            return {"kept": False}  # no error: that would be remembered of the blob itself
        context.found(opened.cache_status)
        content = opened.content
        try:
            await self._entrance.recheck(context)
            ranges = await byte_ranges(request, pull.digest, content.size)
            if len(ranges) != 1 or ranges[0].length > LARGEST:
                raise errors.range_invalid(f"a hash is of one part of at most {LARGEST} bytes", content.size)
            signed = await self._signed(content, Part(pull.digest, content.size, ranges[0].start, ranges[0].stop))
            return {"size": content.size, "hash": signed.encode().hex(), "key": self._signer.public_key.hex()}
        finally:
            content.release()

    async def _signed(self, content: Content, part: Part) -> SignedHash:
        if (signed := self._known.get(part)) is None:
            signed = self._signer.signed(part, await self._hash(content, part))
            if content.is_kept:  # else it may turn out to be wrong
                self._known[part] = signed
        return signed

    async def _hash(self, content: Content, part: Part) -> bytes:
        found, start = sha256(), part.start
        while start < part.stop:
            extent = await content.extent(start, min(part.stop, start + _READ))
            async with self._room:
                await asyncio.to_thread(_feed, found.update, extent)
            start += extent.length
        return found.digest()


def _feed(update: Callable[[bytes], object], extent: Extent) -> None:
    update(read_whole(extent))
