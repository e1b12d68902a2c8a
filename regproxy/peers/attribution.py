"""Which member sent wrong bytes: what each sent is compared with a copy that is right, once there is one."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import Hold, PieceCache, hash_of
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.ports import Content, StoreError, UpstreamError
from regproxy.shm import Flag
from regproxy.storage.threads import DiskThreads
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MAX_BLOBS = 256  # whose senders are remembered
_MAX_SENT = 100_000  # ranges of one blob
_MAX_COMPARED = 16  # blobs at once
_EVERY, _MOST_LOOKS = 0.5, 240  # seconds between looks for a right copy, and how many

Stored = Callable[[Blob], Awaitable[Content | None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SentRange:
    """Bytes *start* to *stop* of a piece, which member sent them, and how long it said that the blob is."""

    member: str
    start: int
    stop: int
    size: int


@dataclass(frozen=True, slots=True)
class _HashedRange:
    """What a member said that bytes *start* to *stop* of a blob are, by their hash, and how long the blob is."""

    member: str
    start: int
    stop: int
    size: int
    hash: bytes


class Attribution:
    """Remembers who sent what."""

    def __init__(self, cache: PieceCache, run: DiskThreads, stored: Stored, proof: Flag) -> None:
        """Read what was sent from *cache*; *stored* opens a blob that is verified, if it is here.

        *proof* is whether members have sent something right since they last sent something wrong, to any process of this machine.
        """
        self.proof = proof
        self._cache = cache
        self._run = run
        self._stored = stored
        self._sent: LRUCache[Blob, list[tuple[PieceName, SentRange]]] = LRUCache(_MAX_BLOBS)
        self._tasks: set[asyncio.Task[None]] = set()

    def received(self, name: PieceName, sent: SentRange) -> None:
        """Record that a member sent a part of a piece."""
        known = self._sent.setdefault(name.blob, [])
        if sent.stop > sent.start and len(known) < _MAX_SENT:
            known.append((name, sent))

    def acquit(self, name: PieceName) -> None:
        """Forget who sent a piece: it is known to be right, or whose it was that it is wrong."""
        known = self._sent.get(name.blob, [])
        known[:] = [each for each in known if each[0] != name]

    async def report_corrupt(self, blob: Blob, suspicions: Suspicions) -> None:
        """Hash what members sent of *blob*, which is wrong, and judge them when it is here and right."""
        sent = self._sent.pop(blob, [])
        if not sent or len(self._tasks) >= _MAX_COMPARED:
            return
        hashed = [each for name, part in sent if (each := await self._run(self._hashed, name, part)) is not None]
        task = asyncio.create_task(self._compared(blob, hashed, suspicions), name=f"fleet attribution {blob.digest}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compared(self, blob: Blob, hashed: Sequence[_HashedRange], suspicions: Suspicions) -> None:
        for _ in range(_MOST_LOOKS):
            if (content := await self._stored(blob)) is not None:
                break
            await asyncio.sleep(_EVERY)
        else:
            return
        try:
            senders = set()
            for each in hashed:
                if each.size != content.size or each.hash != await self._hash_of(content, each.start, each.stop):
                    senders.add(each.member)
            for member in sorted(senders):
                suspicions.sent_corrupt(member, time.monotonic())
                report_corrupt(member, blob)
        except (StoreError, UpstreamError):
            return
        finally:
            content.release()

    async def _hash_of(self, content: Content, start: int, stop: int) -> bytes:
        extent = await content.extent(start, stop)
        return await self._run(hash_of, extent.file.fileno(), extent.offset, extent.offset + stop - start)

    def _hashed(self, name: PieceName, sent: SentRange) -> _HashedRange | None:
        file = self._cache.open(name)
        try:
            if file.hold is not Hold.WHOLE:
                file.drop()
                return None
            begin = name.cut.start
            known = hash_of(file.file.fileno(), file.offset + sent.start, file.offset + sent.stop)
            return _HashedRange(sent.member, begin + sent.start, begin + sent.stop, sent.size, known)
        finally:
            file.close()


def report_corrupt(member: str, blob: Blob) -> None:
    """Tell people that a member sent wrong bytes."""
    metrics.FLEET_REQUESTS.labels("corrupt").inc()
    _log.error("a member of the fleet sent wrong bytes", extra=fields(member=member, digest=str(blob.digest)))
