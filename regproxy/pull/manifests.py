"""Manifests: what a tag means, asked of upstream as seldom as the rules allow, and the bytes, verified before the first one leaves."""

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import assert_never

from regproxy import large
from regproxy.best_effort import Behind
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag, Target
from regproxy.policy.clock import WallClock
from regproxy.policy.freshness import (
    Denial,
    Fresh,
    KnownMissing,
    Offline,
    PullPolicy,
    Revalidate,
    Stale,
    TagPolicy,
    TagRecord,
    Unknown,
    Verdict,
    is_fresh,
    is_over,
    judge,
    may_serve_stale,
)
from regproxy.policy.routing import Route, check_denied
from regproxy.ports import (
    Answer,
    ContentStore,
    Corrupt,
    Fleet,
    Index,
    NotFound,
    Refused,
    Registry,
    Throttled,
    Unavailable,
)
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.confirmation import is_named_by
from regproxy.pull.denials import Denials, answer_of, denial_of
from regproxy.pull.freezes import Freezes
from regproxy.pull.manifest_cache import ManifestCache, Pulled
from regproxy.pull.stored_manifests import StoredManifests
from regproxy.pull.usage import Usage
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_log = logging.getLogger(__name__)


class Manifests:
    """Answers manifest pulls."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        store: ContentStore,
        index: Index,
        usage: Usage,
        freezes: Freezes,
        fleet: Fleet,
        clock: WallClock,
        access: RepositoryAccess,
    ) -> None:
        """Take the ports, where usage is recorded, and a clock of epoch seconds."""
        self._access = access
        self._usage = usage
        self._registries = registries
        self._index = index
        self._freezes = freezes
        self._fleet = fleet
        self._clock = clock
        self._flights: Flights[Reference, Pulled] = Flights()
        self._behind = Behind()
        self._denials = Denials(clock)
        self._answers = ManifestCache(index, clock)
        self._stored = StoredManifests(store, index, self._answers)

    async def get(self, route: Route, target: Target) -> Pulled:
        """Find the manifest; raise `RegistryError` or `UpstreamError`."""
        reference = Reference(route.repository, target)
        pulled = self._answers.repeated(reference) or await self._found(route, reference, target)
        self._usage.of_manifest(pulled.manifest.descriptor.digest)
        return pulled

    def quota(self, route: Route) -> RateLimit | None:
        """Return how many pulls upstream has left for us, as far as it said."""
        return self._registries[route.upstream.name].quota

    def is_current(self, reference: Reference, pulled: Pulled) -> bool:
        """Report whether *pulled* is what `get` would answer again without asking anybody; then it counts as used."""
        if self._answers.repeated(reference) is not pulled:
            return False
        self._usage.of_manifest(pulled.manifest.descriptor.digest)
        return True

    async def refresh(self, route: Route, reference: Reference, tag: Tag) -> Pulled:
        """Ask upstream what a tag means now, however fresh its record is; raise `RegistryError` or `UpstreamError`."""
        rule = replace(route.upstream.tag_policy(route.repository.name, tag.name), policy=PullPolicy.ALWAYS, fresh_for=0.0)
        record = await self.known(reference)
        return await self._flights.join(reference, lambda: self._ask(reference, rule, record))

    async def known(self, reference: Reference) -> TagRecord | None:
        """Return what is on record about a tag whose manifest is here."""
        record = await self._index.tag(reference)
        return record if record and await self.holds(reference.repository, record.descriptor.digest) else None

    async def holds(self, repository: Repository, digest: Digest) -> bool:
        return await self._stored.held(repository, digest) is not None

    async def drain(self, grace: float) -> None:
        """Ask no more, and let what was answered be kept within *grace* seconds."""
        await self._flights.close()
        await self._behind.drain(grace)

    async def _found(self, route: Route, reference: Reference, target: Target) -> Pulled:
        check_denied(route, target)
        try:
            return await (
                self._by_digest(route, reference, target) if isinstance(target, Digest) else self._by_tag(route, reference, target)
            )
        except NotFound as error:
            raise errors.manifest_unknown(str(error)) from error

    async def _by_digest(self, route: Route, reference: Reference, digest: Digest) -> Pulled:
        generation = self._index.generation
        is_cached = await self._stored.held(reference.repository, digest) is not None
        until = await self._access.check(route, partial(self._confirm, reference), is_cached=is_cached)
        manifest = await self._stored.held(reference.repository, digest)  # not kept while upstream is asked: many may wait for it
        if manifest is not None:
            return self._answers.remember(reference, Pulled(manifest, CacheStatus.HIT), generation, until)
        return await self._found_digest(reference, digest)

    async def _found_digest(self, reference: Reference, digest: Digest) -> Pulled:
        """Return what is cached under a repository that upstream has just given an answer about, or fetch it."""
        if (manifest := await self._stored.held(reference.repository, digest)) is not None:
            return Pulled(manifest, CacheStatus.HIT)
        return await self._flights.join(reference, lambda: self._fetch_digest(reference, digest))

    async def _confirm(self, reference: Reference) -> None:
        await self._registries[reference.repository.registry].confirm_manifest(reference)

    async def _by_tag(self, route: Route, reference: Reference, tag: Tag) -> Pulled:
        rule = route.upstream.tag_policy(route.repository.name, tag.name)
        generation = self._index.generation
        record = await self._index.tag(reference)
        if (digest := await self._frozen(reference, record)) is not None:
            held_to = Reference(route.repository, digest)
            pulled = await self._by_digest(route, held_to, digest)
            until = await self._access.check(route, partial(self._confirm, held_to))
            return self._answers.remember(reference, Pulled(pulled.manifest, CacheStatus.FROZEN), generation, until)
        if record is not None and await self._stored.held(route.repository, record.descriptor.digest) is None:
            record = None  # what it names is not here
        verdict = self._judged(reference, record, rule, self._denials.get(reference))
        if isinstance(verdict, Stale) and isinstance(said := await self._fleet.tag(reference), Denial):
            self._denials.put(reference, said)  # another worker has heard that since
            verdict = self._judged(reference, record, rule, said)
        match verdict:
            case Fresh(fresh):
                asks = rule.policy in {PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT}  # the others serve what is cached, whatever its age
                until = await self._access.check(route, partial(self._confirm, reference), is_cached=asks)
                if (known := await self._stored.held(route.repository, fresh.descriptor.digest)) is not None:
                    pulled = Pulled(known, CacheStatus.HIT)
                    return self._answers.remember(reference, pulled, generation, until if asks else math.inf, fresh, rule)
            case Stale(stale):
                await self._access.check(route, partial(self._confirm, reference), is_cached=False)
                if (known := await self._stored.held(route.repository, stale.descriptor.digest)) is not None:
                    self._flights.start(reference, lambda: self._ask(reference, rule, stale))
                    return self._stale(route, reference, known, "upstream is asked behind this answer")
            case KnownMissing(denial):
                raise self._denials.error(denial)
            case Offline():
                raise errors.manifest_unknown(f"{reference} is not cached, and its pull policy is never: upstream was not asked")
            case Revalidate() | Unknown():
                pass
            case _ as never:
                assert_never(never)
        return await self._asked(route, reference, rule, record)

    async def _frozen(self, reference: Reference, record: TagRecord | None) -> Digest | None:
        """Find the digest that a tag is frozen to; one that is not known yet is looked up as any other."""
        freeze = await self._freezes.of(reference)
        on_record = record.descriptor.digest if record else None
        return (freeze.digest or on_record) if freeze is not None else None

    async def _asked(self, route: Route, reference: Reference, rule: TagPolicy, record: TagRecord | None) -> Pulled:
        """Ask upstream, together with everyone who asks now; when it is out of reach, what is known will do for a while."""
        timeout = self._registries[route.upstream.name].revalidate_timeout
        may_stand_in = may_serve_stale(record, rule, self._clock(), self._denials.get(reference))
        try:
            async with asyncio.timeout(timeout if may_stand_in and not rule.is_urgent else None):
                return await self._flights.join(reference, lambda: self._ask(reference, rule, record))
        except (TimeoutError, Throttled, Unavailable, Corrupt, Refused) as error:
            if isinstance(error, Refused) and not error.whatever_asked:
                raise  # an answer about this repository; that who we are is refused tells nothing of it
            missing = self._denials.get(reference)  # it may have been heard while we waited
            if record is not None and missing is not None and is_over(record, missing):
                raise self._denials.error(missing) from error
            known = await self._stored.held(route.repository, record.descriptor.digest) if record is not None and may_stand_in else None
            if known is None:
                raise
            return self._stale(route, reference, known, str(error) or f"{route.upstream.name} did not answer within {timeout:g} s")

    def _judged(self, reference: Reference, record: TagRecord | None, rule: TagPolicy, missing: Denial | None) -> Verdict:
        registry = self._registries[reference.repository.registry]
        return judge(record, rule, self._clock(), is_down=registry.is_backing_off, is_scarce=registry.is_scarce, missing=missing)

    def _stale(self, route: Route, reference: Reference, known: Manifest, reason: str) -> Pulled:
        metrics.STALE_SERVED.inc()
        _log.warning("served stale", extra=fields(reference=str(reference), upstream=route.upstream.name, reason=reason))
        return Pulled(known, CacheStatus.STALE, f"{reference} may be stale: {reason}")

    async def _ask(self, reference: Reference, rule: TagPolicy, known: TagRecord | None) -> Pulled:
        """Find out what a tag means now, from who asked meanwhile or from upstream, and remember it if there is none."""
        began = self._clock()
        try:
            async with large.allocation(), self._fleet.lock(f"tag {reference}"):
                pulled = await self._hear(reference, rule, began) or await self._look_up(reference, known)
        except Answer:
            self._answers.forget(reference)
            raise
        self._denials.forget(reference)
        return pulled

    async def _hear(self, reference: Reference, rule: TagPolicy, began: float) -> Pulled | None:
        """Take another's word for a tag, while it is fresh or where it was given since we *began* to ask; raise `Answer`."""
        answer, now = await self._fleet.tag(reference), self._clock()
        if answer is None:
            return None
        is_new = began <= answer.checked_at <= now
        if isinstance(answer, Denial):
            if not is_new and not isinstance(judge(None, rule, now, missing=answer), KnownMissing):
                return None
            self._denials.put(reference, answer)
            raise answer_of(answer)
        if not is_new and not is_fresh(answer, rule, now):
            return None
        digest = answer.descriptor.digest
        pulled = await self._found_digest(Reference(reference.repository, digest), digest)
        await self._behind.do(self._index.put_tag(reference, answer))
        return Pulled(pulled.manifest, CacheStatus.REVALIDATED if pulled.cache_status is CacheStatus.HIT else pulled.cache_status)

    async def _look_up(self, reference: Reference, known: TagRecord | None) -> Pulled:
        """Ask upstream, and tell others where it knows no such tag, or does not give it."""
        try:
            return await self._resolved(reference, known)
        except Answer as error:
            if (missing := denial_of(error, self._clock())) is not None:
                self._denials.put(reference, missing)
                self._fleet.put_tag(reference, missing)
            raise

    async def _resolved(self, reference: Reference, known: TagRecord | None) -> Pulled:
        """Ask by HEAD where that can save a GET."""
        registry = self._registries[reference.repository.registry]
        if known is not None:
            digest = await registry.resolve(reference)
            if digest is not None and (manifest := await self._stored.held(reference.repository, digest)) is not None:
                return await self._recorded(reference, manifest, CacheStatus.REVALIDATED)
        return await self._recorded(reference, await registry.manifest(reference), CacheStatus.MISS)

    async def _fetch_digest(self, reference: Reference, digest: Digest) -> Pulled:
        """Fetch by digest, or only make sure that this repository holds what another one brought."""
        async with large.allocation():
            manifest, cache_status = await self._stored.anywhere(digest), CacheStatus.REVALIDATED
            if manifest is None or not await is_named_by(self._registries[reference.repository.registry], reference, digest):
                manifest = None  # there is to be one in memory
                manifest, cache_status = await self._registries[reference.repository.registry].manifest(reference), CacheStatus.MISS
            manifest = self._answers.shared(manifest)
            await self._behind.do(self._stored.keep(reference.repository, manifest))
            return Pulled(manifest, cache_status)

    async def _recorded(self, reference: Reference, manifest: Manifest, cache_status: CacheStatus) -> Pulled:
        manifest = self._answers.shared(manifest)
        record = TagRecord(manifest.descriptor, self._clock())
        self._fleet.put_tag(reference, record)

        async def put() -> None:
            await self._index.put_tag(reference, record)  # first: records are written in the order in which they come, files may be not
            if cache_status is CacheStatus.MISS:
                await self._stored.keep(reference.repository, manifest)

        await self._behind.do(put())
        return Pulled(manifest, cache_status)
