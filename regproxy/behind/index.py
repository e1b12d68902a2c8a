"""An index with an object store behind it: what this machine does not know, another one may have written there (port Index).

What is found is recorded here, so that it is looked for once.
"""

from regproxy.behind.holders import Holders
from regproxy.behind.tier import ObjectTier
from regproxy.best_effort import BestEffortIndex, BestEffortStore, keep_manifest
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.freshness import TagRecord
from regproxy.ports import ContentStore, Index, Kind


class BackedIndex(BestEffortIndex):
    """Looks behind where nothing is on record."""

    def __init__(self, index: Index, holders: Holders, store: ContentStore) -> None:
        """Forward to *index*, then ask *holders*; a manifest that is found is kept in *store*."""
        super().__init__(index)
        self._holders = holders
        self._store = store

    async def tag(self, reference: Reference) -> TagRecord | None:
        known = await super().tag(reference)
        if known is not None or (found := await self._holders.tag(reference)) is None:
            return known
        await self.adopt_tag(reference, found.record, found.history)
        return await super().tag(reference) or found.record

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        known = await super().held(kind, repository, digest)
        if known is not None:
            return known
        if kind is Kind.MANIFEST:
            manifest = await self._manifest(repository, digest)
            return None if manifest is None else manifest.descriptor
        found = await self._holders.link(kind, repository, digest)
        if found is not None and (here := await super().known(kind, digest)) is not None:
            await self.put(kind, repository, here)
        return found

    async def recall(self, reference: Reference) -> Manifest | None:
        """Look for a manifest once more and for longer, where upstream has failed; what a tag means that nobody knew is recorded."""
        if isinstance(reference.target, Digest):
            return await self._manifest(reference.repository, reference.target, is_patient=True)
        found, known = None, await super().tag(reference)
        if known is None and (found := await self._holders.tag(reference, is_patient=True)) is not None:
            known = found.record
        if known is None:
            return None
        manifest = await self._manifest(reference.repository, known.descriptor.digest, is_patient=True)
        if manifest is not None and found is not None:
            await self.adopt_tag(reference, found.record, found.history)
        return manifest

    async def _manifest(self, repository: Repository, digest: Digest, *, is_patient: bool = False) -> Manifest | None:
        """Read a manifest behind, and keep it on this disk where that is possible."""
        manifest = await self._holders.manifest(repository, digest, is_patient=is_patient)
        if manifest is not None:
            await keep_manifest(self._store, self, repository, manifest)
        return manifest


class BackedStore(BestEffortStore):
    """A store that reads manifests behind where it does not have them: the disk may have no room for what a link names."""

    def __init__(self, store: ContentStore, tier: ObjectTier) -> None:
        """Forward to *store*, and look in *tier*."""
        super().__init__(store)
        self._tier = tier

    async def read(self, digest: Digest, size: int) -> bytes | None:
        return await super().read(digest, size) or await self._tier.manifest(digest, size)
