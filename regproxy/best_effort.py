"""A disk's errors are not the client's: what it cannot find is fetched, and what it cannot keep is served all the same.

Wiring chooses: pulls and fills get the decorated store and index, operators and maintenance the bare ones, which raise.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Coroutine, Mapping, Sequence
from typing import TypeVar

from regproxy import large
from regproxy.flights import drain
from regproxy.generation_cache import Memory
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import History, PastMeaning
from regproxy.ports import (
    Content,
    ContentStore,
    Incoming,
    Index,
    Ingest,
    Kind,
    PeerIngest,
    Resumable,
    Spool,
    StoreError,
    UpstreamError,
)
from regproxy.telemetry.log import fields

_MAX_UNRECORDED = 10_000  # tags, of some 500 bytes each
_SOON = 1.0  # seconds that an answer waits for what is kept of it: a disk that is well takes a hundredth of that

Found = TypeVar("Found")

_log = logging.getLogger(__name__)


async def kept(work: Awaitable[object], what: object) -> bool:
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

    async def resumable(self, digest: Digest) -> Resumable:
        return await _looked_up(self._store.resumable(digest), digest, Resumable())

    async def ingest(
        self,
        digest: Digest,
        size: int | None,
        resumed: Resumable = Resumable(),  # noqa: B008 -- frozen
        begun: Incoming | None = None,
        *,
        locked_for: str | None = None,
        refused: StoreError | None = None,
    ) -> Ingest:
        return await self._store.ingest(digest, size, resumed, begun, locked_for=locked_for, refused=refused)

    async def spool(self, size: int) -> Spool:
        return await self._store.spool(size)

    async def acquire(self, digest: Digest, repository: Repository) -> PeerIngest | None:
        return await self._store.acquire(digest, repository)

    async def release(self, digest: Digest, upstream: str, error: UpstreamError | None = None) -> None:
        await kept(self._store.release(digest, upstream, error), digest)

    async def ingesting(self) -> Collection[Digest]:
        return await self._store.ingesting()

    def is_wanted(self, digest: Digest, upstream: str) -> bool:
        return self._store.is_wanted(digest, upstream)

    def wanted_parts(self, digest: Digest, upstream: str) -> Sequence[tuple[int, int]]:
        return self._store.wanted_parts(digest, upstream)

    async def landed(self, digest: Digest, size: int) -> Incoming | None:
        return await _looked_up(self._store.landed(digest, size), digest, None)


class BestEffortIndex(Index):
    """An index whose errors are logged: what it cannot find is not known, and what it cannot record is not recorded.

    What a tag means is known from the moment on that it is to be recorded, and where it cannot be, in this process alone until another
    generation begins: registries count who asks again. What operators ask for raises as before: freezes that are set and lifted, imports,
    the catalog.
    """

    def __init__(self, index: Index) -> None:
        """Forward to *index*."""
        self._index = index
        self._unrecorded: Memory[Reference, TagRecord] = Memory(_MAX_UNRECORDED, lambda: index.generation)

    @property
    def generation(self) -> int:
        return self._index.generation

    async def tag(self, reference: Reference) -> TagRecord | None:
        try:
            recorded = await self._index.tag(reference)
        except StoreError as error:
            _not_found(reference, error)
            recorded = None
        newer = self._unrecorded.get(reference)
        return newer if newer and (recorded is None or recorded.checked_at < newer.checked_at) else recorded

    async def meanings(self, reference: Reference) -> History:
        return await _looked_up(self._index.meanings(reference), reference, ())

    async def histories(self, repository: Repository) -> Mapping[str, History]:
        return await _looked_up(self._index.histories(repository), repository, {})

    async def put_tag(self, reference: Reference, record: TagRecord, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        self._unrecorded.put(reference, record, self._index.generation)
        if await kept(self._index.put_tag(reference, record, cooldown, others), reference) and self._unrecorded.get(reference) is record:
            self._unrecorded.pop(reference)

    async def adopt_tag(self, reference: Reference, record: TagRecord, others: Collection[PastMeaning] = ()) -> None:
        await kept(self._index.adopt_tag(reference, record, others), reference)

    async def put_deleted(self, reference: Reference, now: float, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        await kept(self._index.put_deleted(reference, now, cooldown, others), reference)

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

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor, children: Collection[Digest] = ()) -> bool:
        return await kept(self._index.put(kind, repository, descriptor, children), descriptor.digest)

    async def access(self, repository: Repository) -> Access:
        return await _looked_up(self._index.access(repository), repository, Access())

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
        return await _looked_up(self._index.manifests_of(repository, most), repository, ())

    async def digest_named(self, reference: str) -> Digest | None:
        return await self._index.digest_named(reference)

    async def repositories(self, registry: str, last: str, most: int) -> Sequence[str]:
        return await self._index.repositories(registry, last, most)

    async def freezes(self) -> Sequence[Freeze]:
        return await _looked_up(self._index.freezes(), "freezes", ())

    async def put_freeze(self, freeze: Freeze) -> None:
        await self._index.put_freeze(freeze)

    async def drop_freeze(self, pattern: str) -> bool:
        return await self._index.drop_freeze(pattern)

    async def signed(self, digest: Digest, policy: str) -> Digest | None:
        return await _looked_up(self._index.signed(digest, policy), digest, None)

    async def put_signed(self, parent: Digest, policy: str, digests: Sequence[Digest]) -> None:
        await kept(self._index.put_signed(parent, policy, digests), parent)

    async def parents(self, repository: Repository, digest: Digest, most: int) -> Sequence[Digest]:
        return await _looked_up(self._index.parents(repository, digest, most), digest, ())

    async def listing(self, key: str) -> bytes | None:
        return await _looked_up(self._index.listing(key), key, None)

    async def put_listing(self, key: str, body: bytes) -> None:
        await kept(self._index.put_listing(key, body), key)


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


async def keep_manifest(store: ContentStore, index: Index, repository: Repository, manifest: Manifest) -> bool:
    """Write a verified manifest to *store*, record in *index* that *repository* holds it, and report whether both could be done."""
    found = manifest.descriptor
    if not await store.write(found.digest, manifest.body):
        return False
    async with large.recorded(found.size):
        children = await large.parsed(found.size, lambda: {child.digest for child in manifest.children()})
        return await index.put(Kind.MANIFEST, repository, found, children)


async def _looked_up(work: Awaitable[Found], what: object, default: Found) -> Found:
    try:
        return await work
    except StoreError as error:
        _not_found(what, error)
        return default


def _not_found(what: object, error: StoreError) -> None:
    _log.warning("could not be looked up", extra=fields(what=str(what), reason=str(error)))


def _not_kept(what: object, error: StoreError) -> None:
    _log.info("could not be kept", extra=fields(what=str(what), reason=str(error)))
