"""A disk's errors are not the client's: what it cannot find is fetched, and what it cannot keep is served all the same.

Wiring chooses: pulls and fills get the decorated store and index, operators and maintenance the bare ones, which raise.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Coroutine, Sequence

from regproxy import large
from regproxy.flights import drain
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import (
    Content,
    ContentStore,
    Incoming,
    Index,
    Ingest,
    Kind,
    PeerIngest,
    Spool,
    StoreError,
    UpstreamError,
)
from regproxy.telemetry.log import fields

_SOON = 1.0  # seconds that an answer waits for what is kept of it: a disk that is well takes a hundredth of that

_log = logging.getLogger(__name__)


async def kept(work: Awaitable[None], what: object) -> bool:
    """Keep something if the disk lets us, and report whether it did."""
    try:
        await work
    except StoreError as error:
        _not_kept(what, error)
        return False
    return True


class BestEffortStore(ContentStore):
    """A store whose errors are logged: what it cannot find is not there, and what it cannot keep is not kept.

    What the caller has to act upon raises as before: locks, and the beginning of an ingest.
    """

    def __init__(self, store: ContentStore) -> None:
        """Forward to *store*."""
        self._store = store

    async def open(self, digest: Digest, size: int) -> Content | None:
        try:
            return await self._store.open(digest, size)
        except StoreError as error:
            _not_found(digest, error)
            return None

    async def read(self, digest: Digest, size: int) -> bytes | None:
        try:
            return await self._store.read(digest, size)
        except StoreError as error:
            _not_found(digest, error)
            return None

    async def write(self, digest: Digest, body: bytes) -> bool:
        try:
            return await self._store.write(digest, body)
        except StoreError as error:
            _not_kept(digest, error)
            return False

    async def resumable(self, digest: Digest) -> int:
        try:
            return await self._store.resumable(digest)
        except StoreError as error:
            _not_found(digest, error)
            return 0

    async def ingest(
        self, digest: Digest, size: int | None, start: int = 0, begun: Incoming | None = None, *, locked_for: str | None = None
    ) -> Ingest:
        return await self._store.ingest(digest, size, start, begun, locked_for=locked_for)

    async def spool(self, size: int) -> Spool:
        return await self._store.spool(size)

    async def acquire(self, digest: Digest, repository: Repository) -> PeerIngest | None:
        return await self._store.acquire(digest, repository)

    async def release(self, digest: Digest, upstream: str, error: UpstreamError | None = None) -> None:
        try:
            await self._store.release(digest, upstream, error)
        except StoreError as failure:
            _not_kept(digest, failure)

    async def ingesting(self) -> Collection[Digest]:
        return await self._store.ingesting()

    def is_wanted(self, digest: Digest, upstream: str) -> bool:
        return self._store.is_wanted(digest, upstream)

    async def landed(self, digest: Digest, size: int) -> Incoming | None:
        try:
            return await self._store.landed(digest, size)
        except StoreError as error:
            _not_found(digest, error)
            return None


class BestEffortIndex(Index):
    """An index whose errors are logged: what it cannot find is not known, and what it cannot record is not recorded.

    What operators ask for raises as before: freezes that are set and lifted, imports, the catalog.
    """

    def __init__(self, index: Index) -> None:
        """Forward to *index*."""
        self._index = index

    @property
    def generation(self) -> int:
        return self._index.generation

    async def tag(self, reference: Reference) -> TagRecord | None:
        try:
            return await self._index.tag(reference)
        except StoreError as error:
            _not_found(reference, error)
            return None

    async def put_tag(self, reference: Reference, record: TagRecord) -> None:
        try:
            await self._index.put_tag(reference, record)
        except StoreError as error:
            _not_kept(reference, error)

    async def drop_tag(self, reference: Reference) -> None:
        await self._index.drop_tag(reference)

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        try:
            return await self._index.held(kind, repository, digest)
        except StoreError as error:
            _not_found(digest, error)
            return None

    async def known(self, kind: Kind, digest: Digest) -> Descriptor | None:
        try:
            return await self._index.known(kind, digest)
        except StoreError as error:
            _not_found(digest, error)
            return None

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor, children: Collection[Digest] = ()) -> None:
        try:
            await self._index.put(kind, repository, descriptor, children)
        except StoreError as error:
            _not_kept(descriptor.digest, error)

    async def access(self, repository: Repository) -> Access:
        try:
            return await self._index.access(repository)
        except StoreError as error:
            _not_found(repository, error)
            return Access()

    async def put_confirmed(self, repository: Repository, asked_at: float) -> bool:
        try:
            return await self._index.put_confirmed(repository, asked_at)
        except StoreError as error:
            _not_kept(repository, error)
            return False

    async def put_refused(self, repository: Repository, reason: str) -> bool:
        try:
            return await self._index.put_refused(repository, reason)
        except StoreError as error:
            _not_kept(repository, error)
            return False

    async def put_imported(self, repository: Repository) -> None:
        await self._index.put_imported(repository)

    async def manifests_of(self, repository: Repository, most: int) -> Sequence[Digest]:
        try:
            return await self._index.manifests_of(repository, most)
        except StoreError as error:
            _not_found(repository, error)
            return ()

    async def digest_named(self, reference: str) -> Digest | None:
        return await self._index.digest_named(reference)

    async def repositories(self, registry: str, last: str, most: int) -> Sequence[str]:
        return await self._index.repositories(registry, last, most)

    async def freezes(self) -> Sequence[Freeze]:
        try:
            return await self._index.freezes()
        except StoreError as error:
            _not_found("freezes", error)
            return ()

    async def put_freeze(self, freeze: Freeze) -> None:
        await self._index.put_freeze(freeze)

    async def drop_freeze(self, pattern: str) -> bool:
        return await self._index.drop_freeze(pattern)

    async def listing(self, key: str) -> bytes | None:
        try:
            return await self._index.listing(key)
        except StoreError as error:
            _not_found(key, error)
            return None

    async def put_listing(self, key: str, body: bytes) -> None:
        try:
            await self._index.put_listing(key, body)
        except StoreError as error:
            _not_kept(key, error)


class Behind:
    """Run work on a disk before the response where the disk is quick, and in the background where it is slow."""

    def __init__(self) -> None:
        """Start without work."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, work: Coroutine[None, None, None]) -> None:
        """Run the work and wait for it briefly; the document that the caller holds stays allocated until the work is done."""
        task = asyncio.create_task(work)
        if (allocated := large.current()) is not None:
            allocated.share()
            task.add_done_callback(allocated.release)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=_SOON)
        if task.done():
            task.result()

    async def drain(self, grace: float) -> None:
        """Wait up to *grace* seconds for all work, then cancel the rest."""
        await drain(self._tasks, grace)


def _not_found(what: object, error: StoreError) -> None:
    _log.warning("could not be looked up", extra=fields(what=str(what), reason=str(error)))


def _not_kept(what: object, error: StoreError) -> None:
    _log.info("could not be kept", extra=fields(what=str(what), reason=str(error)))
