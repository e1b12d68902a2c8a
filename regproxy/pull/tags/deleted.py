"""Tags that upstream has deleted, and that are served for a while: what still runs can be started again.

Registries say 404 of what they no longer show us, too. So a tag counts as deleted only where upstream gives the same credential another
manifest of the repository after that; a refusal of any kind ends it at once.
"""

import logging
from collections.abc import Mapping

from cachetools import LRUCache

from regproxy.asker import Asker, asker
from regproxy.flights import Flights
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.clock import WallClock, utc
from regproxy.policy.cooldown import Served, choose
from regproxy.policy.freshness import TagPolicy
from regproxy.policy.tag_history import History, deleted_since
from regproxy.ports import Answer, Index, InvalidContent, NotFound, Registry, UpstreamError
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.tags.fetcher import ManifestFetcher
from regproxy.pull.tags.history import TagHistories
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MAX_OTHERS = 3  # manifests that are asked about
_MAX_PROOFS = 10_000  # repositories, of a worker; clients choose what they ask for

_log = logging.getLogger(__name__)


class DeletedTags:
    """Serves deleted tags."""

    def __init__(
        self, registries: Mapping[str, Registry], index: Index, histories: TagHistories, fetcher: ManifestFetcher, clock: WallClock
    ) -> None:
        """Find in *histories* what tags meant, and ask *registries* about what else *index* knows; *clock* returns epoch seconds."""
        self._registries = registries
        self._index = index
        self._histories = histories
        self._fetcher = fetcher
        self._clock = clock
        self._proofs: LRUCache[Repository, float] = LRUCache(_MAX_PROOFS)  # when a repository was found readable
        self._flights: Flights[tuple[Repository, Asker | None], bool] = Flights()

    async def close(self) -> None:
        """Ask no more."""
        await self._flights.close()

    async def until(self, reference: Reference, rule: TagPolicy) -> float | None:
        """Return until when, in epoch seconds, a tag may be served that upstream says is not there; None where it may not be served."""
        history, now = await self._histories.of(reference), self._clock()
        return _end(history, rule, now) if isinstance(choose(history, rule, now), Served) else None

    async def find(self, reference: Reference, rule: TagPolicy, *, is_reachable: bool = True) -> Pulled | None:
        """Return what a tag meant that upstream says is not there, if it is served; raise `UpstreamError`.

        Where upstream is not *is_reachable* since, what it gave last after it had deleted the tag counts for as long as a stale tag.
        """
        if not rule.gone_for or (until := await self.until(reference, rule)) is None:
            return None
        history, now = await self._histories.of(reference), self._clock()
        choice = choose(history, rule, now)
        if not isinstance(choice, Served) or not await self._may_read(reference.repository, choice.digest, rule, is_reachable=is_reachable):
            return None
        if is_reachable and (history[-1].digest is not None or not await self._index.meanings(reference)):
            history = await self._histories.record_deleted(reference, rule) or history
            if (until := _end(history, rule, self._clock())) is None:
                return None  # another replica has seen it long ago
        if (pulled := await self._fetcher.find_known(reference.repository, choice.digest)) is None:
            return None
        metrics.GONE_SERVED.labels(reference.repository.registry).inc()
        _log.warning("served a tag that upstream has deleted", extra=fields(reference=str(reference), until=until))
        return Pulled(pulled.manifest, CacheStatus.GONE, f"{reference} was deleted upstream: it is served until {utc(until)}")

    async def _may_read(self, repository: Repository, digest: Digest, rule: TagPolicy, *, is_reachable: bool) -> bool:
        """Report whether upstream still gives another manifest than *digest* to whom it said that there is no such tag."""
        who, now = asker.get(), self._clock()
        if who is None and (proven_at := self._proofs.get(repository)) is not None:
            believed_for = rule.missing_for if is_reachable else rule.fresh_for + rule.stale_for
            if abs(now - proven_at) < believed_for and not (await self._index.access(repository)).is_closed:
                return True
        return is_reachable and await self._flights.join((repository, who), lambda: self._ask(repository, digest, is_shared=who is None))

    async def _ask(self, repository: Repository, digest: Digest, *, is_shared: bool) -> bool:
        registry, asked_at = self._registries[repository.registry], self._clock()
        is_readable = False
        for other in await self._others(repository, digest):
            try:
                await registry.confirm_manifest(Reference(repository, other))
            except InvalidContent:
                pass  # it was given
            except NotFound:
                continue
            except (Answer, UpstreamError):
                break
            is_readable = True
            break
        if is_shared and is_readable:
            self._proofs[repository] = asked_at
        elif is_shared:
            self._proofs.pop(repository, None)
        return is_readable

    async def _others(self, repository: Repository, digest: Digest) -> list[Digest]:
        """List manifests of a repository beside *digest*; where the index was lost, those that its tags meant last."""
        held = [each for each in await self._index.manifests_of(repository, _MAX_OTHERS + 1) if each != digest]
        if not held:
            histories = (await self._index.histories(repository)).values()
            held = [each for each in dict.fromkeys(history[-1].digest for history in histories) if each is not None and each != digest]
        return held[:_MAX_OTHERS]


def _end(history: History, rule: TagPolicy, now: float) -> float | None:
    since = deleted_since(history, now)
    return since + rule.gone_for if abs(now - since) < rule.gone_for else None
