"""What a tag means now: asked of upstream, or of who asked meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass

from regproxy import large
from regproxy.best_effort import Behind
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.freshness import Denial, KnownMissing, TagPolicy, TagRecord, is_fresh, judge
from regproxy.policy.upstream.overdue import Overdue
from regproxy.ports import Answer, Fleet, Refused, Registry
from regproxy.pull.denials import Denials, answer_of, denial_of
from regproxy.pull.manifest_cache import ManifestCache, Pulled
from regproxy.pull.stored_manifests import StoredManifests
from regproxy.pull.tags.fetcher import ManifestFetcher
from regproxy.pull.tags.history import TagHistories


@dataclass(frozen=True, slots=True)
class TagLookup:
    """Finds out what tags mean now, and remembers it in *histories*, *denials*, *stored*, *answers* and the *fleet*."""

    registries: Mapping[str, Registry]
    fleet: Fleet
    clock: WallClock
    overdue: Overdue
    denials: Denials
    answers: ManifestCache
    stored: StoredManifests
    fetcher: ManifestFetcher
    histories: TagHistories
    behind: Behind

    async def ask(self, reference: Reference, rule: TagPolicy, known: TagRecord | None) -> Pulled:
        """Find out what a tag means now, from who asked meanwhile or from upstream; raise `UpstreamError`.

        Where upstream gives an answer that is no manifest, nothing older is remembered.
        """
        began = self.clock()
        try:
            with self.overdue.asking(reference.repository.registry):
                async with large.allocation(), self.fleet.lock(f"tag {reference}"):
                    pulled = await self._hear(reference, rule, began) or await self._look_up(reference, rule, known)
        except Answer as error:
            self.answers.forget(reference)
            if isinstance(error, Refused):
                self.answers.release_all()  # a repository is closed by what is on record of it, and of these there is nothing
            raise
        self.denials.forget(reference)
        return pulled

    async def _hear(self, reference: Reference, rule: TagPolicy, began: float) -> Pulled | None:
        """Take another's word for a tag, while it is fresh or where it was given since we *began* to ask; raise `Answer`."""
        answer, now = await self.fleet.tag(reference), self.clock()
        if answer is None:
            return None
        is_new = began <= answer.checked_at <= now
        if isinstance(answer, Denial):
            if not is_new and not isinstance(judge(None, rule, now, missing=answer), KnownMissing):
                return None
            self.denials.put(reference, answer)
            raise answer_of(answer)
        if not is_new and not is_fresh(answer, rule, now):
            return None
        pulled = await self.fetcher.find(Reference(reference.repository, answer.descriptor.digest), answer.descriptor.digest)
        await self._keep(reference, rule, answer)
        return Pulled(pulled.manifest, CacheStatus.REVALIDATED if pulled.cache_status is CacheStatus.HIT else pulled.cache_status)

    async def _look_up(self, reference: Reference, rule: TagPolicy, known: TagRecord | None) -> Pulled:
        """Ask upstream, and tell others where it knows no such tag, or does not give it."""
        try:
            return await self._resolved(reference, rule, known)
        except Answer as error:
            if (missing := denial_of(error, self.clock())) is not None and self.denials.put(reference, missing):
                self.fleet.put_tag(reference, missing)
            raise

    async def _resolved(self, reference: Reference, rule: TagPolicy, known: TagRecord | None) -> Pulled:
        """Ask by HEAD where that can save a GET."""
        registry = self.registries[reference.repository.registry]
        if known is not None:
            digest = await registry.resolve(reference)
            if digest is not None and (manifest := await self.stored.held(reference.repository, digest)) is not None:
                return await self._recorded(reference, rule, manifest, CacheStatus.REVALIDATED)
        return await self._recorded(reference, rule, await registry.manifest(reference), CacheStatus.MISS)

    async def _recorded(self, reference: Reference, rule: TagPolicy, manifest: Manifest, cache_status: CacheStatus) -> Pulled:
        manifest = self.answers.shared(manifest)
        self.fleet.put_tag(reference, record := TagRecord(manifest.descriptor, self.clock()))
        await self._keep(reference, rule, record, manifest if cache_status is CacheStatus.MISS else None)
        return Pulled(manifest, cache_status)

    async def _keep(self, reference: Reference, rule: TagPolicy, record: TagRecord, manifest: Manifest | None = None) -> None:
        if manifest is not None:
            self.answers.hold(reference.repository, manifest)

        async def put() -> None:
            await self.histories.record(reference, record, rule)  # first: records are written in the order they come, files may be not
            if manifest is not None:
                await self.stored.keep(reference.repository, manifest)

        await (put() if rule.goes_by_history else self.behind.do(put()))  # what is served next may depend on it
