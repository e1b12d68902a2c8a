"""What replicas share through Redis: tokens, what tags mean, and locks (port Fleet).

Every value is sealed under its name and with its time, so that neither a forged one nor another's or an old answer is believed. Without a
key nothing could be told from a forgery: then replicas share locks alone, which nobody needs to believe.
"""

import hashlib
import json
import math
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from regproxy.fleet.codec import history_document, history_of, proof_document, proof_of, tag_document, tag_of, token_document, token_of
from regproxy.fleet.encryption import Encryption
from regproxy.fleet.lock import RedisLocks
from regproxy.fleet.redis import TIMEOUT, RedisConnection, ranges
from regproxy.oci.reference import Reference
from regproxy.policy.clients.proof import Proof
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.tag_history import History
from regproxy.policy.upstream.tokens import Token

_ENDED_PROOFS = "regproxy:ended-proofs"
_MAX_DIGITS = 20
_LARGEST = 64 * 1024  # bytes read of a value; ours are a few KiB
_TAGS_KEPT = 3600  # seconds; a record that is older is asked anew anyway, whatever its policy
_HISTORY_KEPT = 90 * 24 * 3600  # seconds; each replica has its own beside it
_MAX_AGE = {
    "tag": _TAGS_KEPT,
    "history": _HISTORY_KEPT,
    "token": 12 * 3600,
    "proof": 12 * 3600,
}  # seconds since it was sealed; a token ends by its own time before


class RedisFleet:
    """The replicas that share one Redis and, if they have one, a key."""

    def __init__(self, url: str, key: str | None, clock: WallClock = time.time, timeout: float = TIMEOUT) -> None:
        """Connect to nothing yet; a call of Redis has *timeout* seconds."""
        self.connection = RedisConnection(url, timeout)
        self._encryption = Encryption(key) if key is not None else None
        self._locks = RedisLocks(self.connection, self._encryption, clock)
        self._clock = clock

    async def token(self, key: Secret) -> Token | None:
        return token_of(await self._get("token", key.value))

    def put_token(self, key: Secret, token: Token) -> None:
        self._put("token", key.value, token_document(token), token.expires_at - self._clock())

    async def tag(self, reference: Reference) -> TagAnswer | None:
        return tag_of(await self._get("tag", str(reference)))

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        self._put("tag", str(reference), tag_document(record), _TAGS_KEPT)

    async def history(self, reference: Reference) -> History:
        return history_of(await self._get("history", str(reference)))

    def put_history(self, reference: Reference, history: History) -> None:
        self._put("history", str(reference), history_document(history), _HISTORY_KEPT)

    async def proof(self, key: str) -> Proof | None:
        return proof_of(await self._get("proof", key))

    async def put_proof(self, key: str, proof: Proof) -> None:
        """Write at once: who looks for it afterwards is to find it."""
        if (found := self._sealed("proof", key, proof_document(proof))) is not None:
            await self.connection.call(lambda redis: redis.set(*found, ex=_MAX_AGE["proof"]), refused=None)

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

    def _name(self, text: str) -> str:
        """Return under what *text* is known in Redis, where everybody may read."""
        return self._encryption.names(text)[0] if self._encryption else hashlib.sha256(text.encode()).hexdigest()

    async def _get(self, kind: str, name: str) -> dict[str, Any] | None:
        if self._encryption is None:
            return None
        places = [f"regproxy:{kind}:{each}" for each in self._encryption.names(name)]
        found = await self.connection.call(lambda redis: ranges(redis, places, _LARGEST), refused=[])
        for place, sealed in zip(places, found, strict=False):
            opened = self._encryption.opened(place, sealed, self._clock(), _MAX_AGE[kind]) if isinstance(sealed, bytes) and sealed else None
            if opened is not None:
                return dict(json.loads(opened))
        return None

    def _put(self, kind: str, name: str, document: dict[str, Any], life: float) -> None:
        """Write behind the answer."""
        found = self._sealed(kind, name, document)
        if found is not None and life >= 1:
            self.connection.call_behind(lambda redis: redis.set(*found, ex=int(life)))

    def _sealed(self, kind: str, name: str, document: dict[str, Any]) -> tuple[str, bytes] | None:
        """Return where a value lies, and as what; None without a key."""
        if self._encryption is None:
            return None
        place = f"regproxy:{kind}:{self._encryption.names(name)[0]}"
        return place, self._encryption.sealed(place, json.dumps(document).encode(), self._clock())
