"""Blobs: out of the store, out of a fill in progress, or out of one begun now.

A stored blob is served only under a repository that is known to hold it: a digest learnt from somewhere is no right to read. Under
another repository upstream is asked first, and the bytes are not fetched again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from cachetools import TTLCache

from regproxy.behind.redirects import Elsewhere, Redirects
from regproxy.config import UncachedRanges
from regproxy.fill.fills import BLOB_TYPE, Fills
from regproxy.fill.follower import Follower
from regproxy.fill.part import Part
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Repository
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import WallClock
from regproxy.policy.permitted import check_denied
from regproxy.policy.routing import Route
from regproxy.ports import Content, ContentReader, Index, Kind, NotFound, Registry
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.passing import PassedParts, Passing
from regproxy.pull.usage import Usage

_MISSING_FOR = 1.0  # seconds: for those who were on their way to ask for a size when upstream answered another one
_MAX_MISSING = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """Content to be sent and released, where it comes from, and who tells whether `open` would give it again without asking anybody."""

    content: Content
    cache_status: CacheStatus
    is_current: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """A blob's size in bytes, and who told."""

    size: int
    cache_status: CacheStatus


class Blobs:
    """Answers blob pulls."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        store: ContentReader,
        index: Index,
        fills: Fills,
        usage: Usage,
        uncached_ranges: UncachedRanges,
        access: RepositoryAccess,
        clock: WallClock,
        redirects: Redirects | None = None,
    ) -> None:
        """Take the ports, where usage is recorded, what becomes of a part of a blob that is not here, and a clock of epoch seconds.

        *redirects* tells which blobs clients get elsewhere.
        """
        self._redirects = redirects
        self._access = access
        self._clock = clock
        self._usage = usage
        self._registries = registries
        self._store = store
        self._index = index
        self._fills = fills
        self._flights: Flights[tuple[Repository, Digest], int | None] = Flights()
        self._missing: TTLCache[tuple[Repository, Digest], str] = TTLCache(_MAX_MISSING, _MISSING_FOR)
        self._parts = PassedParts(registries, index, fills, uncached_ranges, self._ask)

    async def open(
        self, route: Route, digest: Digest, wanted: str | None = None, *, may_redirect: bool = False
    ) -> Opened | Passing | Elsewhere:
        """Open the blob for sending, or, where that is sooner, the parts *wanted* by a `Range`; or tell where it is, if it *may_redirect*.

        Raise `RegistryError`, `UpstreamError` or `StoreError`.
        """
        check_denied(route, digest)
        try:
            generation = self._index.generation
            content, until = await self._permitted(route, digest)
            if may_redirect and (elsewhere := await self._elsewhere(route, digest, content)) is not None:
                return elsewhere
            if content is not None:
                self._usage.of_blob(digest)
                return Opened(content, CacheStatus.HIT, partial(self._is_current, digest, content, generation, until))
            if wanted is not None and (passing := await self._parts.passed(route.repository, digest, wanted)) is not None:
                return Opened(passing, CacheStatus.PASSED) if isinstance(passing, Part) else passing
            return await self._fetched(route, digest)
        except NotFound as error:
            raise errors.blob_unknown(str(error)) from error

    async def kept(self, route: Route, digest: Digest, wanted: str | None) -> Opened | None:
        """Open the blob as `open`, for what only a copy tells; None where none is kept: parts of it are passed through."""
        is_on_its_way = self._fills.find(route.repository, digest) is not None
        if self._parts.is_all and not is_on_its_way:
            content = await self.cached(route, digest)
            return None if content is None else Opened(content, CacheStatus.HIT)
        opened = await self.open(route, digest, None if self._parts.is_all else wanted)
        if isinstance(opened, Passing):
            await opened.close()
        return opened if isinstance(opened, Opened) else None

    async def cached(self, route: Route, digest: Digest) -> Content | None:
        """Open the blob if it is here and may be served, asking upstream for no byte of it; raise as `open`."""
        check_denied(route, digest)
        content, _ = await self._permitted(route, digest)
        return content

    async def _elsewhere(self, route: Route, digest: Digest, content: Content | None) -> Elsewhere | None:
        """Return where the client gets a blob that it may have, instead of its *content* here, which is released then."""
        if self._redirects is None:
            return None
        try:
            found = await self._redirects.find(route, digest, None if content is None else content.size)
        except BaseException:
            if content is not None:
                content.release()
            raise
        if found is not None and content is not None:
            self._usage.of_blob(digest)
            content.release()
        return found

    async def bring_in(self, route: Route, digest: Digest) -> None:
        """Have the blob copied into the store if it is not here, and wait for that; raise as `open`."""
        opened = await self.open(route, digest)
        assert isinstance(opened, Opened)  # noqa: S101 -- no part of it was asked for
        try:
            if isinstance(opened.content, Follower):
                await opened.content.over()
        finally:
            opened.content.release()

    async def describe(self, route: Route, digest: Digest) -> Described:
        """Return the blob's size without fetching it; raise as `open`."""
        check_denied(route, digest)
        repository = route.repository
        try:
            content, _ = await self._permitted(route, digest)
            if content is not None:
                content.release()
                return Described(content.size, CacheStatus.HIT)
            if (reason := self._missing.get((repository, digest))) is not None:
                raise errors.blob_unknown(reason)
            # Of a proven upstream another client may be shown what this one is not.
            size = await self._ask(repository, digest, is_for_all=route.upstream.access is not AccessMode.PROVEN)
            if size is not None:
                return Described(size, CacheStatus.MISS)
            opened = await self._fetched(route, digest)
            opened.content.release()
            return Described(opened.content.size, opened.cache_status)
        except NotFound as error:
            raise errors.blob_unknown(str(error)) from error

    async def holds(self, repository: Repository, digest: Digest) -> bool:
        return await self._index.held(Kind.BLOB, repository, digest) is not None

    async def close(self) -> None:
        await self._flights.close()

    async def _permitted(self, route: Route, digest: Digest) -> tuple[Content | None, float]:
        """Open what is cached, and tell until when, in epoch seconds, it may be served; raise where the repository is closed."""
        held = await self._index.held(Kind.BLOB, route.repository, digest)
        content = None if held is None else await self._store.open(digest, held.size)
        try:  # what is not on this disk, and is held, may come from a cache behind it
            until = await self._access.check(route, partial(self._confirm, route.repository, digest), is_cached=held is not None)
        except BaseException:
            if content is not None:
                content.release()
            raise
        return content, until

    async def _confirm(self, repository: Repository, digest: Digest) -> None:
        await self._registries[repository.registry].confirm(repository, digest)

    async def _stored(self, repository: Repository, digest: Digest) -> Content | None:
        held = await self._index.held(Kind.BLOB, repository, digest)
        return None if held is None else await self._store.open(digest, held.size)

    def _is_current(self, digest: Digest, content: Content, generation: int, until: float) -> bool:
        """Report whether *content* is still what there is since *generation*, and not yet later than *until*; then it counts as used."""
        if self._index.generation != generation or not content.is_kept or self._clock() >= until:
            return False
        self._usage.of_blob(digest)
        return True

    async def _fetched(self, route: Route, digest: Digest) -> Opened:
        """Get the blob from upstream, or upstream's word that this repository may have what another one brought."""
        repository, may_share = route.repository, None
        if self._fills.find(repository, digest) is None and (
            self._fills.copies(digest) or await self._index.known(Kind.BLOB, digest) is not None
        ):
            if (content := await self._stored(repository, digest)) is not None:  # another worker has brought it since we looked
                return Opened(content, CacheStatus.HIT)
            may_share = await self._fills.confirmed(repository, digest)
            if may_share and (content := await self._borrowed(repository, digest)) is not None:
                return Opened(content, CacheStatus.REVALIDATED)
        await self._access.check(route, partial(self._confirm, repository, digest), is_cached=False)  # it may have been closed meanwhile
        cache_status = CacheStatus.COLLAPSED if self._fills.copies(digest) else CacheStatus.MISS
        return await self._follow(self._fills.join(repository, digest, may_share=may_share), cache_status)

    async def _borrowed(self, repository: Repository, digest: Digest) -> Content | None:
        """Open what another repository brought, now that upstream has confirmed that this one may have it."""
        known = await self._index.known(Kind.BLOB, digest)
        content = None if known is None else await self._store.open(digest, known.size)
        if content is not None:
            await self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, digest, content.size))
        return content

    async def _follow(self, follower: Follower, cache_status: CacheStatus) -> Opened:
        try:
            await follower.started()
        except BaseException:
            follower.release()
            raise
        return Opened(follower, cache_status)

    async def _ask(self, repository: Repository, digest: Digest, *, is_for_all: bool = False) -> int | None:
        """Ask upstream for the size of the blob; where there is none, and that *is_for_all*, that is remembered for a moment."""
        registry = self._registries[repository.registry]

        async def asked() -> int | None:
            try:
                return await registry.describe(repository, digest)
            except NotFound as error:
                if is_for_all:
                    self._missing[repository, digest] = str(error)
                raise

        return await self._flights.join((repository, digest), asked)
