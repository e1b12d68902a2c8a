"""Whether pieces are right, by the word of a cache further up: before a client of ours gets any of them, or a member has them from us.

It signs what it says, so that members pass it on with the pieces, and it is asked once for each.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from enum import Enum

from cachetools import LRUCache, TTLCache

from regproxy.fleet.signing import PublicKeys
from regproxy.peers.names import Blob, PieceName
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.fleet.signed_hash import Part, SignedHash
from regproxy.ports import Registry, UpstreamError
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_KEPT = 8192  # signed hashes, some 8 MB: of 8 GiB and more
_MAX_UPSTREAMS = 1000
_MAX_UNSTATED, _UNSTATED_FOR = 1000, 10.0  # blobs of which nothing is stated, and seconds until it is asked again
_PAUSE = 0.25  # seconds before it is asked again, where the cache has not got there yet
_LONGEST = 120.0  # seconds for that: as long as a member waits for a first byte

_log = logging.getLogger(__name__)


class Finding(Enum):
    """What is known of the bytes of a piece."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class PieceHashes:
    """Checks pieces of blobs of *registries*."""

    def __init__(self, registries: Mapping[str, Registry], clock: MonotonicClock = time.monotonic) -> None:
        """Know nothing."""
        self._registries = registries
        self._clock = clock
        self._keys: LRUCache[str, PublicKeys] = LRUCache(_MAX_UPSTREAMS)
        self._known: LRUCache[PieceName, tuple[Part, SignedHash]] = LRUCache(_KEPT)
        self._unstated: TTLCache[Blob, bool] = TTLCache(_MAX_UNSTATED, _UNSTATED_FOR, clock)

    def are_stated(self, blob: Blob) -> bool:
        """Whether somebody further up may say what its pieces are."""
        return self._registries[blob.repository.registry].has_caches

    def known(self, name: PieceName) -> SignedHash | None:
        """Return the hash that a piece was found to have, if that was signed."""
        found = self._known.get(name)
        return None if found is None else found[1]

    async def check(self, name: PieceName, size: int, hash_: bytes, claimed: SignedHash | None) -> Finding:
        """Find out whether a piece with that *hash*, of a blob said to have *size* bytes, is right; a member *claimed* what it is."""
        found = await self._found(name, _part(name, size), hash_, claimed)
        metrics.FLEET_CHECKS.labels(found.value).inc()
        return found

    def forget(self, blob: Blob) -> None:
        """Forget what was said of *blob*, which is wrong."""
        for name in [each for each in self._known if each.blob == blob]:
            del self._known[name]

    async def _found(self, name: PieceName, part: Part, hash_: bytes, claimed: SignedHash | None) -> Finding:
        keys = self._keys.setdefault(name.blob.repository.registry, PublicKeys())
        if claimed is not None and claimed.hash == hash_ and keys.have_signed(part, claimed):
            self._known[name] = part, claimed
            return Finding.RIGHT
        known = self._known.get(name)
        if known is not None and (known[0], known[1].hash) == (part, hash_):
            return Finding.RIGHT
        # What was said before may have been of a copy that turned out to be wrong: whoever is to be blamed is blamed for what is said now.
        return await self._asked(name, part, hash_, keys)

    async def _asked(self, name: PieceName, part: Part, hash_: bytes, keys: PublicKeys) -> Finding:
        blob, until = name.blob, self._clock() + _LONGEST
        registry = self._registries[blob.repository.registry]
        while blob not in self._unstated and self._clock() < until:
            try:
                statement = await registry.statement(blob.repository, blob.digest, name.cut.start, name.cut.stop)
                if statement is None:
                    await asyncio.sleep(_PAUSE)
                    continue
                keys.learn(statement.public_key)
            except (UpstreamError, ValueError) as error:
                self._unstated[blob] = True
                _log.info("pieces are not checked", extra=fields(digest=str(blob.digest), reason=str(error)))
                break
            stated = _part(name, statement.size)
            if not keys.have_signed(stated, statement.signed):
                break
            self._known[name] = stated, statement.signed
            return Finding.RIGHT if (stated, statement.signed.hash) == (part, hash_) else Finding.WRONG
        return Finding.WRONG if name in self._known else Finding.UNKNOWN  # what is known is another hash, and nobody takes it back


def _part(name: PieceName, size: int) -> Part:
    return Part(name.blob.digest, size, name.cut.start, min(name.cut.stop, size))
