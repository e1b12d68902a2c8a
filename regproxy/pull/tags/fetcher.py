"""Manifests by digest, from upstream where they are not here."""

from collections.abc import Mapping

from regproxy import large
from regproxy.best_effort import Behind
from regproxy.flights import Flights
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Reference, Repository
from regproxy.ports import NotFound, Registry
from regproxy.pull.confirmation import is_named_by
from regproxy.pull.manifest_cache import ManifestCache, Pulled
from regproxy.pull.stored_manifests import StoredManifests


class ManifestFetcher:
    """Finds manifests by digest, each once for all who ask at the same time."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        stored: StoredManifests,
        answers: ManifestCache,
        flights: Flights[Reference, Pulled],
        behind: Behind,
    ) -> None:
        """Look in *stored*, then ask *registries* by one of *flights*; what is fetched is kept *behind* the answer."""
        self._registries = registries
        self._stored = stored
        self._answers = answers
        self._flights = flights
        self._behind = behind

    async def find(self, reference: Reference, digest: Digest) -> Pulled:
        """Return what is cached under a repository that upstream has just given an answer about, or fetch it; raise `UpstreamError`."""
        if (manifest := await self._stored.held(reference.repository, digest)) is not None:
            return Pulled(manifest, CacheStatus.HIT)
        return await self._flights.join(reference, lambda: self._fetch(reference, digest))

    async def find_known(self, repository: Repository, digest: Digest) -> Pulled | None:
        """Find what a tag of *repository* is known to have meant; raise `UpstreamError`.

        Where upstream has it no longer and the index was lost, nothing else says that this repository held it.
        """
        try:
            return await self.find(Reference(repository, digest), digest)
        except NotFound:
            manifest = await self._stored.anywhere(digest)
            return Pulled(manifest, CacheStatus.HIT) if manifest is not None else None

    async def _fetch(self, reference: Reference, digest: Digest) -> Pulled:
        """Fetch by digest, or only make sure that this repository holds what another one brought."""
        async with large.allocation():
            manifest, cache_status = await self._stored.anywhere(digest), CacheStatus.REVALIDATED
            if manifest is None or not await is_named_by(self._registries[reference.repository.registry], reference, digest):
                manifest = None  # there is to be one in memory
                manifest, cache_status = await self._registries[reference.repository.registry].manifest(reference), CacheStatus.MISS
            manifest = self._answers.shared(manifest)
            await self._behind.do(self._stored.keep(reference.repository, manifest))
            return Pulled(manifest, cache_status)
