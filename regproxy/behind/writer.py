"""Writes what was stored and recorded here to an object store.

Content goes first, then the hashes of its pieces, then that a repository holds it: whatever is cut off, nothing names what is not there.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_never

from regproxy.behind import documents
from regproxy.behind.content import LocalContent
from regproxy.behind.documents import Closure, Frozen, Pinned, Signer, TagDocument
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag, reference_named
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import Freeze
from regproxy.policy.store import objects
from regproxy.policy.store.pieces import MAX_BLOB
from regproxy.policy.tag_history import remembered
from regproxy.ports import BlobStore, Kind, ObjectStore, TooLong, Upload, UploadKind, UploadQueue
from regproxy.telemetry import metrics

_TIMEOUT = 30.0  # seconds for a small object
_MAX_AHEAD = 300.0  # seconds that the clock of another machine may be ahead of ours
_MAX_REPAIRS = 12  # tries until content that is nowhere on the disk is given up


class Writer:
    """Writes one thing at a time, unless it is there."""

    def __init__(self, queue: UploadQueue, store: BlobStore, remote: ObjectStore, signer: Signer, clock: WallClock) -> None:
        """Write from *store*, and what *queue* knows of it, to *remote*; *clock* returns epoch seconds."""
        self._queue = queue
        self._content = LocalContent(store)
        self._remote = remote
        self._signer = signer
        self._clock = clock

    async def write(self, upload: Upload) -> str:
        """Write what an entry is about, as it is now, and return the outcome; raise `Unreadable`, `StoreError` or `TimeoutError`."""
        match upload.kind:
            case UploadKind.LINK:
                kind, name, digest = upload.name.split(" ")
                return await self._link(Kind(kind), _repository(name), Digest.parse(digest))
            case UploadKind.TAG:
                return await self._tag(reference_named(upload.name))
            case UploadKind.ACCESS:
                return await self._access(_repository(upload.name))
            case UploadKind.REPAIR:
                return await self._repaired(Digest.parse(upload.name), upload.tries)
            case UploadKind.PIN:
                wanted = Digest.parse(upload.name)
                pinned = Pinned(wanted, is_lifted=not await self._queue.is_pinned(wanted))
                return await self._decided(objects.pin(wanted), documents.pinned_document(pinned))
            case UploadKind.FREEZE:
                held_to = await self._queue.frozen_to(upload.name)
                freeze = None if held_to is None else Freeze(upload.name, Digest.parse(held_to) if held_to else None)
                return await self._decided(objects.freeze(upload.name), documents.frozen_document(Frozen(upload.name, freeze)))
            case UploadKind.ALL:
                await self._queue.put_more(upload)
                return "queued"
            case _ as never:
                assert_never(never)

    async def _link(self, kind: Kind, repository: Repository, digest: Digest) -> str:
        held = await self._queue.link(kind, repository, digest)
        if held is None:
            return "evicted"
        path = objects.link(kind.value, repository, digest)
        if held.size > MAX_BLOB:
            return "too large"
        is_there = self._signer.is_current(path, await self._read(path))
        brought = await (self._put_manifest(held) if kind is Kind.MANIFEST else self._put_blob(held))
        if not is_there:
            await self._put(path, self._signer.signed(path, documents.link_document(held)))
        return "written" if brought or not is_there else "there"

    async def _put_manifest(self, held: Descriptor) -> bool:
        """Write a manifest unless it is there; report whether it was not."""
        path = objects.blob(held.digest)
        async with asyncio.timeout(_TIMEOUT):
            found = await self._remote.head(path)
        if found is not None and found.size == held.size:
            await self._spare(held.digest)
            return False
        await self._put(path, await self._content.read(held.digest, held.size))
        metrics.OBJECT_STORE_WRITTEN_BYTES.inc(held.size)
        return True

    async def _put_blob(self, held: Descriptor, *, is_wrong: bool = False) -> bool:
        """Write a blob unless it is there and not known to be wrong; report whether it was written."""
        path = objects.sums(held.digest)
        written = None if is_wrong else await self._read(path, documents.MAX_SUMS)
        if (sums := documents.sums_of(self._signer.verified(path, written))) is not None:
            if not self._signer.is_current(path, written):
                await self._put(path, self._signer.signed(path, documents.sums_document(sums)))
            await self._spare(held.digest)
            return False
        async with self._content.opened(held.digest, held.size) as reading:
            await self._remote.upload(objects.blob(held.digest), _counted(reading.chunks()))
            await self._put(path, self._signer.signed(path, documents.sums_document(reading.sums())))
        return True

    async def _spare(self, digest: Digest) -> None:
        """Say that content is in use that is about to be deleted there."""
        async with asyncio.timeout(_TIMEOUT):
            if await self._remote.head(objects.tombstone(digest)) is not None:
                await self._remote.put(objects.use(digest), objects.MARK)

    async def _repaired(self, digest: Digest, tries: int) -> str:
        """Take away what makes others believe in a blob that is wrong, and write it again once it is on the disk."""
        if not tries:
            async with asyncio.timeout(_TIMEOUT):
                await self._remote.delete(objects.sums(digest))
        found = await self._queue.content(digest)
        if found is None:
            return "later" if tries < _MAX_REPAIRS else "evicted"
        kind, held = found
        if kind is Kind.MANIFEST:
            await self._put(objects.blob(digest), await self._content.read(digest, held.size))
        else:
            await self._put_blob(held, is_wrong=True)
        return "repaired"

    async def _tag(self, reference: Reference) -> str:
        found = await self._queue.tag(reference)
        if found is None or not isinstance(reference.target, Tag):
            return "evicted"
        record, history = found
        path = objects.tag(reference.repository, reference.target.name)
        written = await self._read(path)
        there = documents.tag_with_history_of(self._signer.verified(path, written))
        others = there.history if there is not None else ()
        if there is not None and there.record.checked_at > self._clock() + _MAX_AHEAD:
            there = None  # by a clock that is wrong: nothing would be later for as long as that is ahead
        if there is not None and there.record.checked_at >= record.checked_at:
            is_known = {each.digest for each in others}.issuperset(each.digest for each in history)
            if is_known and self._signer.is_current(path, written):
                return "there"
        last = record if there is None or record.checked_at > there.record.checked_at else there.record
        merged = remembered(history, others, last.descriptor.digest, last.checked_at)
        await self._put(path, self._signer.signed(path, documents.tag_with_history(TagDocument(last, merged))))
        await self._queue.put_tag_uploaded(reference, record)
        return "written"

    async def _access(self, repository: Repository) -> str:
        """Write that a repository is closed, or no longer is, unless another machine has heard a refusal since upstream opened it to us."""
        access, path = await self._queue.access(repository), objects.access(repository)
        written = await self._read(path)
        is_later = access.confirmed_at < await self._refused_at(path, written) <= self._clock() + _MAX_AHEAD
        if access.is_closed:
            if is_later and self._signer.is_current(path, written):
                return "there"
            return await self._decided(path, documents.closure_document(Closure(access.refused_at, access.reason)))
        return "there" if written is None or is_later else await self._decided(path, None)

    async def _refused_at(self, path: str, written: bytes | None) -> float:
        """Return when others were refused a repository: no later than that was written, where it cannot be read; 0.0: they were not."""
        if written is None or (closure := documents.closure_of(self._signer.verified(path, written))) is not None:
            return 0.0 if written is None or closure is None else closure.refused_at
        async with asyncio.timeout(_TIMEOUT):
            found = await self._remote.head(path)
        return 0.0 if found is None else found.modified_at

    async def _decided(self, path: str, document: Mapping[str, Any] | None) -> str:
        if document is None:
            async with asyncio.timeout(_TIMEOUT):
                await self._remote.delete(path)
        else:
            await self._put(path, self._signer.signed(path, document))
        return "written"

    async def _read(self, path: str, most: int = documents.MAX_SIZE) -> bytes | None:
        """Read what was written before; what is no document is replaced."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._remote.get(path, most)
        except TooLong:
            return b""

    async def _put(self, path: str, body: bytes) -> None:
        async with asyncio.timeout(2 * _TIMEOUT):
            await self._remote.put(path, body)


async def _counted(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        metrics.OBJECT_STORE_WRITTEN_BYTES.inc(len(chunk))


def _repository(text: str) -> Repository:
    registry, _, name = text.partition("/")
    return Repository(registry, name)
