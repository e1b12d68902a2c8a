"""Manifests in the store: read under a repository that is known to hold them, verified, and kept with who holds them."""

import logging
from functools import partial

from regproxy import large
from regproxy.best_effort import keep_manifest
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import InvalidManifest, Manifest
from regproxy.oci.reference import Repository
from regproxy.ports import ContentStore, Index, Kind
from regproxy.pull.manifest_cache import ManifestCache
from regproxy.telemetry.log import fields

_log = logging.getLogger(__name__)


class StoredManifests:
    """Reads and writes manifests; the store's troubles are not the client's."""

    def __init__(self, store: ContentStore, index: Index, cache: ManifestCache) -> None:
        """Read from *cache* what is in memory, the rest from *store*; *index* knows which repository holds what."""
        self._store = store
        self._index = index
        self._cache = cache

    async def held(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return a manifest that *repository* is known to hold, if its bytes are here and right."""
        if (unwritten := self._cache.unwritten(repository, digest)) is not None:
            return unwritten
        descriptor = await self._index.held(Kind.MANIFEST, repository, digest)
        return None if descriptor is None else await self._read(digest, descriptor.size)

    async def anywhere(self, digest: Digest) -> Manifest | None:
        descriptor = await self._index.known(Kind.MANIFEST, digest)
        return None if descriptor is None else await self._read(digest, descriptor.size)

    async def _read(self, digest: Digest, size: int) -> Manifest | None:
        if (at_hand := self._cache.body(digest)) is not None:
            return at_hand
        try:
            async with large.held(size):
                if (at_hand := self._cache.body(digest)) is not None:
                    return at_hand  # somebody has read it while we waited
                body = await self._store.read(digest, size)
                manifest = await large.parsed(size, partial(Manifest.verify, body, digest)) if body is not None else None
        except InvalidManifest as error:
            _log.error("cannot read cached manifest", extra=fields(digest=str(digest), reason=str(error)))
            return None
        return self._cache.keep(manifest) if manifest is not None else None

    async def keep(self, repository: Repository, manifest: Manifest) -> None:
        """Store a manifest and who holds it; one that cannot be stored is held in memory for a while."""
        self._cache.hold(repository, manifest)
        if await keep_manifest(self._store, self._index, repository, manifest):
            self._cache.release(repository, manifest.descriptor.digest)
