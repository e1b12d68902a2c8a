"""May content of a repository be served from the cache: asked of upstream now and then, so that a revocation reaches digests too.

Any answer about a repository by a host that is trusted to resolve says that it may be read, so a repository that is in use costs no
question of its own. A refusal of one thing may be about that thing alone, and registries hide a refusal of everything as 404; so before a
repository is closed, upstream is asked about something else in it.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import assert_never

from cachetools import TTLCache

from regproxy.asker import asker
from regproxy.best_effort import Behind
from regproxy.flights import Flights
from regproxy.generation_cache import Memory
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access, Closed, Current, Expired, is_offline, standing
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import touches
from regproxy.policy.freshness import PullPolicy
from regproxy.policy.routing import Route
from regproxy.ports import Answer, Fleet, Index, InvalidContent, NotFound, Refused, Registry, UpstreamError, detached
from regproxy.pull.freezes import Freezes
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MAX_REPOSITORIES = 10_000  # remembered by a worker; clients choose what they ask for
_RETRY_AFTER = 15.0  # seconds between questions about a repository while upstream gives no answer
_ASK_AGAIN_AFTER = 10.0  # seconds until a refusal of one thing is a reason to ask about another one again
_REFUSED_FOR = 5.0  # seconds until a closed repository is asked about again: each time it is five questions
_EXEMPT_FOR = 60.0  # seconds until it is looked up again whether a repository is frozen or offline
_MAX_OTHERS = 2  # manifests that are asked about where another one is not there
_RENEWED_AT = 0.1  # of `reconfirm_after`, from which on an answer is worth a record: one a minute would wear out a disk

Question = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


class RepositoryAccess:
    """What upstream lets us read."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        index: Index,
        freezes: Freezes,
        fleet: Fleet,
        clock: WallClock,
        reconfirm_after: float,
    ) -> None:
        """Believe an answer for *reconfirm_after* seconds; *clock* returns epoch seconds."""
        self._registries = registries
        self._index = index
        self._freezes = freezes
        self._fleet = fleet
        self._clock = clock
        self._reconfirm_after = reconfirm_after
        self._until: Memory[Repository, float] = Memory(_MAX_REPOSITORIES, lambda: index.generation)
        self._open_ones: Memory[Repository, float] = Memory(_MAX_REPOSITORIES, lambda: index.generation)
        self._recorded: Memory[Repository, float] = Memory(_MAX_REPOSITORIES, lambda: index.generation)
        self._asked: TTLCache[Repository, bool] = TTLCache(_MAX_REPOSITORIES, _ASK_AGAIN_AFTER)
        self._refusals: TTLCache[Repository, Answer] = TTLCache(_MAX_REPOSITORIES, _REFUSED_FOR, clock)
        self._questions: Flights[Repository, float] = Flights()
        self._opinions: Flights[Repository, None] = Flights()
        self._behind = Behind()

    async def check(self, route: Route, ask: Question, *, is_cached: bool = True) -> float:
        """Return until when, in epoch seconds, content of the repository may be served from the cache; *ask* upstream if need be.

        What is not cached is asked for anyway, so only a refusal matters then. Raise `RegistryError` or `UpstreamError` where the
        repository is closed.
        """
        repository, now = route.repository, self._clock()
        if asker.get() is not None:  # who asks has shown that it may
            await self._open(repository, now)
            return math.inf
        if (until := self._until.get(repository)) is not None and now < until:
            return until
        generation = self._index.generation
        access = await self._index.access(repository)
        match standing(access, now, self._reconfirm_after):
            case Current(until):
                pass
            case Closed(reason):
                return await self._reopened(route, reason, ask)
            case Expired() if not is_cached:
                return now
            case Expired():
                exempt = await self._never_asks(route)
                until = now + _EXEMPT_FOR if exempt else await self._reconfirmed(repository, ask)
            case _ as never:
                assert_never(never)
        self._until.put(repository, until, generation)
        return until

    async def confirmed(self, repository: Repository, asked_at: float) -> None:
        """Record that upstream gave an answer about *repository* that was asked for at *asked_at*."""
        recorded = self._recorded.get(repository)
        if recorded is not None and abs(asked_at - recorded) < self._reconfirm_after * _RENEWED_AT:
            return
        self._recorded.put(repository, asked_at, self._index.generation)
        await self._behind.do(self._put_confirmed(repository, asked_at))

    async def refused(self, repository: Repository, error: Answer) -> None:
        """Close *repository* where upstream refuses more of it than what it has just refused."""
        if not _is_refusal(error) or repository in self._asked:
            return
        self._asked[repository] = True
        await self._opinions.join(repository, lambda: self._judge(repository, error))

    async def close(self, grace: float) -> None:
        """Ask no more, and let what was answered be recorded within *grace* seconds."""
        await self._questions.close()
        await self._opinions.close()
        await self._behind.drain(grace)

    async def _never_asks(self, route: Route) -> bool:
        """Whether nothing is asked about what is cached of a repository: some of it is offline, or frozen."""
        if is_offline(route.upstream.tags, route.repository.name):
            return True
        return any(touches(freeze.pattern, str(route.repository)) for freeze in await self._freezes.all())

    async def _reopened(self, route: Route, reason: str, ask: Question) -> float:
        """Ask whether a closed repository may be read again; raise why not."""
        if route.upstream.tag_policy(route.repository.name, "*").policy is PullPolicy.NEVER:
            raise _closed(route.repository, reason)
        if (error := self._refusals.get(route.repository)) is not None:
            raise _refusal(route.repository, error)
        return await self._questions.join(route.repository, lambda: self._reconfirm(route.repository, ask))

    async def _reconfirmed(self, repository: Repository, ask: Question) -> float:
        """Ask whether a repository may still be read, with all who want to know, and wait for the answer, but not for long."""
        registry = self._registries[repository.registry]
        if registry.is_backing_off:
            self._questions.start(repository, lambda: self._reconfirm(repository, ask))
            return self._clock() + _RETRY_AFTER
        try:
            async with asyncio.timeout(registry.revalidate_timeout):
                return await self._questions.join(repository, lambda: self._reconfirm(repository, ask))
        except TimeoutError:  # it goes on behind; a refusal ends what is remembered
            return self._clock() + _RETRY_AFTER

    async def _reconfirm(self, repository: Repository, ask: Question) -> float:
        async with self._fleet.lock(f"access {repository}"):
            access, asked_at = await self._index.access(repository), self._clock()
            if isinstance(current := standing(access, asked_at, self._reconfirm_after), Current):
                return current.until  # another worker has asked
            try:
                await ask()
            except InvalidContent:
                pass  # it was given
            except Answer as error:
                is_readable = await self._is_readable(repository)
                if is_readable is False:
                    await self._close(repository, error)
                    self._refusals[repository] = detached(error)
                    raise _refusal(repository, error) from error
                if is_readable is None and access.is_closed:
                    raise
                if is_readable is None:
                    return self._clock() + _RETRY_AFTER
            except UpstreamError as error:
                if access.is_closed:
                    raise
                _log.info("access not reconfirmed by upstream", extra=fields(repository=str(repository), reason=str(error)))
                return self._clock() + _RETRY_AFTER
            await self._put_confirmed(repository, asked_at)
            return asked_at + self._reconfirm_after

    async def _judge(self, repository: Repository, error: Answer) -> None:
        access = await self._index.access(repository)
        if access.is_imported and isinstance(error, NotFound):
            return  # upstream need not know it
        if access == Access() and not await self._index.manifests_of(repository, 1):
            return  # there is nothing to close
        if not await self._is_readable(repository):
            await self._close(repository, error)

    async def _is_readable(self, repository: Repository) -> bool | None:
        """Ask about something else than what was refused; None where there is no answer."""
        registry = self._registries[repository.registry]
        held = await self._index.manifests_of(repository, _MAX_OTHERS)
        questions: list[Question] = [partial(registry.confirm_manifest, Reference(repository, digest)) for digest in held]
        questions.append(partial(registry.tags, repository, "n=1"))
        said, refusals = None, 0
        for ask in questions:
            try:
                await ask()
                return True
            except InvalidContent:
                return True
            except Refused as error:
                if error.whatever_asked:
                    return None  # our credentials are wrong, which says nothing of the repository
                said, refusals = False, refusals + 1
                if refusals == _MAX_OTHERS:
                    return False  # that its tags may be listed is not enough
            except NotFound:
                said = False
            except UpstreamError:
                continue
        return said

    async def _close(self, repository: Repository, error: Answer) -> None:
        reason = str(error)
        if await self._index.put_refused(repository, reason):
            metrics.REPOSITORIES_CLOSED.labels(repository.registry).inc()
            _log.warning("repository closed: upstream refuses it", extra=fields(repository=str(repository), reason=reason))

    async def _open(self, repository: Repository, now: float) -> None:
        """Open a repository that was closed while it was served to everybody."""
        if self._open_ones.get(repository) is None:
            generation = self._index.generation
            if (await self._index.access(repository)).is_closed:
                await self._index.put_confirmed(repository, now)
            self._open_ones.put(repository, now, generation)

    async def _put_confirmed(self, repository: Repository, asked_at: float) -> None:
        if await self._index.put_confirmed(repository, asked_at):
            _log.info("repository reopened", extra=fields(repository=str(repository)))


def _is_refusal(error: Answer) -> bool:
    """Return what may be said of a whole repository from what is said of one thing, or of our credentials."""
    match error:
        case Refused(whatever_asked=whatever_asked):
            return not whatever_asked
        case NotFound(is_repository=is_repository):
            return is_repository
    return False


def _refusal(repository: Repository, error: Answer) -> RegistryError:
    message = f"{repository} is closed: {error}"
    return errors.name_unknown(message) if isinstance(error, NotFound) else errors.denied(message)


def _closed(repository: Repository, reason: str) -> RegistryError:
    return errors.denied(f"{repository} is closed, and its pull policy is never: {reason}")
