"""Content on this machine's disk, read to be copied: verified on its way, for nothing wrong is to spread."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.oci.digest import Digest, DigestMismatch, Verifier
from regproxy.policy.store.pieces import PieceSums, hash_of, piece_size
from regproxy.ports import BlobStore, Content, StoreError


class Unreadable(Exception):
    """It is not here, or it is here and wrong: there is nothing to copy."""


class LocalReading:
    """A blob that is read once, from its beginning."""

    def __init__(self, content: Content, digest: Digest) -> None:
        self._content = content
        self._digest = digest
        self._hashes: list[bytes] = []

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield its pieces; raise `Unreadable` before the last one where all of them are not what the digest says."""
        verifier, piece, position = self._digest.verifier(), piece_size(self._content.size), 0
        while position < self._content.size:
            chunk = await self._read(position, min(piece, self._content.size - position))

            def hashed(chunk: bytes = chunk) -> bytes:
                verifier.update(chunk)
                return hash_of(chunk)

            self._hashes.append(await asyncio.to_thread(hashed))
            position += len(chunk)
            if position == self._content.size:
                await self._check(verifier)
            yield chunk

    def sums(self) -> PieceSums:
        """Return the hashes of what was read."""
        return PieceSums(self._content.size, piece_size(self._content.size), b"".join(self._hashes))

    async def _check(self, verifier: Verifier) -> None:
        try:
            verifier.check()
        except DigestMismatch as error:
            await self._content.spoiled()
            raise Unreadable(f"it is damaged on the disk: {error}") from error

    async def _read(self, start: int, length: int) -> bytes:
        extent = await self._content.extent(start, start + length)
        try:
            chunk = await asyncio.to_thread(os.pread, extent.file.fileno(), length, extent.offset)
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error}") from error
        if len(chunk) != length:
            raise Unreadable("it is shorter than it was")
        return chunk


class LocalContent:
    """What lies in the store of this machine."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    async def read(self, digest: Digest, size: int) -> bytes:
        """Read small content, verified; raise `Unreadable`."""
        try:
            body = await self._store.read(digest, size)
        except StoreError as error:
            raise Unreadable(str(error)) from error
        if body is None:
            raise Unreadable("it is not on the disk any more")
        return body

    @asynccontextmanager
    async def opened(self, digest: Digest, size: int) -> AsyncIterator[LocalReading]:
        """Open a blob; raise `Unreadable`."""
        try:
            content = await self._store.open(digest, size)
        except StoreError as error:
            raise Unreadable(str(error)) from error
        if content is None:
            raise Unreadable("it is not on the disk any more")
        try:
            yield LocalReading(content, digest)
        finally:
            content.release()
