"""A tag served as its rule's cooldown wants it."""

from typing import assert_never

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Reference
from regproxy.policy.clock import utc
from regproxy.policy.cooldown import Choice, CoolingDown, Served
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.stored_manifests import StoredManifests
from regproxy.pull.tags.fetcher import ManifestFetcher
from regproxy.telemetry import metrics


class ChosenManifests:
    """Finds the manifest that was chosen for a tag."""

    def __init__(self, stored: StoredManifests, fetcher: ManifestFetcher) -> None:
        """Look in *stored*; what is not there *fetcher* asks for."""
        self._stored = stored
        self._fetcher = fetcher

    async def cached(self, reference: Reference, choice: Choice) -> Pulled | None:
        """Return what is served without asking upstream, if that is here; raise `RegistryError` where nothing is served."""
        match choice:
            case CoolingDown():
                raise _refusal(reference, choice)
            case Served(digest=digest, newer=newer):
                if (manifest := await self._stored.held(reference.repository, digest)) is None:
                    return None
                return _held_back(reference, Pulled(manifest, CacheStatus.COOLDOWN)) if newer else Pulled(manifest, CacheStatus.HIT)
            case _ as never:
                assert_never(never)

    async def found(self, reference: Reference, choice: Choice, pulled: Pulled) -> Pulled:
        """Return what is served where upstream said *pulled*; raise `RegistryError` or `UpstreamError`."""
        if isinstance(choice, CoolingDown):
            raise _refusal(reference, choice)
        if choice.digest == pulled.manifest.descriptor.digest:
            return pulled
        for digest in (choice.digest, *choice.older):
            if (older := await self._fetcher.find_known(reference.repository, digest)) is not None:
                return _held_back(reference, Pulled(older.manifest, CacheStatus.COOLDOWN))
        metrics.COOLDOWNS.labels(reference.repository.registry, "lost").inc()
        raise errors.manifest_unknown(
            f"{reference} cools down: upstream says {choice.newer}, which is served from {utc(choice.until)} on;"
            f" what it meant before, {choice.digest}, is neither here nor upstream any longer"
        )


def _held_back(reference: Reference, pulled: Pulled) -> Pulled:
    metrics.COOLDOWNS.labels(reference.repository.registry, "held").inc()
    return pulled


def _refusal(reference: Reference, choice: CoolingDown) -> RegistryError:
    metrics.COOLDOWNS.labels(reference.repository.registry, "refused").inc()
    return errors.denied(
        f"{reference} cools down: {choice.newer} was first seen too short a time ago, and is served from {utc(choice.until)} on"
    )
