"""What replicas share through Redis: tokens, what tags mean, and locks (port Replicas).

Without a key they share locks alone, which nobody needs to believe.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from regproxy.fleet.codec import proof_document, proof_of
from regproxy.fleet.encryption import Encryption
from regproxy.fleet.lock import RedisLocks
from regproxy.fleet.redis import TIMEOUT, RedisConnection, ranges
from regproxy.fleet.sealed import MAX_AGE, MAX_SEALED, SealedFleet
from regproxy.policy.clients.proof import Proof
from regproxy.policy.clock import WallClock

_ENDED_PROOFS = "regproxy:ended-proofs"
_MAX_DIGITS = 20


class RedisFleet(SealedFleet):
    """The replicas that share one Redis and, if they have one, a key."""

    def __init__(self, url: str, key: str | None, clock: WallClock = time.time, timeout: float = TIMEOUT) -> None:
        """Connect to nothing yet; a call of Redis has *timeout* seconds."""
        super().__init__(clock)
        self.connection = RedisConnection(url, timeout)
        self._key = Encryption(key) if key is not None else None
        self._locks = RedisLocks(self.connection, self._key, clock)

    async def proof(self, key: str) -> Proof | None:
        return proof_of(await self._get("proof", key))

    async def put_proof(self, key: str, proof: Proof) -> None:
        """Write at once: who looks for it afterwards is to find it."""
        if (found := self._sealed("proof", key, proof_document(proof))) is not None:
            await self.connection.call(lambda redis: redis.set(*found, ex=MAX_AGE["proof"]), refused=None)

    def end_proofs(self) -> None:
        if self._encryption is not None:
            self.connection.call_behind(lambda redis: redis.incr(_ENDED_PROOFS))

    async def end_count(self) -> int | None:
        """Return how often a proof was ended; who forges it makes replicas look again, and no more."""
        if self._encryption is None:
            return None
        found = await self.connection.call(lambda redis: redis.getrange(_ENDED_PROOFS, 0, _MAX_DIGITS), refused=None)
        return None if not isinstance(found, bytes) else int(found) if found.isdigit() else 0

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._locks.taken(f"regproxy:lock:{self._name(name)}")

    async def claim(self, name: str, seconds: float) -> bool:
        """Claim *name* where Redis answers; where it does not, everybody does by itself."""
        place = f"regproxy:claim:{self._name(name)}"
        return await self.connection.call(lambda redis: redis.set(place, b"", nx=True, ex=math.ceil(seconds)), refused=True) is not None

    async def close(self) -> None:
        await self.connection.close()

    @property
    def _encryption(self) -> Encryption | None:
        return self._key

    def _name(self, text: str) -> str:
        """Return under what *text* is known in Redis, where everybody may read."""
        return self._key.names(text)[0] if self._key else hashlib.sha256(text.encode()).hexdigest()

    def _places(self, encryption: Encryption, kind: str, text: str) -> Sequence[str]:
        return [f"regproxy:{kind}:{each}" for each in encryption.names(text)]

    async def _read(self, places: Sequence[str]) -> Sequence[object]:
        found: Sequence[object] = await self.connection.call(lambda redis: ranges(redis, places, MAX_SEALED), refused=[])
        return found

    def _write(self, place: str, sealed: bytes, life: int) -> None:
        self.connection.call_behind(lambda redis: redis.set(place, sealed, ex=life))
