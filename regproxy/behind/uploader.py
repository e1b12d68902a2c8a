"""Writes what was stored and recorded to an object store, behind everything else, and goes on with it after a restart.

Content goes first, then the hashes of its pieces, then that a repository holds it: whatever is cut off, nothing names what is not there.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_never

from regproxy.behind import documents
from regproxy.behind.content import LocalContent, Unreadable
from regproxy.behind.documents import Closure, Signer, TagDocument
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT
from regproxy.oci.reference import Reference, Repository, Tag, reference_named
from regproxy.policy.clock import WallClock
from regproxy.policy.store import objects
from regproxy.policy.store.pieces import MAX_BLOB, PieceSums
from regproxy.policy.tag_history import remembered
from regproxy.ports import BlobStore, Kind, ObjectStore, StoreError, Upload, UploadKind, UploadQueue
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

MAX_UPLOADS = 4  # at once; each has two parts of 8 MiB in flight, and one in memory: 96 MiB in all
_LOOK = 0.5  # seconds between two looks into an empty queue
_TELL_EVERY = 5.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds after a failure
_LONGEST_DELAY = 3600.0  # seconds that one entry waits which fails again and again
_TIMEOUT = 30.0  # seconds for a small object
_MAX_REPAIRS = 12  # tries until content that is nowhere on the disk is given up

_log = logging.getLogger(__name__)


class Uploader:
    """Works off the queue of one machine."""

    def __init__(
        self, queue: UploadQueue, store: BlobStore, remote: ObjectStore, signer: Signer, clock: WallClock, pause: float = 1.0
    ) -> None:
        """Write what is in *queue* from *store* to *remote*; *clock* returns epoch seconds. *pause* times as long as usual is waited."""
        self._queue = queue
        self._content = LocalContent(store)
        self._remote = remote
        self._signer = signer
        self._clock = clock
        self._pause = pause
        self._busy: set[str] = set()
        self._ended: set[Upload] = set()  # since the queue was looked into last
        self._turn = asyncio.Lock()
        self._failures = 0
        self._rests_until = 0.0
        self.trouble: str | None = None  # why nothing is written at the moment

    async def run(self) -> None:
        """Write, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_UPLOADS):
                group.create_task(self._work())
            group.create_task(self._report())

    async def _work(self) -> None:
        while True:
            upload = await self._next()
            try:
                await self._do(upload)
            finally:
                self._busy.discard(_about(upload))
                self._ended.add(upload)

    async def _next(self) -> Upload:
        """Wait for what is to be written next, and claim it; one looks for all."""
        async with self._turn:
            while True:
                if (rest := self._rests_until - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(rest)
                if (upload := await self._look()) is not None:
                    self._busy.add(_about(upload))
                    return upload
                await asyncio.sleep(_LOOK * self._pause)

    async def _look(self) -> Upload | None:
        self._ended.clear()
        try:
            due = await self._queue.due(self._clock(), MAX_UPLOADS + 1)
        except StoreError as error:
            _log.warning("cannot read the queue to the object store", extra=fields(reason=str(error)))
            return None
        return next((upload for upload in due if _about(upload) not in self._busy and upload not in self._ended), None)

    async def _do(self, upload: Upload) -> None:
        try:
            try:
                outcome = await self._written(upload)
            except Unreadable as error:
                _log.warning("not written to the object store", extra=fields(what=upload.name, reason=str(error)))
                outcome = "unreadable"
            if outcome == "later":
                await self._queue.postpone(upload, self._clock() + self._delay(upload))
                return
            if upload.kind is not UploadKind.ALL:
                await self._queue.done(upload)
                metrics.OBJECT_STORE_UPLOADS.labels(outcome).inc()
            self._succeeded()
        except (StoreError, TimeoutError) as error:
            await self._failed(upload, str(error) or f"no answer within {_TIMEOUT:g} s")
        except Exception as error:
            _log.exception("upload failed: internal error", extra=fields(what=upload.name))
            await self._failed(upload, repr(error))

    def _succeeded(self) -> None:
        if self.trouble is not None:
            _log.info("object store takes content again")
        self._failures, self.trouble = 0, None
        metrics.OBJECT_STORE_DOWN.set(0)

    async def _failed(self, upload: Upload, reason: str) -> None:
        """Let everything rest, for it is rarely about one object; that one goes to the end of the queue all the same."""
        if self.trouble is None:
            _log.warning("cannot write to the object store: content waits on the disk", extra=fields(what=upload.name, reason=reason))
        self.trouble = reason
        metrics.OBJECT_STORE_DOWN.set(1)
        metrics.OBJECT_STORE_UPLOADS.labels("error").inc()
        rest = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE) * random.uniform(0.5, 1.0) * self._pause  # noqa: S311 -- jitter
        self._failures = min(self._failures + 1, 10)
        self._rests_until = asyncio.get_running_loop().time() + rest
        try:
            await self._queue.postpone(upload, self._clock() + self._delay(upload))
        except StoreError as error:
            _log.warning("cannot write the queue to the object store", extra=fields(reason=str(error)))

    def _delay(self, upload: Upload) -> float:
        return min(2.0 ** min(upload.tries, 12), _LONGEST_DELAY) * self._pause

    async def _written(self, upload: Upload) -> str:
        """Write what an entry is about, as it is now, and return the outcome."""
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
                pinned = Digest.parse(upload.name)
                return await self._decided(objects.pin(pinned), {"digest": str(pinned)} if await self._queue.is_pinned(pinned) else None)
            case UploadKind.FREEZE:
                frozen_to = await self._queue.frozen_to(upload.name)
                document = None if frozen_to is None else {"pattern": upload.name, "digest": frozen_to}
                return await self._decided(objects.freeze(upload.name), document)
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
        is_there = documents.link_of(self._signer.verified(path, await self._read(path))) is not None
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
        if not is_wrong and self._sums(path, await self._read(path, documents.MAX_SUMS)) is not None:
            await self._spare(held.digest)
            return False
        async with self._content.opened(held.digest, held.size) as reading:
            await self._remote.upload(objects.blob(held.digest), _counted(reading.chunks()))
            await self._put(path, self._signer.signed(path, documents.sums_document(reading.sums())))
        return True

    def _sums(self, path: str, written: bytes | None) -> PieceSums | None:
        return documents.sums_of(self._signer.verified(path, written))

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
        held = await self._queue.content(digest)
        if held is None:
            return await self._repaired_manifest(digest, tries)
        await self._put_blob(held, is_wrong=True)
        return "repaired"

    async def _repaired_manifest(self, digest: Digest, tries: int) -> str:
        async with asyncio.timeout(_TIMEOUT):
            found = await self._remote.head(objects.blob(digest))
        try:
            if found is not None and found.size <= LIMIT:
                await self._put(objects.blob(digest), await self._content.read(digest, found.size))
                return "repaired"
        except Unreadable:
            pass
        return "later" if tries < _MAX_REPAIRS else "evicted"

    async def _tag(self, reference: Reference) -> str:
        found = await self._queue.tag(reference)
        if found is None or not isinstance(reference.target, Tag):
            return "evicted"
        record, history = found
        path = objects.tag(reference.repository, reference.target.name)
        there = documents.tag_with_history_of(self._signer.verified(path, await self._read(path)))
        known = {each.digest for each in there.history} if there is not None else set()
        if there is not None and there.record.checked_at >= record.checked_at and known.issuperset(each.digest for each in history):
            return "there"
        last = record if there is None or record.checked_at > there.record.checked_at else there.record
        merged = remembered(history, there.history if there is not None else (), last.descriptor.digest, last.checked_at)
        await self._put(path, self._signer.signed(path, documents.tag_with_history(TagDocument(last, merged))))
        await self._queue.put_tag_uploaded(reference, record)
        return "written"

    async def _access(self, repository: Repository) -> str:
        access, path = await self._queue.access(repository), objects.access(repository)
        if access.is_closed:
            closure = Closure(access.refused_at, access.reason)
            return await self._decided(path, documents.closure_document(closure))
        return await self._decided(path, None)

    async def _decided(self, path: str, document: Mapping[str, Any] | None) -> str:
        if document is None:
            async with asyncio.timeout(_TIMEOUT):
                await self._remote.delete(path)
        else:
            await self._put(path, self._signer.signed(path, document))
        return "written"

    async def _read(self, path: str, most: int = documents.MAX_SIZE) -> bytes | None:
        async with asyncio.timeout(_TIMEOUT):
            return await self._remote.get(path, most)

    async def _put(self, path: str, body: bytes) -> None:
        async with asyncio.timeout(2 * _TIMEOUT):
            await self._remote.put(path, body)

    async def _report(self) -> None:
        while True:
            try:
                pending = await self._queue.pending()
                metrics.OBJECT_STORE_PENDING.set(pending.count)
                metrics.OBJECT_STORE_PENDING_BYTES.set(pending.size)
            except StoreError as error:
                _log.warning("cannot read the queue to the object store", extra=fields(reason=str(error)))
            await asyncio.sleep(_TELL_EVERY)


async def _counted(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        metrics.OBJECT_STORE_WRITTEN_BYTES.inc(len(chunk))


def _about(upload: Upload) -> str:
    """Return what no two write at once: content by its digest, whoever holds it."""
    return upload.name.rpartition(" ")[2]


def _repository(text: str) -> Repository:
    registry, _, name = text.partition("/")
    return Repository(registry, name)
