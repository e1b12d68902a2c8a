"""Parts of blobs that are not here, where that is sooner than the fill comes to them.

The fill brings them ahead of their turn, so that nothing is fetched twice. Where it cannot, or there is none, they are passed through.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

from regproxy import large
from regproxy.client import client
from regproxy.config import UncachedRanges
from regproxy.fill.download import Download
from regproxy.fill.fill import Fill
from regproxy.fill.fills import Fills
from regproxy.fill.part import Part
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.http import byterange
from regproxy.oci.http.byterange import ByteRange
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.reference import Repository
from regproxy.policy.clients.sharing import Share
from regproxy.policy.upstream.coalescing import Place, coalesced
from regproxy.ports import Corrupt, Index, Kind, Registry, StoreError, Throttled, Unavailable
from regproxy.slots import Slots

_MAX_PASSED = Share.of(64)  # requests for parts that are passed through at once, by a worker; half of what a host allows is left to fills
_PASSED_AHEAD = 256 * 1024  # bytes of each that wait in memory, three times at most: some 64 MiB in all
_MAX_QUESTIONS = 16  # to upstream for one request of many parts
_PLACE_WEIGHT = 1024  # grouping a part takes as long as reading so many bytes of JSON
_SLOT_TIMEOUT = 2.0  # seconds; then the fill is the better way, and where there is none, later
_RETRY_AFTER = 5  # seconds


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


class PassedParts:
    """Passes parts of blobs through, so many at once."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        index: Index,
        fills: Fills,
        uncached_ranges: UncachedRanges,
        ask: Callable[[Repository, Digest], Awaitable[int | None]],
    ) -> None:
        """Start with all slots free; *ask* asks upstream for the size of a blob in bytes, None where upstream does not tell."""
        self._registries = registries
        self._index = index
        self._fills = fills
        self._uncached_ranges = uncached_ranges
        self._ask = ask
        self._slots = Slots(_MAX_PASSED)

    @property
    def is_all(self) -> bool:
        """Whether nothing is kept of a blob of which parts are wanted."""
        return self._uncached_ranges == "pass"

    async def passed(self, repository: Repository, digest: Digest, wanted: str) -> Passing | Part | None:
        """Get parts by themselves, where that is sooner than the fill comes to them; None where the fill is the better way."""
        if self._uncached_ranges == "wait" or await self._index.known(Kind.BLOB, digest) is not None:
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

    async def _part(self, repository: Repository, digest: Digest, wanted: str, ended: Callable[[], None]) -> Passing | Part | None:
        """Begin the fill, and get parts as `passed`; call *ended* when all of them were sent."""
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
        return await self._passing(repository, digest, places, ended, fill)

    async def _passing(
        self, repository: Repository, digest: Digest, places: Sequence[Place], ended: Callable[[], None], fill: Fill | None
    ) -> Passing | Part | None:
        """Take a slot for some parts and ask for the first of them; None where that does not do.

        Where no *fill* is on its way, being one too many is an answer: raise `RegistryError`.
        """
        groups = await large.parsed(len(places) * _PLACE_WEIGHT, lambda: coalesced(places, _MAX_QUESTIONS))
        if groups is None:
            return None
        try:
            await self._slots.take(_SLOT_TIMEOUT)
        except TimeoutError as error:
            if fill is None:
                raise errors.unavailable("too many parts of uncached blobs are being sent at once", _RETRY_AFTER) from error
            return None
        give_back = partial(self._slots.give_back, client.get())

        def end() -> None:
            give_back()
            ended()

        passing: Passing | Part | None = None
        try:
            if fill is not None:
                passing = await self._ahead(fill, groups, end)
            if passing is None:
                passing = await self._begun(repository, digest, groups, end)
        except (Unavailable, Corrupt, Throttled):
            pass  # the fill tells how long the blob is, or what is wrong
        except BaseException:
            give_back()
            raise
        if passing is None:
            give_back()
        return passing

    async def _ahead(self, fill: Fill, groups: Sequence[Sequence[Place]], end: Callable[[], None]) -> Part | None:
        """Have *fill* bring groups of parts ahead of their turn; None where it cannot."""
        if fill.is_over:
            raise Unavailable("what it has brought is in the store, or nowhere")
        ended = ExitStack()
        ended.callback(end)
        places = [(group[0][0], stop) for group in groups if (stop := group[-1][1]) is not None]
        part = fill.part(places, self._registries[fill.repository.registry].progress_timeout, ended.close)
        try:
            await part.started()
        except BaseException as error:
            ended.pop_all()  # nothing was begun that is over now
            part.release()
            if isinstance(error, StoreError):
                return None
            raise
        return part

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


def _places(wanted: str, size: int) -> list[Place]:
    """Return from where to where the parts go, if there are any."""
    with suppress(byterange.UnsatisfiableRange):
        return [(part.start, part.stop) for part in byterange.parse(wanted, size)]
    return []
