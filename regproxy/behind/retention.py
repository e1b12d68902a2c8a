"""What operators pinned and froze, as any replica wrote it to an object store: that stays there with all it needs, and here too.

A new replica takes over what those before it were told. What was lifted is written as well as what was set, so that nothing is taken for
lifted because it is gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regproxy.behind import documents
from regproxy.behind.documents import Signer
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT, InvalidManifest, Manifest
from regproxy.policy.freezing import Freeze, covers
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore, StoredObject, StoreError, TooLong, UploadQueue
from regproxy.telemetry.log import fields

_EVERY = 60.0  # seconds between two looks at what others decided
_LOOKS = 2  # at each, for two may be written within what a store's clock counts
_TIMEOUT = 30.0  # seconds for one of them
_MAX_DECISIONS = 10_000  # that are looked at, some 2 MB
_MAX_KEPT = 200_000  # digests, some 40 MB: who pins more evicts nothing


_log = logging.getLogger(__name__)


class TooMuch(Exception):
    """More is to be kept than is looked at: nothing goes."""


class Retention:
    """Pins and freezes, read anew each time."""

    def __init__(self, remote: ObjectStore, signer: Signer, configured: Sequence[Freeze]) -> None:
        """Read them from *remote*, beside those *configured* here."""
        self._remote = remote
        self._signer = signer
        self._configured = configured

    async def kept(self) -> set[Digest]:
        """Return all digests that stay; raise `StoreError`, or `TooMuch`."""
        kept: set[Digest] = set()
        roots = await self._pins()
        freezes = [*self._configured, *await self._freezes()]
        roots += [freeze.digest for freeze in freezes if freeze.digest is not None]
        patterns = [freeze.pattern for freeze in freezes if freeze.digest is None]
        roots += await self._frozen_tags(patterns) if patterns else []
        while roots:
            if (digest := roots.pop()) in kept:
                continue
            if len(kept) >= _MAX_KEPT:
                raise TooMuch(f"more than {_MAX_KEPT} pinned or frozen things: nothing is evicted")
            kept.add(digest)
            roots += await self._children(digest)
        return kept

    async def _pins(self) -> list[Digest]:
        return [digest async for path in self._paths(objects.PINS) if (digest := await self._pin(path)) is not None]

    async def _pin(self, path: str) -> Digest | None:
        pinned = documents.pinned_of(await self._signed(path))
        return pinned.digest if pinned is not None and not pinned.is_lifted else None

    async def _freezes(self) -> list[Freeze]:
        found = [documents.frozen_of(await self._signed(path)) async for path in self._paths(objects.FREEZES)]
        return [each.freeze for each in found if each is not None and each.freeze is not None]

    async def _frozen_tags(self, patterns: Sequence[str]) -> list[Digest]:
        found = []
        async for path in self._paths(objects.TAGS):
            repository, _, name = path.removeprefix(objects.TAGS).partition("/_/")
            if any(covers(pattern, f"{repository}:{name}") for pattern in patterns):
                tag = documents.tag_with_history_of(await self._signed(path))
                found += [tag.record.descriptor.digest] if tag is not None else []
        return found

    async def _children(self, digest: Digest) -> list[Digest]:
        """Return what a manifest needs; nothing where it is a blob, which has the hashes of its pieces beside it."""
        if await self._remote.head(objects.sums(digest)) is not None:
            return []
        found = await self._remote.head(objects.blob(digest))
        if found is None or found.size > LIMIT:
            return []
        try:
            manifest = Manifest.verify(await self._remote.get(objects.blob(digest), LIMIT) or b"", digest)
        except InvalidManifest:
            return []
        return [child.digest for child in manifest.children()]

    async def _signed(self, path: str) -> Mapping[str, Any] | None:
        return self._signer.verified(path, await self._remote.get(path, documents.MAX_SIZE))

    async def _paths(self, prefix: str) -> AsyncIterator[str]:
        async for page in self._remote.list(prefix):
            for each in page:
                yield each.path


@dataclass(frozen=True, slots=True)
class _Seen:
    """When a decision was written, by the clock there, and signed, by that of who did it; and how often it was read since."""

    written_at: float = 0.0
    signed_at: float = 0.0
    looks: int = 0


class Decisions:
    """Adopts decisions, each once; of two about the same thing the last one that was written there counts."""

    def __init__(self, queue: UploadQueue, remote: ObjectStore, signer: Signer) -> None:
        """Look in *remote* for what *signer* verifies, and tell *queue*, which knows what is yet to be written there."""
        self._queue = queue
        self._remote = remote
        self._signer = signer
        self._seen: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                await self.adopt()
            except (StoreError, TimeoutError) as error:
                _log.info("cannot read pins and freezes in the object store", extra=fields(reason=str(error) or "no answer in time"))
            await asyncio.sleep(_EVERY)

    async def adopt(self) -> int:
        """Do as others decided since the last look, and return in how many cases; raise `StoreError` or `TimeoutError`."""
        count = 0
        for prefix in (objects.PINS, objects.FREEZES):
            async for page in self._remote.list(prefix):
                for each in page:
                    count += await self._adopt(each)
        return count

    async def _adopt(self, there: StoredObject) -> bool:
        seen = self._seen.get(there.path, _Seen())
        if (seen.written_at == there.modified_at and seen.looks >= _LOOKS) or (not seen.looks and len(self._seen) >= _MAX_DECISIONS):
            return False
        try:
            async with asyncio.timeout(_TIMEOUT):
                document = self._signer.verified(there.path, await self._remote.get(there.path, documents.MAX_SIZE))
        except TooLong:
            return False
        if document is None or document["signed_at"] < seen.signed_at:  # an older one was put back
            return False
        if (pinned := documents.pinned_of(document)) is not None and there.path == objects.pin(pinned.digest):
            is_done = await self._queue.adopt_pin(pinned.digest, pinned=not pinned.is_lifted, at=document["signed_at"])
        elif (frozen := documents.frozen_of(document)) is not None:
            is_done = await self._queue.adopt_freeze(frozen.pattern, frozen.freeze, document["signed_at"])
        else:
            return False
        if is_done:
            looks = seen.looks + 1 if seen.written_at == there.modified_at else 1
            self._seen[there.path] = _Seen(there.modified_at, document["signed_at"], looks)
        return is_done
