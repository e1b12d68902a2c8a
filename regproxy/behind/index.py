"""An index with an object store behind it: what this machine does not know, another one may have written there (port Index).

What is found is recorded here, so that it is looked for once.
"""

from cachetools import TTLCache

from regproxy import large
from regproxy.behind.documents import Closure
from regproxy.behind.tier import ObjectTier
from regproxy.best_effort import BestEffortIndex, BestEffortStore
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import InvalidManifest, Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.freshness import TagRecord
from regproxy.ports import ContentStore, Index, Kind

_MAX_REPOSITORIES = 10_000
_OPEN_FOR = 60.0  # seconds that a repository is taken for open that nobody has closed there


class BackedIndex(BestEffortIndex):
    """Looks behind where nothing is on record."""

    def __init__(self, index: Index, tier: ObjectTier, store: ContentStore) -> None:
        """Forward to *index*, and look in *tier*; a manifest that is found is kept in *store*."""
        super().__init__(index)
        self._tier = tier
        self._store = store
        self._open_ones: TTLCache[Repository, bool] = TTLCache(_MAX_REPOSITORIES, _OPEN_FOR)

    async def tag(self, reference: Reference) -> TagRecord | None:
        known = await super().tag(reference)
        if known is not None or (found := await self._tier.tag(reference)) is None or await self._is_closed(reference.repository):
            return known
        await self.adopt_tag(reference, found.record, found.history)
        return await super().tag(reference) or found.record

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        known = await super().held(kind, repository, digest)
        if known is not None or (found := await self._tier.link(kind, repository, digest)) is None or await self._is_closed(repository):
            return known
        if kind is Kind.MANIFEST:
            return await self._adopted(repository, found)
        here = await super().known(kind, digest)
        if here is not None:
            await self.put(kind, repository, here)
        return found

    async def _adopted(self, repository: Repository, found: Descriptor) -> Descriptor | None:
        """Keep a manifest on this disk, where that is possible, and record it."""
        async with large.held(found.size):
            body = await self._tier.manifest(found.digest, found.size)
            if body is None:
                return None
            try:
                manifest = await large.parsed(len(body), lambda: Manifest.verify(body, found.digest))
            except InvalidManifest:
                return None
            if await self._store.write(found.digest, body):
                async with large.recorded(len(body)):
                    children = await large.parsed(len(body), lambda: {child.digest for child in manifest.children()})
                    await self.put(Kind.MANIFEST, repository, manifest.descriptor, children)
            return manifest.descriptor

    async def _is_closed(self, repository: Repository) -> bool:
        """Report whether upstream refused it, to us or, since it last gave us something of it, to another machine."""
        access = await self.access(repository)
        if access.is_closed or repository in self._open_ones:
            return access.is_closed
        closure: Closure | None = await self._tier.closure(repository)
        if closure is not None and closure.refused_at > access.confirmed_at:
            await self.put_refused(repository, closure.reason)
            return True
        self._open_ones[repository] = True
        return False


class BackedStore(BestEffortStore):
    """A store that reads manifests behind where it does not have them: the disk may have no room for what a link names."""

    def __init__(self, store: ContentStore, tier: ObjectTier) -> None:
        """Forward to *store*, and look in *tier*."""
        super().__init__(store)
        self._tier = tier

    async def read(self, digest: Digest, size: int) -> bytes | None:
        return await super().read(digest, size) or await self._tier.manifest(digest, size)
