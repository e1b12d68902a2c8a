"""What an object store is asked while a client waits: briefly, and never in vain for long.

What it does not give in time is not there: upstream is asked next. Misses are remembered for a moment, for one pull looks several times.
Whether a repository is closed is not known here: what repositories hold is asked of `Holders`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from cachetools import LRUCache, TTLCache

from regproxy.behind import documents
from regproxy.behind.body import ObjectBody
from regproxy.behind.documents import Closure, Signer, TagDocument
from regproxy.behind.health import Health
from regproxy.flights import Flights
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.store import objects
from regproxy.policy.store.pieces import PieceSums
from regproxy.ports import Gone, Kind, ObjectStore, StoreError, TooLong
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_TIMEOUT = 1.0  # seconds that a client waits for an object store before upstream is asked
_LONG_TIMEOUT = 10.0  # seconds where upstream has failed, and nobody else is left
_MAX_REMEMBERED = 10_000  # paths, some 2 MB
_MISSING_FOR = 5.0  # seconds
_HELD_FOR = 60.0
_MAX_SUMS = 64  # hashes of blobs, 512 KiB each at most
_AVOIDED_FOR = 60.0  # seconds that another source is asked first for a blob that broke off
_SIGNED_FOR = 60.0  # seconds
_DAMAGED_FOR = 600.0  # seconds that a blob is not asked for which is wrong there; by then it is written anew

_log = logging.getLogger(__name__)


class NoAnswer(Exception):
    """The object store did not answer in time, or with nothing that can be believed."""


class ObjectTier:
    """Reads what lies in an object store; only `closure` raises."""

    def __init__(self, store: ObjectStore, signer: Signer, health: Health, repair: Callable[[Digest], Awaitable[None]]) -> None:
        """Read from *store* what *signer* verifies; *repair* has content written again."""
        self.store = store
        self.health = health
        self._signer = signer
        self._repair = repair
        self._missing: TTLCache[str, bool] = TTLCache(_MAX_REMEMBERED, _MISSING_FOR)
        self._links: TTLCache[str, Descriptor] = TTLCache(_MAX_REMEMBERED, _HELD_FOR)
        self._sums: LRUCache[Digest, PieceSums] = LRUCache(_MAX_SUMS)
        self._avoided: TTLCache[Digest, bool] = TTLCache(_MAX_REMEMBERED, _AVOIDED_FOR)
        self._damaged: TTLCache[Digest, bool] = TTLCache(_MAX_REMEMBERED, _DAMAGED_FOR)
        self._whole: TTLCache[Digest, bool] = TTLCache(_MAX_REMEMBERED, _HELD_FOR)
        self._flights: Flights[str, bytes | None] = Flights()
        self._repairs: set[asyncio.Task[None]] = set()

    async def link(self, kind: Kind, repository: Repository, digest: Digest, *, is_patient: bool = False) -> Descriptor | None:
        """Describe content that *repository* holds there."""
        path = objects.link(kind.value, repository, digest)
        if (found := self._links.get(path)) is not None:
            return found
        document = self._signer.verified(path, await self._look(path, documents.MAX_SIZE, is_patient=is_patient))
        found = documents.link_of(document)
        if found is None or found.digest != digest:
            return None
        self._links[path] = found
        return found

    async def tag(self, reference: Reference, *, is_patient: bool = False) -> TagDocument | None:
        """Return what a tag means to those who write there."""
        if not isinstance(reference.target, Tag):
            return None
        path = objects.tag(reference.repository, reference.target.name)
        written = await self._look(path, documents.MAX_SIZE, is_patient=is_patient)
        return documents.tag_with_history_of(self._signer.verified(path, written))

    async def closure(self, repository: Repository, *, is_patient: bool = False) -> Closure | None:
        """Return that upstream refused *repository* to others, None where it did not; raise `NoAnswer`."""
        path = objects.access(repository)
        try:
            written = await self._ask(path, documents.MAX_SIZE, is_patient=is_patient)
        except TooLong as error:
            raise NoAnswer(str(error)) from error
        closure = documents.closure_of(self._signer.verified(path, written))
        if closure is None and written is not None:
            raise NoAnswer(f"{path} cannot be read")
        return closure

    async def manifest(self, digest: Digest, size: int, *, is_patient: bool = False) -> bytes | None:
        """Read a manifest of *size* bytes, as its link says, and verify it."""
        if digest in self._damaged:
            return None
        try:
            body = await self._ask(objects.blob(digest), size, is_patient=is_patient)
        except TooLong as error:
            self.report_damaged(digest, str(error))
            return None
        except NoAnswer:
            return None
        if body is None or Digest.of(body, digest.algorithm) == digest:
            return body
        self.report_damaged(digest, "its bytes do not match its digest")
        return None

    async def open(self, stack: AsyncExitStack, digest: Digest, start: int, stop: int | None, *, is_patient: bool) -> ObjectBody | None:
        """Open a blob from *start* to *stop*, or to its end, until *stack* ends; None where it is not there, or not in time."""
        if digest in self._damaged or (digest in self._avoided and not is_patient) or not (is_patient or self.health.may_ask()):
            return None
        sums = await self._sums_of(digest, is_patient=is_patient)
        if sums is None or start >= sums.size:
            return None
        stop = sums.size if stop is None else min(stop, sums.size)
        begin, end = sums.bounds(start, stop)
        try:
            async with asyncio.timeout(_LONG_TIMEOUT if is_patient else _TIMEOUT):
                chunks = await stack.enter_async_context(self.store.stream(objects.blob(digest), begin, end))
        except Gone as error:
            self.report_damaged(digest, str(error))
            return None
        except (StoreError, TimeoutError) as error:
            self._failed(objects.blob(digest), str(error) or "it did not answer in time")
            return None
        self.health.answered()
        return ObjectBody(self, digest, sums, start, stop, chunks)

    async def signed(self, digest: Digest) -> str | None:
        """Return a URL by which whoever has it may read a blob for a minute; None where it is not there, or was found wrong."""
        if digest in self._damaged or not self.health.may_ask() or (sums := await self._sums_of(digest, is_patient=False)) is None:
            return None
        path = objects.blob(digest)
        try:
            async with asyncio.timeout(_TIMEOUT):
                if digest not in self._whole and ((found := await self.store.head(path)) is None or found.size != sums.size):
                    self.report_damaged(digest, "it is not there, or not as long as it was")
                    return None
                self._whole[digest] = True
                return await self.store.sign(path, _SIGNED_FOR)
        except (StoreError, TimeoutError) as error:
            self._failed(path, str(error) or "it did not answer in time")
            return None

    def report_damaged(self, digest: Digest, reason: str) -> None:
        """Ask for it no more, and have it written anew."""
        if digest in self._damaged:
            return
        self._damaged[digest] = True
        self._whole.pop(digest, None)
        self._sums.pop(digest, None)
        metrics.OBJECT_STORE_DAMAGED.inc()
        _log.warning("object corrupt or missing in object store: it is written again", extra=fields(digest=str(digest), reason=reason))
        task = asyncio.create_task(self._forget(digest))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def report_late(self, digest: Digest, reason: str) -> None:
        """Ask others first for a while: what was sent so far was right."""
        self._avoided[digest] = True
        self._failed(objects.blob(digest), reason)

    async def close(self) -> None:
        await self._flights.close()
        if self._repairs:
            await asyncio.wait(self._repairs, timeout=_TIMEOUT)
        for task in self._repairs:
            task.cancel()
        await asyncio.gather(*self._repairs, return_exceptions=True)

    async def _forget(self, digest: Digest) -> None:
        try:
            await self._repair(digest)
        except StoreError as error:
            _log.warning("cannot have an object written again", extra=fields(digest=str(digest), reason=str(error)))

    async def _sums_of(self, digest: Digest, *, is_patient: bool) -> PieceSums | None:
        if (sums := self._sums.get(digest)) is None:
            path = objects.sums(digest)
            written = await self._look(path, documents.MAX_SUMS, is_patient=is_patient)
            sums = documents.sums_of(self._signer.verified(path, written))
            if sums is not None:
                self._sums[digest] = sums
        return sums

    async def _look(self, path: str, most: int, *, is_patient: bool) -> bytes | None:
        """Read a small object; None where it is not there, or not in time."""
        try:
            return await self._ask(path, most, is_patient=is_patient)
        except (NoAnswer, TooLong):
            return None

    async def _ask(self, path: str, most: int, *, is_patient: bool) -> bytes | None:
        """Read a small object, with all who want it; None where there is none. Raise `NoAnswer`, or `TooLong`.

        Who waits no longer ends no request: whoever asks again, because upstream has failed meanwhile, waits for the rest of it.
        """
        if path in self._missing:
            return None
        if not (is_patient or self.health.may_ask()):
            raise NoAnswer("it rests")
        try:
            async with asyncio.timeout(_LONG_TIMEOUT if is_patient else _TIMEOUT):
                return await self._flights.join(path, lambda: self._read(path, most))
        except TimeoutError as error:
            raise NoAnswer("it did not answer in time") from error

    async def _read(self, path: str, most: int) -> bytes | None:
        late = asyncio.get_running_loop().call_later(_TIMEOUT, self._failed, path, "it did not answer in time")
        try:
            async with asyncio.timeout(_LONG_TIMEOUT):
                found = await self.store.get(path, most)
        except TimeoutError as error:
            raise NoAnswer("it did not answer in time") from error
        except TooLong:
            self.health.answered()
            raise
        except StoreError as error:
            self._failed(path, str(error))
            raise NoAnswer(str(error)) from error
        finally:
            late.cancel()
        if asyncio.get_running_loop().time() < late.when():
            self.health.answered()
        metrics.OBJECT_STORE_READS.labels("miss" if found is None else "hit").inc()
        if found is None:
            self._missing[path] = True
        return found

    def _failed(self, path: str, reason: str) -> None:
        metrics.OBJECT_STORE_READS.labels("error").inc()
        if self.health.trouble is None:
            _log.warning("object store does not answer: pulls go on without it", extra=fields(path=path, reason=reason))
        self.health.failed(reason)
