"""Manifests: what a tag means, asked of upstream as seldom as the rules allow, and the bytes, verified before the first one leaves."""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import assert_never

from regproxy.best_effort import Behind
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag, Target
from regproxy.policy.clock import WallClock
from regproxy.policy.cooldown import Choice, CoolingDown, choose
from regproxy.policy.freezing import freeze_of
from regproxy.policy.freshness import (
    Denial,
    Fresh,
    KnownMissing,
    Missing,
    Offline,
    PullPolicy,
    Revalidate,
    Stale,
    TagPolicy,
    TagRecord,
    Unknown,
    Verdict,
    is_over,
    judge,
    may_serve_stale,
)
from regproxy.policy.permitted import check_denied
from regproxy.policy.routing import Route
from regproxy.policy.upstream.overdue import Overdue
from regproxy.ports import Answer, ContentStore, Corrupt, Fleet, Index, NotFound, Refused, Registry, Throttled, Unavailable
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.denials import Denials
from regproxy.pull.freezes import Freezes
from regproxy.pull.manifest_cache import ManifestCache, Pulled
from regproxy.pull.stored_manifests import StoredManifests
from regproxy.pull.tags.deleted import DeletedTags
from regproxy.pull.tags.fetcher import ManifestFetcher
from regproxy.pull.tags.history import TagHistories
from regproxy.pull.tags.lookup import TagLookup
from regproxy.pull.tags.served import ChosenManifests
from regproxy.pull.trust.requirements import Requirements
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
        requirements: Requirements,
        proven: Collection[str] = (),
    ) -> None:
        """Take the ports, where usage is recorded, a clock of epoch seconds, and which upstreams are asked for each client."""
        self._access, self._requirements = access, requirements
        self._usage = usage
        self._registries = registries
        self._index = index
        self._freezes = freezes
        self._fleet = fleet
        self._clock = clock
        self._flights: Flights[Reference, Pulled] = Flights()
        self._behind = Behind()
        self._overdue = Overdue(Answer)
        self._denials = Denials(clock, proven)
        self._answers = ManifestCache(index, clock)
        self._stored = StoredManifests(store, index, self._answers)
        self._histories = TagHistories(index, fleet, clock)
        fetcher = self._fetcher = ManifestFetcher(registries, self._stored, self._answers, self._flights, self._behind)
        self._chosen = ChosenManifests(self._stored, fetcher)
        self._deleted = DeletedTags(registries, index, self._histories, fetcher, clock)
        self._lookup = TagLookup(
            registries, fleet, clock, self._overdue, self._denials, self._answers, self._stored, fetcher, self._histories, self._behind
        )

    async def get(self, route: Route, target: Target) -> Pulled:
        """Find the manifest; raise `RegistryError` or `UpstreamError`."""
        pulled = await self._requirements.check(route, target, await self.unchecked(route, target), self.unchecked)
        self._usage.of_manifest(pulled.manifest.descriptor.digest)
        return pulled

    async def unchecked(self, route: Route, target: Target) -> Pulled:
        """Find the manifest as `get` does, whether it is signed as required or not: it is not for clients."""
        reference = Reference(route.repository, target)
        if (pulled := self._answers.repeated(reference)) is not None:
            return pulled
        check_denied(route, target)
        finding = self._by_digest(route, reference, target) if isinstance(target, Digest) else self._by_tag(route, reference, target)
        try:
            return await finding
        except NotFound as error:
            raise errors.manifest_unknown(str(error)) from error

    def quota(self, route: Route) -> RateLimit | None:
        """Return how many pulls upstream has left for us, as far as it said."""
        return self._registries[route.upstream.name].quota

    def is_current(self, reference: Reference, pulled: Pulled) -> bool:
        """Report whether *pulled* is what `get` would answer again without asking anybody."""
        return self._answers.repeated(reference) is pulled

    def count_uses(self, digest: Digest, count: int) -> None:
        """Record that what `get` answered was used *count* times more."""
        self._usage.of_manifest(digest, count)

    async def refresh(self, route: Route, reference: Reference, tag: Tag) -> Pulled:
        """Ask upstream what a tag means now, however fresh its record is; raise `RegistryError` or `UpstreamError`."""
        check_denied(route, tag)
        rule = replace(route.upstream.tag_policy(route.repository.name, tag.name), policy=PullPolicy.ALWAYS, fresh_for=0.0)
        record = await self.known(reference)
        try:
            pulled = await self._flights.join(reference, lambda: self._lookup.ask(reference, rule, record))
            pulled = await self._as_chosen(reference, rule, pulled)
        except NotFound as error:
            raise errors.manifest_unknown(str(error)) from error
        return await self._requirements.check(route, tag, pulled, self.unchecked)

    async def known(self, reference: Reference) -> TagRecord | None:
        """Return what is on record about a tag whose manifest is here."""
        record = await self._index.tag(reference)
        return record if record and await self.holds(reference.repository, record.descriptor.digest) else None

    async def holds(self, repository: Repository, digest: Digest) -> bool:
        return await self.stored(repository, digest) is not None

    async def stored(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return a manifest that is here, as `repository` holds it; upstream is not asked."""
        return await self._stored.held(repository, digest)

    async def drain(self, grace: float) -> None:
        """Ask no more, and let what was answered be kept within *grace* seconds."""
        await self._flights.close()
        await self._deleted.close()
        await self._behind.drain(grace)

    async def _by_digest(self, route: Route, reference: Reference, digest: Digest) -> Pulled:
        generation = self._index.generation
        is_cached = await self._stored.held(reference.repository, digest) is not None
        until = await self._access.check(route, partial(self._confirm, reference), is_cached=is_cached)
        manifest = await self._stored.held(reference.repository, digest)  # not kept while upstream is asked: many may wait for it
        if manifest is not None:
            return self._answers.remember(reference, Pulled(manifest, CacheStatus.HIT), generation, until)
        return await self._fetcher.find(reference, digest)

    async def _confirm(self, reference: Reference) -> None:
        await self._registries[reference.repository.registry].confirm_manifest(reference)

    async def _by_tag(self, route: Route, reference: Reference, tag: Tag) -> Pulled:
        rule = route.upstream.tag_policy(route.repository.name, tag.name)
        generation = self._index.generation
        record = await self._index.tag(reference)
        if (digest := await self._frozen(reference, rule, record)) is not None:
            held_to = Reference(route.repository, digest)
            pulled = await self._by_digest(route, held_to, digest)
            until = await self._access.check(route, partial(self._confirm, held_to))
            return self._answers.remember(reference, Pulled(pulled.manifest, CacheStatus.FROZEN), generation, until)
        if record is not None and not rule.cooldown and await self._stored.held(route.repository, record.descriptor.digest) is None:
            record = None  # what it names is not here
        verdict = self._judged(reference, record, rule, await self._missing(reference, rule))
        if isinstance(verdict, Stale) and isinstance(said := await self._fleet.tag(reference), Denial):
            self._denials.put(reference, said)  # another worker has heard that since
            verdict = self._judged(reference, record, rule, said)
        match verdict:
            case Fresh(fresh):
                asks = rule.policy in {PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT}  # the others serve what is cached, whatever its age
                until = await self._access.check(route, partial(self._confirm, reference), is_cached=asks)
                choice = await self._histories.choose(reference, rule, fresh)
                if (found := await self._chosen.cached(reference, choice)) is not None:
                    until = min(until if asks else math.inf, choice.until)
                    return self._answers.remember(reference, found, generation, until, fresh, rule)
            case Stale(stale):
                await self._access.check(route, partial(self._confirm, reference), is_cached=False)
                if (known := await self._cached(reference, rule, stale)) is not None:
                    if self._overdue.may_ask(route.upstream.name):
                        self._flights.start(reference, lambda: self._lookup.ask(reference, rule, stale))
                    return self._stale(route, reference, known.manifest, "upstream is asked behind this answer")
            case KnownMissing(denial):
                if isinstance(denial, Missing) and (gone := await self._deleted.find(reference, rule)) is not None:
                    return gone
                raise self._denials.error(denial)
            case Offline():
                raise errors.manifest_unknown(f"{reference} is not cached, and its pull policy is never: upstream was not asked")
            case Revalidate() | Unknown():
                pass
            case _ as never:
                assert_never(never)
        return await self._asked(route, reference, rule, record)

    async def _frozen(self, reference: Reference, rule: TagPolicy, record: TagRecord | None) -> Digest | None:
        """Find the digest that a tag is frozen to; one that is not known yet, or not for long enough, is looked up as any other."""
        freeze = await self._freezes.of(reference)
        if freeze is None or freeze.digest is not None or record is None:
            return freeze.digest if freeze is not None else None
        choice = await self._histories.choose(reference, rule, record)
        if isinstance(choice, CoolingDown):
            return None
        if choice.newer is not None and (held := await self._stored.held(reference.repository, choice.digest)) is not None:
            await self._index.put_tag(reference, TagRecord(held.descriptor, record.checked_at))  # what waits is not to come by time alone
        return choice.digest

    async def choice(self, route: Route, reference: Reference, tag: Tag, record: TagRecord) -> Choice:
        """Return what a tag is served as that means *record*, where nothing holds it."""
        return await self._histories.choose(reference, route.upstream.tag_policy(route.repository.name, tag.name), record)

    async def deleted_until(self, route: Route, reference: Reference, tag: Tag) -> float | None:
        """Return until when a tag may be served that upstream has deleted; None where it may not be."""
        return await self._deleted.until(reference, route.upstream.tag_policy(route.repository.name, tag.name))

    async def refused(self, route: Route) -> Collection[str]:
        """List the tags of a repository that are known, and are not served because they are not known for long enough."""
        rules, name = route.upstream.tags, route.repository.name
        if not any(rule.refuses_first and rule.cooldown for rule in rules):
            return frozenset()
        freezes, now = await self._freezes.all(), self._clock()
        return {
            tag
            for tag, history in (await self._index.histories(route.repository)).items()
            if isinstance(choose(history, route.upstream.tag_policy(name, tag), now), CoolingDown)
            and ((freeze := freeze_of(Reference(route.repository, Tag(tag)), freezes)) is None or freeze.digest is None)
        }

    async def _asked(self, route: Route, reference: Reference, rule: TagPolicy, record: TagRecord | None) -> Pulled:
        """Ask upstream, together with everyone who asks now; when it is out of reach, what is known will do for a while."""
        timeout = self._registries[route.upstream.name].revalidate_timeout
        may_stand_in = may_serve_stale(record, rule, self._clock(), await self._missing(reference, rule))
        try:
            async with asyncio.timeout(timeout if may_stand_in and not rule.is_urgent else None):
                pulled = await self._flights.join(reference, lambda: self._lookup.ask(reference, rule, record))
        except NotFound:
            if (gone := await self._deleted.find(reference, rule)) is not None:
                return gone
            raise
        except (TimeoutError, Throttled, Unavailable, Corrupt, Refused) as error:
            if isinstance(error, Refused) and not error.whatever_asked:
                raise  # an answer about this repository; that who we are is refused tells nothing of it
            if isinstance(error, TimeoutError):
                self._overdue.add(route.upstream.name)
            missing = await self._missing(reference, rule)  # it may have been heard while we waited
            record = record or await self._index.tag(reference)  # another may have known it, and told while we waited
            if record is not None and missing is not None and is_over(record, missing):
                is_out_of_reach = isinstance(missing, Missing) and not isinstance(error, Refused)
                if is_out_of_reach and (gone := await self._deleted.find(reference, rule, is_reachable=False)) is not None:
                    return gone
                raise self._denials.error(missing) from error
            may_stand_in = may_serve_stale(record, rule, self._clock(), missing)
            known = await self._cached(reference, rule, record) if record is not None and may_stand_in else None
            if known is None:
                raise
            return self._stale(route, reference, known.manifest, str(error) or f"{route.upstream.name} did not answer within {timeout:g} s")
        return await self._as_chosen(reference, rule, pulled)

    async def _missing(self, reference: Reference, rule: TagPolicy) -> Denial | None:
        """Return upstream's word that there is no such tag, or none for us: as it is remembered, else as it is on record."""
        return self._denials.get(reference) or await self._histories.deletion(reference, rule)

    async def _as_chosen(self, reference: Reference, rule: TagPolicy, pulled: Pulled) -> Pulled:
        """Return what a tag is served as that upstream says means *pulled*."""
        if not rule.cooldown:
            return pulled
        record = TagRecord(pulled.manifest.descriptor, self._clock())
        return await self._chosen.found(reference, await self._histories.choose(reference, rule, record), pulled)

    async def _cached(self, reference: Reference, rule: TagPolicy, record: TagRecord) -> Pulled | None:
        """Return what a tag is served as that means *record*, if that is here."""
        return await self._chosen.cached(reference, await self._histories.choose(reference, rule, record))

    def _judged(self, reference: Reference, record: TagRecord | None, rule: TagPolicy, missing: Denial | None) -> Verdict:
        registry = self._registries[reference.repository.registry]
        is_down = registry.is_backing_off or reference.repository.registry in self._overdue
        return judge(record, rule, self._clock(), is_down=is_down, is_scarce=registry.is_scarce, missing=missing)

    def _stale(self, route: Route, reference: Reference, known: Manifest, reason: str) -> Pulled:
        metrics.STALE_SERVED.inc()
        _log.warning("served stale", extra=fields(reference=str(reference), upstream=route.upstream.name, reason=reason))
        return Pulled(known, CacheStatus.STALE, f"{reference} may be stale: {reason}")
