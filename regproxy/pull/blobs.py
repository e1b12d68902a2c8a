"""Blobs: out of the store, out of a fill in progress, or out of one begun now.

A stored blob is served only under a repository that is known to hold it: a digest learnt from somewhere is no right to read. Under
another repository upstream is asked first, and the bytes are not fetched again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from regproxy import large
from regproxy.best_effort import found, kept
from regproxy.client import client
from regproxy.config import UncachedRanges
from regproxy.fill.download import Download
from regproxy.fill.fill import Fill, Follower
from regproxy.fill.fills import BLOB_TYPE, Fills
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.http import byterange
from regproxy.oci.http.byterange import ByteRange
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Repository
from regproxy.policy.clients.sharing import Share
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Route, check_denied
from regproxy.policy.upstream.coalescing import Place, coalesced
from regproxy.ports import Content, ContentReader, Corrupt, Index, Kind, NotFound, Registry, Throttled, Unavailable
from regproxy.pull.access import Question, RepositoryAccess
from regproxy.pull.usage import Usage
from regproxy.slots import Slots

_MAX_PASSED = Share.of(64)  # requests for parts that are passed through at once, by a worker; half of what a host allows is left to fills
_PASSED_AHEAD = 256 * 1024  # bytes of each that wait in memory, three times at most: some 64 MiB in all
_MAX_QUESTIONS = 16  # to upstream for one request of many parts
_PLACE_WEIGHT = 1024  # grouping a part takes as long as reading so many bytes of JSON
_SLOT_TIMEOUT = 2.0  # seconds; then the fill is the better way, and where there is none, later
_RETRY_AFTER = 5  # seconds


@dataclass(frozen=True, slots=True)
class Opened:
    """Content to be sent and released, where it comes from, and who tells whether `open` would give it again without asking anybody."""

    content: Content
    cache_status: CacheStatus
    is_current: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked for at once, and how many of the parts lie in it, in their order; what is between them is not wanted."""

    download: Download
    parts: int

    @property
    def start(self) -> int:
        return self.download.start

    async def send(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass all bytes to *put*, in order; raise `UpstreamError`, or what *put* raises."""
        await self.download.run(put)


@dataclass(frozen=True, slots=True)
class Passing:
    """Parts of a blob that is not here, on their way through; close it when done."""

    runs: Sequence[Run]
    parts: Sequence[ByteRange]
    end: Callable[[], None]
    cache_status: CacheStatus = CacheStatus.PASSED

    async def close(self) -> None:
        try:
            for run in self.runs:
                await run.download.close()
        finally:
            self.end()


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
    ) -> None:
        """Take the ports, where usage is recorded, what becomes of a part of a blob that is not here, and a clock of epoch seconds."""
        self._access = access
        self._clock = clock
        self._usage = usage
        self._uncached_ranges = uncached_ranges
        self._registries = registries
        self._store = store
        self._index = index
        self._fills = fills
        self._flights: Flights[tuple[Repository, Digest], int | None] = Flights()
        self._passed_slots = Slots(_MAX_PASSED)

    async def open(self, route: Route, digest: Digest, wanted: str | None = None) -> Opened | Passing:
        """Open the blob for sending, or, where that is sooner, the parts *wanted* by a `Range`.

        Raise `RegistryError`, `UpstreamError` or `StoreError`.
        """
        check_denied(route, digest)
        try:
            generation = self._index.generation
            content, until = await self._permitted(route, digest)
            if content is not None:
                self._usage.of_blob(digest)
                return Opened(content, CacheStatus.HIT, partial(self._is_current, digest, content, generation, until))
            if wanted is not None and (passing := await self._passed(route.repository, digest, wanted)) is not None:
                return passing
            return await self._fetched(route, digest)
        except NotFound as error:
            raise errors.blob_unknown(str(error)) from error

    async def describe(self, route: Route, digest: Digest) -> Described:
        """Return the blob's size without fetching it; raise as `open`."""
        check_denied(route, digest)
        repository = route.repository
        try:
            content, _ = await self._permitted(route, digest)
            if content is not None:
                content.release()
                return Described(content.size, CacheStatus.HIT)
            size = await self._ask(repository, digest)
            if size is not None:
                return Described(size, CacheStatus.MISS)
            opened = await self._fetched(route, digest)
            opened.content.release()
            return Described(opened.content.size, opened.cache_status)
        except NotFound as error:
            raise errors.blob_unknown(str(error)) from error

    async def holds(self, repository: Repository, digest: Digest) -> bool:
        return await found(self._index.held(Kind.BLOB, repository, digest), digest) is not None

    async def close(self) -> None:
        await self._flights.close()

    async def _permitted(self, route: Route, digest: Digest) -> tuple[Content | None, float]:
        """Open what is cached, and tell until when, in epoch seconds, it may be served; raise where the repository is closed."""
        content = await self._stored(route.repository, digest)
        try:
            until = await self._access.check(route, self._question(route.repository, digest), is_cached=content is not None)
        except BaseException:
            if content is not None:
                content.release()
            raise
        return content, until

    def _question(self, repository: Repository, digest: Digest) -> Question:
        return partial(self._registries[repository.registry].confirm, repository, digest)

    async def _stored(self, repository: Repository, digest: Digest) -> Content | None:
        held = await found(self._index.held(Kind.BLOB, repository, digest), digest)
        return None if held is None else await found(self._store.open(digest, held.size), digest)

    def _is_current(self, digest: Digest, content: Content, generation: int, until: float) -> bool:
        """Report whether *content* is still what there is since *generation*, and not yet later than *until*; then it counts as used."""
        if self._index.generation != generation or not content.is_kept or self._clock() >= until:
            return False
        self._usage.of_blob(digest)
        return True

    async def _fetched(self, route: Route, digest: Digest) -> Opened:
        """Get the blob from upstream, or upstream's word that this repository may have what another one brought."""
        repository, may_share = route.repository, None
        if self._fills.find(repository, digest) is None and (self._fills.copies(digest) or await self._known(digest) is not None):
            if (content := await self._stored(repository, digest)) is not None:  # another worker has brought it since we looked
                return Opened(content, CacheStatus.HIT)
            may_share = await self._fills.confirmed(repository, digest)
            if may_share and (content := await self._borrowed(repository, digest)) is not None:
                return Opened(content, CacheStatus.REVALIDATED)
        await self._access.check(route, self._question(repository, digest), is_cached=False)  # it may have been closed meanwhile
        cache_status = CacheStatus.COLLAPSED if self._fills.copies(digest) else CacheStatus.MISS
        return await self._follow(self._fills.join(repository, digest, may_share=may_share), cache_status)

    async def _known(self, digest: Digest) -> Descriptor | None:
        return await found(self._index.known(Kind.BLOB, digest), digest)

    async def _passed(self, repository: Repository, digest: Digest, wanted: str) -> Passing | None:
        """Get parts by themselves, where that is sooner than the fill comes to them; None where the fill is the better way."""
        if self._uncached_ranges == "wait" or await self._known(digest) is not None:
            return None
        first = self._fills.parts[repository.registry]
        first.begin()
        passing = None
        try:
            passing = await self._part(repository, digest, wanted, first.end)
        finally:
            if passing is None:
                first.end()
        return passing

    async def _part(self, repository: Repository, digest: Digest, wanted: str, ended: Callable[[], None]) -> Passing | None:
        """Begin the fill, and get parts as `_passed`; call *ended* when all of them were sent."""
        fill = self._fills.begin(repository, digest) if self._uncached_ranges == "fill" else None
        places: list[Place] | None = [bounds] if (bounds := byterange.single(wanted)) is not None and bounds[0] >= 0 else None
        if places is None:  # what is meant depends on the size
            size = await self._size(repository, digest, fill)
            places = await large.parsed(len(wanted) * byterange.WEIGHT, lambda: _places(wanted, size))
        if not places:
            return None
        # To the end: containerd asks so for each chunk of a layer and hangs up when it has it. One fill serves them all.
        stops = [stop for _, stop in places if stop is not None]
        if fill is not None and (len(stops) < len(places) or await fill.ends_soon(max(stops))):
            return None
        return await self._passing(repository, digest, places, ended, may_wait=fill is None)

    async def _passing(
        self, repository: Repository, digest: Digest, places: Sequence[Place], ended: Callable[[], None], *, may_wait: bool
    ) -> Passing | None:
        """Take a slot for some parts and ask for the first of them; None where that does not do.

        Where the client *may_wait*, and no fill is on its way, being one too many is an answer: raise `RegistryError`.
        """
        groups = await large.parsed(len(places) * _PLACE_WEIGHT, lambda: coalesced(places, _MAX_QUESTIONS))
        if groups is None:
            return None
        try:
            await self._passed_slots.take(_SLOT_TIMEOUT)
        except TimeoutError as error:
            if may_wait:
                raise errors.unavailable("too many parts of uncached blobs are being sent at once", _RETRY_AFTER) from error
            return None
        give_back = partial(self._passed_slots.give_back, client.get())

        def end() -> None:
            give_back()
            ended()

        try:
            passing = await self._begun(repository, digest, groups, end)
        except BaseException:
            give_back()
            raise
        if passing is None:
            give_back()
        return passing

    async def _begun(
        self, repository: Repository, digest: Digest, groups: Sequence[Sequence[Place]], end: Callable[[], None]
    ) -> Passing | None:
        """Ask for the first of some groups of parts; None where that does not do."""
        registry = self._registries[repository.registry]
        runs = [
            Run(
                Download(
                    registry, repository, digest, group[0][0], group[-1][1], stall_timeout=registry.progress_timeout, ahead=_PASSED_AHEAD
                ),
                len(group),
            )
            for group in groups
        ]
        first = runs[0].download
        try:
            await first.begin()
            if first.is_ranged and (size := first.size) is not None:
                places = [place for group in groups for place in group]
                parts = [ByteRange(start, size if stop is None else min(stop, size), size) for start, stop in places]
                if all(part.length > 0 for part in parts):
                    return Passing(runs, parts, end)
        except (Unavailable, Corrupt, Throttled):
            pass  # the fill tells how long the blob is, or what is wrong
        except BaseException:
            await first.close()
            raise
        await first.close()
        return None

    async def _size(self, repository: Repository, digest: Digest, fill: Fill | None) -> int:
        """Determine the size from whoever is asked for the blob anyway."""
        if fill is None and (size := await self._ask(repository, digest)) is not None:
            return size
        fill = fill or self._fills.begin(repository, digest)
        await fill.started()
        return fill.size

    async def _borrowed(self, repository: Repository, digest: Digest) -> Content | None:
        """Open what another repository brought, now that upstream has confirmed that this one may have it."""
        known = await self._known(digest)
        content = None if known is None else await found(self._store.open(digest, known.size), digest)
        if content is not None:
            await kept(self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, digest, content.size)), digest)
        return content

    async def _follow(self, follower: Follower, cache_status: CacheStatus) -> Opened:
        try:
            await follower.started()
        except BaseException:
            follower.release()
            raise
        return Opened(follower, cache_status)

    async def _ask(self, repository: Repository, digest: Digest) -> int | None:
        """Ask upstream for the size of the blob."""
        registry = self._registries[repository.registry]
        return await self._flights.join((repository, digest), lambda: registry.describe(repository, digest))


def _places(wanted: str, size: int) -> list[Place]:
    """Return from where to where the parts go, if there are any."""
    with suppress(byterange.UnsatisfiableRange):
        return [(part.start, part.stop) for part in byterange.parse(wanted, size)]
    return []
