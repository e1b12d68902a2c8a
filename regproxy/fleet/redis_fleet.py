"""What replicas share through Redis: tokens, what tags mean, and locks (port Fleet).

Every value is sealed under its name and with its time, so that neither a forged one nor another's or an old answer is believed. Without a
key nothing could be told from a forgery: then replicas share locks alone, which nobody needs to believe.
"""

import hashlib
import json
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from regproxy.fleet.codec import tag_document, tag_of, token_document, token_of
from regproxy.fleet.encryption import Encryption
from regproxy.fleet.lock import RedisLocks
from regproxy.fleet.redis import TIMEOUT, RedisConnection, ranges
from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.upstream.tokens import Token

_LARGEST = 64 * 1024  # bytes read of a value; ours are a few KiB
_TAGS_KEPT = 3600  # seconds; a record that is older is asked anew anyway, whatever its policy
_MAX_AGE = {"tag": _TAGS_KEPT, "token": 12 * 3600}  # seconds since it was sealed; a token ends by its own time before


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

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        told = self._encryption.names(name)[0] if self._encryption else hashlib.sha256(name.encode()).hexdigest()
        return self._locks.taken(f"regproxy:lock:{told}")

    async def close(self) -> None:
        await self.connection.close()

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
        if self._encryption is None or life < 1:
            return
        place = f"regproxy:{kind}:{self._encryption.names(name)[0]}"
        sealed = self._encryption.sealed(place, json.dumps(document).encode(), self._clock())
        self.connection.call_behind(lambda redis: redis.set(place, sealed, ex=int(life)))
