"""Fetches a blob into the store, and finds out who lied where it comes wrong."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from cachetools import LRUCache

from regproxy.best_effort import kept
from regproxy.config import Downloads
from regproxy.fill import attribution
from regproxy.fill.ahead import PartDownloads
from regproxy.fill.download import Download
from regproxy.fill.fill import Fill
from regproxy.fill.holdback import Exposed, Holdback, HoldbackBudget
from regproxy.fill.passed_parts import First
from regproxy.fill.writer import Writer
from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.ports import (
    ContentStore,
    Corrupt,
    Gone,
    Incoming,
    Ingest,
    LocalResourceError,
    NotFound,
    Refused,
    Registry,
    Resumable,
    Throttled,
    Unavailable,
    UpstreamError,
)
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MAX_CORRUPT_COPIES = 3  # for one copy; whoever lied is asked last, so the next one is somebody else as long as there are others
_DOUBTS = 1000  # blobs that came wrong from several hosts and were not asked for again since

_log = logging.getLogger(__name__)


class _EndlessError(Unavailable):
    """What came told no length and did not end, or is more than another host says there is: nobody goes on with it."""


class Fetcher:
    """Drives fills, and remembers corrupt downloads until their sender is identified."""

    def __init__(
        self, registries: Mapping[str, Registry], store: ContentStore, downloads: Downloads, first: Callable[[Fill], First]
    ) -> None:
        """Fetch from *registries* into *store* as *downloads* says; *first* returns what takes precedence over a fill."""
        self._first = first
        self._registries = registries
        self._store = store
        self._downloads = downloads
        self._budget = HoldbackBudget()
        self._doubts: LRUCache[Digest, list[attribution.HashedRange]] = LRUCache(_DOUBTS)

    async def copy(self, fill: Fill, *, is_locked: bool) -> bool:
        """Fetch and verify the blob, and report whether the store kept it; go on with what an earlier fill left.

        Other processes are told of it where it *is_locked*. Raise `UpstreamError` or `StoreError`.
        """
        resumed, has_run_on = await self._resumable(fill), False
        for _ in range(_MAX_CORRUPT_COPIES):
            try:
                return await self._copy_from(fill, resumed, is_locked=is_locked)
            except (Gone, Exposed, _EndlessError) as error:
                if isinstance(error, _EndlessError) and has_run_on:
                    raise
                if isinstance(error, Exposed):
                    fill.reject()
                resumed, has_run_on = Resumable(), has_run_on or isinstance(error, _EndlessError)
                _log.info(
                    "restarting fill from the beginning",
                    extra=fields(repository=str(fill.repository), digest=str(fill.digest), reason=str(error)),
                )
        return await self._copy_from(fill, Resumable(), is_locked=is_locked)

    async def _resumable(self, fill: Fill) -> Resumable:
        """Return what of an earlier fill's this one may use: that may have been brought for another repository."""
        if fill.may_share is False:
            return Resumable()
        resumed = await self._store.resumable(fill.digest)
        if resumed.is_empty or fill.may_share or fill.has_begun:
            return resumed
        try:
            await self._registries[fill.repository.registry].confirm(fill.repository, fill.digest)
        except UpstreamError as error:
            _log.info(
                "restarting fill from the beginning",
                extra=fields(repository=str(fill.repository), digest=str(fill.digest), reason=str(error)),
            )
            return Resumable()
        return resumed

    async def finish(self, fill: Fill, begun: Incoming, start: int) -> bool:
        """Pass on what comes after the first *start* bytes, which another process has *begun* to copy and has no room to go on with."""
        return await self._copy_from(fill, Resumable(start), begun)

    async def _copy_from(self, fill: Fill, resumed: Resumable, begun: Incoming | None = None, *, is_locked: bool = False) -> bool:
        connections = 1 if fill.digest in self._doubts else self._downloads.connections
        repository, registry = fill.repository, self._registries[fill.repository.registry]
        stall_timeout, first, start = registry.progress_timeout, self._first(fill), resumed.start
        download = Download(registry, repository, fill.digest, start, connections=connections, stall_timeout=stall_timeout, first=first)
        elsewhere = partial(self._store.wanted_parts, fill.digest, repository.registry) if is_locked else None
        parts, holdback = PartDownloads(fill, download, resumed, stall_timeout, elsewhere), Holdback(self._budget, download, fill.digest)
        try:
            async with parts.running():
                await self._begin(download, fill)
                is_early = fill.has_wants and download.size is not None  # parts are passed on as they come, whoever sends them
                if not is_early:
                    await holdback.inspect()
                locked_for = repository.registry if is_locked else None
                ingest = await self._store.ingest(fill.digest, download.size, resumed, begun, locked_for=locked_for)
                try:
                    parts.open(ingest)
                    download.spill.open(ingest)
                    if is_early:
                        await holdback.inspect()
                    fill.begin(ingest, download.size, start)
                    await _receive(download, holdback, fill, ingest)
                    await self._verify(fill, ingest, download, resumed)
                    attribution.report_verified(download.source.segments)
                    fill.verified()
                    return await kept(ingest.commit(), fill.digest)
                except (NotFound, Refused, Throttled, Unavailable, asyncio.CancelledError) as error:
                    if _ran_on(error, download):
                        raise _EndlessError(f"{fill.digest} did not end, or was more than all of it: {error}") from error
                    ingest.leave()
                    raise
                finally:
                    await ingest.discard()
        finally:
            await holdback.close()
            await download.close()

    async def _begin(self, download: Download, fill: Fill) -> None:
        """Wait for the first answer; raise `Gone` where there is none because what an earlier fill left is more than there is."""
        try:
            await download.begin()
        except (Unavailable, Throttled) as error:
            registry = self._registries[fill.repository.registry]
            size = await registry.describe(fill.repository, fill.digest) if download.start and not error.is_behind_the_end else None
            if error.is_behind_the_end or (size is not None and size <= download.start):
                raise Gone(f"what was left of {fill.digest} is more than all of it") from error
            raise
        if download.start and download.size is not None and download.size <= download.start:
            raise Gone(f"what was left of {fill.digest} is more than all of it")

    async def _verify(self, fill: Fill, ingest: Ingest, download: Download, resumed: Resumable) -> None:
        """Raise `Corrupt` for wrong bytes, and find out who sent them."""
        doubts = self._doubts.pop(fill.digest, None)
        try:
            ingest.verify()
        except DigestMismatch as error:
            fill.reject()
            metrics.CORRUPT.inc()
            senders = attribution.senders(download.source.segments)
            if len(senders) == 1 and resumed.is_empty:
                download.source.segments[0].body.reject()
            elif ingest.is_whole:
                self._doubts[fill.digest] = await asyncio.to_thread(attribution.statements, ingest, download.source.segments)
            kind = Corrupt if fill.is_seen else Exposed
            raise kind(f"{' and '.join(senders)} sent wrong bytes for {fill.repository}: {error}") from error
        if doubts is not None and ingest.is_whole:
            await asyncio.to_thread(attribution.identify_corrupt, ingest, doubts)


def _ran_on(error: BaseException, download: Download) -> bool:
    if not isinstance(error, Unavailable | Throttled) or isinstance(error, LocalResourceError):
        return False
    return (download.size is None or error.is_behind_the_end) and bool(download.source.segments)


async def _receive(download: Download, holdback: Holdback, fill: Fill, ingest: Ingest) -> None:
    def written(count: int) -> None:
        fill.advance(count)
        download.advance(count)

    writer = Writer(ingest, written)
    try:
        await holdback.run(writer.put)
        await writer.finish()
    finally:
        await writer.stop()
