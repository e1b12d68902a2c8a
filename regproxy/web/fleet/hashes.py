"""What parts of blobs are, stated for caches whose members pass them on: none of those is believed without that."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from aiohttp import web
from cachetools import LRUCache

from regproxy.fleet.signing import HashSigner
from regproxy.oci import errors
from regproxy.oci.endpoint import HashPull
from regproxy.oci.http.byterange import ByteRange
from regproxy.policy.clients.sharing import Share
from regproxy.policy.fleet.cut import piece_at
from regproxy.policy.fleet.signed_hash import Part
from regproxy.policy.routing import Route
from regproxy.ports import Content, Extent
from regproxy.pull.blobs import Blobs
from regproxy.slots import Slots
from regproxy.web.buffered import read_whole
from regproxy.web.clients.entrance import Entrance
from regproxy.web.context import RequestContext
from regproxy.web.parameters import byte_ranges, wanted_parts

_AT_ONCE = 4  # parts that are hashed
_READ = 1024 * 1024
_WAIT = 2.0  # seconds for a part that is on its way; then who asks knows at least that we live
_MAX_UPSTREAMS = 1000
_KEPT = 4096  # hashes of what is stored, some 2 MB


class Hashes:
    """States hashes, signed, of what a client may have."""

    def __init__(self, keys: str, blobs: Blobs, entrance: Entrance) -> None:
        """Sign by keys that are derived from *keys*, as `HashSigner`."""
        self._keys = keys
        self._blobs = blobs
        self._entrance = entrance
        self._signers: LRUCache[str, HashSigner] = LRUCache(_MAX_UPSTREAMS)
        self._room = Slots(Share.of(_AT_ONCE))
        self._known: LRUCache[tuple[Part, int, int], bytes] = LRUCache(_KEPT)

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
            if len(ranges) != 1 or not _is_piece(ranges[0]):
                raise errors.range_invalid("a hash is of one piece, as members of a fleet cut blobs", content.size)
            part = Part(pull.digest, content.size, ranges[0].start, ranges[0].stop)
            registry = route.repository.registry
            signer = self._signers.setdefault(registry, HashSigner(self._keys, registry))
            signed = signer.signed(part, await self._hash_of(content, part))
            return {"size": content.size, "hash": signed.encode().hex(), "key": signer.public_key.hex()}
        finally:
            content.release()

    async def _hash_of(self, content: Content, part: Part) -> bytes:
        """Return the hash of a part, which is remembered of what is stored, as long as it lies in the same file."""
        if not content.is_kept:
            return await self._hash(content, part)
        extent = await content.extent(part.start, part.stop)
        status = os.fstat(extent.file.fileno())
        key = part, status.st_ino, status.st_mtime_ns
        if (hash_ := self._known.get(key)) is None:
            hash_ = self._known[key] = await self._hash(content, part)
        return hash_

    async def _hash(self, content: Content, part: Part) -> bytes:
        found, start = sha256(), part.start
        while start < part.stop:
            extent = await content.extent(start, min(part.stop, start + _READ))
            async with self._room.held():
                await asyncio.to_thread(_feed, found.update, extent)
            start += extent.length
        return found.digest()


def _is_piece(part: ByteRange) -> bool:
    """Whether it is a piece of a blob: of those there are few, so that nobody has the same bytes hashed again and again."""
    cut = piece_at(part.start)
    return (part.start, part.stop) == (cut.start, min(cut.stop, part.size))


def _feed(update: Callable[[bytes], object], extent: Extent) -> None:
    update(read_whole(extent))
